"""Runs in a network namespace of its own: far_peer.py TIGHTWAD-NODE FOLDER.  Gives the loopback a public address as well and
asks workers on 0.0.0.0 from both addresses; then takes the public one away from under a client that is served."""
import os
import re
import socket
import subprocess
import sys
import time

from public_peer_address import PUBLIC, drop_address, set_address

HELLO, ANSWER = b"\x0e" + (24).to_bytes(8, "little") + bytes(24), 36


def client(port, source):
    s = socket.create_connection((source, port), timeout=60, source_address=(source, 0))
    s.sendall(HELLO)
    return s


def greets(port, source):
    with client(port, source) as s:
        try:
            return len(s.recv(ANSWER)) > 0
        except ConnectionError:
            return False


def start(*args):
    p = subprocess.Popen([node, "worker", "--listen", "0.0.0.0:0", "--json", "--no-cache"] + list(args), stdout=subprocess.PIPE)
    return p, int(re.search(rb'"port":(\d+)', p.stdout.readline()).group(1))


node, folder = sys.argv[1:3]
os.environ.update(HOME=folder, OMP_WAIT_POLICY="passive")
set_address("lo", "127.0.0.1")
set_address("lo:1", PUBLIC)
closed, port = start()
named, other = start("--allow", PUBLIC + "/32,127.0.0.1")
try:
    assert greets(port, "127.0.0.1"), "this machine was refused"
    assert not greets(port, PUBLIC), "a public peer was served"
    far = client(other, PUBLIC)
    assert len(far.recv(ANSWER)) > 0, "a peer that --allow names was refused"
    begun = time.monotonic()
    drop_address("lo:1")
    while not greets(other, "127.0.0.1"):
        assert time.monotonic() - begun < 60, "the worker was not freed"
        time.sleep(0.2)
    print("freed %.1f s after the peer was cut off" % (time.monotonic() - begun))
finally:
    for p in (closed, named):
        p.terminate()
        p.wait(30)

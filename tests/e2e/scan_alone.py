"""Runs in a network namespace of its own: scan_alone.py FOLDER.  Servers on the usual ports of loopback, and a network without
end that nobody is in."""
import json
import os
import subprocess
import sys

from harness import *
from fake_ollama import FakeOllama
from public_peer_address import set_address


def probe(*args):
    r = subprocess.run([os.path.join(BUILD, "tightwad"), "probe", "--json"] + list(args), capture_output=True, text=True,
                       timeout=60 * SLOWER, env={"PATH": os.environ["PATH"]})
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def run(t, folder):
    set_address("lo", "127.0.0.1")
    for port in (8081, 8082):
        t.node("draft", args=["--listen", "0.0.0.0:%d" % port], port=port)
    t.worker(["--listen", "127.0.0.1:50053"])
    t.own(FakeOllama(port=11434))
    agent = t.process([os.path.join(BUILD, "tightwad"), "agent", "--token-file", os.path.join(folder, "token")])
    agent.wait_line("^agent ")
    machines = probe()
    assert len(machines) == 1, machines
    found = sorted((s["kind"], s["host"], s["port"]) for s in machines[0]["services"])
    assert found == [("agent", "127.0.0.1", 9191), ("node", "127.0.0.1", 8081), ("node", "127.0.0.1", 8082),
                     ("ollama", "127.0.0.1", 11434), ("worker", "127.0.0.1", 50053)], found
    # There is no way to these: each connection fails at once.
    machines = probe("--subnet", "10.0.0.0/8")
    assert any("16776191 addresses were left out" in n for n in machines[0]["notes"]), machines[0]["notes"]


if __name__ == "__main__":
    scope = Test()
    try:
        run(scope, sys.argv[1])
    finally:
        wrong = scope.close()
    assert not wrong, wrong

"""Runs in a network namespace of its own: public_peer.py TIGHTWAD FOLDER.  Gives the loopback a public address as well,
starts tightwad on 0.0.0.0 without a token, and asks from both addresses."""
import http.client
import os
import subprocess
import sys
import time

from public_peer_address import PUBLIC, set_address

PORT = 8088


def ask(source, method="GET", path="/v1/models", body=None):
    conn = http.client.HTTPConnection(source, PORT, timeout=10, source_address=(source, 0))
    conn.request(method, path, body, {"Content-Type": "application/json"} if body else {})
    r = conn.getresponse()
    return r.status, r.read().decode()


tightwad, folder = sys.argv[1:3]
set_address("lo", "127.0.0.1")
set_address("lo:1", PUBLIC)
env = dict(os.environ, XDG_RUNTIME_DIR=folder, HOME=folder, TIGHTWAD_HOST="0.0.0.0", TIGHTWAD_PORT=str(PORT),
           TIGHTWAD_TARGET_URL="http://127.0.0.1:9", TIGHTWAD_TARGET_BACKEND="node")
with open(os.path.join(folder, "log"), "w+") as log:
    program = subprocess.Popen([tightwad, "proxy", "start", "--no-ui"], env=env, cwd=folder, stdout=log, stderr=log)
    try:
        for _ in range(300):
            try:
                ask("127.0.0.1", path="/health")
                break
            except OSError:
                time.sleep(0.1)
        assert ask("127.0.0.1")[0] == 200, ask("127.0.0.1")
        status, text = ask(PUBLIC)
        assert status == 403 and "private" in text, (status, text)
        status, text = ask(PUBLIC, "POST", "/v1/tightwad/command", '{"command":"stop"}')
        assert status == 403, (status, text)
        assert ask("127.0.0.1")[0] == 200  # nothing was stopped
    finally:
        program.terminate()
        program.wait(30)
        log.seek(0)
        said = log.read()
    assert "private networks only" in said, said

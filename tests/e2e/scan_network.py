"""Runs in a network namespace of its own: scan_network.py FOLDER.  Lays a cable to another namespace, where real servers and
broken ones listen, and lets `tightwad probe` find them.  `scan_network.py FOLDER far` is the other end."""
import json
import os
import resource
import socket
import subprocess
import sys
import threading
import time

from harness import *
from fake_ollama import FakeOllama
from public_peer_address import set_address
import veth

NEAR, FAR = "192.168.77.1", "192.168.77.2"
# What a broken server at .10 and up does with each connection to port 8080.
BROKEN = ("silent", "garbage", "half", "endless", "header", "redirect", "closes", "nested", "wrong", "drips")


def serve_broken(address, manner):
    s = socket.create_server((address, 8080), backlog=16)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"

    def talk(c):
        try:
            if manner == "silent":
                time.sleep(60)
            elif manner == "garbage":
                c.sendall(os.urandom(4096))
            elif manner == "half":
                c.sendall(head + b"Content-Length: 100\r\n\r\n{\"protocol\":1")
                time.sleep(60)
            elif manner == "endless":
                c.sendall(head + b"Transfer-Encoding: chunked\r\n\r\n")
                while True:
                    c.sendall(b"10000\r\n" + b" " * 0x10000 + b"\r\n")
            elif manner == "header":
                while True:
                    c.sendall(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 1000)
            elif manner == "redirect":
                c.recv(4096)
                c.sendall(b"HTTP/1.1 302 Found\r\nLocation: http://%s:8081/v1/node\r\nContent-Length: 0\r\n\r\n" % FAR.encode())
            elif manner == "nested":
                body = b"[" * 100000
                c.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            elif manner == "wrong":
                body = b'{"protocol":"1","fingerprint":7,"models":{},"machine":[],"default_generation_settings":3}'
                c.sendall(head + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            elif manner == "drips":
                for byte in head + b"Content-Length: 9\r\n\r\n":
                    c.sendall(bytes([byte]))
                    time.sleep(0.2)
        except OSError:
            pass
        finally:
            c.close()

    def accept():
        while True:
            threading.Thread(target=talk, args=(s.accept()[0],), daemon=True).start()
    threading.Thread(target=accept, daemon=True).start()


def far_end(t, folder):
    print("namespace", flush=True)
    sys.stdin.readline()
    set_address("lo", "127.0.0.1")
    set_address("v1", FAR)
    for i, manner in enumerate(BROKEN):
        address = "192.168.77.%d" % (10 + i)
        set_address("v1:%d" % i, address)
        serve_broken(address, manner)
    t.node("target", args=["--listen", "0.0.0.0:8081"], port=8081)
    t.llama_server("draft", args=["--host", "0.0.0.0"], port=9931)
    t.worker(["--listen", "0.0.0.0:50052"])
    t.own(FakeOllama(port=11434, host="0.0.0.0"))
    token = os.path.join(folder, "token")
    agent = t.process([os.path.join(BUILD, "tightwad"), "agent", "--listen", "0.0.0.0", "--token-file", token,
                       "--models", MODELS], env={"HOME": folder})
    agent.wait_line("^agent ")
    print("ready", flush=True)
    sys.stdin.readline()


def probe(*args):
    r = subprocess.run([os.path.join(BUILD, "tightwad"), "probe", "--json"] + list(args), capture_output=True, text=True,
                       timeout=60 * SLOWER, env=dict(os.environ, HOME=sys.argv[1]))
    assert r.returncode == 0, r.stderr
    return json.loads(r.stdout)


def agent(*args):
    r = subprocess.run([os.path.join(BUILD, "tightwad"), "agent"] + list(args), capture_output=True, text=True,
                       timeout=60 * SLOWER)
    assert r.returncode == 0, r.stdout + r.stderr
    return r.stdout


def answers(url):
    try:
        return get(url, timeout=5).status == 200
    except OSError:
        return False


def at(machines, address):
    found = [m for m in machines if m["address"] == address]
    assert len(found) <= 1, found
    return found[0] if found else None


def near_end(t, folder):
    set_address("lo", "127.0.0.1")
    far = subprocess.Popen(["unshare", "-n", sys.executable, __file__, folder, "far"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
    try:
        assert far.stdout.readline() == "namespace\n"
        veth.lay("v0", "v1", far.pid)
        set_address("v0", NEAR)
        print("go", file=far.stdin, flush=True)
        line = far.stdout.readline()
        assert line == "ready\n", line + far.stdout.read()

        begun = time.monotonic()
        machines = probe()
        took = time.monotonic() - begun
        print("a scan of the network took %.1f s" % took)
        m = at(machines, FAR)
        assert m, machines
        services = {s["kind"]: s for s in m["services"]}
        assert sorted(services) == ["agent", "llama-server", "node", "ollama", "worker"], services
        ports = {k: s["port"] for k, s in services.items()}
        assert ports == {"agent": 9191, "llama-server": 9931, "node": 8081, "ollama": 11434, "worker": 50052}, ports
        for s in services.values():
            assert s["host"] == FAR and 0 < s["rtt_us"] < 2e6, s
        assert services["agent"]["needs_secret"] and m["origin"] == "seen", m
        assert not services["node"]["needs_secret"]
        assert services["node"]["model"] and services["node"]["version"], services["node"]
        assert services["ollama"]["version"] == "0.9.0", services["ollama"]
        names = sorted((x["from"], x["name"]) for x in m["models"])
        assert [f for f, _ in names] == ["llama-server", "node", "ollama"], names
        assert ("ollama", "tiny:latest") in names, names
        assert 0 < m["rtt_us"] < 2e6 and m["memory"] is None, m
        for i, manner in enumerate(BROKEN):
            broken = at(machines, "192.168.77.%d" % (10 + i))
            # The servers that listen on all addresses are found on these as well; the broken one is not.
            assert not broken or 8080 not in [s["port"] for s in broken["services"]], (manner, broken)
        peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024
        print("the largest child had %.0f MiB" % peak)

        # With the token, the machine itself is told; nobody else is.
        alone = probe("--host", FAR, "--token-file", os.path.join(folder, "token"))
        m = at(alone, FAR)
        assert m["origin"] == "agent" and m["memory"] > 0 and m["cpu"]["threads"] > 0, m
        assert any(x["path"] and x["path"].endswith("target.gguf") for x in m["models"]), m["models"]
        assert sorted(s["kind"] for s in m["services"]) == ["agent", "llama-server", "node", "ollama", "worker"], m
        assert [x["address"] for x in alone if x["address"]] == [FAR], alone

        # From here even looking wants the token; with it a node is started there, and found.
        for path in ("/v1/agent", "/v1/agent/running", "/v1/agent/log?name=x"):
            assert get("http://%s:9191%s" % (FAR, path)).status == 401, path
        assert post("http://%s:9191/v1/agent/start" % FAR, {"program": "worker"}).status == 401
        key = ["--token-file", os.path.join(folder, "token")]
        started = agent("start", FAR, "node", "small", "port=8082", "threads=1", "ctx=256", "--name", "mine", *key)
        assert "mine" in started and "running" in started, started
        wait_until("the node over there", lambda: answers("http://%s:8082/health" % FAR), 60)
        found = {s["port"]: s for s in at(probe("--host", FAR), FAR)["services"]}
        assert found[8082]["kind"] == "node" and found[8082]["host"] == FAR, found
        agent("stop", FAR, "mine", *key)
        wait_until("its end", lambda: "ended" in agent("list", FAR, *key), 20)
    finally:
        far.stdin.close()
        far.stdout.read()
        assert far.wait(60) == 0


if __name__ == "__main__":
    scope, folder = Test(), sys.argv[1]
    try:
        (far_end if len(sys.argv) > 2 else near_end)(scope, folder)
    finally:
        wrong = scope.close()
    assert not wrong, wrong

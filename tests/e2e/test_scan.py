"""`tightwad probe` must find what serves on this machine and in its networks, and nothing that it meets may hurt or stop it."""
import socket
import subprocess

from harness import *
from fake_ollama import FakeOllama


def in_network(t, script, *args, timeout=200):
    r = subprocess.run(["unshare", "-r", "-n", sys.executable, os.path.join(HERE, script), t.folder] + list(args),
                       capture_output=True, text=True, timeout=timeout * SLOWER)
    t.note(r.stdout.strip())
    t.equal(r.returncode, 0, r.stdout + r.stderr)


def probe(t, *args, status=0):
    r = subprocess.run([os.path.join(BUILD, "tightwad"), "probe", "--json"] + list(args), capture_output=True, text=True,
                       timeout=60 * SLOWER, env=dict(os.environ, HOME=t.folder))
    t.equal(r.returncode, status, r.stderr)
    return json.loads(r.stdout) if status == 0 else r.stderr


def services(machines):
    return {s["port"]: s for m in machines for s in m["services"]}


def named(*ports):
    return "--host", ",".join("127.0.0.1:%d" % p for p in ports)


@test("servers in another network are found, broken ones there are not and stop nothing, an agent with a token tells its machine")
def _(t):
    in_network(t, "scan_network.py")


@test("a named port may have anything: a node, an Ollama, a worker; what is nothing is said")
def _(t):
    node, worker, other = t.node("draft"), t.worker(), socket.create_server(("127.0.0.1", 0))
    ollama = t.own(FakeOllama())
    t.own(other)
    nothing = other.getsockname()[1]
    found = probe(t, *named(node.port, worker.port, ollama.port, nothing))
    kinds = {port: s["kind"] for port, s in services(found).items()}
    t.equal({p: kinds.get(p) for p in (node.port, worker.port, ollama.port, nothing)},
            {node.port: "node", worker.port: "worker", ollama.port: "ollama", nothing: None})
    t.check(any(str(nothing) in n for n in found[0]["notes"]), found[0]["notes"])
    t.equal(services(found)[worker.port]["version"][:4], "RPC ")
    lent = [d["total"] for d in worker.lent["devices"]]
    t.equal(services(found)[worker.port]["memory"], sum(lent), worker.lent)
    t.equal(services(found)[node.port]["model"], node.info()["model"])
    model = [m for m in found[0]["models"] if m["from"] == "node"][0]
    t.equal((model["vocab"], model["bytes"] > 0), (node.info()["fingerprint"], True))


@test("servers that want a key are known for what they are")
def _(t):
    node, server = t.node("draft", args=["--api-key", "k"]), t.llama_server("draft", args=["--api-key", "k"])
    found = services(probe(t, *named(node.port, server.port)))
    t.equal({p: (s["kind"], s["needs_secret"], s["model"]) for p, s in found.items() if p in (node.port, server.port)},
            {node.port: ("node", True, None), server.port: ("llama-server", True, None)})


HELLO, DEVICES = b"\x0e" + (24).to_bytes(8, "little") + bytes(24), b"\x0f" + bytes(8)


@test("a worker that serves somebody is not disturbed")
def _(t):
    worker = t.worker()
    with socket.create_connection(("127.0.0.1", worker.port), timeout=20) as client:
        client.sendall(HELLO)
        t.check(len(client.recv(36)) > 0, "no answer")
        probe(t, *named(worker.port))
        client.sendall(DEVICES)
        t.check(len(client.recv(12)) > 0, "the client was cut off")


@test("names that nobody knows, networks beyond the limit and nonsense are said in words")
def _(t):
    found = probe(t, "--host", "no-such-machine.invalid")
    t.check(any("no-such-machine.invalid" in n for n in found[0]["notes"]), found[0]["notes"])
    for args in (["--subnet", "192.168.1.0/33"], ["--subnet", "box"], ["--host", "a/b"], ["--host", "box:99999"]):
        t.check("expected" in probe(t, *args, status=2), args)


@test("of a network that is too large as much is tried as the limit allows, and the rest is named")
def _(t):
    in_network(t, "scan_alone.py")


main()

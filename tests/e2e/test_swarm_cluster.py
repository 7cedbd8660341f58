"""A model reaches every machine of a cluster by one command: the agents pull it from here and from each other, an instance can
be the one that gives it out, and a machine that can't take it is named with what to do while the others go on."""
import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
import tempfile

if os.environ.get("TIGHTWAD_NAMESPACE") != "cluster":
    # A network of its own, beside which there can be another one, and a small disk.
    os.environ["TIGHTWAD_NAMESPACE"] = "cluster"
    os.execvp("unshare", ["unshare", "-r", "-n", "-m", sys.executable] + sys.argv)

import veth
from agents import Agent, TIGHTWAD, agents_with
from bulk_gguf import write as write_model
from fakes import FakeServer
from harness import *
from public_peer_address import set_address

set_address("lo", "127.0.0.1")
NEAR, FAR = "192.168.79.1", "192.168.79.2"
SIZE = 24 << 20


def digest(path):
    with open(path, "rb") as f:
        return hashlib.sha256(f.read()).hexdigest()


def model(t, name="model.gguf", size=SIZE, seed=1):
    path = os.path.join(tempfile.mkdtemp(dir=t.folder), name)
    write_model(path, size, seed=seed)
    return path


class Here:
    """The machine that sends: a home, a configuration, and the command."""

    def __init__(self, t, agents=(), swarm="", **agents_section):
        self.t, self.folder = t, tempfile.mkdtemp(dir=t.folder)
        self.config = os.path.join(self.folder, "cluster.yaml")
        hosts = agents_section.get("hosts", [a.where for a in agents])
        token = agents_section.get("token", agents[0].token if agents else None)
        with open(self.config, "w") as f:
            f.write("swarm:\n  discovery: false\n%s" % swarm)
            if hosts:
                f.write("agents:\n  hosts: [%s]\n%s" % (", ".join("'%s'" % h for h in hosts), "  token: %s\n" % token if token else ""))
        run = os.path.join(self.folder, "run")
        os.makedirs(run, mode=0o700)
        self.env = {"HOME": self.folder, "XDG_RUNTIME_DIR": run, "XDG_CACHE_HOME": os.path.join(self.folder, "cache"),
                    "XDG_CONFIG_HOME": self.folder}

    def args(self, *words):
        return [TIGHTWAD, "distribute", "-c", self.config] + list(words)

    def distribute(self, *words, code=0):
        r = subprocess.run(self.args(*words), capture_output=True, text=True, timeout=100 * SLOWER, env=dict(os.environ, **self.env))
        self.t.equal(r.returncode, code, r.stdout + r.stderr)
        self.t.check("Sanitizer" not in r.stderr and "runtime error" not in r.stderr, r.stderr)
        return r.stdout, r.stderr

    def distribute_json(self, *words, code=0):
        out, err = self.distribute("--json", *words, code=code)
        return [json.loads(line) for line in out.splitlines()]


def landed(agent, path):
    return os.path.join(agent.models, os.path.basename(path))


def check_landed(t, agents, path):
    for a in agents:
        t.equal(digest(landed(a, path)), digest(path))
        t.equal([n for n in os.listdir(a.models) if n.endswith((".part", ".map"))], [])


@test("three agents get a model by one command, from here and from each other; the second time nothing moves")
def _(t):
    path = model(t)
    agents = agents_with(t, 3, args=["--no-discovery"])
    here = Here(t, agents)
    events = here.distribute_json(path)
    t.equal([e["event"] for e in events[:1] + events[-1:]], ["model", "end"])
    first, end = events[0], events[-1]
    t.equal((first["bytes"], first["file"], first["instance"], end["ok"]), (os.path.getsize(path), "model.gguf", False, True))
    t.check(first["from"].startswith("127.0.0.1:"), first)
    check_landed(t, agents, path)
    t.equal([m["state"] for m in end["machines"]], ["complete"] * 3)
    t.equal(sorted(m["to"] for m in end["machines"]), sorted(a.where for a in agents))
    t.check(all(m["fetched"] >= SIZE * 0.9 for m in end["machines"]), end)
    t.check(end["sent"] >= SIZE * 0.9, end)
    for a in agents:
        p = a.pulls()
        t.equal((p["folder"], [(q["id"], q["state"], q["path"]) for q in p["pulls"]]),
                (a.models, [(first["id"], "complete", landed(a, path))]))
        t.check(p["swarm"]["host"] == "127.0.0.1" and p["swarm"]["port"] > 0, p)
    # It is among the models that a node can be started with.
    status, run = agents[0].order("start", {"program": "node", "name": "x", "model": "model", "options": {"port": free_port()}})
    t.equal((status, run.get("model")), (200, landed(agents[0], path)), run)
    out, err = here.distribute(path)
    t.check("3 of 3 machines have it" in out and out.count("complete") == 3, out + err)
    t.equal([q["fetched"] for a in agents for q in a.pulls()["pulls"]], [0, 0, 0])


@test("a model in several files goes file by file; one by the name that the configuration gives it")
def _(t):
    first = model(t, "big-00001-of-00002.gguf", size=2 << 20)
    second = first.replace("00001-of", "00002-of")
    write_model(second, 2 << 20, seed=2)
    agent = t.own(Agent(tempfile.mkdtemp(dir=t.folder), ["--no-discovery"]))
    here = Here(t, [agent])
    with open(here.config, "a") as f:
        f.write("models:\n  big: {path: '%s'}\n" % first)
    events = here.distribute_json("big")
    t.equal([(e["event"], e.get("file"), e.get("ok")) for e in events if e["event"] != "progress"],
            [("model", "big-00001-of-00002.gguf", None), ("end", None, True), ("model", "big-00002-of-00002.gguf", None), ("end", None, True)])
    for path in (first, second):
        check_landed(t, [agent], path)
    t.check("did you mean `big`" in here.distribute("bigg", code=1)[1], "a name that is near")


@test("who has no agent, an old one, another token or no room is named with what to do; the others go on, and the exit code tells")
def _(t):
    path = model(t)
    good = t.own(Agent(tempfile.mkdtemp(dir=t.folder), ["--no-discovery"]))
    stranger = t.own(Agent(tempfile.mkdtemp(dir=t.folder), ["--no-discovery"]))
    small = os.path.join(t.folder, "small")
    os.mkdir(small)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", small], check=True)
    t.own(type("Mount", (), {"close": lambda self: subprocess.run(["umount", "-l", small], check=True) and None})())
    full = agents_with(t, 1, token=good.token, args=["--no-discovery"], models=small)[0]
    old = t.own(FakeServer({("GET", "/health"): lambda body: (200, {"status": "ok", "service": "tightwad-agent", "protocol": 1}),
                            ("GET", "/v1/agent/pulls"): lambda body: (404, {"error": {
                                "message": "unknown path GET /v1/agent/pulls", "type": "invalid_request_error", "param": None, "code": "unknown_url"}})}))
    nobody = free_port()
    here = Here(t, [good], hosts=[good.where, stranger.where, full.where, "127.0.0.1:%d" % old.port, "127.0.0.1:%d" % nobody,
                                  "no-such-host.invalid"])
    out, err = here.distribute(path, code=1)
    rows = {line.split()[0]: line for line in out.splitlines() if line.strip()}
    for where, words in ((good.where, ["complete"]), (stranger.where, ["wants its token", "agents.token"]),
                         (full.where, ["no room", "--models FOLDER"]),
                         ("127.0.0.1:%d" % old.port, ["older version", "up to date"]),
                         ("127.0.0.1:%d" % nobody, ["no agent answers", "tightwad agent --listen"]),
                         ("no-such-host.invalid", ["no address is known"])):
        t.check(where in rows and all(w in rows[where] for w in words), "%s %s\n%s%s" % (where, words, out, err))
    t.check("1 of 6 machines have it" in out, out)
    check_landed(t, [good], path)
    t.equal([n for n in os.listdir(small) if n.endswith(".gguf")], [])
    # The token of another one, by a file; on this machine no agent's token is asked for by others.
    out, err = here.distribute(path, stranger.where, "--token-file", stranger.file)
    t.check("1 of 1 machines have it" in out, out + err)
    check_landed(t, [stranger], path)


@test("what can't be sent is said before anything moves")
def _(t):
    here = Here(t)
    path = model(t, size=1 << 20)
    t.check("agents.hosts" in here.distribute(path, code=2)[1], "to whom")
    t.check("No such file" in here.distribute("/nowhere.gguf", "127.0.0.1", code=1)[1], "no file")
    t.check("expected" in here.distribute(path, "a/b", code=1)[1], "no host")
    broken = os.path.join(t.folder, "broken.gguf")
    with open(broken, "wb") as f:
        f.write(b"GGUF" + b"\xff" * 100)
    agent = t.own(Agent(tempfile.mkdtemp(dir=t.folder)))
    out, err = here.distribute(broken, agent.where, "--token-file", agent.file, code=1)
    t.check("broken.gguf" in err, err)
    t.equal(agent.pulls(), {"swarm": None, "folder": agent.models, "pulls": []})


@test("an agent pulls nothing by paths, from no addresses, for nobody without its token; a pull is stopped and goes on later")
def _(t):
    agent = t.own(Agent(tempfile.mkdtemp(dir=t.folder), ["--no-discovery"]))
    identity = "5f" * 32
    t.equal(agent.ask("POST", "/v1/agent/pull", {"what": identity})[0], 401)
    t.equal(agent.ask("POST", "/v1/agent/pull/stop", {"what": identity})[0], 401)
    for body in ({"what": "/etc/passwd"}, {"what": "../x.gguf"}, {"what": "a/b"}, {"what": ".hidden"}, {"what": ""}, {"what": "x\n"}, {},
                 {"what": 7}, {"what": "file:///etc/passwd"}, {"what": "ftp://x/y.gguf"}, {"what": identity, "peers": "x"},
                 {"what": identity, "peers": [7]}, {"what": identity, "peers": [":0x1"]}, {"what": identity, "peers": [":70000"]},
                 {"what": identity, "peers": ["a/b"]}, {"what": identity, "peers": ["x"] * 65}, {"what": identity, "token": 7},
                 {"what": identity, "token": "a\nb"}, {"what": "x" * 5000}):
        status, o = agent.order("pull", body)
        t.equal(status, 400, (body, o))
    t.equal(agent.pulls()["swarm"], None)
    silent = t.own(socket.create_server(("127.0.0.1", 0), backlog=64))  # takes connections, and says nothing
    peers = [":%d" % silent.getsockname()[1]]
    status, pull = agent.order("pull", {"what": identity, "peers": peers})
    t.equal((status, pull["what"], pull["state"], pull["path"]), (200, identity, "finding", None), pull)
    t.equal(agent.order("pull", {"what": identity, "peers": ["127.0.0.1"]})[0], 200)
    t.equal(len(agent.pulls()["pulls"]), 1)
    refused = agent.order("pull", {"what": "ab" * 32, "token": "other", "peers": peers})
    t.equal((refused[0], "another token" in refused[1]["error"]["message"]), (409, True), refused)
    t.equal(agent.order("pull/stop", {"what": "cd" * 32})[0], 404)
    status, o = agent.order("pull/stop", {"what": identity})
    t.equal((status, o["pulls"][0]["state"]), (200, "stopped"), o)
    t.equal(agent.order("pull/stop", {"what": identity})[1]["pulls"], [])
    for i in range(16):
        t.equal(agent.order("pull", {"what": "%064x" % i, "token": "other", "peers": peers})[0], 200)
    refused = agent.order("pull", {"what": "cd" * 32, "token": "other", "peers": peers})
    t.equal((refused[0], "no more are taken" in refused[1]["error"]["message"]), (409, True), refused)
    t.equal(agent.order("pull/stop", {"what": "%064x" % 3})[0], 200)
    t.equal(agent.order("pull", {"what": "cd" * 32, "token": "other", "peers": peers})[0], 200)
    # One that nobody has fails, in words.
    t.equal(agent.order("pull/stop", {"what": "%064x" % 5})[0], 200)
    t.equal(agent.order("pull", {"what": "ef" * 32, "token": "other", "peers": [":%d" % free_port()]})[0], 200)
    failed = wait_until("it to fail", lambda: [q for q in agent.pulls()["pulls"] if q["what"] == "ef" * 32 and q["state"] == "failed"], 20)
    t.check("does not answer" in failed[0]["why"], failed)


@test("an interrupted distribution, and an agent that is killed in the middle: the same command brings the rest and no more")
def _(t):
    path = model(t)
    agents = agents_with(t, 2, args=["--no-discovery"])
    here = Here(t, agents, swarm="  upload_limit: 3MiB\n  token: sesame\n")
    some = lambda a: sum(q["have"] or 0 for q in a.pulls()["pulls"]) > 0
    sending = t.process(here.args(path), env=here.env, name="distribute")
    wait_until("something to have come", lambda: all(some(a) for a in agents), 60)
    sending.expected_end = True
    sending.signal(signal.SIGINT)
    sending.wait(20)
    t.check("interrupted" in sending.output and "0 of 2 machines have it" in sending.output, sending.output)
    had = sum(q["have"] for q in agents[0].pulls()["pulls"])
    agents[0].expected_end = True
    agents[0].signal(signal.SIGKILL)
    agents[0].wait(20)
    agents[0].start()
    agents[0].wait_line("^token ")
    with open(here.config) as f:
        text = f.read()
    with open(here.config, "w") as f:
        f.write(text.replace("3MiB", "0"))
    end = here.distribute_json(path)[-1]
    t.equal(end["ok"], True, end)
    check_landed(t, agents, path)
    t.check(had > 0 and end["machines"][0]["fetched"] <= os.path.getsize(path) - had, "%d %s" % (had, end))


class Instance(Proxy):
    """One that takes part in a swarm."""

    def __init__(self, folder, swarm):
        self.swarm = swarm
        super().__init__(folder, "http://127.0.0.1:9", wait=False)

    def write_config(self):
        super().write_config()
        with open(self.config, "a") as f:
            f.write("swarm:\n  enabled: true\n  discovery: false\n%s" % self.swarm)

    def view(self):
        return self.status()["swarm"]

    def order(self, command, **args):
        return order(self, command, **args)


def order(p, command, **args):
    return post(p.url + "/v1/tightwad/command", dict(args, command=command))


def instance(t, swarm):
    p = t.own(Instance(tempfile.mkdtemp(dir=t.folder), swarm))
    wait_until("tightwad to listen", lambda: listening(p), 20)
    return p


def with_instance(t, p, agents):
    """The same user as the instance's, with its configuration and these agents."""
    here = Here(t)
    here.config = p.config
    here.env.update(XDG_RUNTIME_DIR=os.path.join(p.folder, "run"), HOME=p.folder, XDG_CONFIG_HOME=p.folder)
    with open(p.config, "a") as f:
        f.write("agents:\n  hosts: [%s]\n  token: %s\n" % (", ".join("'%s'" % a.where for a in agents), agents[0].token))
    return here


@test("an instance gives its models out, is told to pull, to share and to stop, and takes new limits while it runs")
def _(t):
    path, other = model(t), model(t, "other.gguf", seed=2)
    a = instance(t, "  port: %d\n  folders: ['%s']\n  folder: '%s'\n" % (free_port(), os.path.dirname(path), os.path.join(t.folder, "a")))
    b = instance(t, "  port: %d\n  folder: '%s'\n" % (free_port(), os.path.join(t.folder, "b")))
    seen = lambda p, name, state: [m for m in p.view()["models"] if m["file"] and name == os.path.basename(m["file"]) and m["state"] == state]
    wait_until("the model to be given out", lambda: seen(a, "model.gguf", "seeding"), 30)
    t.check(a.view()["listen"].startswith("127.0.0.1:"), a.view())
    told = subprocess.run([TIGHTWAD, "status", "-c", a.config], capture_output=True, text=True, env={k: v for k, v in dict(os.environ, **a.env).items() if v is not None})
    t.check("swarm at %s: 1 model," % a.view()["listen"] in told.stdout, told)
    shared = a.order("swarm-share", path=other).json()
    t.equal((shared["file"], shared["bytes"], "%d" % shared["port"]), ("other.gguf", os.path.getsize(other), a.view()["listen"].split(":")[1]))
    t.equal(a.order("swarm-share", path=other).json()["id"], shared["id"])
    for what, words in (({"path": "other.gguf"}, "from / on"), ({"path": "/nowhere.gguf"}, "nowhere.gguf"),
                        ({"path": t.folder}, "expected the path of a model file")):
        r = a.order("swarm-share", **what)
        t.check(r.status != 200 and words in r.json()["error"]["message"], r.text)
    t.equal(b.order("swarm-pull", what=shared["id"], peer=a.view()["listen"]).json(), {"ok": True})
    wait_until("the pull to be complete", lambda: seen(b, "other.gguf", "seeding"), 60)
    t.equal(digest(os.path.join(t.folder, "b", "other.gguf")), digest(other))
    wait_until("what was sent to be counted", lambda: a.view()["sent"] >= SIZE * 0.9, 10)
    t.equal(b.order("swarm-pull", what="model", peer=a.view()["listen"]).json(), {"ok": True})
    wait_until("a pull by name to be complete", lambda: os.path.exists(os.path.join(t.folder, "b", "model.gguf")), 60)
    for command, words in (({"what": "/etc/passwd"}, "id of a manifest"), ({"what": "x", "pear": "y"}, "takes no pear"), ({}, "wants what")):
        r = b.order("swarm-pull", **command)
        t.check(r.status != 200 and words in r.json()["error"]["message"], r.text)
    silent = t.own(socket.create_server(("127.0.0.1", 0), backlog=64))
    t.equal(b.order("swarm-pull", what="ab" * 32, peer="127.0.0.1:%d" % silent.getsockname()[1]).json(), {"ok": True})
    t.equal(b.order("swarm-cancel", what="ab" * 32).json(), {"ok": True})
    r = b.order("swarm-cancel", what="ab" * 32)
    t.check(r.status != 200 and "nothing of the name" in r.json()["error"]["message"], r.text)
    b.swarm += "  upload_limit: 1MiB\n  upload_slots: 2\n"
    b.write_config()
    t.equal(b.command("reload").json(), {"ok": True})
    t.check("next start" not in b.output, b.output)


@test("a pull that an instance could not do is told of with why, the last four of them, until the same is pulled again")
def _(t):
    path = model(t)
    a = instance(t, "  port: %d\n  folders: ['%s']\n" % (free_port(), os.path.dirname(path)))
    b = instance(t, "  port: %d\n  folder: '%s'\n" % (free_port(), os.path.join(t.folder, "b")))
    wait_until("the model to be given out", lambda: [m for m in a.view()["models"] if m["state"] == "seeding"], 30)
    failed = lambda: [m["name"] for m in b.view()["models"] if m["state"] == "failed"]
    closed, names = "127.0.0.1:%d" % free_port(), ["ab" * 32, "one", "two", "three", "four"]
    for i, name in enumerate(names):
        t.equal(b.order("swarm-pull", what=name, peer=closed if i == 0 else a.view()["listen"]).json(), {"ok": True})
        wait_until("%s to fail" % name, lambda: failed()[:1] == [name], 20)
        row = b.view()["models"][0]
        t.check(("no peer answers; %s does not answer" % closed if i == 0 else "does not have it; there is model.gguf") in row["why"], row)
        t.equal((row["size"], row["have"], row["down"]), (0, 0, 0), row)
    t.equal(failed(), names[:0:-1])
    t.equal(b.view()["models_in_all"], 4)
    told = subprocess.run([TIGHTWAD, "swarm", "status"], capture_output=True, text=True, env=dict(os.environ, XDG_RUNTIME_DIR=os.path.join(b.folder, "run")))
    t.check(re.search(r"failed +four .*\n +the only peer that answers does not have it; there is model.gguf\n", told.stdout), told)
    silent = t.own(socket.create_server(("127.0.0.1", 0), backlog=64))
    t.equal(b.order("swarm-pull", what="two", peer="127.0.0.1:%d" % silent.getsockname()[1]).json(), {"ok": True})
    wait_until("it to be looked for again", lambda: [m["state"] for m in b.view()["models"] if m["name"] == "two"] == ["finding"], 10)
    t.equal(failed(), ["four", "three", "one"])
    r = b.order("swarm-cancel", what="four")
    t.check(r.status != 200 and "nothing of the name" in r.json()["error"]["message"], r.text)


@test("an instance without a swarm says so")
def _(t):
    p = t.proxy("http://127.0.0.1:9", wait=False)
    wait_until("tightwad to listen", lambda: listening(p), 20)
    t.equal(p.status()["swarm"], None)
    for command, args in (("swarm-pull", {"what": "x"}), ("swarm-cancel", {"what": "x"}), ("swarm-share", {"path": "/x.gguf"})):
        r = order(p, command, **args)
        t.check(r.status != 200 and "swarm.enabled" in r.json()["error"]["message"], r.text)


@test("an instance whose swarm's port is taken serves all the same, and says what is wrong")
def _(t):
    taken = t.own(socket.create_server(("127.0.0.1", 0)))
    p = instance(t, "  port: %d\n" % taken.getsockname()[1])
    p.wait_line("no swarm: .*in use")
    t.equal(p.status()["swarm"], None)


@test("an agent that answers nonsense is not believed, and the others go on")
def _(t):
    path = model(t, size=4 << 20)
    good = t.own(Agent(tempfile.mkdtemp(dir=t.folder), ["--no-discovery"]))
    wild = {"id": "x", "what": None, "state": "fetching\x1b[2J", "why": "\x1b]0;x\x07" * 1000, "wanted": 1e300, "have": -5, "fetched": 1e300,
            "copied": "7", "down": -1e300, "eta": 1e300, "peers": 1e300, "seconds": -1}
    body = [None]

    def pull(request):
        body[0] = json.loads(request) if isinstance(request, (str, bytes)) else request
        return 200, dict(wild, what=body[0]["what"])
    liar = t.own(FakeServer({("GET", "/v1/agent/pulls"): lambda _: (200, {"swarm": {"port": 1e9}, "pulls": [7, {}, dict(wild, what=(body[0] or {}).get("what"),
                                                                                                             state="failed" if body[0] else "x")]}),
                             ("POST", "/v1/agent/pull"): pull}))
    here = Here(t, [good], hosts=[good.where, "127.0.0.1:%d" % liar.port])
    out, err = here.distribute(path, code=1)
    t.check("1 of 2 machines have it" in out and "\x1b" not in out, out)
    check_landed(t, [good], path)
    events = here.distribute_json(path, code=1)
    machine = {m["to"]: m for m in events[-1]["machines"]}["127.0.0.1:%d" % liar.port]
    t.equal((machine["state"], machine["size"], machine["have"], machine["peers"]), ("failed", None, None, None), machine)


@test("the running instance gives a model out where the machines reach it; else the command does, and says why")
def _(t):
    path = model(t)
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo there; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    t.own(type("Holder", (), {"close": lambda self: (holder.stdin.close(), holder.wait(), None)[2]})())
    t.equal(holder.stdout.readline(), "there\n")
    veth.lay("v0", "v1", holder.pid)
    set_address("v0", NEAR)
    enter = ["nsenter", "-t", str(holder.pid), "-n"]
    code = "from public_peer_address import set_address; set_address('lo', '127.0.0.1'); set_address('v1', '%s')" % FAR
    subprocess.run(enter + [sys.executable, "-c", code], check=True, cwd=HERE)

    class FarAgent(Agent):
        def __init__(self, folder):
            super().__init__(folder, ["--no-discovery"], under=enter, host=FAR)
    far = t.own(FarAgent(tempfile.mkdtemp(dir=t.folder)))
    near = agents_with(t, 1, token=far.token, args=["--no-discovery"])[0]
    # Loopback alone: good for the one on this machine, not for the other.
    p = instance(t, "  port: %d\n" % free_port())
    here = with_instance(t, p, [far, near])
    events = here.distribute_json(path, near.where)
    t.equal((events[0]["instance"], events[0]["note"], events[-1]["ok"]), (True, None, True), events)
    t.check(events[-1]["sent"] >= SIZE * 0.9, events[-1])
    events = here.distribute_json(path)
    t.equal((events[0]["instance"], events[-1]["ok"]), (False, True), events)
    t.check("swarm.host" in events[0]["note"] and "127.0.0.1" in events[0]["note"], events[0])
    check_landed(t, [near, far], path)
    # One address for all that are meant: no more is opened than that.
    os.unlink(landed(far, path))
    events = here.distribute_json(path, far.where)
    t.check(events[0]["from"].startswith(NEAR + ":"), events[0])
    # Open to the network: the instance does it for both.
    other = model(t, "other.gguf", seed=3)
    q = instance(t, "  port: %d\n  host: 0.0.0.0\n" % free_port())
    here = with_instance(t, q, [far, near])
    events = here.distribute_json(other)
    t.equal((events[0]["instance"], events[0]["note"], events[-1]["ok"]), (True, None, True), events)
    t.check(events[0]["from"].startswith(NEAR + ":"), events[0])
    check_landed(t, [near, far], other)


main()

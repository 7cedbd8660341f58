"""`tightwad agent` tells what a machine has and starts nodes and workers there, for those who have its token; and nothing else,
for nobody else."""
import http.client
import http.server
import os
import signal
import stat
import subprocess

import agents
from agents import TIGHTWAD
from harness import *


class Agent(agents.Agent):
    """One that has the models of the tests."""
    def __init__(self, folder, args=(), under=()):
        super().__init__(folder, args, under, models=MODELS)


def answers(port, path="/health"):
    try:
        return get("http://127.0.0.1:%d%s" % (port, path), timeout=5).status == 200
    except (OSError, http.client.HTTPException):
        return False


def refused(t, got, status, word):
    t.equal(got[0], status, got[1])
    t.check(word in got[1]["error"]["message"], got[1])


@test("it tells the machine, its models and what may be started; a token is made once, for its owner alone")
def _(t):
    agent = t.own(Agent(t.folder))
    agent.wait_line(agent.token)
    t.equal(stat.S_IMODE(os.stat(agent.file).st_mode), 0o600)
    status, o = agent.ask("GET", "/v1/agent", token=True)
    t.equal((status, o["protocol"], o["running"], o["starts"]), (200, 1, [], True))
    machine = o["machine"]
    t.equal(machine["cpu"]["threads"], os.cpu_count())
    t.check(machine["memory"] > 0, machine)
    t.check(os.path.join(MODELS, "target.gguf") in [m["path"] for m in machine["models"]], machine["models"])
    t.check("model" not in o["options"]["node"] and "stock" not in o["options"]["worker"], o["options"])
    t.equal(agent.stop(), None)
    again = t.own(Agent(t.folder))
    t.equal(again.token, agent.token)
    t.check(again.token not in again.output, "the token is shown again")


@test("a node is started by the name of its model, answers, says what it does, and is stopped")
def _(t):
    agent, port = t.own(Agent(t.folder)), free_port()
    order = {"program": "node", "name": "draft", "model": os.path.join(MODELS, "draft.gguf"),
             "options": {"port": port, "ctx": 256, "slots": 2, "threads": 1, "alias": "little"}}
    status, run = agent.order("start", order)
    t.equal((status, run["name"], run["program"], run["state"], run["port"]), (200, "draft", "node", "running", port), run)
    wait_until("the node to answer", lambda: answers(port), 60)
    info = get("http://127.0.0.1:%d/v1/node" % port).json()
    t.equal((info["model"], info["slots"], info["n_ctx"]), ("little", 2, 256))
    refused(t, agent.order("start", order), 409, "runs already")
    refused(t, agent.order("start", dict(order, name="other")), 409, "in use")
    lines = agent.ask("GET", "/v1/agent/log?name=draft&lines=5", token=True)[1]["lines"]
    t.check(0 < len(lines) <= 5 and any("ready" in x or "listening" in x or "little" in x for x in lines), lines)
    status, o = agent.order("stop", {"name": "draft"})
    t.equal((status, o["running"][0]["state"]), (200, "stopping"), o)
    wait_until("the node to end", lambda: agent.run("draft")["state"] == "ended", 20)
    t.check(not answers(port), "it still answers")
    t.equal(agent.order("stop", {"name": "draft"})[0], 200)  # forgotten
    t.equal(agent.run("draft"), None)
    refused(t, agent.order("stop", {"name": "draft"}), 404, "nothing of the name")


@test("a worker is started; one that is killed is told of, with how it ended; the name is free again")
def _(t):
    agent, port = t.own(Agent(t.folder)), free_port()
    order = {"program": "worker", "options": {"port": port, "threads": 1, "cache": False, "allow": "127.0.0.1"}}
    status, run = agent.order("start", order)
    name = "worker-%d" % port
    t.equal((status, run["name"], run["model"]), (200, name, None), run)
    agent_log = lambda: agent.ask("GET", "/v1/agent/log?name=" + name, token=True)[1]["lines"]
    wait_until("the worker to listen", lambda: any("Lending" in x for x in agent_log()) or agent.run(name)["ended"], 60)
    os.kill(run["pid"], signal.SIGKILL)
    ended = wait_until("the end to be told", lambda: (lambda r: r if r["state"] == "ended" else None)(agent.run(name)), 20)
    t.check("signal 9" in ended["ended"] and ended["pid"] is None, ended)
    t.equal(agent.order("start", order)[0], 200)


@test("without the token, with a wrong one, or from a web page nothing is started")
def _(t):
    agent = t.own(Agent(t.folder))
    order = {"program": "worker", "options": {"port": free_port()}}
    t.equal(agent.ask("POST", "/v1/agent/start", order)[0], 401)
    t.equal(agent.ask("POST", "/v1/agent/stop", {"name": "x"})[0], 401)
    for wrong in ("x", agent.token[:-1], agent.token + "0", agent.token.upper() + " ", "\u00e9"):
        t.equal(agent.ask("POST", "/v1/agent/start", order, token=wrong)[0], 401, wrong)
        t.equal(agent.ask("GET", "/v1/agent", token=wrong)[0], 401, wrong)
    for token in (None, True):
        for method, path in (("GET", "/v1/agent"), ("POST", "/v1/agent/start"), ("GET", "/v1/agent/log?name=x")):
            refused(t, agent.ask(method, path, order if method == "POST" else None, token, {"Origin": "http://evil.example"}),
                    403, "web pages")
    # On this machine looking is free, but not under a name that a page had point here.
    t.equal(agent.ask("GET", "/v1/agent")[0], 200)
    t.equal(agent.ask("GET", "/v1/agent", headers={"Host": "evil.example:9191"})[0], 401)
    t.equal(agent.ask("GET", "/v1/agent/running")[1]["running"], [])
    t.check(agent.token not in agent.output.split("shown again")[1], "the token is in the log")


@test("other programs, other files, other options and paths that climb are refused, and what is wrong is said")
def _(t):
    agent = t.own(Agent(t.folder))
    start = lambda **o: agent.order("start", o)
    model = os.path.join(MODELS, "draft.gguf")
    refused(t, start(program="sh"), 400, "nothing else")
    refused(t, start(program="/bin/sh", model=model), 400, "nothing else")
    refused(t, start(program="node", model="/etc/passwd"), 400, "none of the models")
    refused(t, start(program="node", model=os.path.join(MODELS, "..", "demo-models", "draft.gguf")), 400, "none of the models")
    refused(t, start(program="node", model="draft.gguf; touch x"), 400, "none of the models")
    refused(t, start(program="node", model=model, name="../../x"), 400, "name is")
    refused(t, start(program="node", model=model, options={"log_file": "/tmp/x"}), 400, "it takes")
    refused(t, start(program="node", model=model, options={"device": "x --rpc y"}), 400, "only letters")
    refused(t, start(program="node", model=model, options={"port": 22}), 400, "port")
    refused(t, start(program="worker", options={"stock": "/bin/sh"}), 400, "it takes")
    refused(t, start(program="worker", options={"cache": "/etc"}), 400, "cache")
    refused(t, start(program="worker", env={"LD_PRELOAD": "x"}), 400, "env")
    t.equal(agent.ask("POST", "/v1/agent/start", [1], token=True)[0], 400)
    t.equal(agent.ask("GET", "/v1/agent/start", token=True)[0], 405)
    t.equal(agent.ask("POST", "/v1/agent/exec", {}, token=True)[0], 404)
    t.equal(agent.ask("GET", "/v1/agent/log?name=../token", token=True)[0], 404)
    t.equal(agent.ask("GET", "/v1/agent/log?name=x&lines=99999999999999999999", token=True)[0], 400)
    t.equal(agent.ask("GET", "/v1/agent/running")[1]["running"], [])


def command(t, *args, env=()):
    r = subprocess.run([TIGHTWAD, "agent"] + list(args), capture_output=True, text=True, timeout=60 * SLOWER,
                       env=dict(os.environ, HOME=t.folder, **dict(env)))
    return r.returncode, r.stdout, r.stderr


@test("from another machine's command line: start, list, log, stop, and words for what goes wrong")
def _(t):
    agent, port = t.own(Agent(t.folder)), free_port()
    where, key = "127.0.0.1:%d" % agent.port, ("--token-file", agent.file)
    status, out, err = command(t, "start", where, "node", "draft", "port=%d" % port, "threads=1",
                               "mmap=true", "--name", "little", *key)
    t.check(status == 0 and "little" in out and str(port) in out and "running" in out, out + err)
    wait_until("the node to answer", lambda: answers(port), 60)
    status, out, err = command(t, "list", where)  # on this machine looking is free
    t.check(status == 0 and "little" in out, out + err)
    status, out, err = command(t, "log", where, "little", "-n", "3", *key)
    t.check(status == 0 and 1 <= len(out.splitlines()) <= 3, out + err)
    for args, code, word in ((("start", where, "node", "/etc/passwd") + key, 1, "none of the models"),
                             (("start", where, "sh") + key, 1, "nothing else"),
                             (("start", where, "worker", "stock=/bin/sh") + key, 1, "it takes"),
                             (("start", where, "worker", "oops", "port") + key, 2, "KEY=VALUE"),
                             (("start", where, "worker"), 1, "--token-file"),
                             (("stop", where, "nobody") + key, 1, "nothing of the name"),
                             (("list", "127.0.0.1:%d" % free_port()), 1, "tightwad agent --listen"),
                             (("list", "a/b"), 2, "expected NAME"),
                             (("list", where, "--token-file", "/nowhere"), 1, "can't read the token")):
        status, out, err = command(t, *args)
        t.check(status == code and word in err, (args, status, out, err))
    t.equal(command(t, "stop", where, "little", *key)[0], 0)
    wait_until("the node to end", lambda: agent.run("little")["state"] == "ended", 20)
    # One that can't run says why.
    status, out, err = command(t, "start", where, "node", os.path.join(MODELS, "draft.gguf"), "port=%d" % port, "device=NOPE1", *key)
    t.check(status == 1 and "ended" in out and "NOPE1" in out, out + err)


class Watching(Proxy):
    """An instance that watches the machines of these agents."""
    def write_config(self):
        super().write_config()
        with open(self.config, "a") as f:
            f.write("agents:\n  hosts: [%s]\n  token: %s\n" % (", ".join("127.0.0.1:%d" % a.port for a in self.agents), self.agents[0].token))

    def __init__(self, agents, *args, **kw):
        self.agents = agents
        super().__init__(*args, **kw)


@test("an instance shows the agent's machine while somebody looks: memory, load, cores; and that one with another token refuses")
def _(t):
    others = os.path.join(t.folder, "other")
    os.mkdir(others)
    agent, stranger = t.own(Agent(t.folder)), t.own(Agent(others))
    p = t.own(Watching([agent, stranger], t.folder, "http://127.0.0.1:9", wait=False))
    wait_until("tightwad to listen", lambda: listening(p), 20)
    with socket.create_connection(("127.0.0.1", p.port)) as looking:
        looking.sendall(b"GET /v1/tightwad/events HTTP/1.1\r\nHost: x\r\n\r\n")
        here, there, refuses = wait_until("the agents to be asked", lambda: (lambda m: m if len(m) == 3 and m[1]["memory"]
                                          and m[2]["health"] == "down" else None)(p.status()["machines"]), 30)
        t.equal((there["health"], there["memory"], there["cores"], there["address"]),
                ("up", here["memory"], os.cpu_count(), "127.0.0.1"), there)
        t.check(0 < there["memory_used"] < there["memory"] and there["rtt_us"] > 0, there)
        t.check("agents.token" in refuses["reason"] and refuses["memory"] is None, refuses)
        wait_until("its load to be told", lambda: p.status()["machines"][1]["cpu"] is not None, 30)


class Impostor(http.server.BaseHTTPRequestHandler):
    """Answers each call with server.answer: JSON or bytes."""
    def log_message(self, *args):
        pass

    def do_GET(self):
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self.server.answer
        body = answer if isinstance(answer, bytes) else json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_POST = do_GET


@test("an agent that lies steers no terminal, and what is none is said to be none")
def _(t):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Impostor)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    t.own(server).stop = server.shutdown
    where = "127.0.0.1:%d" % server.server_address[1]
    evil = "\x1b]0;mine\x07\x1b[2J\u202e"
    run = {"name": evil, "program": evil, "state": evil, "host": evil, "model": evil, "ended": evil, "said": evil, "port": "x"}
    server.answer = {"running": [run, 7, None, {}], "lines": [evil, 3, None], "name": evil}
    for args in (("list", where), ("log", where, "x"), ("start", where, "worker")):
        status, out, err = command(t, *args)
        t.check("\x1b" not in out + err and "\u202e" not in out + err, (args, out, err))
    server.answer = {"error": {"message": evil}}
    for answer in (b"", b"nonsense", b"[1]", b"{" * 1000, b"\xff" * 50, b" " * (5 << 20)):
        server.answer = answer
        status, out, err = command(t, "list", where)
        t.check(status == 1 and ("no tightwad agent" in err or "did not come" in err), (answer[:20], out, err))


@test("what it has started ends with it, whether it is asked to end or killed")
def _(t):
    for how in (signal.SIGTERM, signal.SIGKILL):
        agent, port = t.own(Agent(t.folder)), free_port()
        status, run = agent.order("start", {"program": "node", "model": os.path.join(MODELS, "draft.gguf"),
                                            "options": {"port": port, "threads": 1}})
        t.equal(status, 200, run)
        wait_until("the node to answer", lambda: answers(port), 60)
        agent.expected_end = True
        agent.signal(how)
        agent.wait(20)
        wait_until("the node to be gone", lambda: not os.path.exists("/proc/%d" % run["pid"]) or
                   open("/proc/%d/stat" % run["pid"]).read().split()[2] == "Z", 20)


@test("a token that others may read, and an address that is taken, are refused in words")
def _(t):
    path = os.path.join(t.folder, "open")
    with open(path, "w") as f:
        f.write("0123456789abcdef\n")
    os.chmod(path, 0o644)
    taken = t.own(socket.create_server(("127.0.0.1", 0)))
    for args, word in ((["--token-file", path], "others may read"),
                       (["--token-file", os.path.join(t.folder, "t"), "--listen", "127.0.0.1:%d" % taken.getsockname()[1]], "in use"),
                       (["--listen", "a/b"], "expected NAME")):
        r = subprocess.run([TIGHTWAD, "agent"] + args, capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"]})
        t.check(r.returncode != 0 and word in r.stderr, r.stderr)


@test("no home and no terminal: only a token that is named will do")
def _(t):
    r = subprocess.run([TIGHTWAD, "agent"], capture_output=True, text=True, timeout=30, env={"PATH": os.environ["PATH"]})
    t.check(r.returncode == 1 and "--token-file FILE" in r.stderr, r.stderr)


main()

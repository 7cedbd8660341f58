"""The pool: started, stopped, swapped and watched by the endpoint itself.  Whatever of it dies or hangs in the middle of an
answer, the answer is complete and not a byte of it differs; whatever is wrong is told, by machine and with its fix."""
import subprocess

import cmdline
from exact import references, Case
from fakes import FakeServer
from harness import *
from prompts import story_prompts

alone = shared.node("target")  # the reference
PROMPTS = story_prompts(12, "pool")
TWO = {"extra_args": ["--tensor-split", "1,1"]}  # both workers take a share


@functools.cache
def want(i):
    return references(alone, [Case(PROMPTS[i], temperature=0)])[0]


def answer_with(t, pool, i, break_it, timeout=90):
    """Answer i, with break_it called once in its middle."""
    done = []

    def chunk(a):
        if a.chunks >= 2 and not done:
            done.append(True)
            break_it()
    a = chat(pool.url, PROMPTS[i], stream=True, temperature=0, on_chunk=chunk, timeout=timeout)
    t.check(done, "the answer was over before anything could be broken")
    t.equal(a.key(), want(i).key(), "the answer in which it happened")
    return a


def tightwad(t, pool, *args, **kw):
    return cmdline.tightwad(t, *args, **dict(cmdline.of(pool), **kw))


def end(pid):
    """kill -9 of a process that is not ours to wait for."""
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)


def gone(pid):
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] == "Z"
    except OSError:
        return True


# ---- life ----------------------------------------------------------------------------------------------------------

@test("start, status, logs, stop: the pool comes and goes with the endpoint, and its drafter with it")
def _(t):
    pool = t.pool({"target": {"path": "target", "draft": "small"}, "small": "small"})
    s = wait_until("the drafter to be in use", lambda: (lambda s: s if s["speculating"] else None)(pool.status()), 20)
    t.equal((s["model"], s["pool"]["draft"], s["pool"]["restarts"]), ("target", "small", 0))
    t.equal([m["id"] for m in get(pool.url + "/v1/models").json()["data"]], ["target", "target@exact", "target@target", "target@draft"])
    a = chat(pool.url, PROMPTS[0], temperature=0)
    t.equal(a.key(), want(0).key())
    t.check(pool.settled()["accepted"] > 0, "nothing was drafted")
    m = pool.metrics()
    t.equal((m["tightwad_pool_up"], m["tightwad_pool_restarts_total"]), (1, 0))
    r = tightwad(t, pool, "status")
    t.check(r.code == 0 and "up: target, drafter small" in r.out, r)
    r = tightwad(t, pool, "logs", "-n", "3")
    t.check(r.code == 0 and "ready:" in r.out and len(r.out.splitlines()) == 3, r)
    r = tightwad(t, pool, "logs", "--drafter")
    t.check(r.code == 0 and "ready:" in r.out, r)
    pids = s["pool"]["pid"], s["pool"]["draft_pid"]
    t.check(not any(gone(p) for p in pids), "the programs do not run")
    pool.expected_end = True
    r = tightwad(t, pool, "stop")
    t.check(r.code == 0, r)
    pool.wait()
    t.check(all(gone(p) for p in pids), "a program outlived the endpoint")


@test("stop --pool, start, load: the endpoint stays, says why it can't answer, and answers again")
def _(t):
    pool = t.pool()
    r = tightwad(t, pool, "stop", "--pool")
    t.check(r.code == 0, r)
    t.equal(pool.pool()["state"], "off")
    r = post(pool.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, timeout=10)
    t.equal(r.status, 503, r)
    t.check("tightwad start" in r.json()["error"]["message"], r)
    r = tightwad(t, pool, "start")
    t.check(r.code == 0, r)
    t.equal(chat(pool.url, PROMPTS[1], temperature=0).key(), want(1).key())
    before = pool.pool()["pid"]
    r = tightwad(t, pool, "load")
    t.check(r.code == 0, r)
    t.check(pool.pool()["pid"] not in (None, before), "it was not loaded anew")
    t.equal(chat(pool.url, PROMPTS[1], temperature=0).key(), want(1).key())


@test("start from nothing: in the background, ready when it returns")
def _(t):
    pool = t.pool(wait=False)
    pool.expected_end = True
    pool.stop()
    of = cmdline.of(pool)
    r = cmdline.tightwad(t, "start", **of)
    t.check(r.code == 0 and "✓ pool" in r.out, r)
    try:
        t.equal(chat(pool.url, PROMPTS[2], temperature=0).key(), want(2).key())
    finally:
        r = cmdline.tightwad(t, "stop", **of)
    t.check(r.code == 0, r)


# ---- what dies and hangs -------------------------------------------------------------------------------------------

def faults(t, pool, i, what):
    """Breaks each thing of what (name, break, mend) in an answer of its own."""
    for k, (name, break_it, mend) in enumerate(what):
        t.note(name)
        before = pool.up()["restarts"]
        chat(pool.url, PROMPTS[(i + k + 1) % 12], temperature=0)  # the drafter drafts, deadlines are learned
        answer_with(t, pool, (i + k) % 12, break_it)
        if mend:
            mend()
        p = pool.up()
        t.note("pause %s ms, %d restarts" % (p["pause_ms"], p["restarts"] - before))


@test("the coordinator's node is killed and stopped in the middle of an answer")
def _(t):
    pool = t.pool(max_draft_tokens=2)
    faults(t, pool, 0, [("kill -9", lambda: end(pool.pool()["pid"]), None),
                        ("kill -STOP", lambda: os.kill(pool.pool()["pid"], signal.SIGSTOP), None),
                        ("kill -9 again", lambda: end(pool.pool()["pid"]), None)])
    t.equal(pool.pool()["restarts"], 3)
    t.check(pool.pool()["pause_ms"] > 0, "no pause is shown")


@test("the pool's drafter is killed and stopped in the middle of an answer")
def _(t):
    pool = t.pool({"target": {"path": "target", "draft": "small"}, "small": "small"}, max_draft_tokens=2,
                  draft_timeout="500ms")
    wait_until("the drafter to be in use", lambda: pool.status()["speculating"], 20)
    first = pool.pool()["draft_pid"]

    def is_back(but):
        return pool.status()["speculating"] and pool.pool()["draft_pid"] not in (None, but)
    faults(t, pool, 3, [("kill -9", lambda: end(pool.pool()["draft_pid"]), None)])
    wait_until("the drafter to be back", lambda: is_back(first), 30)
    second = pool.pool()["draft_pid"]
    faults(t, pool, 4, [("kill -STOP", lambda: os.kill(second, signal.SIGSTOP), None)])
    wait_until("the drafter to be replaced", lambda: is_back(second), 40)
    t.equal(pool.pool()["restarts"], 0)


@test("a worker is killed, stopped and black-holed in the middle of an answer: it goes on without it, and with it again")
def _(t):
    one, two = t.worker(), t.worker()
    relay = t.relay(two)
    pool = t.pool(workers=[one, relay], coordinator=TWO, max_draft_tokens=2)
    t.equal([(d["machine"], d["layers"]) for d in pool.pool()["devices"]], [("w1", 3), ("w2", 2)])

    def back():
        p = pool.up()
        t.check(any(d["reason"] for d in p["devices"]), "nothing says that a worker is missing: %s" % p["devices"])
        r = tightwad(t, pool, "load")
        t.check(r.code == 0, r)
        t.equal([d["layers"] for d in pool.up()["devices"]], [3, 2])

    def restarted():
        one.kill()
        one.args[one.args.index("--listen") + 1] = "127.0.0.1:%d" % one.port
        one.start()
        one.ready()
        wait_until("the worker to be seen again", lambda: any("is back" in d["reason"] for d in pool.pool()["devices"]), 15)
        back()

    def thawed(pids):
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
        back()

    def freeze():
        frozen.extend([one.pid, one.server_pid()])
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)

    def kill():
        children = one.server_pid()
        one.kill()
        end(children)

    frozen = []
    faults(t, pool, 5, [("kill -9", kill, restarted),
                        ("kill -STOP", freeze, lambda: thawed(frozen)),
                        ("a black hole", relay.hold, lambda: (relay.release(), back()))])


@test("a worker that the model can't do without is waited for, and the answer goes on when it is back")
def _(t):
    large = os.path.join(t.folder, "large.gguf")
    subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), "large", large], check=True)
    one, two = t.worker(), t.worker()
    pool = t.pool({"large": {"path": large, "ctx_size": 512}}, [one, two], coordinator={"slots": 2}, vram_gb=0.32)
    t.equal([d["layers"] for d in pool.pool()["devices"]], [1, 1], pool.pool()["devices"])
    ask = {"temperature": 0, "max_tokens": 100, "stream": True, "timeout": 90}
    right = chat(pool.url, PROMPTS[8], **ask)
    children, seen, done = one.server_pid(), [], []

    def mend():
        seen.append(wait_until("the pool to wait", lambda: (lambda p: p if p["state"] == "backoff" else None)(pool.pool())))
        one.args[one.args.index("--listen") + 1] = "127.0.0.1:%d" % one.port
        one.start()

    def chunk(a):
        if a.chunks >= 2 and not done:
            done.append(True)
            one.kill()
            end(children)
            threading.Thread(target=mend, daemon=True).start()
    a = chat(pool.url, PROMPTS[8], on_chunk=chunk, **ask)
    t.check(done, "the answer was over before anything could be broken")
    t.equal(a.key(), right.key())
    t.check(seen and "127.0.0.1:%d" % one.port in seen[0]["why"], "the worker is not named: %s" % seen)
    one.ready()
    t.equal([d["layers"] for d in pool.up()["devices"]], [1, 1])
    # The same start as before: what its self-test found still holds.
    r = tightwad(t, pool, "logs")
    t.check("not tested again" in r.out, r)
    s = pool.status()
    t.equal(s["exactness"], "byte for byte", s["exactness_note"])


@test("a stock llama-server over stock RPC servers: run, killed in the middle of an answer, swapped")
def _(t):
    port = free_port()
    worker = t.process(rpc_server() + ["-H", "127.0.0.1", "-p", str(port), "-d", "CPU", "-t", "1"], cwd=t.folder, name="rpc")
    wait_until("the RPC server to listen", lambda: ":%04X" % port in open("/proc/net/tcp").read(), 20)
    script = os.path.join(t.folder, "llama-server")
    tool = llama_tool("llama-server")
    with open(script, "w") as f:
        f.write("#!/bin/sh\ncd '%s' && exec %s \"$@\"\n" % (os.path.dirname(tool[0]), " ".join("'%s'" % w for w in tool)))
    os.chmod(script, 0o755)
    pool = t.pool({"target": {"path": "target", "ctx_size": 512}, "mid": {"path": "mid", "ctx_size": 512}}, [port],
                  binaries={"coordinator": script}, coordinator={"slots": 2})
    t.equal(pool.status()["backends"][0]["kind"], "llamacpp")
    ask = {"temperature": 0, "max_tokens": 60, "stream": True, "timeout": 90}
    right, done = chat(pool.url, PROMPTS[9], **ask), []

    def chunk(a):
        if not done:
            done.append(True)
            end(pool.pool()["pid"])
    a = chat(pool.url, PROMPTS[9], on_chunk=chunk, **ask)
    t.check(done, "nothing was broken")
    t.equal(a.key(), right.key())
    r = tightwad(t, pool, "swap", "mid")
    t.check(r.code == 0, r)
    t.equal(chat(pool.url, PROMPTS[9], **ask).status, 200)
    t.check(worker.running(), "the RPC server is gone")


# ---- swaps ---------------------------------------------------------------------------------------------------------

@test("swap under load: no request fails, each answer is wholly from one model, the workers stay")
def _(t):
    worker = t.worker()
    pids = worker.pid, worker.server_pid()
    pool = t.pool({"target": {"path": "target", "draft": "small"}, "mid": "mid", "small": "small"}, [worker])
    other = t.node("mid")
    right = {name: {i: references(node, [Case(PROMPTS[i], temperature=0, max_tokens=40)])[0].text for i in range(4)}
             for name, node in (("target", alone), ("mid", other))}
    stop, wrong, models = threading.Event(), [], set()

    def client(k):
        while not stop.is_set():
            a = chat(pool.url, PROMPTS[k % 4], temperature=0, max_tokens=40, timeout=60)
            models.add(a.model)
            if a.status != 200 or a.text != right.get(a.model, {}).get(k % 4):
                wrong.append((k, a))
    clients = [threading.Thread(target=client, args=(k,)) for k in range(8)]
    for c in clients:
        c.start()
    try:
        for name in ("mid", "target", "mid"):
            r = tightwad(t, pool, "swap", name)
            t.check(r.code == 0, r)
            t.equal([m["id"] for m in get(pool.url + "/v1/models").json()["data"]][0], name)
    finally:
        stop.set()
        for c in clients:
            c.join()
    t.equal(wrong, [], "answers")
    t.equal(models, {"target", "mid"})
    t.equal((pool.pool()["swaps"], (worker.pid, worker.server_pid())), (3, pids))
    t.equal(pool.settled()["requests_failed"], 0)
    r = tightwad(t, pool, "reclaim")
    t.check(r.code == 0 and "given back" in r.out, r)


@test("a swap that can't be is refused, and one that comes to nothing leaves the old model; names tell what is loaded")
def _(t):
    folder = tempfile.mkdtemp(dir=t.folder)
    broken = os.path.join(folder, "broken.gguf")
    with open(model_path("mid"), "rb") as f:
        data = f.read()
    with open(broken, "wb") as f:
        f.write(data[:len(data) // 2])
    # One that looks sound from outside, and can't be loaded: its tokenizer is of a kind that nobody knows.
    odd, key = os.path.join(folder, "odd.gguf"), b"tokenizer.ggml.model"
    at = data.index(key) + len(key) + 4
    n = int.from_bytes(data[at:at + 8], "little")
    with open(odd, "wb") as f:
        f.write(data[:at + 8] + b"x" * n + data[at + 8 + n:])
    pool = t.pool({"target": "target", "mid": "mid", "broken": broken, "gone": folder + "/gone.gguf", "odd": odd})
    first = pool.pool()["pid"]
    for name, words in (("midd", "did you mean mid"), ("gone", "gone.gguf"), ("broken", "broken"), ("target", "loaded already")):
        begun = time.monotonic()
        r = tightwad(t, pool, "swap", name)
        t.check(r.code == 1 and words in r.err, r)
        t.less(time.monotonic() - begun, 5 * SLOWER)
    t.equal(chat(pool.url, PROMPTS[3], temperature=0).key(), want(3).key())
    t.equal(pool.pool()["pid"], first, "the node was disturbed")
    r = post(pool.url + "/v1/chat/completions", {"model": "mid", "messages": [{"role": "user", "content": "Hi"}]})
    t.equal(r.status, 404)
    t.check("tightwad swap mid" in r.json()["error"]["message"], r)
    r = tightwad(t, pool, "reclaim")
    t.check(r.code == 1 and "CPU computes" in r.err, r)
    r = tightwad(t, pool, "swap", "odd")
    t.check(r.code == 1 and "load it" in r.err, r)
    p = pool.up("target")
    t.check(p["pid"] != first and p["swap_error"], p)
    t.equal(chat(pool.url, PROMPTS[3], temperature=0).key(), want(3).key(), "the old model, back again")


# ---- what is wrong -------------------------------------------------------------------------------------------------

def trouble(t, pool, *words):
    """The pool fails within five seconds, saying the words, and tightwad stays up."""
    def failed():
        p = pool.pool()
        return p if p["state"] in ("failed", "backoff") else None
    p = wait_until("the pool to fail", failed, 5, every=0.05)
    for w in words:
        t.check(w in p["why"], "%r is not said: %s" % (w, p["why"]))
    t.check(pool.running(), "tightwad is gone")
    t.note(p["why"])
    return p


@test("a wrong worker address, a used port, a missing file, too little memory: named in 5 s, mended while it runs")
def _(t):
    port = free_port()
    pool = t.pool(workers=[port], wait=False)
    trouble(t, pool, "127.0.0.1:%d" % port, "tightwad worker")
    pool.workers = []
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen(1)
        pool.node_port = taken.getsockname()[1]
        pool.write_config()
        pool.signal(signal.SIGHUP)
        wait_until("the other trouble", lambda: "is taken" in pool.pool()["why"], 10)
        trouble(t, pool, "this machine", "port %d" % pool.node_port)
    pool.models = {"target": t.folder + "/nowhere.gguf"}
    pool.write_config()
    pool.signal(signal.SIGHUP)
    wait_until("the other trouble", lambda: "nowhere.gguf" in pool.pool()["why"], 10)
    trouble(t, pool, "this machine", "nowhere.gguf")
    pool.models = {"target": {"path": "target", "ctx_size": 16000000}}
    pool.write_config()
    pool.signal(signal.SIGHUP)
    wait_until("the other trouble", lambda: "GiB" in pool.pool()["why"], 10)
    trouble(t, pool, "this machine", "GiB", "ctx_size")
    pool.models = {"target": "target"}
    pool.write_config()
    pool.signal(signal.SIGHUP)
    pool.up()
    t.equal(chat(pool.url, PROMPTS[4], temperature=0).key(), want(4).key())


@test("a worker of another version, and one that is no worker")
def _(t):
    def hello(version):
        def serve(conn):
            with conn, contextlib.suppress(OSError):
                conn.recv(64)
                conn.sendall((28).to_bytes(8, "little") + bytes([version, 0, 0, 0]) + bytes(24))
                conn.recv(64)
        return serve
    for name, serve, words in (("another version", hello(7), "7"),
                               ("no worker", lambda c: (c.recv(64), c.sendall(b"HTTP/1.1 400 No\r\n\r\n"), c.close()), "")):
        s = socket.socket()
        s.bind(("127.0.0.1", 0))
        s.listen(8)

        def accept(s=s, serve=serve):
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=serve, args=(s.accept()[0],), daemon=True).start()
        threading.Thread(target=accept, daemon=True).start()
        port = s.getsockname()[1]
        pool = t.pool(workers=[port], wait=False)
        t.note(name)
        trouble(t, pool, "127.0.0.1:%d" % port, words)
        s.close()


main()

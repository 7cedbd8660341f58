"""Whatever dies or hangs, wherever, at whatever moment: every answer is complete, and not a byte of it differs from the
pool's alone.  Nine faults (killed, stopped, cut off × worker, coordinator's node, drafter), two answers each; TIGHTWAD_TEST_FULL=1
takes ten.  The moments are random: the seed is printed, and TIGHTWAD_TEST_SEED takes one again."""
import subprocess

import cmdline
from drawer import NodeLink, StockWorker, link, send
from exact import references, Case
from harness import *
from prompts import story_prompts

FULL = bool(os.environ.get("TIGHTWAD_TEST_FULL"))
ANSWERS = 10 if FULL else 2
SEED = int(os.environ.get("TIGHTWAD_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
LINK_MS = 2 if FULL else 0  # a load takes some 700 trips
PROMPTS = story_prompts(10, "pool faults")
alone = shared.node("target")


@functools.cache
def want(i):
    return references(alone, [Case(PROMPTS[i], temperature=0)])[0]


class Broken:
    """An answer in the middle of which something is broken, as its client saw it."""

    def __init__(self, pool, i, break_it, at, late):
        """Breaks it `late` seconds after the piece of text with which the answer has `at` characters."""
        self.done, self.gap, self.last = threading.Event(), 0, time.monotonic()
        self.broken_at, self.over = None, None
        self.break_it, self.at, self.late = break_it, at, late
        self.timer = None
        if at == 0:
            self.arm()
        try:
            self.answer = chat(pool.url, PROMPTS[i], stream=True, temperature=0, on_chunk=self.chunk, timeout=120)
        finally:
            self.over = time.monotonic()
            if self.timer:
                self.timer.join()
        self.hit = self.broken_at is not None and self.broken_at < self.over

    def arm(self):
        self.timer = threading.Timer(self.late, self.do)
        self.timer.daemon = True
        self.timer.start()

    def do(self):
        self.break_it()
        self.broken_at = time.monotonic()

    def chunk(self, a):
        now = time.monotonic()
        self.gap, self.last = max(self.gap, now - self.last), now
        if not self.timer and len(a.text) >= self.at:
            self.arm()


def run_case(t, name, pool, prepare, restarts=True):
    """ANSWERS answers, each with one fault.  prepare(k) makes all whole and returns (break, mend) for answer k.  One that
    was over before the fault, or had all that it needed by then, does not count."""
    r = random.Random("%d %s" % (SEED, name))
    t.note("seed %d" % SEED)
    pauses, gaps, moments, missed = [], [], [], 0
    for k in range(ANSWERS):
        while True:
            break_it, mend = prepare(k)
            before = pool.up()
            at = r.randrange(max(1, int(0.6 * len(want(k).text)))) if r.random() < 0.9 else 0
            b = Broken(pool, k, break_it, at, r.random() * 0.02)
            t.equal(b.answer.key(), want(k).key(), "the answer in which it happened (%d, at character %d)" % (k, at))
            t.check(b.answer.done and not b.answer.error, b.answer)
            mend()
            p = pool.up()
            if b.hit and (p["restarts"] > before["restarts"]) == restarts:
                break
            missed += 1
            t.less(missed, 3 * ANSWERS, "answers that were over before anything could be broken")
        moments.append(at)
        gaps.append(round(1000 * b.gap))
        if restarts:
            pauses.append(round(p["pause_ms"]))
    s = pool.status()
    t.note("%s: %d answers complete and identical; broken at characters %s; longest gap of each %s ms; pauses in the status %s ms"
           % (name, ANSWERS, moments, gaps, pauses))
    t.equal(s["requests_failed"], 0, "failed requests")
    return pauses, gaps


def check_pauses(t, pauses, gaps):
    """The status tells each as the client saw it."""
    for pause, gap in zip(pauses, gaps):
        t.between(pause, gap / 2 - 300, gap + 300, "ms of pause in the status, of which the client saw %d" % gap)


def drafting(pool):
    return wait_until("the drafter to be in use", lambda: pool.status()["speculating"], 40)


def pooled(t, **more):
    """Two workers behind links, the model shared by both."""
    workers = [t.worker(), t.own(StockWorker(t.folder)).ready()]
    links = [link(t, w.port, LINK_MS) for w in workers]
    pool = t.pool({"target": {"path": "target", "draft": "small"}, "small": "small"}, links,
                  coordinator=dict({"extra_args": ["--tensor-split", "1,1"]}, **more.pop("coordinator", {})),
                  max_draft_tokens=4, draft_timeout="500ms", **more)
    drafting(pool)
    return pool, workers, links


# ---- a worker ------------------------------------------------------------------------------------------------------

def worker_pids(w):
    return w.pids() if isinstance(w, StockWorker) else [w.pid, w.server_pid()]


def again(w):
    """The worker runs, on its port."""
    if not w.running():
        w.wait()
        if not isinstance(w, StockWorker):
            w.args[w.args.index("--listen") + 1] = "127.0.0.1:%d" % w.port
        w.start()
        w.ready()


def kill_worker(w, _):
    pids = worker_pids(w)
    w.expected_end = True
    send(pids, signal.SIGKILL)


def stop_worker(w, _):
    w.stopped = worker_pids(w)
    send(w.stopped, signal.SIGSTOP)


def renew_stock(w):
    """ggml's own server may end, sooner or later, when it finds its client gone."""
    if isinstance(w, StockWorker):
        w.kill()
        again(w)


def thaw_worker(w, _):
    w.expected_end = isinstance(w, StockWorker)
    send(w.stopped, signal.SIGCONT)
    renew_stock(w)


def thaw_link(w, link_of_it):
    w.expected_end = isinstance(w, StockWorker)
    link_of_it.thaw()
    renew_stock(w)


WORKER_FAULTS = (("kill -9", kill_worker, lambda w, _: again(w)), ("kill -STOP", stop_worker, thaw_worker),
                 ("a black hole", lambda _, l: l.freeze(), thaw_link))


@test("a worker killed, stopped, cut off: every answer is complete and identical")
def _(t):
    pool, workers, links = pooled(t)

    def make_whole(k):
        """Worker k % 2, by turns; every other time both take a share again first, else what is left carries all."""
        if k % 2 == 0 and any(not d["layers"] for d in pool.up()["devices"]):
            wait_until("the worker to be seen again", lambda: not any(
                d["health"] == "down" for d in pool.pool()["devices"]), 30)
            r = cmdline.tightwad(t, "load", **cmdline.of(pool))
            t.check(r.code == 0, r)
        used = [int(d["machine"][1:]) - 1 for d in pool.up()["devices"] if d["layers"]]
        t.check(used and (k % 2 or len(used) == 2), pool.pool()["devices"])
        drafting(pool)
        return used[k // 2 % len(used)]
    for name, break_worker, mend_worker in WORKER_FAULTS:
        def prepare(k, break_worker=break_worker, mend_worker=mend_worker):
            w = make_whole(k)
            return (lambda: break_worker(workers[w], links[w])), (lambda: mend_worker(workers[w], links[w]))
        check_pauses(t, *run_case(t, name + " of a worker", pool, prepare))


# ---- the coordinator's node ----------------------------------------------------------------------------------------

@test("the coordinator's node killed, stopped, cut off: every answer is complete and identical")
def _(t):
    own = NodeLink(t.folder)
    pool, _, _ = pooled(t, binaries={"coordinator": own.path})
    for name, break_node in (("kill -9", lambda pid: send([pid], signal.SIGKILL)),
                             ("kill -STOP", lambda pid: send([pid], signal.SIGSTOP)),
                             ("a black hole", lambda _: own.hold())):
        def prepare(_, break_node=break_node):
            drafting(pool)
            pid = pool.up()["pid"]
            return (lambda: break_node(pid)), (lambda: None)
        check_pauses(t, *run_case(t, name + " of the node", pool, prepare))


# ---- the drafter ---------------------------------------------------------------------------------------------------

@test("the pool's drafter killed, stopped: every answer is complete and identical")
def _(t):
    pool, _, _ = pooled(t)
    for name, number in (("kill -9", signal.SIGKILL), ("kill -STOP", signal.SIGSTOP)):
        def prepare(_, number=number):
            pid = wait_until("the drafter to run", lambda: pool.pool()["draft_pid"])
            drafting(pool)
            return (lambda: send([pid], number)), (
                lambda: wait_until("another drafter", lambda: pool.pool()["draft_pid"] not in (None, pid), 40))
        run_case(t, name + " of the drafter", pool, prepare, restarts=False)
    t.equal(pool.pool()["restarts"], 0, "restarts of the target")


@test("a drafter on another machine cut off: every answer is complete and identical")
def _(t):
    links = [link(t, t.worker().port, LINK_MS) for _ in range(2)]
    far = link(t, t.node("small").port)
    pool = t.pool({"target": {"path": "target", "draft": "far"}}, links, coordinator={"extra_args": ["--tensor-split", "1,1"]},
                  drafters=[{"url": "http://127.0.0.1:%d" % far.port, "name": "far", "backend": "node"}],
                  max_draft_tokens=4, draft_timeout="500ms")

    def prepare(_):
        drafting(pool)
        return far.freeze, far.thaw
    run_case(t, "a black hole of the drafter", pool, prepare, restarts=False)
    t.equal(pool.pool()["restarts"], 0, "restarts of the target")


# ---- a model that no worker can be spared for ----------------------------------------------------------------------

@test("a worker that the model can't do without fails: it is waited for, and the answer goes on")
def _(t):
    large = os.path.join(t.folder, "large.gguf")
    subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), "large", large], check=True)
    workers = [t.worker(), t.worker()]
    links = [link(t, w.port) for w in workers]
    pool = t.pool({"large": {"path": large, "ctx_size": 512}}, links, coordinator={"slots": 2}, vram_gb=0.32)
    ask = Case(PROMPTS[0], temperature=0, max_tokens=60, stream=True)
    right = ask.ask(pool.url)
    t.check(right.done, right)
    r = random.Random("%d large" % SEED)
    t.note("seed %d" % SEED)

    def waits(address):
        return wait_until("the pool to wait for %s" % address, lambda: (
            lambda p: p if p["state"] == "backoff" and address in p["why"] else None)(pool.pool()), 30)
    for name, break_it, mend in WORKER_FAULTS if FULL else r.sample(WORKER_FAULTS, 1):
        w, seen, done = r.randrange(2), [], []

        def in_the_middle():
            break_it(workers[w], links[w])
            seen.append(waits("127.0.0.1:%d" % links[w].port))
            mend(workers[w], links[w])

        def chunk(a, at=r.randrange(1, len(right.text) // 2)):
            if len(a.text) >= at and not done:
                done.append(threading.Thread(target=in_the_middle, daemon=True))
                done[0].start()
        t.equal([d["layers"] for d in pool.up()["devices"]], [1, 1])
        a = ask.ask(pool.url, on_chunk=chunk)
        t.check(done, "the answer was over before anything could be broken")
        done[0].join()
        t.equal(a.key(), right.key(), name)
        t.check(seen, "the worker that it waits for was not named")
        p = pool.up()
        t.note("%s of w%d: pause %d ms; while it waited: %s" % (name, w + 1, p["pause_ms"], seen[0]["why"]))
    t.equal(pool.status()["requests_failed"], 0)


# ---- what is wrong from the start ----------------------------------------------------------------------------------

@test("what can't work is named in 5 s, with machine and fix, and mended while tightwad runs")
def _(t):
    folder = tempfile.mkdtemp(dir=t.folder)
    silent, busy = t.worker(), t.worker()
    send(worker_pids(silent), signal.SIGSTOP)
    other = t.node("draft", args=["--rpc", "127.0.0.1:%d" % busy.port])
    for name, data in (("empty.gguf", b""), ("text.gguf", b"not a model" * 100), ("program", b"#!/bin/sh\nexit 1\n")):
        with open(os.path.join(folder, name), "wb") as f:
            f.write(data)
    os.chmod(os.path.join(folder, "program"), 0o755)
    good = {"target": "target"}
    troubles = [
        ("a host that does not exist", dict(workers=[("no-such-host.invalid", 50052)]), ["no-such-host.invalid"]),
        ("a stopped worker", dict(workers=[silent]), ["127.0.0.1:%d" % silent.port]),
        ("a worker that serves another", dict(workers=[busy]), ["127.0.0.1:%d" % busy.port]),
        ("one of two is missing", dict(workers=[busy, 9]), ["127.0.0.1:9"]),
        ("an empty file", dict(models={"target": folder + "/empty.gguf"}), ["this machine", "empty.gguf"]),
        ("no model", dict(models={"target": folder + "/text.gguf"}), ["this machine", "GGUF", "text.gguf"]),
        ("a folder", dict(models={"target": folder}), ["this machine", folder + ":"]),
        ("a drafter's missing file", dict(models={"target": {"path": "target", "draft": "d"}, "d": folder + "/gone.gguf"}),
         ["this machine", "gone.gguf"]),
        ("a program that is not there", dict(binaries={"coordinator": folder + "/nothing"}), ["this machine", "/nothing"]),
        ("a program that fails", dict(binaries={"coordinator": folder + "/program"}), ["this machine", "/program"]),
    ]
    pool = t.pool(workers=[9], wait=False)
    pool.wait_line(r"listens at ")
    for name, wrong, words in troubles:
        pool.models, pool.workers, pool.binaries = wrong.get("models", good), wrong.get("workers", []), wrong.get("binaries")
        pool.write_config()
        begun = time.monotonic()
        pool.signal(signal.SIGHUP)
        p = wait_until("the trouble: " + name, lambda: (
            lambda p: p if p["state"] in ("failed", "backoff") and words[-1] in p["why"] else None)(pool.pool()), 10, every=0.05)
        t.note("%s (%.1f s): %s" % (name, time.monotonic() - begun, p["why"]))
        for w in words:
            t.check(w in p["why"], "%r is not said: %s" % (w, p["why"]))
        t.less(time.monotonic() - begun, 5 * SLOWER, name)
        t.equal(get(pool.url + "/health").status, 503)
    send(worker_pids(silent), signal.SIGCONT)
    other.stop()
    pool.models, pool.workers, pool.binaries = good, [silent, busy], None
    pool.write_config()
    pool.signal(signal.SIGHUP)
    pool.up()
    t.equal(chat(pool.url, PROMPTS[1], temperature=0).key(), want(1).key())


main()

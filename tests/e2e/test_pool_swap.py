"""Models are swapped while eight clients ask: no request fails, each answer is wholly one model's, the workers run on, and
a model that they have had before hardly crosses the wire again.  TIGHTWAD_TEST_FULL=1: 6 swaps in 60 s instead of 2 in 15."""
import collections
import subprocess

import cmdline
from drawer import WeightsLink, link, send
from exact import references, Case
from harness import *
from prompts import story_prompts

FULL = bool(os.environ.get("TIGHTWAD_TEST_FULL"))
SWAPS, SECONDS = (6, 60) if FULL else (2, 12)
CLIENTS = 8
LARGE_BYTES = 6 * 12 << 20  # of the model's tensors over 10 MiB: smaller ones always cross
PROMPTS = story_prompts(4, "pool swap")


def large(t, name, seed):
    path = os.path.join(t.folder, name + ".gguf")
    subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), "large", path, "--seed", str(seed)], check=True)
    return path


class Clients:
    """Ask until they are told to stop; each answer is judged by the model that it says it is from."""

    def __init__(self, pool, right, max_tokens, n=CLIENTS, excused=None):
        self.pool, self.right, self.max_tokens, self.excused = pool, right, max_tokens, excused
        self.stopping, self.wrong, self.lock = threading.Event(), [], threading.Lock()
        self.answers = collections.Counter()
        self.longest = 0
        self.threads = [threading.Thread(target=self.ask, args=(k,), daemon=True) for k in range(n)]
        for th in self.threads:
            th.start()

    def ask(self, k):
        i = k
        while not self.stopping.is_set():
            i += 1
            try:
                a = chat(self.pool.url, PROMPTS[i % len(PROMPTS)], stream=i % 2 == 0, temperature=0,
                         max_tokens=self.max_tokens, timeout=90)
                good = a.status == 200 and a.done and a.model in self.right and \
                    a.key() == self.right[a.model][i % len(PROMPTS)].key()
            except Exception as e:
                a, good = e, False
            with self.lock:
                if self.excused and self.excused in str(getattr(a, "error", "")):
                    self.answers["excused"] += 1
                elif good:
                    self.answers[a.model] += 1
                    self.longest = max(self.longest, a.seconds)
                else:
                    self.wrong.append(a)

    def served(self, n):
        """Waits until so many answers more have come."""
        with self.lock:
            want = sum(self.answers.values()) + n
        wait_until("%d answers" % n, lambda: sum(self.answers.values()) >= want or self.wrong, 90)

    def stop(self):
        self.stopping.set()
        for th in self.threads:
            th.join()


@test("%d swaps under load, between two models of large tensors" % SWAPS)
def _(t):
    workers = [t.worker(), t.worker()]
    pids = [(w.pid, w.server_pid()) for w in workers]
    links = [t.own(WeightsLink(w.port)) for w in workers]
    paths = {"one": large(t, "one", 1), "two": large(t, "two", 2)}
    right = {}
    for name, path in paths.items():
        node = t.node(path, args=["--noise", "0"])  # judged by the pool, which tests itself
        right[name] = references(node, [Case(p, temperature=0, max_tokens=24) for p in PROMPTS])
        node.stop()
    t.check(right["one"][0].text != right["two"][0].text, "the models say the same")
    pool = t.pool({name: {"path": p, "ctx_size": 512} for name, p in paths.items()}, links,
                  coordinator={"extra_args": ["--tensor-split", "1,3"]})
    t.equal([d["layers"] for d in pool.pool()["devices"] if d["layers"]], [1, 1], pool.pool()["devices"])
    shipped, waits = [sum(sum(x.shipped) for x in links)], []
    t.check(shipped[0] > LARGE_BYTES, "its first load did not ship it: %d bytes" % shipped[0])
    clients, begun = Clients(pool, right, 24), time.monotonic()
    try:
        for k in range(SWAPS):
            while time.monotonic() < begun + SECONDS * (k + 0.5) / (SWAPS + 1) and not clients.wrong:
                clients.served(CLIENTS)
            for x in links:
                x.shipped.clear()
            asked = time.monotonic()
            r = cmdline.tightwad(t, "swap", ("two", "one")[k % 2], **cmdline.of(pool))
            t.check(r.code == 0, r)
            waits.append(round(time.monotonic() - asked, 1))
            clients.served(CLIENTS)
            shipped.append(sum(sum(x.shipped) for x in links))
        while time.monotonic() < begun + SECONDS and not clients.wrong:
            clients.served(CLIENTS)
    finally:
        clients.stop()
    t.note("answers %s, none wrong, the longest took %.1f s; swaps took %s s; bytes shipped by each load %s; of a model's second at "
           "most %.2f %% of its large tensors" % (dict(clients.answers), clients.longest, waits, shipped,
                                                  100 * max(shipped[2:]) / LARGE_BYTES))
    t.equal(clients.wrong, [], "failed requests or wrong answers")
    t.check(min(clients.answers[n] for n in right) >= CLIENTS, clients.answers)
    t.check(shipped[1] > LARGE_BYTES, "the other model's first load did not ship it")
    t.less(max(shipped[2:]), 0.05 * LARGE_BYTES, "bytes shipped by a model's second load")
    t.equal([(w.pid, w.server_pid()) for w in workers], pids, "pids of the workers")
    s = pool.settled()
    t.equal((s["requests_failed"], s["requests_refused"], s["pool"]["swaps"], s["pool"]["restarts"]), (0, 0, SWAPS, 0))


@test("orders and faults at any moment: the pool always finds its way back, and nobody gets a wrong answer")
def _(t):
    seed = int(os.environ.get("TIGHTWAD_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
    t.note("seed %d" % seed)
    r, done = random.Random(seed), []
    right = {}
    for name in ("target", "mid"):
        node = t.node(name)
        right[name] = references(node, [Case(p, temperature=0, max_tokens=40) for p in PROMPTS])
        node.stop()
    links = [link(t, t.worker().port) for _ in range(2)]
    pool = t.pool({"target": {"path": "target", "draft": "small"}, "mid": "mid", "small": "small"}, links,
                  coordinator={"extra_args": ["--tensor-split", "1,1"]}, max_draft_tokens=3, draft_timeout="500ms")

    def hit(key, number):
        pid = pool.pool()[key]
        if pid:
            send([pid], number)

    def thaw():
        for x in links:
            x.thaw()
    orders = [("swap", "mid"), ("swap", "target"), ("load", None), ("load", "mid"), ("pool-start", None), ("pool-start", "mid"),
              ("pool-stop", None)]
    faults = [lambda: hit("pid", signal.SIGKILL), lambda: hit("pid", signal.SIGSTOP), lambda: hit("draft_pid", signal.SIGKILL),
              lambda: hit("draft_pid", signal.SIGSTOP), links[0].freeze, links[1].freeze, thaw, thaw]
    clients = Clients(pool, right, 40, n=4, excused="the pool is stopped")
    try:
        for k in range(60 if FULL else 10):
            state = pool.pool()["state"]
            if r.random() < 0.5:
                what = r.choice(orders)
                reply = pool.command(what[0], **({"model": what[1]} if what[1] else {}))
                t.check(reply.status in (200, 400, 409), reply)  # refused, with a reason, where it can't be
            else:
                what = r.randrange(len(faults))
                faults[what]()
            done.append("%s in %s" % (what, state))
            t.check(pool.running(), "tightwad is gone: %s\n%s" % (done, pool.tail(40)))
            time.sleep(r.choice([0, 0.02, 0.1, 0.3, 1, 2]))  # the moments are what is tried out
        thaw()

        def back():
            p = pool.pool()
            if p["state"] == "off":
                pool.command("pool-start")
            return p if p["state"] == "up" and not p["next"] else None
        p = wait_until("the pool to be up after %s" % done, back, 60, every=0.2)
        clients.served(8)
    finally:
        clients.stop()
    t.note("%s; %d restarts, %d swaps; answers %s" % ("; ".join(done), p["restarts"], p["swaps"], dict(clients.answers)))
    t.equal(clients.wrong, [], "failed requests or wrong answers")


main()

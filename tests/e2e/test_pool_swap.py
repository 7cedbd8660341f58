"""Models are swapped while eight clients ask: no request fails, each answer is wholly one model's, the workers run on, and
a model that they have had before hardly crosses the wire again.  TIGHTWAD_TEST_FULL=1: 6 swaps in 60 s instead of 2 in 15."""
import collections
import subprocess

import cmdline
from drawer import WeightsLink
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

    def __init__(self, pool, right, max_tokens):
        self.pool, self.right, self.max_tokens = pool, right, max_tokens
        self.stopping, self.wrong, self.lock = threading.Event(), [], threading.Lock()
        self.answers = collections.Counter()
        self.longest = 0
        self.threads = [threading.Thread(target=self.ask, args=(k,), daemon=True) for k in range(CLIENTS)]
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
                if good:
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


main()

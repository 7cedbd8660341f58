"""Five hundred requests at once on four agents: nothing is lost, who came first is served first, and memory stays bounded."""
import re

from fakes import FakeAgent
from gates import *
from harness import *
from questions import questions

REQUESTS = 500
SOME = questions(40)


def agents(t):
    return [t.node(m) for m in ("draft", "mid", "numbers", "words")]


def all_at_once(proxy, n):
    return in_parallel([lambda q=SOME[i % len(SOME)][0]: ask(proxy, q, timeout=240, max_tokens=12) for i in range(n)])


@test("%d requests on four agents: all are answered rightly, in order, under 100 MB" % REQUESTS)
def _(t):
    target = t.node("target")
    proxy = up(t.proxy(target, gate={"agents": agents(t), "review": "likelihood"}, max_queue=REQUESTS), 4)
    wanted = {q: chat(target.url, q, temperature=0, max_tokens=12).text for q, _ in SOME}
    peak, done = [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], proxy.memory())
    watcher = threading.Thread(target=watch)
    watcher.start()
    begun = time.monotonic()
    try:
        got = all_at_once(proxy, REQUESTS)
    finally:
        done.set()
        watcher.join()
    wrong = [(SOME[i % len(SOME)][0], g) for i, g in enumerate(got) if g[0] != wanted[SOME[i % len(SOME)][0]]]
    t.check(not wrong, "%d of %d are wrong, the first: %r" % (len(wrong), REQUESTS, wrong[:1]))
    g = gate(proxy)
    t.equal((g["requests"], g["errors"]), (REQUESTS, 0))
    ended = [int(n) for n in re.findall(r"request (\d+): answered", proxy.output)]
    t.equal(sorted(ended), list(range(1, REQUESTS + 1)), "requests that ended")
    overtaken = max(abs(place + 1 - n) for place, n in enumerate(ended))
    t.note("%.1f s, most memory %.1f MB, furthest out of turn %d places; %s" % (
        time.monotonic() - begun, peak[0] / 1e6, overtaken, {k: g[k] for k in ("approved", "corrected", "rejected", "direct")}))
    # Those that are written, reviewed and answered at the same time: 16 by agents, 4 by the target, and those between.
    t.less(overtaken, 60, "places out of turn")
    if not SANITIZED:
        t.less(peak[0], 100e6, "bytes of memory")


@test("who came first has the target first, whether it is to review or to answer")
def _(t):
    target, agent = t.node("target", slots=1), t.own(FakeAgent("The capital of France is Paris."))
    line = t.relay(target)
    proxy = up(t.proxy(line.url, gate={"agents": [agent], "review": "likelihood", "shadow_share": 0}), 1)
    kinds = ["exact", "gate", "exact", "gate", "exact"]
    line.hold()  # the first one has the only slot for as long as the target is not heard
    threads = []
    for i, mode in enumerate(kinds):
        threads.append(threading.Thread(target=lambda mode=mode: ask(proxy, "What is the capital of France?", mode=mode)))
        threads[-1].start()
        wait_until("it to be taken in", lambda: len(proxy.status()["requests"]) == i + 1)
    wait_until("both to be written", lambda: [r["outcome"] for r in proxy.status()["requests"]].count("written") == 2)
    line.release()
    for th in threads:
        th.join()
    t.equal(re.findall(r"request (\d+): answered", proxy.output), ["1", "2", "3", "4", "5"])


@test("more than the queue holds are refused at once with 429 and Retry-After, and the others are served")
def _(t):
    target = t.node("target", slots=1)
    proxy = up(t.proxy(target, gate={"agents": [t.node("mid", slots=1)], "review": "likelihood"}, max_queue=20), 1)
    begun = time.monotonic()
    got = all_at_once(proxy, 120)
    refused = [g for g in got if g[0] == 429]
    t.equal({g[0] if isinstance(g[0], int) else 200 for g in got}, {200, 429}, "statuses")
    t.check(all(g[2].headers["Retry-After"] for g in refused), "no Retry-After")
    t.note("%d refused, the slowest of them after %.2f s of %.2f" % (len(refused), max(g[2].seconds for g in refused), time.monotonic() - begun))
    g = gate(proxy)
    t.equal((g["requests"], g["errors"]), (len(got) - len(refused), 0))
    t.check(len(got) - len(refused) >= 22, "%d were served" % (len(got) - len(refused)))


main()

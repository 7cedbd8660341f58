"""Two hundred streams at once: nothing fails, all are exact, and tightwad stays small."""
from exact import Case, references
from harness import *
from prompts import prompts

STREAMS = 200


@test("%d concurrent streams, under 100 MB" % STREAMS)
def _(t):
    target = t.node("target")
    proxy = t.proxy(target, [t.node("draft")])
    some = [Case(p, stream=True, temperature=0.7, seed=i, max_tokens=60) for i, p in enumerate(prompts(20, "load"))]
    wanted, peak, done = references(target, some), [0], threading.Event()

    def watch():
        while not done.wait(0.02):
            peak[0] = max(peak[0], proxy.memory())
    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        got = in_parallel([lambda c=some[i % len(some)]: c.ask(proxy.url, timeout=240) for i in range(STREAMS)])
    finally:
        done.set()
        watcher.join()
    wrong = [(g, wanted[i % len(some)]) for i, g in enumerate(got) if g.key() != wanted[i % len(some)].key()]
    t.check(not wrong, "%d of %d differ or failed, the first: %r" % (len(wrong), STREAMS, wrong[:1]))
    t.note("most memory: %.1f MB" % (peak[0] / 1e6))
    if not SANITIZED:
        t.less(peak[0], 100e6, "bytes of memory")


@test("more than the queue holds are refused with 429 and Retry-After, and the others are served")
def _(t):
    target = t.node("target", slots=1)
    proxy = t.proxy(target, max_queue=2)
    body = {"messages": [{"role": "user", "content": "Tell me a story about a fox."}], "temperature": 0}
    got = in_parallel([lambda: post(proxy.url + "/v1/chat/completions", body) for _ in range(12)])
    refused = [g for g in got if g.status == 429]
    t.equal({g.status for g in got}, {200, 429}, "statuses")
    t.check(all(g.headers["Retry-After"] and g.json()["error"]["message"] for g in refused), "no Retry-After or message")
    t.equal(len({g.json()["choices"][0]["message"]["content"] for g in got if g.status == 200}), 1)


main()

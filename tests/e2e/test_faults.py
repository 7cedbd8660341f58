"""Whatever breaks, the proxy neither crashes nor wedges: an answer that can be finished is finished exactly, one that can't
ends with an error object, and the next request is served."""
from exact import references, Case
from fakes import FakeNode, FakeServer
from harness import *
from prompts import story_prompts

target = shared.node("target")  # the reference; tests break targets of their own
PROMPTS = story_prompts(8, "faults")


@functools.cache
def want(i):
    return references(target, [Case(PROMPTS[i], temperature=0)])[0]


def served(t, proxy, i=7):
    """The next request is served."""
    t.equal(chat(proxy.url, PROMPTS[i], temperature=0).key(), want(i).key(), "the next request")


def answer_with(t, proxy, i, break_it, timeout=60):
    """Streams answer i and calls break_it once in its middle."""
    done = []

    def chunk(a):
        if a.chunks >= 2 and not done:
            done.append(True)
            break_it()
    a = chat(proxy.url, PROMPTS[i], stream=True, temperature=0, on_chunk=chunk, timeout=timeout)
    t.check(done, "the answer was over before anything could be broken")
    return a


# ---- the drafter ---------------------------------------------------------------------------------------------------

def drafter_fault(name, break_it, mend):
    @test("drafter: " + name)
    def _(t):
        drafter = t.node("draft")
        relay = t.relay(drafter)
        proxy = t.proxy(target, [relay], draft_timeout="500ms")
        begun = time.monotonic()
        a = answer_with(t, proxy, 0, lambda: break_it(drafter, relay))
        t.equal(a.key(), want(0).key(), "the answer in which it happened")
        for i in (1, 2):
            t.equal(chat(proxy.url, PROMPTS[i], temperature=0).key(), want(i).key(), "an answer without the drafter")
        t.less(time.monotonic() - begun, 10 * SLOWER, "seconds for three answers")
        mend(drafter, relay)
        served(t, proxy)

        def drafts():
            before = proxy.status()["accepted"]
            chat(proxy.url, PROMPTS[3], temperature=0)
            return proxy.status()["accepted"] > before
        wait_until("the mended drafter to draft again", drafts, 30, every=0.2)


drafter_fault("kill -9", lambda d, r: d.kill(), lambda d, r: d.restart().ready())
drafter_fault("kill -STOP", lambda d, r: d.freeze(), lambda d, r: d.thaw())
drafter_fault("its port closed", lambda d, r: r.refuse(), lambda d, r: r.listen())
drafter_fault("garbage replies", lambda d, r: r.garble(), lambda d, r: r.release())
drafter_fault("half a reply", lambda d, r: r.cut_in_reply(60), lambda d, r: None)
drafter_fault("a black hole", lambda d, r: r.hold(), lambda d, r: r.release())
drafter_fault("replies that are HTTP and nonsense",
              lambda d, r: r.garble(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"), lambda d, r: r.release())


LIES = {
    "tokens beyond the vocabulary": {"tokens": [5, 1 << 30], "probs": [0.5, 0.5]},
    "negative tokens": {"tokens": [-1, -2, 5], "probs": [0.5, 0.5, 0.5]},
    "words instead of tokens": {"tokens": ["a", "b"], "probs": [0.5, 0.5]},
    "ten thousand tokens": {"tokens": [7] * 10000, "probs": [0.5] * 10000},
    "an empty object": {},
    "an empty draft": {"tokens": [], "probs": []},
    "probabilities of another length": {"tokens": [5, 6, 7], "probs": [0.5]},
    "not a number": {"tokens": [5, 6], "probs": [None, "x"]},
}


@test("drafter: its vocabulary could not be asked at first: it is asked again")
def _(t):
    info = dict(target.info())
    fake = t.own(FakeNode(dict(info, fingerprint="")))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}])
    proxy.wait_line(r"drafter \S+: .*vocabular", 10)
    t.check(not proxy.status()["speculating"], "it speculates with who knows what")
    fake.info.update(info)
    wait_until("the drafter to be used", lambda: proxy.status()["speculating"], 15)


@test("drafter: well-formed lies")
def _(t):
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}])
    for i, (name, lie) in enumerate(LIES.items()):
        fake.routes[("POST", "/v1/node/draft")] = lambda body, lie=lie: (200, lie)
        t.equal(chat(proxy.url, PROMPTS[i], temperature=0, timeout=30).key(), want(i).key(), name)
    t.check(fake.count("/v1/node/draft") > 0, "it was never asked")


@test("drafter: errors of every status, and a vocabulary that is another's")
def _(t):
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}])
    for i, status in enumerate((400, 404, 409, 429, 500, 503)):
        fake.routes[("POST", "/v1/node/draft")] = lambda body, status=status: (
            status, {"error": {"message": "no", "type": "x", "code": "session_lost"}, "have": 0})
        t.equal(chat(proxy.url, PROMPTS[i], temperature=0, timeout=30).key(), want(i).key(), "status %d" % status)
    other = t.own(FakeNode(dict(target.info(), fingerprint="0" * 64)))
    proxy = t.proxy(target, [{"url": other.url, "backend": "node"}])
    served(t, proxy)
    t.equal(other.count("/v1/node/draft"), 0, "drafts asked of a drafter with another vocabulary")
    s = proxy.status()
    t.check("vocabular" in (s["why_not"] + s["backends"][1]["reason"]).lower(), "no reason is given: %r" % s["why_not"])


# ---- the target ----------------------------------------------------------------------------------------------------

def target_fault(name, break_it, mend, after=1.0):
    @test("target: " + name + ", mended after %g s: the answer goes on" % after)
    def _(t):
        node = t.node("target")
        relay = t.relay(node)
        proxy = t.proxy(relay, [t.node("draft")], target_wait="40s")

        def both():
            break_it(node, relay)
            timer = threading.Timer(after, mend, (node, relay))
            timer.daemon = True
            timer.start()
        t.equal(answer_with(t, proxy, 0, both, timeout=90).key(), want(0).key(), "the answer in which it happened")
        wait_until("the node to be back", lambda: node.running(), 20)
        node.ready()
        served(t, proxy)


target_fault("kill -9", lambda n, r: n.kill(), lambda n, r: n.restart())
target_fault("kill -STOP", lambda n, r: n.freeze(), lambda n, r: n.thaw(), after=3)
target_fault("its port closed", lambda n, r: r.refuse(), lambda n, r: r.listen())
target_fault("garbage replies", lambda n, r: r.garble(), lambda n, r: r.release())
target_fault("half a reply", lambda n, r: r.cut_in_reply(80), lambda n, r: None, after=0.1)
target_fault("a stall", lambda n, r: r.hold(), lambda n, r: r.release(), after=5)


@test("target: gone for longer than target_wait: an error event, and the next request is served when it is back")
def _(t):
    node = t.node("target")
    proxy = t.proxy(node, [t.node("draft")], target_wait="1s")
    a = answer_with(t, proxy, 0, node.kill)
    t.check(a.error and not a.done, "a lost answer must end with an error event: %r" % a)
    t.check(want(0).text.startswith(a.text), "what came before the error differs")
    r = post(proxy.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}]}, timeout=20)
    t.equal(r.status, 503, r)
    t.check(r.headers["Retry-After"], "no Retry-After")
    t.check(r.json()["error"]["message"], "no message")
    node.restart().ready()
    wait_until("the target to be found again", lambda: chat(proxy.url, "Hi", temperature=0).status == 200, 20, every=0.2)
    served(t, proxy)


@test("target: not there when the proxy starts")
def _(t):
    node = t.node("target")
    node.kill()
    proxy = t.proxy(node, target_wait="1s", wait=False)
    proxy.wait_line("listen")
    t.equal(get(proxy.url + "/health").status, 503, "the health of a proxy without a target")
    t.equal(chat(proxy.url, "Hi").status, 503)
    node.restart().ready()
    wait_until("the target to be found", lambda: chat(proxy.url, "Hi", temperature=0).status == 200, 20, every=0.2)
    served(t, proxy)


@test("target and drafter: both killed at once, both restarted")
def _(t):
    node, drafter = t.node("target"), t.node("draft")
    proxy = t.proxy(node, [drafter])

    def both():
        node.kill()
        drafter.kill()
        node.restart()
        drafter.restart()
    t.equal(answer_with(t, proxy, 0, both).key(), want(0).key())
    node.ready()
    served(t, proxy)


# ---- the client ----------------------------------------------------------------------------------------------------

@test("client: gone in the middle of an answer, the node stops within 0.5 s")
def _(t):
    node = t.node("target")
    proxy = t.proxy(node, [t.node("draft")])
    for drafters in (True, False):
        p = proxy if drafters else t.proxy(node)
        for i in range(4):
            chat(p.url, PROMPTS[i], stream=True, temperature=0, on_chunk=lambda a: a.chunks < 2)
            time.sleep(0.5)
            before = node.counters()["tokens"]
            time.sleep(0.3)
            t.equal(node.counters()["tokens"], before, "tokens decoded for a client that is gone")
        wait_until("nothing to be running", lambda: p.status()["running"] == 0, 2)
        served(t, p)


@test("client: 60 that connect, ask and vanish at different moments")
def _(t):
    node = t.node("target")
    proxy = t.proxy(node, [t.node("draft")])

    def vanish(i):
        for k in range(15):
            n = (i * 15 + k) % 7
            with Stream(proxy.url + "/v1/chat/completions",
                        {"messages": [{"role": "user", "content": PROMPTS[k % 8]}], "stream": True}) as s:
                for j, _ in enumerate(s.events()):
                    if j >= n:
                        break
    in_parallel([lambda i=i: vanish(i) for i in range(4)])
    wait_until("nothing to be running", lambda: proxy.status()["running"] == 0, 5)
    served(t, proxy)


@test("client: one that does not read holds up nobody")
def _(t):
    node = t.node("target")
    proxy = t.proxy(node, [t.node("draft")])
    slow = []
    for i in range(3):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        s.connect(("127.0.0.1", proxy.port))
        body = json.dumps({"messages": [{"role": "user", "content": PROMPTS[i]}], "stream": True}).encode()
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        slow.append(s)
    for i in range(4):
        t.equal(chat(proxy.url, PROMPTS[i], temperature=0, timeout=20).key(), want(i).key())
    for s in slow:
        s.close()
    served(t, proxy)


main()

"""The numbers shown must be what happened: acceptance is counted again from the bytes on the wire, one verify is one decode
of the node, and clients at once share decodes."""
from exact import Case, check_exact
from fakes import FakeNode
from harness import *
from prompts import prompts, story_prompts

KEYS = ("rounds", "drafted", "accepted", "emitted")


def count(relay, text):
    """Counts of the target's wire: (verifies, drafted, accepted) from its own requests and replies."""
    verifies = [e for e in relay.exchanges() if e.path == "/v1/node/verify" and e.status == 200]
    drafted = sum(len(e.json().get("draft") or []) for e in verifies)
    return verifies, drafted, sum(e.reply_json()["accepted"] for e in verifies)


@test("acceptance equals a count made from the wire, and is between 40 and 99 % for the demo drafter")
def _(t):
    target = t.node("target")
    relay = t.relay(target, record=True)
    proxy = t.proxy(relay, [t.node("draft")])
    cases = [Case(p, temperature=0, max_tokens=120) for p in prompts(30, "acceptance") + story_prompts(6, "acceptance")]
    check_exact(t, proxy, target, cases)
    verifies, drafted, accepted = count(relay, cases)
    s = proxy.settled()
    t.note("%d verifies, %d drafted, %d accepted on the wire; the status says %r" % (
        len(verifies), drafted, accepted, {k: s[k] for k in KEYS}))
    t.equal((s["drafted"], s["accepted"]), (drafted, accepted), "the status against the wire")
    m = proxy.metrics()
    t.equal((m["tightwad_drafted_tokens_total"], m["tightwad_accepted_tokens_total"]), (drafted, accepted), "/metrics")
    t.between(accepted / drafted, 0.40, 0.99, "share accepted")
    t.equal(s["acceptance_source"], "verified")


@test("acceptance of random tokens is under 5 %, and equals the wire too")
def _(t):
    target = t.node("target")
    relay = t.relay(target, record=True)
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(relay, [{"url": fake.url, "backend": "node"}])
    check_exact(t, proxy, target, [Case(p, temperature=0.7, seed=i) for i, p in enumerate(story_prompts(8, "random"))])
    _, drafted, accepted = count(relay, None)
    s = proxy.settled()
    t.equal((s["drafted"], s["accepted"]), (drafted, accepted), "the status against the wire")
    t.check(drafted > 0, "nothing was drafted")
    t.less(accepted / drafted, 0.05, "share accepted")


@test("a verify of a whole draft is one decode")
def _(t):
    node = t.node("target")
    session = post(node.url + "/v1/node/session", {"sampling": {"temperature": 0}, "text": "What is 2 + 2?"}).json()
    tokens = session["tokens"]
    for k in (1, 4, 16, 32):
        first = post(node.url + "/v1/node/verify", {"session": session["session"], "keep": 0, "tokens": tokens,
                                                    "draft": []}).json()
        before = node.counters()
        r = post(node.url + "/v1/node/verify", {"session": session["session"], "keep": len(tokens),
                                                "tokens": [first["next"]], "draft": list(range(300, 300 + k))})
        t.equal(r.status, 200, r)
        after = node.counters()
        t.equal(after["decodes"] - before["decodes"], 1, "decodes for %d draft tokens" % k)
        t.equal(after["tokens"] - before["tokens"], k + 1, "tokens in it")


@test("four clients at once share decodes")
def _(t):
    target = t.node("target")
    proxy = t.proxy(target, [t.node("draft")])
    cases = [Case(p, temperature=0) for p in story_prompts(24, "share")]
    wanted = [c.ask(target.url) for c in cases]
    before = target.counters()
    check_exact(t, proxy, target, cases, clients=4, wanted=wanted)
    after = target.counters()
    t.note({k: after[k] - before[k] for k in ("decodes", "tokens", "batches", "jobs_shared")})
    t.check(after["batches"] - before["batches"] > 0, "no decode carried more than one session")


main()

"""Several drafters at once: their drafts go through the target as one tree, what one of them knows counts, and no answer is other than
the target's own, whatever happens to any of them."""
import random

from exact import Case, check_exact
from fakes import FakeNode
from far_target import far_target
from harness import *
from prompts import corpus, prompts, story_prompts

target = shared.node("target", slots=4)
N = 24 if SANITIZED else 100
KNOWN = [corpus.sums, corpus.count, corpus.capital, corpus.order, corpus.spell, corpus.opposite, corpus.sound, corpus.story]


def mixed(n):
    """Prompts of all kinds, also of those that no drafter knows."""
    return prompts(n - n // 5, "tree") + story_prompts(n // 5, "tree")


def known(n):
    """Prompts of which numbers knows some and words the others."""
    r = random.Random("halves")
    return [KNOWN[i % len(KNOWN)](r)[0] for i in range(n)]


def cases(n, **kw):
    return [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=100, **kw) for i, p in enumerate(mixed(n))]


def drafters(proxy):
    return {b["url"]: b for b in proxy.settled()["backends"][1:]}


def per_pass(t, nodes, wanted, todo):
    """Tokens that a pass of the target brings where each may check 32 drafted ones, however many drafters there are."""
    proxy = t.proxy(target, nodes, governor=False, max_draft_tokens=32)
    before = target.counters()["decodes"]
    check_exact(t, proxy, target, todo, wanted=wanted)
    s, passes = proxy.settled(), target.counters()["decodes"] - before
    t.note("%.2f tokens a pass; %r" % (s["emitted"] / passes, {n: {k: b[k] for k in ("drafted", "accepted", "offered", "wins")}
                                                                for n, b in drafters(proxy).items()}))
    return s["emitted"] / passes


@test("two who know half each: twice the tokens a round of the better one alone, at as many tokens verified")
def _(t):
    numbers, words = t.node("numbers"), t.node("words")
    todo = [Case(p, temperature=0, max_tokens=150) for p in known(N // 2)]
    wanted = check_exact(t, t.proxy(target), target, todo)
    alone = [per_pass(t, [d], wanted, todo) for d in (numbers, words)]
    both = per_pass(t, [numbers, words], wanted, todo)
    t.check(both >= 2 * max(alone), "%.2f tokens a pass together, %r alone" % (both, alone))


@test("100 mixed prompts, greedy and sampled, several at once, governed and not: the target's own answers, and several win")
def _(t):
    nodes = [t.node(m) for m in ("numbers", "words", "draft")]
    todo = cases(N)
    wanted = check_exact(t, t.proxy(target, nodes, governor=True), target, todo, clients=3)
    proxy = t.proxy(target, nodes, governor=False, max_draft_tokens=24)
    check_exact(t, proxy, target, todo[:N // 2], clients=2, wanted=wanted[:N // 2])
    won = {u: b["wins"] for u, b in drafters(proxy).items()}
    t.note("wins: %r" % won)
    t.check(won[nodes[0].url] > 0 and won[nodes[1].url] > 0, "wins: %r" % won)
    for b in drafters(proxy).values():
        t.check(b["wins"] <= b["offered"] and b["accepted"] <= b["drafted"], "counts that can't be: %r" % b)
        t.check(b["active"] and not b["resting"], "without the governor all draft: %r" % b)


@test("one killed, one stopped, one far away, one that lies: no answer changes, and all of them draft again")
def _(t):
    killed, stopped, far = t.node("numbers"), t.node("words"), t.node("small")
    liar = t.own(FakeNode(target.info()))
    relay = t.relay(far, delay=0.1)
    proxy = t.proxy(target, [killed, stopped, {"url": "http://127.0.0.1:%d" % relay.port, "backend": "node"},
                             {"url": liar.url, "backend": "node"}], governor=False, max_draft_tokens=16)
    todo = [Case(p, temperature=0.7 * (i % 2), seed=i, stream=True, max_tokens=120) for i, p in enumerate(story_prompts(6, "faults"))]
    wanted, hit = [c.ask(target.url, stream=False) for c in todo], [0]

    def hurt(a):
        if a.chunks == 2 and killed.running():
            killed.kill()
            stopped.freeze()
            hit[0] += 1

    for i, (c, w) in enumerate(zip(todo, wanted)):
        got = chat(proxy.url, c.prompt, stream=True, on_chunk=hurt if i % 2 == 0 else None, **c.params)
        t.equal(got.key(), w.key(), "answer %d, hurt %d times" % (i, hit[0]))
        if not killed.running():
            stopped.thaw()
            killed.restart().ready()
    t.check(hit[0] > 1, "nobody was hurt in the middle of an answer")

    def all_draft():
        before = drafters(proxy)
        for c, w in zip(todo[:2], wanted):
            t.equal(c.ask(proxy.url).key(), w.key())
        after = drafters(proxy)
        return all(after[u]["offered"] > before[u]["offered"] for u in (killed.url, stopped.url, liar.url))
    wait_until("all to draft again", all_draft, 40)


@test("stock llama-servers draft together, beside a node")
def _(t):
    stock = [t.llama_server("numbers"), t.llama_server("words")]
    proxy = t.proxy(target, stock + [t.node("draft")], governor=False, max_draft_tokens=16)
    check_exact(t, proxy, target, [Case(p, temperature=0, max_tokens=80) for p in known(16)])
    found = drafters(proxy)
    t.note({u: {k: b[k] for k in ("kind", "drafted", "accepted", "offered", "wins")} for u, b in found.items()})
    for server in stock:
        t.check(found[server.url]["accepted"] > 0, "%s had nothing right" % server.url)


@test("one that adds nothing to the others rests; it is asked again when it is the only one left")
def _(t):
    good, liar = t.node("words"), t.own(FakeNode(target.info()))
    far = far_target(t, slots=4)
    proxy = t.proxy(far, [{"url": liar.url, "backend": "node"}, good], governor=True)

    def rests():
        for p in story_prompts(6, "rest %d" % proxy.settled()["requests_ok"]):
            chat(proxy.url, p, temperature=0, max_tokens=60)
        return drafters(proxy)[liar.url]["resting"]
    wait_until("the liar to rest", rests, 60)
    t.check(not drafters(proxy)[good.url]["resting"], "both rest")
    r = proxy.command("drafter-remove", name=[b["name"] for b in drafters(proxy).values() if b["url"] == good.url][0])
    t.check(r.status == 200, "drafter-remove: %r" % r.text)
    check_exact(t, proxy, target, [Case(p, temperature=0, max_tokens=40) for p in story_prompts(2, "rest")])
    t.check(not drafters(proxy)[liar.url]["resting"], "nobody is left, and it rests")


main()

"""Whatever drafts, and whatever happens to it or to the target in the middle of an answer, the text stays the target's."""
from exact import Case, check_exact, references
from fakes import FakeNode
from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")
N = 10 if SANITIZED else 40


def cases(name, n=N):
    return [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=150)
            for i, p in enumerate(prompts(n, name) + story_prompts(n // 4, name))]


def parts(proxy):
    return {k: proxy.status()[k] for k in ("rounds", "drafted", "accepted", "emitted", "draft_failures", "resumed")}


@test("a stock llama-server drafts")
def _(t):
    proxy = t.proxy(target, [t.llama_server("draft")], max_draft_tokens=8)
    check_exact(t, proxy, target, cases("llama-server"))
    s = proxy.status()
    t.note(parts(proxy))
    t.check(s["accepted"] > 0.3 * s["drafted"] > 0, "accepted %d of %d" % (s["accepted"], s["drafted"]))


@test("a drafter that returns random tokens")
def _(t):
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}])
    check_exact(t, proxy, target, cases("random", N // 2))
    s = proxy.status()
    t.note(parts(proxy))
    t.check(s["drafted"] > 0, "nothing was drafted")
    t.check(s["accepted"] < 0.05 * s["drafted"], "accepted %d of %d random tokens" % (s["accepted"], s["drafted"]))


@test("a drafter killed with -9 in the middle of answers, and restarted")
def _(t):
    drafter = t.node("draft")
    proxy = t.proxy(target, [drafter])
    todo = [c for c in cases("killed") if c.stream] * 2
    wanted, killed = references(target, todo), [0]

    def interrupt(a):
        if a.chunks == 2 and drafter.running():
            drafter.kill()
            killed[0] += 1

    for i, (c, w) in enumerate(zip(todo, wanted)):
        got = chat(proxy.url, c.prompt, stream=True, on_chunk=interrupt if i % 3 == 0 else None, **c.params)
        t.equal(got.key(), w.key(), "answer %d, drafter killed %d times" % (i, killed[0]))
        if i % 3 == 1 and not drafter.running():
            drafter.restart().ready()
    t.note("killed %d times; %r" % (killed[0], parts(proxy)))
    t.check(killed[0] >= 3, "the drafter was hardly ever killed")


@test("a drafter that comes back is used again")
def _(t):
    drafter = t.node("draft")
    proxy = t.proxy(target, [drafter])
    drafter.kill()
    chat(proxy.url, story_prompts(1, 1)[0], temperature=0)
    drafter.restart().ready()

    def drafted():
        before = proxy.status()["accepted"]
        chat(proxy.url, story_prompts(1, 2)[0], temperature=0)
        return proxy.status()["accepted"] > before
    wait_until("the restarted drafter to draft", drafted, 20)


@test("the target killed with -9 in the middle of an answer, and restarted: the answer is resumed")
def _(t):
    own = t.node("target")
    proxy = t.proxy(own, [t.node("draft")])
    for i, p in enumerate(story_prompts(4, "target")):
        want = chat(target.url, p, temperature=0.7 * (i % 2), seed=i)
        killed = []

        def interrupt(a):
            if a.chunks >= 2 and not killed:
                killed.append(len(a.text))
                own.restart()

        got = chat(proxy.url, p, stream=True, temperature=0.7 * (i % 2), seed=i, on_chunk=interrupt)
        t.check(killed, "the answer was over before the target could be killed")
        t.equal(got.key(), want.key(), "killed after %r characters" % killed)
        own.ready()
    t.note(parts(proxy))


@test("without any drafter the target's tokens are streamed as they are")
def _(t):
    proxy = t.proxy(target)
    check_exact(t, proxy, target, cases("alone"), clients=2)


@test("several drafters: when the first dies the next one drafts")
def _(t):
    first, second = t.node("small"), t.node("draft")
    proxy = t.proxy(target, [first, second])
    todo = cases("several", N // 2)
    wanted = check_exact(t, proxy, target, todo)
    first.kill()
    check_exact(t, proxy, target, todo, wanted=wanted)
    wait_until("the second drafter to draft", lambda: (
        chat(proxy.url, story_prompts(1, 3)[0], temperature=0),
        [b["drafted"] for b in proxy.status()["backends"] if b["url"] == second.url][0] > 0)[1], 20)


main()

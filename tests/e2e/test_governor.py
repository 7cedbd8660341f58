"""As configured by default the length of drafts follows what is measured: where drafting pays it is done, where it can't pay it
stops, and neither changes a byte of any answer."""
from exact import Case, check_exact
from fakes import FakeNode
from far_target import far_target
from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")


def cases(name, n):
    return [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=150)
            for i, p in enumerate(prompts(n, name) + story_prompts(n // 2, name))]


@test("a target over two workers behind a slow link: drafting pays")
def _(t):
    pool = far_target(t)
    t.note({k: pool.info()[k] for k in ("batch_invariant", "noise", "rpc")})
    on, off = t.proxy(pool, [t.node("draft")], governor=True), t.proxy(pool, max_draft_tokens=0)
    todo = [Case(p, temperature=0) for p in story_prompts(6, "pool")]
    seconds = {}
    for name, proxy in (("alone", off), ("drafted", on)):
        begun = time.monotonic()
        check_exact(t, proxy, target, todo)
        seconds[name] = time.monotonic() - begun
    s = on.settled()
    t.note("%r; %r" % (seconds, {k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "tokens_per_round")}))
    t.check(s["accepted"] > 0.5 * s["emitted"], "few tokens came from the drafter")


@test("a drafter that is always wrong is left alone soon")
def _(t):
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}], governor=True)
    check_exact(t, proxy, target, cases("wrong", 24))
    s = proxy.settled()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted")})
    t.less(s["rounds"], 6 * 36, "rounds of an always wrong drafter in 36 answers")


@test("a good drafter beside a fast target, killed and restarted, with four clients")
def _(t):
    drafter = t.node("draft")
    proxy = t.proxy(target, [drafter], governor=True)
    wanted = check_exact(t, proxy, target, cases("four", 20), clients=4)
    drafter.restart()
    check_exact(t, proxy, target, cases("four", 20), clients=4, wanted=wanted)


main()

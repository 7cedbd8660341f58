"""The promise: every answer through the proxy is byte for byte what the target alone writes with that seed, at any
temperature, streamed or not, with a long context, and beside other clients."""
from exact import Case, check_exact, references
from harness import *
from prompts import prompts, sized_chat, story_prompts

target = shared.node("target")
drafter = shared.node("draft")
proxy = shared.proxy(target, [drafter])
N = 40 if SANITIZED else 200


def temperature(value):
    cases = [Case(p, temperature=value, seed=1000 + i, max_tokens=120) for i, p in enumerate(prompts(N, value))]
    wanted = functools.cache(lambda: references(target, cases))

    @test("%d prompts at temperature %g, in one piece" % (N, value))
    def _(t):
        check_exact(t, proxy, target, cases, wanted=wanted())

    @test("%d prompts at temperature %g, streamed" % (N, value))
    def _(t):
        check_exact(t, proxy, target, cases, wanted=wanted(), stream=True)


for value in (0, 0.7, 1.0):
    temperature(value)


@test("the drafter did work for these answers")
def _(t):
    s = proxy.status()
    t.check(s["accepted"] > s["emitted"] * 0.3, "few tokens came from the drafter: %r" % {
        k: s[k] for k in ("rounds", "drafted", "accepted", "emitted")})


@test("contexts of 300 to 480 tokens, to the end of the context")
def _(t):
    cases = []
    for i in range(24):
        messages, n = sized_chat(target.url, i, 480)
        t.between(n, 300, 480, "length of the prompt")
        cases.append(Case(messages, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0))
    wanted = check_exact(t, proxy, target, cases)
    t.check(any(w.finish == "length" for w in wanted), "no answer reached the end of the context")


@test("four clients at once")
def _(t):
    cases = [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=160)
             for i, p in enumerate(prompts(N // 3, "four") + story_prompts(N // 8, "four"))]
    check_exact(t, proxy, target, cases, clients=4)


@test("max_tokens is exact")
def _(t):
    cases = [Case(p, temperature=0, max_tokens=n) for n, p in zip(range(1, 25), story_prompts(24, "max"))]
    for w in check_exact(t, proxy, target, cases):
        t.equal(w.finish, "length")


@test("a seed that the proxy chose and told gives the same answer again")
def _(t):
    for i, p in enumerate(prompts(6, "seedless")):
        first = chat(proxy.url, p, temperature=1, stream=i % 2 == 0, max_tokens=60)
        t.check(first.seed is not None, "no seed in %r" % first)
        t.equal(chat(target.url, p, temperature=1, seed=first.seed, max_tokens=60).key(), first.key())


main()

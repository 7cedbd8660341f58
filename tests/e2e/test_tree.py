"""Several drafters at once: their drafts go through the target as one tree, what one of them knows counts, and no answer is other than
the target's own, whatever happens to any of them."""
import random

from exact import Case, check_exact
from fakes import FakeNode
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


def backends(proxy):
    return {b["name"]: b for b in proxy.status()["backends"][1:]}


def per_pass(t, drafters, wanted, todo):
    """Tokens that a pass of the target brings where each may check 32 drafted ones, however many drafters there are."""
    proxy = t.proxy(target, drafters, governor=False, max_draft_tokens=32)
    before = target.counters()["decodes"]
    check_exact(t, proxy, target, todo, wanted=wanted)
    s, passes = proxy.settled(), target.counters()["decodes"] - before
    t.note("%.2f tokens a pass; %r" % (s["emitted"] / passes, {n: {k: b[k] for k in ("drafted", "accepted", "offered", "wins")}
                                                                for n, b in backends(proxy).items()}))
    return s["emitted"] / passes


@test("two who know half each: twice the tokens a round of the better one alone, at as many tokens verified")
def _(t):
    numbers, words = t.node("numbers"), t.node("words")
    todo = [Case(p, temperature=0, max_tokens=150) for p in known(N // 2)]
    wanted = check_exact(t, t.proxy(target), target, todo)
    alone = [per_pass(t, [d], wanted, todo) for d in (numbers, words)]
    both = per_pass(t, [numbers, words], wanted, todo)
    t.check(both >= 2 * max(alone), "%.2f tokens a pass together, %r alone" % (both, alone))


main()

"""The text itself as the drafter: what quotes its prompt takes few passes, and no answer differs from the target's own."""
import random
import subprocess

from exact import Case, check_exact
from harness import *
from prompts import corpus, prompts, story_prompts

target = shared.node("target")
NGRAM = {"type": "ngram"}


def repeats(n, name):
    r = random.Random("repeat %s" % name)
    out = []
    while len(out) < n:
        p, text = corpus.repeat(r)
        if len(text) > 60:
            out.append(p)
    return out


@test("an n-gram drafter is configured without a server, and is up at once")
def _(t):
    p = t.proxy(target, [NGRAM])
    s = p.settled()
    t.check(s["speculating"], "it does not speculate: %s" % s["why_not"])
    d = [b for b in s["backends"] if b["role"] == "drafter"]
    t.check(len(d) == 1 and d[0]["kind"] == "ngram" and d[0]["health"] == "up" and not d[0]["url"], "drafter: %r" % d)
    shown = wait_until("the drafter's line", lambda: [x for x in p.lines if "✓ drafter" in x])
    t.check("ngram" in shown[0], shown[0])
    names = [m["id"] for m in get(p.url + "/v1/models").json()["data"]]
    t.check(not [n for n in names if n.endswith("@draft")], "it answers nothing by itself: %r" % names)
    r = post(p.url + "/v1/completions", {"model": names[0] + "@draft", "prompt": "x"})
    t.check(r.status == 404, "it answers: %r" % r)
    r = subprocess.run([os.path.join(BUILD, "tightwad"), "doctor", "--json", "-c", p.config], stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, timeout=60 * SLOWER)
    t.check("null)" not in r.stdout and "cannot-draft" not in r.stdout, "the doctor finds nothing wrong with it: %s" % r.stdout)


@test("what repeats its prompt is drafted from it")
def _(t):
    p = t.proxy(target, [NGRAM], max_draft_tokens=16)
    check_exact(t, p, target, [Case(x, temperature=0, max_tokens=150) for x in repeats(12, "greedy")])
    s = p.settled()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "tokens_per_round")})
    t.check(s["accepted"] > 0.7 * s["drafted"], "few of the drafted tokens are right")
    t.check(s["accepted"] > 0.7 * s["emitted"], "few tokens were drafted")


@test("other texts, sampled ones, several at once: the answers are the target's own")
def _(t):
    for governor in (False, True):
        p = t.proxy(target, [NGRAM], governor=governor)
        cases = [Case(x, temperature=(0.7, 1.0, 0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=120)
                 for i, x in enumerate(repeats(5, "sampled") + prompts(6, "ngram") + story_prompts(2, "ngram"))]
        check_exact(t, p, target, cases, clients=3)


@test("it is added to a running instance, and removed from it")
def _(t):
    p = t.proxy(target)
    r = p.command("drafter-add", type="ngram", save=True)
    t.check(r.status == 200, "drafter-add: %r" % r.text)
    wait_until("speculation", lambda: p.status()["speculating"])
    with open(p.config) as f:
        t.check("ngram" in f.read(), "it is not in the file")
    check_exact(t, p, target, [Case(x, temperature=0, max_tokens=100) for x in repeats(2, "added")])
    t.check(p.settled()["accepted"] > 0, "nothing was drafted")
    r = p.command("drafter-remove", name="ngram")
    t.check(r.status == 200, "drafter-remove: %r" % r.text)
    wait_until("it to be gone", lambda: not p.status()["speculating"])


main()

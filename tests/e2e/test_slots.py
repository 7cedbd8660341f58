"""An unmodified llama-server as the target: drafts are verified through its slots, and the text is what it would have written alone."""
from exact import Case, check_exact, references
from fakes import FakeNode
from harness import *
from prompts import prompts, story_prompts

# Without a unified cache and flash attention a pass of several slots has the same bits as one alone.
EXACT = ["--flash-attn", "off", "--no-kv-unified", "--cache-ram", "0"]
drafter = shared.node("small")


def server(t, slots=9, ctx=4608, args=EXACT):
    s = t.llama_server("target", slots=slots, ctx=ctx, args=args)
    s.backend = "llamacpp"
    return s


target = server(shared)


class Alone:
    """The same model and sampler without drafts: MODEL@target of a proxy."""

    def __init__(self, proxy):
        self.url, self.proxy = proxy.url, proxy

    def references(self, cases):
        return [c.ask(self.url, stream=False, model="target@target") for c in cases]


def checked(proxy):
    """The status once the server has been tried out in the background."""
    return wait_until("the target to be checked", lambda: (
        lambda s: s if s["exactness"] in ("byte for byte", "up to near-ties") else None)(proxy.status()), 20)


def greedy(n, name):
    return [Case(p, temperature=0, stream=i % 2 == 0, max_tokens=100)
            for i, p in enumerate(prompts(n, name) + story_prompts(n // 2, name))]


@test("greedy: its own text, with a good drafter and a random one")
def _(t):
    fake = t.own(FakeNode(drafter.info()))
    # A llama-server has no fingerprint to compare by: vocabularies are compared by what texts become.
    fake.routes[("POST", "/v1/node/tokenize")] = lambda body: (200, post(drafter.url + "/v1/node/tokenize", body).json())
    todo = greedy(14, "slots")
    wanted = references(target, todo)
    for name, d in (("small", drafter), ("random", {"url": fake.url, "backend": "node"})):
        n = len(todo) if name == "small" else 8
        proxy = t.proxy(target, [d], max_draft_tokens=8 if name == "small" else 3)
        wait_until("the drafter to be compared", lambda: proxy.status()["speculating"])
        check_exact(t, proxy, target, todo[:n], wanted=wanted[:n])
        s = proxy.settled()
        t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "exactness")})
        t.check(s["drafted"] > 100, "hardly anything was drafted")
        if name == "small":
            t.check(s["accepted"] > 0.5 * s["emitted"], "few tokens came from the drafter")
        proxy.stop()


@test("sampled: speculation changes nothing, whatever filters the candidates")
def _(t):
    proxy = t.proxy(target, [drafter], max_draft_tokens=8)
    some = [{}, {"top_k": 20}, {"top_p": 0.9}, {"min_p": 0.05}, {"frequency_penalty": 0.8}, {"top_k": 100, "top_p": 0.8},
            {"temperature": 1.3}, {"presence_penalty": -0.5}, {"logprobs": True, "top_logprobs": 3}]
    todo = [Case(p, **dict({"temperature": 0.7, "seed": i, "max_tokens": 60}, **some[i % len(some)]))
            for i, p in enumerate(prompts(12, "sampled") + story_prompts(6, "sampled"))]
    wanted = Alone(proxy).references(todo)
    check_exact(t, proxy, target, todo, wanted=wanted)
    t.check(proxy.settled()["accepted"] > 100, "hardly anything was drafted")
    t.check(len({w.text for w in wanted}) > 12, "the seeds do nothing")


@test("several clients share the slots")
def _(t):
    proxy = t.proxy(target, [drafter], max_draft_tokens=8)
    check_exact(t, proxy, target, greedy(12, "shared"), clients=4)


@test("stop strings, one token, and text of several bytes a character")
def _(t):
    proxy = t.proxy(target, [drafter], max_draft_tokens=8)
    p = story_prompts(1, "stop")[0]
    for params in ({"stop": [" the"]}, {"stop": ["\n", "."]}, {"max_tokens": 1}, {"max_tokens": 2}):
        c = Case(p, temperature=0, **dict({"max_tokens": 80}, **params))
        check_exact(t, proxy, target, [c])
    # A prompt that makes bytes above ASCII likely: forced by bias, one by one, they make up characters.
    ids = post(target.url + "/tokenize", {"content": "\U0001f600"}).json()["tokens"]
    t.check(len(ids) > 1, "the character is one token")
    bias = {str(i): 60 for i in ids}
    c = Case(p, temperature=0.8, seed=3, max_tokens=24, logit_bias=bias)
    check_exact(t, proxy, target, [c], wanted=Alone(proxy).references([c]))


@test("a client that goes away stops the server's work")
def _(t):
    proxy = t.proxy(target, [drafter], max_draft_tokens=4)
    chat(proxy.url, story_prompts(1, 4)[0], stream=True, on_chunk=lambda a: False)
    wait_until("nothing to be running", lambda: proxy.status()["running"] == 0, 5)
    wait_until("the slots to be idle", lambda: not any(
        s.get("is_processing") for s in get(target.url + "/slots").json()), 5)


@test("the server killed in the middle of an answer, and restarted: the answer goes on")
def _(t):
    own = server(t)
    proxy = t.proxy(own, [drafter], max_draft_tokens=4)
    for i, p in enumerate(story_prompts(2, "killed")):
        c = Case(p, temperature=0.7 * i, seed=i, max_tokens=100)
        want = Alone(proxy).references([c])[0]
        killed = []

        def interrupt(a):
            if a.chunks >= 2 and not killed:
                killed.append(len(a.text))
                own.restart()

        got = chat(proxy.url, p, stream=True, on_chunk=interrupt, **c.params)
        t.check(killed, "the answer was over before the server could be killed")
        t.equal(got.key(), want.key(), "killed after %r characters" % killed)
        own.ready()


@test("flags that are in the way are told; near ties are counted")
def _(t):
    one = server(t, slots=1)
    proxy = t.proxy(one, [drafter])
    s = proxy.status()
    t.check(not s["speculating"] and "--parallel" in s["why_not"], s["why_not"])
    proxy.stop()
    one.stop()
    good = t.proxy(target, [drafter])
    s = checked(good)
    t.equal(s["exactness"], "byte for byte")
    good.stop()
    loose = server(t, slots=4, args=["--kv-unified"])
    proxy = t.proxy(loose, [drafter], max_draft_tokens=8)
    s = checked(proxy)
    t.equal(s["exactness"], "up to near-ties")
    for words in ("--parallel 9", "--cache-ram 0"):
        t.check(words in s["exactness_note"], s["exactness_note"])
    todo = greedy(8, "ties")
    wrong = 0
    for c, w in zip(todo, references(loose, todo)):
        wrong += c.ask(proxy.url).key() != w.key()
    s = proxy.settled()
    t.note({"differ": wrong, "near_ties": s["near_ties"], "note": s["exactness_note"]})
    t.check(s["near_ties"] > 0 or wrong == 0, "answers differ and no near tie was counted")


@test("as configured by default a fast local server is left alone soon")
def _(t):
    proxy = t.proxy(target, [drafter], governor=True)
    todo = greedy(12, "governed")
    check_exact(t, proxy, target, todo)
    s = proxy.settled()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "governor")})


@test("without a drafter its own answers are passed on")
def _(t):
    proxy = t.proxy(target)
    check_exact(t, proxy, target, greedy(4, "passed on"))
    t.equal(proxy.status()["rounds"], 0)


main()

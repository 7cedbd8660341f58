"""Consensus is approximate and has to say how much: its rules, its audit, what it does when servers fail, and that exact
requests beside it notice nothing."""
import threading

from exact import Case, check_exact, references
from fake_ollama import FakeOllama
from fakes import FakeNode
from harness import *
from prompts import prompts, story_prompts
from questions import questions

target = shared.node("target")
drafters = {m: shared.node(m) for m in ("draft", "small", "mid", "words")}
TRIO = [drafters[m] for m in ("draft", "small", "mid")]
N = 8 if SANITIZED else 20
# What all but the smallest drafter know by heart; and such answers that are long.  A story, on the other hand, is a new one each
# time: its names are as likely as others, so drafters may well agree on one that the target would not have chosen.
KNOWN = [q for q, _ in questions(60)]
LONG = [q for q, a in questions(300) if len(a) > 60]


def consensus(scope, voters=TRIO, mode="strict", to=target, **options):
    """A proxy whose voters can vote."""
    proxy = scope.proxy(to, voters, consensus_mode=mode, **dict({"consensus_max_error": 1}, **options))
    wait_until("consensus to be in use", lambda: proxy.status()["consensus"]["why"] == "", 15)
    return proxy


def counted(proxy):
    return proxy.settled()["consensus"]


def ask(proxy, prompt, **params):
    return chat(proxy.url, prompt, **dict({"temperature": 0, "max_tokens": 150}, **params))


def asked(proxy, prompt, model=None):
    """One plain request and how it was served, by the headers."""
    body = {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": 40}
    r = post(proxy.url + "/v1/chat/completions", dict(body, model=model) if model else body)
    return r.headers.get("x-tightwad-mode"), r.headers.get("x-tightwad-exactness"), r.json()


def opened(prompt):
    """A session of the target on a prompt, greedy: its id and the prompt's tokens."""
    o = post(target.url + "/v1/node/session", {"sampling": {"temperature": 0}, "messages": [{"role": "user", "content": prompt}]}).json()
    return o["session"], o["tokens"]


def misses(prompt, text, n_tokens, ended):
    """What the target says of an answer, token by token behind those that were given: how many it would have drawn otherwise.  None
    where the answer's text does not tell its tokens."""
    tokens = post(target.url + "/v1/node/tokenize", {"text": text}).json()["tokens"] + ([639] if ended else [])
    if len(tokens) != n_tokens:
        return None
    session, path = opened(prompt)
    wrong, at = 0, 0
    while at < len(tokens):
        v = post(target.url + "/v1/node/verify", {"session": session, "keep": 0, "tokens": path + tokens[:at], "draft": tokens[at:]}).json()
        at += v["accepted"]
        if at < len(tokens):
            wrong += v["next"] != tokens[at]
            at += 1
    return wrong


@test("the text that is told for a token without the target is the one that the target's verify tells")
def _(t):
    info = target.info()
    n, told = info["n_vocab"], post(target.url + "/v1/node/detokenize", {"tokens": list(range(info["n_vocab"])), "special": False}).json()
    whole = post(target.url + "/v1/node/detokenize", {"tokens": list(range(n))}).json()
    t.check(len(told["pieces"]) == n and whole["pieces"] != told["pieces"], "special tokens have no text in an answer")
    client = Client(target.url)
    for token in range(0, n, 7 if SANITIZED else 1):
        sampling = {"temperature": 0, "logit_bias": [[token, 100]]}
        session = json.loads(client.request("POST", "/v1/node/session", {"sampling": sampling, "prompt": 1}).body)["session"]
        v = json.loads(client.request("POST", "/v1/node/verify", {"session": session, "keep": 0, "tokens": [65], "draft": []}).body)
        t.equal(v["next"], token)
        t.equal(v.get("eog", False), token in info["eog"])
        t.equal("" if token in info["eog"] else v["text"][0], told["pieces"][token] if token not in info["eog"] else "", "token %d" % token)
    client.close()


@test("strict: on what the drafters know, the target's own answers, most of it without the target")
def _(t):
    proxy = consensus(t)
    todo = KNOWN[:N]
    for stream in (False, True):
        for p in todo[:N if stream else 4]:
            want, got = ask(target, p), ask(proxy, p, stream=stream)
            t.equal(got.key(), want.key(), p)
    c = counted(proxy)
    t.note(c)
    t.check(c["accepted"] > c["fallback"] > 0, "little went out without the target")
    t.check(0 < c["skipped"] < c["windows"], "windows are counted")
    t.check(c["target_passes"] <= c["windows"] - c["skipped"], "a window takes one pass at most")
    s = proxy.status()
    t.equal(s["emitted"], c["accepted"] + c["fallback"], "every token is counted once")


@test("the three rules: the more they ask for, the more the target does; and each says that it is approximate")
def _(t):
    todo, shares = prompts(12, "rules"), {}
    for mode in ("any_disagree", "strict", "majority"):
        proxy = consensus(t, mode=mode)
        for p in todo:
            t.equal(ask(proxy, p).status, 200)
        c = counted(proxy)
        shares[mode] = c["accepted"] / (c["accepted"] + c["fallback"])
        kind, promise, body = asked(proxy, todo[0])
        t.equal((kind, promise), ("consensus", "approximate"))
        t.equal((c["mode"], c["suspended"]), (mode, False))
        proxy.stop()
    t.note(shares)
    t.check(shares["any_disagree"] < shares["strict"] < shares["majority"], shares)


@test("length, stop strings and the end of the context are those of the target alone")
def _(t):
    proxy = consensus(t)
    for params in ({"max_tokens": 1}, {"max_tokens": 7}, {"stop": ["+"]}, {"stop": ["wn", "9"]}, {"max_tokens": 0}):
        for p in KNOWN[:3]:
            t.equal(ask(proxy, p, **params).key(), ask(target, p, **params).key(), "%r %r" % (p, params))
    few = t.node("target", ctx=64)
    proxy, p = consensus(t, [drafters["mid"], drafters["small"]], to=few), LONG[0]
    got, want = ask(proxy, p), ask(few, p)
    t.equal(got.key(), want.key())
    t.equal(got.finish, "length")
    short = consensus(t, [t.node("mid", ctx=64), t.node("small", ctx=48)], consensus_window=4)
    t.equal(ask(short, p).key(), ask(target, p).key(), "the drafters' contexts end, the answer does not")
    c = counted(short)
    t.check(c["accepted"] > 8 and c["fallback"] > 20, c)
    short.wait_line("goes on exactly after .*: no drafter is left")


@test("drafters that draw with the target's noise agree at a temperature, too")
def _(t):
    proxy = consensus(t, [drafters["mid"], drafters["small"]])
    for i, p in enumerate(KNOWN[:N // 2]):
        t.equal(ask(proxy, p, temperature=0.8, seed=i, max_tokens=60).status, 200)
    c = counted(proxy)
    t.note(c)
    t.check(c["accepted"] > c["fallback"], "they hardly ever agreed")


@test("exact requests beside it stay exact")
def _(t):
    proxy = consensus(t, mode="majority", consensus_audit=0.5)
    todo = [Case(p, temperature=(0, 0.7)[i % 2], seed=i, stream=i % 3 == 0, max_tokens=80, model="target@exact")
            for i, p in enumerate(prompts(N, "beside"))]
    wanted = references(target, [Case(c.prompt, **dict(c.params, model="Demo target")) for c in todo])
    over, texts = threading.Event(), []

    def others():
        for i in range(1000):
            if over.is_set():
                return
            texts.append(ask(proxy, prompts(8, "others")[i % 8], max_tokens=60, model="target@consensus").status)

    crowd = [threading.Thread(target=others) for _ in range(2)]
    for th in crowd:
        th.start()
    try:
        check_exact(t, proxy, target, todo, clients=2, wanted=wanted)
    finally:
        over.set()
        for th in crowd:
            th.join()
    t.check(len(texts) > 4 and set(texts) == {200}, "answers by consensus beside them: %d" % len(texts))
    t.equal(asked(proxy, "What is 2 + 2?", "target@exact")[:2], ("exact", None))


@test("what can't be done by consensus is done exactly, and says so")
def _(t):
    proxy = consensus(t, mode="majority")
    p = prompts(3, "exactly")[2]
    want, got = ask(target, p, logprobs=True), ask(proxy, p, logprobs=True)
    t.equal(got.key(), want.key())
    t.equal(counted(proxy)["windows"], 0, "logprobs are the target's alone")
    alone = t.proxy(target, [drafters["mid"]], consensus_mode="strict")
    wait_until("the drafter to be used", lambda: alone.status()["speculating"])
    t.equal(asked(alone, p)[:2], ("exact", None))
    t.check("one drafter" in alone.status()["consensus"]["why"], "nobody votes alone: %r" % alone.status()["consensus"])
    t.equal(alone.command("consensus", mode="off").status, 200)
    t.equal(asked(alone, p)[0], "exact")


def compared(proxy, todo):
    """Asks and compares all answers from outside: tokens that went out without the target, and those that it would not have drawn."""
    wrong = 0
    for p in todo:
        got = ask(proxy, p)
        outside = misses(p, got.text, got.usage["completion_tokens"], got.finish == "stop")
        if outside is None:
            raise Failure("the text does not tell its tokens: %r" % got.text)
        wrong += outside
    return counted(proxy)["accepted"], wrong


@test("an audit of everything finds what a comparison from outside finds")
def _(t):
    proxy = consensus(t, mode="majority", consensus_audit=1)
    tokens, wrong = compared(proxy, story_prompts(N // 2, "audit"))
    c = wait_until("the audit", lambda: (lambda c: c if c["audited_tokens"] == tokens else None)(counted(proxy)), 30)
    t.note(c)
    t.equal(c["wrong_tokens"], wrong)
    t.check(wrong > 3 and 0 < c["wrong"] <= c["wrong_tokens"], "too little was wrong to compare")
    t.check(abs(c["error"] - wrong / tokens) < 1e-9 and c["error_low"] < c["error"] < c["error_high"], c)


@test("an audit of a part tells the share of wrong tokens within its interval")
def _(t):
    proxy = consensus(t, mode="majority", consensus_audit=0.3, consensus_window=4)
    tokens, wrong = compared(proxy, story_prompts(14, "estimate"))
    c = counted(proxy)
    t.note("truly %d of %d, %.4f; %r" % (wrong, tokens, wrong / tokens, c))
    t.between(c["audited_tokens"] / tokens, 0.2, 0.4, "the share that was audited")
    t.between(wrong / tokens, c["error_low"], c["error_high"], "the true share against the interval of the estimate")


class Liar(FakeNode):
    """Writes one and the same word for ever, as every other liar does."""

    def draft_tokens(self, session, path, n):
        return [300] * n


@test("too many errors switch back to exact, and the command lifts that")
def _(t):
    liars = [{"url": t.own(Liar(target.info(), seed=i)).url, "backend": "node"} for i in (1, 2)]
    proxy = consensus(t, liars, consensus_audit=1, consensus_max_error=0.02, max_tokens_limit=150)
    p = KNOWN[0]
    t.check(ask(proxy, p).text != ask(target, p).text, "two liars are believed")
    ask(proxy, p)
    c = wait_until("consensus to be suspended", lambda: (lambda c: c if c["suspended"] else None)(proxy.status()["consensus"]), 20)
    t.check("consensus_max_error" in c["why"] and c["error_low"] > 0.5 and c["wrong"] > 0, c)
    t.equal(asked(proxy, p)[:2], ("exact", None))
    t.equal(ask(proxy, p).key(), ask(target, p).key())
    proxy.wait_line("consensus is suspended")
    t.equal(proxy.command("consensus", mode="strict").status, 200)
    c = counted(proxy)
    t.equal((c["suspended"], c["audited"], c["windows"]), (False, 0, 0))
    t.equal(asked(proxy, p)[0], "consensus")


@test("a liar among three does no harm to strict, and is outvoted by the majority")
def _(t):
    todo = KNOWN[:N // 2]
    for mode in ("strict", "majority"):
        liar = {"url": t.own(Liar(target.info())).url, "backend": "node"}
        proxy = consensus(t, [liar, drafters["mid"], drafters["small"]], mode=mode)
        wait_until("the liar to be up", lambda: all(b["health"] == "up" for b in proxy.status()["backends"]))
        same = sum(ask(proxy, p).key() == ask(target, p).key() for p in todo)
        c = counted(proxy)
        t.note("%s: %d of %d, %r" % (mode, same, len(todo), c))
        if mode == "strict":
            t.equal((same, c["accepted"]), (len(todo), 0))
        else:
            t.check(same >= len(todo) - 1 and c["accepted"] > c["fallback"], "mid and small are two of three")
        proxy.stop()


def interrupted(proxy, prompt, do, at=2, **params):
    """An answer in the middle of which something is done, once."""
    done = []

    def now(a):
        if a.chunks == at and not done:
            done.append(do())

    got = ask(proxy, prompt, stream=True, on_chunk=now, **params)
    return got, bool(done)


@test("a drafter killed, stopped, and all of them killed in the middle of an answer: the answer is finished")
def _(t):
    own = [t.node(m) for m in ("small", "mid", "mid")]
    proxy = consensus(t, own, consensus_window=2, consensus_audit=1)
    p = LONG[:3]
    wanted = [ask(target, q).key() for q in p]
    got, done = interrupted(proxy, p[0], own[0].kill)
    t.equal((got.key(), done), (wanted[0], True), "two are left")
    own[0].restart().ready()
    wait_until("three voters", lambda: all(b["health"] == "up" for b in proxy.status()["backends"]), 15)
    begun = time.monotonic()
    got, done = interrupted(proxy, p[1], own[1].freeze)
    t.equal((got.key(), done), (wanted[1], True), "a silent one is no vote")
    t.less(time.monotonic() - begun, 8 * SLOWER, "seconds: it is not waited for again and again")
    own[1].thaw()
    got, done = interrupted(proxy, p[2], lambda: [d.kill() for d in own])
    t.equal((got.key(), done), (wanted[2], True), "nobody is left, the target goes on")
    t.equal(proxy.settled()["requests_failed"], 0)


@test("the target killed in the middle of an answer: it is not missed while the drafters agree, and waited for where they do not")
def _(t):
    own = t.node("target")
    wanted = [ask(target, p).key() for p in LONG[:2]]
    alike = consensus(t, [drafters["mid"], t.node("mid")], to=own, consensus_window=2, consensus_audit=0)
    ask(alike, LONG[0])  # so that the texts of its tokens are known
    got, done = interrupted(alike, LONG[0], own.kill)
    t.equal((got.key(), done), (wanted[0], True), "two of a kind agree on all of it")
    own.restart().ready()
    proxy = consensus(t, [drafters["mid"], drafters["draft"]], to=own, consensus_window=2)
    back = threading.Timer(1.5, lambda: own.restart().ready())

    def kill():
        own.kill()
        back.start()

    got, done = interrupted(proxy, LONG[1], kill)
    back.join()
    t.equal((got.key(), done), (wanted[1], True), "it goes on where it was")
    t.check(proxy.settled()["resumed"] >= 1, "it had to wait")


@test("a command in the middle of an answer: a drafter is removed, another rule holds, consensus is turned off")
def _(t):
    names = ["small", "mid", "more"]
    proxy = consensus(t, [{"url": drafters[m].url, "name": n, "backend": "node"} for n, m in zip(names, ("small", "mid", "draft"))],
                      consensus_window=2, consensus_audit=1)
    for p, (what, args) in zip(LONG[:3], (("drafter-remove", {"name": "more"}), ("consensus", {"mode": "majority"}), ("consensus", {"mode": "off"}))):
        replies = []
        got, done = interrupted(proxy, p, lambda: replies.append(proxy.command(what, **args).status))
        t.equal((got.key(), done, replies), (ask(target, p).key(), True, [200]), "%s %r" % (what, args))
    proxy.wait_line("goes on exactly")
    t.equal(asked(proxy, KNOWN[0])[0], "exact")
    proxy.options["consensus_mode"] = "majority"
    proxy.write_config()
    t.equal(proxy.command("reload").status, 200)
    wait_until("the file's mode to be in use", lambda: (proxy.status()["consensus"] or {}).get("mode") == "majority")


@test("drafters that know text only vote on what it becomes in the target's tokens")
def _(t):
    upstream = [t.llama_server("mid"), t.llama_server("small")]
    ollamas = [t.own(FakeOllama(upstream=u.url)) for u in upstream]
    proxy = consensus(t, ollamas)
    todo = KNOWN[:N // 4]
    same = sum(ask(proxy, p, max_tokens=60).text == ask(target, p, max_tokens=60).text for p in todo)
    c = counted(proxy)
    t.note("%d of %d, %r" % (same, len(todo), c))
    t.check(c["accepted"] > 0, "nothing was agreed on")
    t.check(same >= len(todo) - 1, "hardly an answer is the target's")


@test("a stock llama-server as the target tells no texts of tokens: they are learned from its verdicts")
def _(t):
    stock = t.llama_server("target", slots=9, ctx=4608, args=["--flash-attn", "off", "--no-kv-unified", "--cache-ram", "0"])
    stock.backend = "llamacpp"
    proxy = consensus(t, [drafters["mid"], drafters["small"]], to=stock)
    p = KNOWN[:3]
    wanted = [ask(target, q, max_tokens=60) for q in p]
    shares = []
    for _ in range(2):
        before = counted(proxy)
        for q, w in zip(p, wanted):
            t.equal(ask(proxy, q, max_tokens=60).text, w.text)
        c = counted(proxy)
        shares.append(c["accepted"] - before["accepted"])
    t.note("%r without the target; %r" % (shares, c))
    t.check(shares[1] > shares[0], "what was learned is not used")


main()

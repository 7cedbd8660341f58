"""A target that cannot verify answers by itself, through the proxy as it would directly; acceptance is then compared, and marked
as such."""
from harness import *
from prompts import prompts, story_prompts

target = shared.llama_server("target", slots=1)  # with more it would verify through them
PROMPTS = prompts(12, "plain") + story_prompts(3, "plain")


@test("llama-server as the target: its own text, streamed and not")
def _(t):
    proxy = t.proxy(target)
    for i, p in enumerate(PROMPTS):
        want = chat(target.url, p, temperature=0, max_tokens=100)
        got = chat(proxy.url, p, temperature=0, max_tokens=100, stream=i % 2 == 0)
        t.equal((got.text, got.finish), (want.text, want.finish), p)
        t.check(got.done and got.usage["completion_tokens"] > 0, got)
    s = proxy.status()
    t.check(not s["speculating"] and s["why_not"], "no reason for not speculating: %r" % s["why_not"])


@test("with a drafter beside it the text is the same, and acceptance is marked as compared")
def _(t):
    proxy = t.proxy(target, [t.node("draft")])
    for p in PROMPTS:
        want = chat(target.url, p, temperature=0, max_tokens=100)
        got = chat(proxy.url, p, temperature=0, max_tokens=100, stream=True)
        t.equal((got.text, got.finish), (want.text, want.finish), p)
    s = proxy.status()
    t.note({k: s[k] for k in ("speculating", "why_not", "acceptance_source", "drafted", "accepted", "acceptance")})
    if not s["speculating"]:
        t.check(s["why_not"], "no reason is given")
        t.equal(s["acceptance_source"], "compared")


@test("a client that goes away stops the server's work")
def _(t):
    proxy = t.proxy(target)
    chat(proxy.url, story_prompts(1, 4)[0], stream=True, on_chunk=lambda a: False)
    wait_until("the slots to be idle", lambda: not any(
        s.get("is_processing") for s in get(target.url + "/slots").json()), 3)
    wait_until("nothing to be running", lambda: proxy.status()["running"] == 0, 3)


@test("a plain target that dies ends the answer with an error, and is used again when it is back")
def _(t):
    own = t.llama_server("target")
    proxy = t.proxy(own, target_wait="2s")
    broken = []

    def kill(a):
        if not broken:
            broken.append(1)
            own.kill()
    a = chat(proxy.url, story_prompts(1, 4)[0], stream=True, temperature=0, on_chunk=kill)
    t.check(a.error or a.done, a)
    own.restart().ready()
    wait_until("it to be used again", lambda: chat(proxy.url, "Hi", temperature=0).status == 200, 20, every=0.2)


main()

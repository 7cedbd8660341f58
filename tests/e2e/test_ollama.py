"""Ollama on either side: a drafter that knows text only makes rounds faster and changes nothing; as a target its text
arrives as it wrote it."""
from exact import Case, check_exact
from fake_ollama import FakeOllama
from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")
upstream = shared.llama_server("draft")
N = 6 if SANITIZED else 16


@test("Ollama drafts text for a node: its tokens are the target's, its text changes nothing")
def _(t):
    ollama = t.own(FakeOllama(upstream=upstream.url))
    proxy = t.proxy(target, [ollama])
    check_exact(t, proxy, target, [Case(p, temperature=(0, 0.7)[i % 2], seed=i, stream=i % 2 == 0, max_tokens=120)
                                   for i, p in enumerate(prompts(N, "ollama") + story_prompts(N // 4, "ollama"))])
    s = proxy.status()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "draft_failures")})
    t.check(s["accepted"] > 2 * s["rounds"] > 0, "accepted %d of %d" % (s["accepted"], s["drafted"]))
    raw = [b for path, b in ollama.requests if path == "/api/generate"]
    t.check(raw and all(b["raw"] and b["options"]["temperature"] == 0 for b in raw), "drafts are raw and greedy")


@test("a model that Ollama does not have is named with its remedy")
def _(t):
    ollama = t.own(FakeOllama(upstream=upstream.url))
    proxy = t.proxy(target, [{"url": ollama.url, "backend": "ollama", "model_name": "qwen3:8b"}])
    wait_until("the reason to be shown", lambda: "ollama pull qwen3:8b" in json.dumps(proxy.status()), 10)
    check_exact(t, proxy, target, [Case("What is 2 + 2?", temperature=0)])


@test("Ollama as the target writes by itself")
def _(t):
    ollama = t.own(FakeOllama(upstream=upstream.url))
    proxy = t.proxy(ollama, [])
    for stream in (False, True):
        got = chat(proxy.url, "What is 2 + 2?", stream=stream, temperature=0, max_tokens=12)
        want = chat(upstream.url, "What is 2 + 2?", stream=stream, temperature=0, max_tokens=12)
        t.equal(got.status, 200)
        t.equal(got.text, want.text)
        t.check(got.done and not got.error, "the answer is whole")
    t.check(not proxy.status()["speculating"], "it cannot verify")


main()

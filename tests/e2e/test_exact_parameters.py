"""Every sampling parameter that is taken must give the target's own text: top_k, top_p, min_p, the penalties, logit_bias,
stop strings, logprobs, and prompts given as text or as tokens."""
from exact import Case, check_exact
from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")
drafter = shared.node("draft")
proxy = shared.proxy(target, [drafter])

PARAMETERS = {
    "top_k": {"temperature": 1.0, "top_k": 5},
    "top_p": {"temperature": 1.2, "top_p": 0.8},
    "min_p": {"temperature": 1.5, "min_p": 0.1},
    "repeat_penalty": {"temperature": 0.7, "repeat_penalty": 1.2, "repeat_last_n": 32},
    "frequency_penalty": {"temperature": 0.7, "frequency_penalty": 0.8},
    "presence_penalty": {"temperature": 0, "presence_penalty": 1.5},
    "logit_bias": {"temperature": 0.7, "logit_bias": {"300": 3, "301": -100, "302": 2.5}},
    "all together": {"temperature": 0.9, "top_k": 40, "top_p": 0.95, "min_p": 0.02, "repeat_penalty": 1.1,
                     "frequency_penalty": 0.3, "presence_penalty": -0.3, "logit_bias": {"310": 1}},
    "temperature 2": {"temperature": 2.0},
}


def parameters(name, params):
    @test(name)
    def _(t):
        cases = [Case(p, seed=i, stream=i % 2 == 0, max_tokens=80, **params)
                 for i, p in enumerate(prompts(8, name) + story_prompts(2, name))]
        check_exact(t, proxy, target, cases)


for name, params in PARAMETERS.items():
    parameters(name, params)


@test("stop strings across tokens and chunks")
def _(t):
    stops = ["the", " who lived", "n", ". ", "morning", "d a", ["xyz", "village", "harbour", "forest"], "😀"]
    cases = [Case(p, stop=s, temperature=0.7 * (i % 2), seed=i, stream=stream)
             for i, (p, s) in enumerate(zip(story_prompts(8, "stop"), stops)) for stream in (False, True)]
    for w, c in zip(check_exact(t, proxy, target, cases), cases):
        for s in c.params["stop"] if isinstance(c.params["stop"], list) else [c.params["stop"]]:
            t.check(s not in w.text, "%r stands in %r" % (s, w.text))


@test("characters are never cut, whatever is drawn")
def _(t):
    cases = [Case(p, temperature=2.0, seed=i, stream=i % 2 == 0, max_tokens=100)
             for i, p in enumerate(["日本語のテスト", "🙂🚀", "naïve café", "Größe"] * 4)]
    check_exact(t, proxy, target, cases)


@test("logprobs are the target's own")
def _(t):
    for i, p in enumerate(story_prompts(4, "logprobs") + prompts(4, "logprobs")):
        params = dict(temperature=0.8 * (i % 2), seed=i, max_tokens=50, logprobs=True, top_logprobs=3)
        want = chat(target.url, p, **params)
        t.equal(len(want.logprobs), want.usage["completion_tokens"] - (want.finish == "stop"), "entries of logprobs")
        for stream in (False, True):
            got = chat(proxy.url, p, stream=stream, **params)
            t.equal(got.key(), want.key())
            t.equal(got.logprobs, want.logprobs)


@test("completions: text and token prompts")
def _(t):
    for i, p in enumerate(prompts(10, "completions")):
        tokens = post(target.url + "/v1/node/tokenize", {"text": p, "special": True, "bos": True}).json()["tokens"]
        for prompt in (p, tokens):
            body = {"prompt": prompt, "temperature": 0.7 * (i % 2), "seed": i, "max_tokens": 40}
            want = complete(target.url, body, chat=False)
            for stream in (False, True):
                more = {"stream": stream}
                if stream:
                    more["stream_options"] = {"include_usage": True}
                got = complete(proxy.url, dict(body, **more), chat=False)
                t.equal(got.key(), want.key(), repr(prompt))


main()

"""The OpenAI endpoint of a node, which is the reference that exactness is measured against: chat and completions, streamed
and not, stop strings, limits, logprobs, echo, errors."""
from harness import *

node = shared.node("target", ctx=512, slots=4)
URL = node.url
STORY = "Tell me a story about a fox."


def completion(status=200, **body):
    r = post(URL + "/v1/completions", body)
    if r.status != status:
        raise Failure("%r: status %d, wanted %d: %s" % (body, r.status, status, r.text[:300]))
    return r.json()


def refused(t, path, body, status=400, param=None):
    r = post(URL + path, body)
    t.equal(r.status, status, "%s %r → %s" % (path, body, r.text[:200]))
    e = r.json()["error"]
    t.check(isinstance(e["message"], str) and e["message"] and "type" in e, e)
    if param:
        t.equal(e["param"], param, "%r" % body)
    return e


@test("the smoke test: What is 2 + 2? gets 4, streamed and not, with the real counts")
def _(t):
    a = chat(URL, "What is 2 + 2?", temperature=0)
    b = chat(URL, "What is 2 + 2?", stream=True, temperature=0)
    t.check("4" in a.text, a)
    t.equal(a.key(), b.key())
    t.equal((a.finish, b.done), ("stop", True))
    prompt = post(URL + "/v1/node/template", {"messages": [{"role": "user", "content": "What is 2 + 2?"}]}).json()
    for usage in (a.usage, b.usage):
        t.equal(usage["prompt_tokens"], len(prompt["tokens"]))
        t.equal(usage["total_tokens"], usage["prompt_tokens"] + usage["completion_tokens"])
    body = post(URL + "/v1/node/tokenize", {"text": a.text}).json()
    t.equal(a.usage["completion_tokens"], len(body["tokens"]) + 1, "the end token counts")


@test("streamed and whole answers are equal at every temperature; a seed repeats one, and the reply names it")
def _(t):
    for temperature in (0, 0.7, 1.0):
        a = chat(URL, STORY, temperature=temperature, seed=11)
        b = chat(URL, STORY, stream=True, temperature=temperature, seed=11)
        t.equal(a.key(), b.key(), "T=%g" % temperature)
        t.equal((a.seed, b.seed), (11, 11))
    a = chat(URL, STORY)
    t.check(isinstance(a.seed, int), "no seed in the reply")
    t.equal(chat(URL, STORY, seed=a.seed).key(), a.key())
    t.check(len({chat(URL, STORY, seed=i).text for i in range(4)}) > 1, "seeds change nothing")


@test("the shape of the stream is OpenAI's")
def _(t):
    with Stream(URL + "/v1/chat/completions", {"messages": [{"role": "user", "content": "Hi"}], "stream": True,
                                               "stream_options": {"include_usage": True}}) as s:
        t.equal(s.reply.getheader("Content-Type").split(";")[0], "text/event-stream")
        data = [d for _, d in s.events()]
    t.equal(data[-1], "[DONE]")
    chunks = [json.loads(d) for d in data[:-1]]
    t.equal(len({(c["id"], c["created"]) for c in chunks}), 1)
    t.equal({c["object"] for c in chunks}, {"chat.completion.chunk"})
    t.equal(chunks[0]["choices"][0]["delta"].get("role"), "assistant")
    t.equal(chunks[-1]["choices"], [])
    t.check(chunks[-1]["usage"]["completion_tokens"] > 0, chunks[-1])
    t.equal(chunks[-2]["choices"][0]["delta"], {})
    t.check(chunks[-2]["choices"][0]["finish_reason"] in ("stop", "length"), chunks[-2])


@test("max_tokens is exact and finishes with length; the context bounds what has no limit")
def _(t):
    for n in (1, 2, 17):
        for key in ("max_tokens", "max_completion_tokens"):
            a = chat(URL, STORY, temperature=0, **{key: n})
            t.equal((a.finish, a.usage["completion_tokens"]), ("length", n))
    eog = {str(e): -100 for e in node.info()["eog"]}
    a = chat(URL, STORY, temperature=0, logit_bias=eog)
    t.equal((a.finish, a.usage["total_tokens"]), ("length", 512))
    a = chat(URL, STORY, temperature=0, logit_bias=eog, max_tokens=5000)
    t.equal((a.finish, a.usage["total_tokens"]), ("length", 512))


@test("stop strings end the text before them, across tokens and chunks")
def _(t):
    whole = chat(URL, STORY, temperature=0).text
    for stop in (whole[20:23], whole[31:44], [whole[60:62], whole[45:52]], whole[5:6]):
        first = min(whole.find(x) for x in ([stop] if isinstance(stop, str) else stop))
        for stream in (False, True):
            a = chat(URL, STORY, stream=stream, temperature=0, stop=stop)
            t.equal((a.text, a.finish), (whole[:first], "stop"), "stop=%r stream=%r" % (stop, stream))


@test("completions take text and token ids; echo and logprobs cover the prompt")
def _(t):
    tokens = post(URL + "/v1/node/tokenize", {"text": "The capital of France is", "special": True, "bos": True}).json()["tokens"]
    a = completion(prompt="The capital of France is", max_tokens=8, temperature=0)
    b = completion(prompt=tokens, max_tokens=8, temperature=0)
    t.equal(a["choices"][0]["text"], b["choices"][0]["text"])
    t.equal(a["usage"]["prompt_tokens"], len(tokens))
    for n in (0, 1, 4):
        e = completion(prompt=tokens, max_tokens=n, temperature=0, echo=True, logprobs=3)
        lp = e["choices"][0]["logprobs"]
        t.equal({k: len(lp[k]) for k in ("tokens", "token_logprobs", "top_logprobs", "text_offset")},
                dict.fromkeys(("tokens", "token_logprobs", "top_logprobs", "text_offset"), len(tokens) + n))
        t.equal(lp["token_logprobs"][0], None)
        t.check(all(isinstance(x, float) and x <= 0 for x in lp["token_logprobs"][1:]), lp["token_logprobs"])
        t.check("The capital of France is" in e["choices"][0]["text"], e)
    e = completion(prompt="The capital of France is", max_tokens=8, temperature=0, echo=True)
    t.equal(e["choices"][0]["text"], "The capital of France is" + a["choices"][0]["text"])
    scored = post(URL + "/v1/node/session", {"sampling": {}, "prompt": len(tokens)}).json()["session"]
    s = post(URL + "/v1/node/score", {"session": scored, "keep": 1, "tokens": tokens[1:]}).status
    t.check(s in (200, 409), "score")
    ids = completion(prompt=tokens, max_tokens=1, temperature=0, echo=True, logprobs=1, return_tokens_as_token_ids=True)
    t.equal(ids["choices"][0]["logprobs"]["tokens"][:len(tokens)], ["token_id:%d" % i for i in tokens])


@test("echo gives the same log probabilities as generating the text did")
def _(t):
    tokens = post(URL + "/v1/node/tokenize", {"text": "Two and two", "special": True, "bos": True}).json()["tokens"]
    a = completion(prompt=tokens, max_tokens=12, temperature=0, logprobs=1, return_tokens_as_token_ids=True)
    lp = a["choices"][0]["logprobs"]
    made = [int(x.split(":")[1]) for x in lp["tokens"]]
    e = completion(prompt=tokens + made, max_tokens=0, temperature=0, echo=True, logprobs=1)["choices"][0]["logprobs"]
    for x, y in zip(lp["token_logprobs"], e["token_logprobs"][len(tokens):]):
        t.between(abs(x - y), 0, 1e-3, "log probability")


@test("chat logprobs: one entry a token, the alternatives asked for")
def _(t):
    for stream in (False, True):
        a = chat(URL, "What is 2 + 2?", stream=stream, temperature=0, logprobs=True, top_logprobs=3)
        t.between(len(a.logprobs), a.usage["completion_tokens"] - 1, a.usage["completion_tokens"])
        for e in a.logprobs:
            t.equal(len(e["top_logprobs"]), 3)
            t.equal(e["token"], e["top_logprobs"][0]["token"])
            t.equal(bytes(e["bytes"]).decode("utf-8", "replace"), e["token"])


@test("models, and the name that a request may use")
def _(t):
    o = get(URL + "/v1/models").json()
    name = o["data"][0]["id"]
    t.equal((o["object"], len(o["data"]), o["data"][0]["object"]), ("list", 1, "model"))
    t.equal(name, node.info()["model"])
    t.equal(chat(URL, "Hi", temperature=0, max_tokens=2, model=name).model, name)
    e = refused(t, "/v1/chat/completions", {"model": "gpt-nothing", "messages": [{"role": "user", "content": "x"}]}, 404)
    t.equal(e["code"], "model_not_found")


@test("a prompt that does not fit is a 400 that says so; one that just fits is answered")
def _(t):
    e = refused(t, "/v1/completions", {"prompt": [65] * 513})
    t.equal(e["code"], "context_length_exceeded")
    refused(t, "/v1/completions", {"prompt": [65] * 512})
    a = completion(prompt=[65] * 511, temperature=0)
    t.equal((a["choices"][0]["finish_reason"], a["usage"]["completion_tokens"]), ("length", 1))
    e = completion(prompt=[65] * 512, max_tokens=0, echo=True, logprobs=0)
    t.equal(len(e["choices"][0]["logprobs"]["tokens"]), 512)


@test("what would change the answer and is not supported is a 400 that names it")
def _(t):
    ask = {"messages": [{"role": "user", "content": "x"}]}
    for key, value in (("n", 2), ("tools", [{"type": "function"}]), ("response_format", {"type": "json_object"}),
                       ("temperature", "x"), ("temperature", -1), ("temperature", 1e300), ("top_p", 2), ("max_tokens", -5),
                       ("max_tokens", 1 << 62), ("max_tokens", "many"), ("stop", 5), ("stop", [""]), ("seed", "x"), ("seed", 1.5),
                       ("logit_bias", {"x": 1}), ("logit_bias", []), ("stream", "yes"), ("messages", "x"), ("messages", []),
                       ("messages", [{"role": "user"}]), ("messages", [{"role": 5, "content": "x"}]), ("top_logprobs", 50),
                       ("presence_penalty", 9), ("frequency_penalty", None.__class__.__name__)):
        refused(t, "/v1/chat/completions", dict(ask, **{key: value}), 400)
    for body in ({"prompt": 5}, {"prompt": [-1]}, {"prompt": [640]}, {"prompt": [1 << 40]}, {"prompt": [[1, 2], [3]]},
                 {"prompt": ["a", "b"]}, {"prompt": []}, {}, {"prompt": "x", "suffix": "y"}, {"prompt": "x", "best_of": 3}):
        refused(t, "/v1/completions", body)
    refused(t, "/v1/chat/completions", dict(ask, logit_bias={"640": 1}))
    for raw_body in (b"", b"{", b"[]", b"[" * 10000, b'{"messages":"\xff"}'):
        refused(t, "/v1/chat/completions", raw_body)
    t.equal(chat(URL, "Hi", user="me", metadata={}, store=False, temperature=0, max_tokens=1).status, 200)


@test("a role that the template does not know is not dropped silently")
def _(t):
    a = chat(URL, [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "What is 2 + 2?"}], temperature=0)
    t.equal(a.status, 200)


@test("text is never cut inside a character, whatever the chunks")
def _(t):
    for seed in range(6):
        a = chat(URL, "Repeat: naïve 日本 🦊 ok", stream=True, temperature=1.4, seed=seed, max_tokens=60)
        b = chat(URL, "Repeat: naïve 日本 🦊 ok", temperature=1.4, seed=seed, max_tokens=60)
        t.equal(a.key(), b.key())


@test("a client that goes away stops the work at once")
def _(t):
    eog = {str(e): -100 for e in node.info()["eog"]}
    with Stream(URL + "/v1/chat/completions", {"messages": [{"role": "user", "content": STORY}], "stream": True,
                                               "temperature": 0, "logit_bias": eog}) as s:
        next(s.events())
    time.sleep(0.1)
    first = node.counters()["generated"]
    time.sleep(0.2)
    t.equal(node.counters()["generated"], first)


@test("a reader that does not read is waited for, and gets all of it in the end")
def _(t):
    # A context far beyond what the model was trained with: the text is nonsense, but more than the kernel's buffers hold.
    own = t.node("draft", ctx=4000, slots=1)
    eog = {str(e): -100 for e in own.info()["eog"]}
    body = json.dumps({"messages": [{"role": "user", "content": STORY}], "stream": True, "temperature": 0, "logit_bias": eog,
                       "logprobs": True, "top_logprobs": 20}).encode()
    with socket.socket() as c:
        c.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        c.connect(("127.0.0.1", own.port))
        c.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body)

        def held():
            made = own.counters()["generated"]
            time.sleep(0.3 * SLOWER)
            return made > 0 and own.counters()["generated"] == made
        wait_until("the generation to be held", held)
        t.less(own.counters()["generated"], 3500, "tokens made for nobody")
        t.note("held after %d tokens" % own.counters()["generated"])
        got, part = b"", c.recv(65536)
        while part:
            got += part
            part = c.recv(65536)
    t.check(b"data: [DONE]" in got, got[-200:])
    t.check(b'"finish_reason":"length"' in got, got[-400:])
    t.equal(got.count(b'"top_logprobs":['), own.counters()["generated"])


@test("forty streams at once all end well, and equal to one at a time")
def _(t):
    prompts = ["What is %d + %d?" % (a, a + 3) for a in range(10)]
    alone = [chat(URL, p, temperature=0.7, seed=9).key() for p in prompts]
    for _ in range(2):
        got = in_parallel([lambda p=p: chat(URL, p, stream=True, temperature=0.7, seed=9).key() for p in prompts * 2])
        t.equal(got, alone * 2)


main()

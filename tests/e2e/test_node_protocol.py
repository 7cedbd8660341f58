"""The node's own protocol (doc/node-protocol.md): every call, malformed input, supersede, lost sessions, and that verify,
generate and the OpenAI endpoint of one node write the same tokens."""
import json
import time

from harness import *

node = shared.node("target", ctx=512, slots=4)
URL = node.url


def call(name, body, status=200):
    r = post(URL + "/v1/node/" + name, body)
    if r.status != status:
        raise Failure("%s %s: status %d, wanted %d: %s" % (name, json.dumps(body)[:200], r.status, status, r.text[:300]))
    return r.json()


def tokens_of(text):
    return call("tokenize", {"text": text, "special": True, "bos": True})["tokens"]


def open_chat(prompt, **sampling):
    o = call("session", {"sampling": sampling, "messages": [{"role": "user", "content": prompt}]})
    return o["session"], o["tokens"]


def generate(session, keep, tokens, n, **more):
    """All lines of one generate call."""
    with Stream(URL + "/v1/node/generate", dict(more, session=session, keep=keep, tokens=tokens, n=n)) as s:
        if s.status != 200:
            raise Failure("generate: %d %s" % (s.status, s.reply.read()))
        return [json.loads(line) for line in s.lines() if line]


def generated(lines):
    return [t for line in lines[:-1] for t in line["t"]]


def piece_bytes(piece):
    return bytes(piece) if isinstance(piece, list) else piece.encode()


def error_of(o):
    e = o["error"]
    if not (isinstance(e["message"], str) and len(e["message"]) > 8 and isinstance(e["type"], str)):
        raise Failure("not an OpenAI error object: %r" % o)
    return e


@test("health and /v1/node say what the node is")
def _(t):
    t.equal(get(URL + "/health").json(), {"status": "ok"})
    o = get(URL + "/v1/node").json()
    for key in ("protocol version llama model path architecture description fingerprint n_vocab n_ctx n_ctx_train slots "
                "threads devices rpc rollback batch_invariant noise selftest eog bos add_bos chat_template counters "
                "uptime_ms").split():
        t.check(key in o, "no %s in /v1/node" % key)
    t.equal((o["protocol"], o["n_vocab"], o["n_ctx"], o["slots"], o["architecture"]), (1, 640, 512, 4, "llama"))
    t.check(re.fullmatch("[0-9a-f]{64}", o["fingerprint"]), "the fingerprint is no SHA-256")
    t.check(o["batch_invariant"] is True and o["noise"] == 0, "the demo target is byte for byte on a CPU: %r" % o["selftest"])
    for key in "decodes tokens batches drafted verified generated sessions evictions requests jobs_shared".split():
        t.check(isinstance(o["counters"][key], int), "no counter " + key)


@test("the fingerprint of a prefix of the vocabulary is computed as documented")
def _(t):
    import hashlib
    full = get(URL + "/v1/node").json()
    with open(os.path.join(MODELS, "vocab.json")) as f:
        words = json.load(f)["tokens"]
    for n in (1, 100, 640):
        h = hashlib.sha256()
        for w in words[:n]:
            h.update(len(w.encode()).to_bytes(4, "little") + w.encode())
        o = get(URL + "/v1/node/vocab?n=%d" % n).json()
        t.equal(o, {"n": n, "fingerprint": h.hexdigest()})
    t.equal(o["fingerprint"], full["fingerprint"])
    for bad in ("", "?n=0", "?n=-1", "?n=641", "?n=x", "?n=99999999999999999999"):
        t.equal(get(URL + "/v1/node/vocab" + bad).status, 400, "vocab" + bad)


@test("tokenize, detokenize and template")
def _(t):
    for text in ("What is 2 + 2?", "", "naïve – 日本語 🦊", "a\nb\tc", "x" * 500):
        o = call("tokenize", {"text": text})
        back = call("detokenize", {"tokens": o["tokens"]})
        t.equal(piece_bytes(back["text"]).decode(), text)
        t.equal(b"".join(map(piece_bytes, back["pieces"])).decode(), text)
    plain = call("tokenize", {"text": "<|im_end|>"})["tokens"]
    special = call("tokenize", {"text": "<|im_end|>", "special": True})["tokens"]
    t.equal(len(special), 1)
    t.check(len(plain) > 1, "special tokens are parsed only when asked for")
    t.equal(call("detokenize", {"tokens": special})["text"], "<|im_end|>")
    fox = call("tokenize", {"text": "🦊"})["tokens"]
    pieces = call("detokenize", {"tokens": fox})["pieces"]
    t.check(any(isinstance(p, list) for p in pieces), "part of a character is an array of bytes: %r" % pieces)
    o = call("template", {"messages": [{"role": "user", "content": "Hi"}]})
    t.equal(o["text"], "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n")
    t.equal(o["tokens"], tokens_of(o["text"]))


@test("a session opens with a count, a text or messages")
def _(t):
    s, tokens = open_chat("What is 2 + 2?", temperature=0)
    t.equal(tokens, call("template", {"messages": [{"role": "user", "content": "What is 2 + 2?"}]})["tokens"])
    o = call("session", {"sampling": {}, "text": "One two"})
    t.equal(o["tokens"], tokens_of("One two"))
    o = call("session", {"sampling": {"temperature": 0.5, "seed": 7}, "prompt": 5})
    t.equal(list(o), ["session"])
    t.check(o["session"] != s, "ids are not used twice")


@test("draft and verify agree with generate at temperature 0, 0.7 and 1")
def _(t):
    for temperature in (0, 0.7, 1.0):
        for seed, prompt in ((1, "What is 12 + 7?"), (2, "Tell me a story about a fox."), (3, "Count from 3 to 9.")):
            sampling = {"temperature": temperature, "seed": seed}
            s, prompt_tokens = open_chat(prompt, **sampling)
            alone = generated(generate(s, 0, prompt_tokens, 60))
            for k in (0, 1, 5, 16):
                s2 = call("session", {"sampling": sampling, "prompt": len(prompt_tokens)})["session"]
                path, new, got = 0, list(prompt_tokens), []
                while len(got) < len(alone):
                    # A wrong token in the middle of the draft must be refused.
                    draft = alone[len(got):len(got) + k]
                    if len(draft) > 2 and len(got) % 2:
                        draft[2] = (draft[2] + 1) % 640
                    v = call("verify", {"session": s2, "keep": path, "tokens": new, "draft": draft})
                    t.equal(len(v["text"]), v["accepted"] + 1)
                    got += draft[:v["accepted"]] + [v["next"]]
                    path += len(new) + v["accepted"]
                    new = [v["next"]]
                    if v.get("eog"):
                        break
                t.equal(got[:len(alone)], alone, "T=%g K=%d %s" % (temperature, k, prompt))


@test("a node drafts its own continuation, with probabilities")
def _(t):
    s, prompt = open_chat("What is the capital of France?", temperature=0)
    alone = generated(generate(s, 0, prompt, 40))
    d = call("draft", {"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 40, "p_min": 0.0})
    t.equal(d["tokens"], alone)
    t.equal(len(d["probs"]), len(d["tokens"]))
    t.check(all(0 < p <= 1 for p in d["probs"]), "probs %r" % d["probs"])
    t.check(d["tokens"][-1] in node.info()["eog"], "the end of generation is the last token of a draft")
    d = call("draft", {"session": s, "epoch": 2, "keep": len(prompt), "tokens": [], "n": 3})
    t.equal(d["tokens"], alone[:3])
    d = call("draft", {"session": s, "epoch": 3, "keep": len(prompt), "tokens": alone[:2], "n": 4})
    t.equal(d["tokens"], alone[2:6])
    none = call("draft", {"session": s, "epoch": 4, "keep": len(prompt), "tokens": [], "n": 0})
    t.equal(none["tokens"], [])


@test("p_min ends a draft")
def _(t):
    s, prompt = open_chat("Tell me a story about a fox.", temperature=0)
    d = call("draft", {"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 100})
    low = [i for i, p in enumerate(d["probs"]) if p < 0.9]
    t.check(low, "no uncertain token in a story")
    e = call("draft", {"session": s, "epoch": 2, "keep": len(prompt), "tokens": [], "n": 100, "p_min": 0.9})
    t.between(len(e["tokens"]), low[0], low[0] + 1, "length of the draft")


@test("a newer epoch ends a running draft, which answers with what it has")
def _(t):
    s, prompt = open_chat("Tell me a story about a bear.", temperature=1.5, seed=5)
    call("draft", {"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 1})
    begun = time.monotonic()
    seen = {}

    def long():
        # A bias against the end keeps it going.
        seen["long"] = call("draft", {"session": s2, "epoch": 2, "keep": 0, "tokens": prompt, "n": 400})
        seen["long_at"] = time.monotonic() - begun

    def short():
        time.sleep(0.05)
        seen["short"] = call("draft", {"session": s2, "epoch": 3, "keep": len(prompt), "tokens": [], "n": 2})
        seen["short_at"] = time.monotonic() - begun

    eog = node.info()["eog"]
    s2 = call("session", {"sampling": {"temperature": 1, "seed": 3, "logit_bias": [[e, -100] for e in eog]},
                          "prompt": len(prompt)})["session"]
    whole = call("draft", {"session": s2, "epoch": 1, "keep": 0, "tokens": prompt, "n": 400})["tokens"]
    t.equal(len(whole), 400)
    in_parallel([long, short])
    t.check(0 <= len(seen["long"]["tokens"]) < 400, "the older draft went on to its end")
    t.equal(seen["long"]["tokens"], whole[:len(seen["long"]["tokens"])])
    t.equal(seen["short"]["tokens"], whole[:2])


@test("generate streams, stops at n, at the end of generation and of the context")
def _(t):
    s, prompt = open_chat("What is the capital of Norway?", temperature=0)
    lines = generate(s, 0, prompt, 3)
    t.equal(len(generated(lines)), 3)
    t.equal(lines[-1], {"done": True, "n": 3, "reason": "n"})
    lines = generate(s, len(prompt), [], 100)
    t.equal(lines[-1]["reason"], "eog")
    t.check(lines[-2].get("eog") is True, "the last tokens say eog")
    text = b"".join(piece_bytes(p) for line in lines[:-1] for p in line["s"])
    t.check(b"Oslo" in text, text)
    eog = node.info()["eog"]
    s2 = call("session", {"sampling": {"temperature": 0, "logit_bias": [[e, -100] for e in eog]}, "prompt": len(prompt)})
    lines = generate(s2["session"], 0, prompt, 5000)
    t.equal(lines[-1]["reason"], "ctx")
    t.equal(len(prompt) + lines[-1]["n"], 512, "the context is used to its end")


@test("verify with logprobs, score, and generate with logprobs say the same")
def _(t):
    s, prompt = open_chat("What is 2 + 2?", temperature=0)
    lines = generate(s, 0, prompt, 30, logprobs=2)
    alone = generated(lines)
    flat = [p for line in lines[:-1] for p in line["p"]]
    t.equal(len(flat), len(alone))
    v = call("verify", {"session": s, "keep": 0, "tokens": prompt, "draft": alone[:-1], "logprobs": 2})
    t.equal((v["accepted"], v["next"], v.get("eog")), (len(alone) - 1, alone[-1], True))
    t.equal(len(v["logprobs"]), len(alone))
    for i, e in enumerate(v["logprobs"]):
        t.equal(len(e["top"]), 2)
        t.equal(e["top"][0][0], alone[i], "greedy takes the most likely")
        t.between(abs(e["logprob"] - e["top"][0][1]), 0, 1e-9)
        t.equal(e, flat[i])
    t.check(v["margin"] > 0, "margin %r" % v["margin"])
    sc = call("score", {"session": s, "keep": len(prompt), "tokens": alone})
    t.equal(len(sc["logprobs"]), len(alone))
    for a, b, gap in zip(sc["logprobs"], v["logprobs"], sc["gaps"]):
        t.between(abs(a - b["logprob"]), 0, 2e-3, "score differs from verify")
    last = call("score", {"session": s, "keep": 0, "tokens": prompt + alone, "n": 2})
    t.equal([len(last["logprobs"]), len(last["gaps"])], [2, 2], "the last two alone")
    for a, b in zip(last["logprobs"], sc["logprobs"][-2:]):
        t.between(abs(a - b), 0, 2e-3, "the last two differ")
        t.equal(gap, 0)


@test("an unknown session and a keep beyond its path are 409 with what is left; the path outlives its slot")
def _(t):
    o = call("verify", {"session": 1 << 40, "keep": 0, "tokens": [1], "draft": []}, 409)
    t.equal((error_of(o)["code"], o["have"]), ("session_lost", 0))
    s, prompt = open_chat("What is 2 + 2?", temperature=0)
    alone = generated(generate(s, 0, prompt, 5))
    o = call("verify", {"session": s, "keep": 100, "tokens": [1], "draft": []}, 409)
    t.equal(error_of(o)["code"], "session_lost")
    t.between(o["have"], len(prompt), len(prompt) + 5)
    # Other sessions take every slot; the path is still known.
    for i in range(8):
        s2, p2 = open_chat("Tell me a story about a %s." % ["fox", "bear", "owl", "cat", "dog", "frog", "horse", "duck"][i],
                           temperature=0)
        generate(s2, 0, p2, 4)
    t.check(node.counters()["evictions"] > 0, "no slot was taken over")
    v = call("verify", {"session": s, "keep": len(prompt), "tokens": [], "draft": alone[:4]})
    t.equal((v["accepted"], v["next"]), (4, alone[4]))


@test("one verify is one decode, whatever the length of the draft")
def _(t):
    s, prompt = open_chat("Count from 1 to 20.", temperature=0)
    alone = generated(generate(s, 0, prompt, 40))
    for k in (0, 1, 16, 32):
        call("verify", {"session": s, "keep": 0, "tokens": prompt, "draft": []})
        before = node.counters()
        call("verify", {"session": s, "keep": len(prompt), "tokens": alone[:1], "draft": alone[1:1 + k]})
        after = node.counters()
        t.equal((after["decodes"] - before["decodes"], after["tokens"] - before["tokens"]), (1, 1 + k), "K=%d" % k)


@test("requests at once share decodes")
def _(t):
    before = node.counters()
    answers = in_parallel([lambda i=i: chat(URL, "Tell me a story about a %s." % "fox bear owl cat".split()[i],
                                            temperature=0) for i in range(4)])
    after = node.counters()
    t.check(all(a.status == 200 for a in answers), answers)
    t.check(after["batches"] > before["batches"], "no decode carried two sessions")
    total = sum(a.usage["completion_tokens"] for a in answers)
    t.less(after["decodes"] - before["decodes"], total, "decodes for %d tokens" % total)


@test("what does not fit the context is a 400 that names the context")
def _(t):
    s = call("session", {"sampling": {}, "prompt": 600})["session"]
    for name, body in (("verify", {"keep": 0, "tokens": [65] * 600, "draft": []}),
                       ("verify", {"keep": 0, "tokens": [65] * 500, "draft": [65] * 50}),
                       ("draft", {"epoch": 1, "keep": 0, "tokens": [65] * 600, "n": 4}),
                       ("score", {"keep": 0, "tokens": [65] * 600}),
                       ("generate", {"keep": 0, "tokens": [65] * 600, "n": 4})):
        o = call(name, dict(body, session=s), 400)
        t.equal((error_of(o)["code"], o["n_ctx"]), ("context_full", 512), name)


@test("wrong types, ranges, keys and absurd numbers are each a 400 with a message")
def _(t):
    s = call("session", {"sampling": {}, "prompt": 1})["session"]
    good = {"session": s, "keep": 0, "tokens": [65], "draft": [66], "epoch": 1, "n": 1}
    wrong = {"session": ["x", None, 1.5, -1, [], {}, True, 1e300], "keep": ["0", -1, 0.5, 1 << 40, 1e300, []],
             "tokens": ["x", [-1], [640], [1 << 31], [1e9], [0.5], [None], [[1]], {}, 5, [True]],
             "draft": ["x", [-1], [640], [1 << 60], {}, 7], "epoch": ["x", -1, 1.5, []],
             "n": ["x", -1, 1.5, 1 << 60, [], {}], "logprobs": ["x", -1, 21, 1.5, []], "p_min": ["x", -0.1, 1.1, []]}
    fields = {"draft": "session keep tokens epoch n p_min", "verify": "session keep tokens draft logprobs",
              "score": "session keep tokens n", "generate": "session keep tokens n logprobs"}
    for name, keys in fields.items():
        for key in keys.split():
            for value in wrong[key]:
                body = {k: v for k, v in good.items() if k in keys.split()}
                body[key] = value
                o = call(name, body, 400)
                t.check(key in error_of(o)["message"], "%s %s=%r: %s" % (name, key, value, o))
        o = call(name, dict({k: v for k, v in good.items() if k in keys.split()}, wat=1), 400)
        t.check("wat" in error_of(o)["message"], o)
        for key in keys.split():
            if key not in ("logprobs", "p_min") and (name, key) != ("score", "n"):
                body = {k: v for k, v in good.items() if k in keys.split() and k != key}
                if key != "draft":
                    call(name, body, 400)
    for body in (b"", b"{", b"[]", b"null", b"17", b'{"a":1', b"\xff\xfe", b'{"session":"\xff"}', b"[" * 10000,
                 b'{"session":1,"session":2}', b'{"a":"\\u0000"}', b"{}garbage"):
        for name in "session draft verify score generate tokenize detokenize template".split():
            error_of(call(name, body, 400))
    for body in ({"sampling": 5}, {"sampling": {"temperature": "x"}, "prompt": 1}, {"sampling": {"temperature": -1}, "prompt": 1},
                 {"sampling": {"wat": 1}, "prompt": 1}, {"prompt": -1}, {"prompt": "x"}, {"prompt": 1, "text": "x"},
                 {"messages": []}, {"messages": [1]}, {"messages": [{"role": "user"}]}, {"messages": "x"}, {"text": 5},
                 {"sampling": {"seed": 1.5}, "prompt": 1}, {"sampling": {"logit_bias": [["x", 1]]}, "prompt": 1}, {}):
        error_of(call("session", body, 400))
    for body in ({}, {"text": 5}, {"text": "x", "special": 1}, {"text": "x", "bos": "y"}, {"text": "x", "wat": 1}):
        error_of(call("tokenize", body, 400))
    for body in ({}, {"tokens": 5}, {"tokens": [640]}, {"tokens": [-1]}, {"tokens": ["x"]}):
        error_of(call("detokenize", body, 400))
    call("verify", {"session": s, "keep": 0, "tokens": [], "draft": []}, 400)
    t.equal(get(URL + "/health").status, 200)


@test("unknown paths are 404, other methods 405, a huge body 413")
def _(t):
    t.equal(get(URL + "/v1/nothing").status, 404)
    t.equal(get(URL + "/v1/node/verify").status, 405)
    t.equal(post(URL + "/v1/node", {}).status, 405)
    r = raw(node.port, b"POST /v1/node/verify HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999\r\n\r\n")
    t.check(b" 413 " in r.split(b"\r\n")[0], r[:100])


@test("a client that goes away stops its generate at once")
def _(t):
    eog = node.info()["eog"]
    s = call("session", {"sampling": {"temperature": 0, "logit_bias": [[e, -100] for e in eog]}, "prompt": 3})["session"]
    before = node.counters()["generated"]
    with Stream(URL + "/v1/node/generate", {"session": s, "keep": 0, "tokens": [65, 66, 67], "n": 400}) as stream:
        next(stream.lines())
    time.sleep(0.1)
    first = node.counters()["generated"]
    time.sleep(0.2)
    t.equal(node.counters()["generated"], first, "still generating after the client went away")
    t.less(first - before, 400, "all of it was generated")
    # The session can be used at once, whatever state the broken one left.
    call("verify", {"session": s, "keep": 0, "tokens": [65, 66, 67], "draft": []})


@test("a client that goes away before the reply leaves nothing behind")
def _(t):
    s, prompt = open_chat("Tell me a story about an owl.", temperature=0)
    body = json.dumps({"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 400}).encode()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", node.port)) as c:
            c.sendall(b"POST /v1/node/draft HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
    v = call("verify", {"session": s, "keep": 0, "tokens": prompt, "draft": []})
    t.check(isinstance(v["next"], int), v)


@test("a restarted node does not know the sessions of its former life, and answers the same")
def _(t):
    own = t.node("draft", ctx=256, slots=2)
    base = own.url + "/v1/node/"
    ask = {"sampling": {"temperature": 0.8, "seed": 4}, "messages": [{"role": "user", "content": "What is 2 + 2?"}]}
    o = post(base + "session", ask).json()
    v = post(base + "verify", {"session": o["session"], "keep": 0, "tokens": o["tokens"], "draft": []}).json()
    own.restart().ready()
    r = post(base + "verify", {"session": o["session"], "keep": len(o["tokens"]), "tokens": [v["next"]], "draft": []})
    t.equal((r.status, r.json()["have"]), (409, 0))
    p = post(base + "session", ask).json()
    w = post(base + "verify", {"session": p["session"], "keep": 0, "tokens": p["tokens"], "draft": []}).json()
    t.equal(w, v)


@test("the examples of doc/node-protocol.md are what a node says")
def _(t):
    with open(os.path.join(SOURCE, "doc", "node-protocol.md")) as f:
        blocks = re.findall(r"^```\n((?:GET|POST) /.*?)^```", f.read(), re.M | re.S)
    own = t.node("target", ctx=512, slots=4)
    sessions, asked = {}, 0
    for block in blocks:
        for method, path, body, status, reply in re.findall(
                r"^(GET|POST) (\S+)(?: (\{.*))?\n(\d{3}) ((?:.*\n?)(?:^\{.*\n?)*)", block, re.M):
            body = json.loads(body) if body else None
            if body and body.get("session") in sessions:
                body["session"] = sessions[body["session"]]
            r = request(method, own.url + path, body)
            t.equal(r.status, int(status), path)
            got, want = ([json.loads(line) for line in x.splitlines() if line] for x in (r.text, reply))
            if path == "/v1/node":
                t.equal(sorted(got[0]), sorted(want[0]))
                t.equal(sorted(got[0]["counters"]), sorted(want[0]["counters"]))
            elif path == "/v1/completions":
                t.equal(got[0]["choices"], want[0]["choices"])
            elif path == "/v1/node/session":
                sessions[want[0]["session"]] = got[0]["session"]
                t.equal(got[0]["tokens"], want[0]["tokens"])
            elif path == "/v1/node/generate":
                t.equal([x for line in got[:-1] for x in line["t"]], [x for line in want[:-1] for x in line["t"]])
                t.equal(got[-1], want[-1])
            else:
                t.equal(got, want, path)
            asked += 1
    t.check(asked >= 13, "only %d examples found" % asked)


main()

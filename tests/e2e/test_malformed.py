"""What a broken or hostile client sends gets a 4xx with a message that names the fault, from the proxy and from the node
alike, and costs neither a crash nor a leak."""
from harness import *

target = shared.node("target")
proxy = shared.proxy(target, [shared.node("draft")])
SERVERS = (("proxy", proxy), ("node", target))
USER = [{"role": "user", "content": "Hi"}]


def served(t, server):
    t.equal(chat(server.url, "What is 2 + 2?", temperature=0, max_tokens=5).status, 200, "the next request")


def refused(t, r, what, name=None):
    t.check(400 <= r.status < 500, "%s: status %d, not a 4xx: %r" % (what, r.status, r.body[:200]))
    e = r.json().get("error")
    t.check(isinstance(e, dict) and e.get("message") and e.get("type"), "%s: no OpenAI error object: %r" % (what, r.body))
    if name:
        t.check(name in r.text, "%s: %r does not name %s" % (what, r.text, name))


TEXTS = {
    "nothing": b"", "not JSON": b"hello", "half an object": b'{"messages": [{"role": "us', "a list": b"[]", "a number": b"5",
    "a string": b'"x"', "null": b"null", "two objects": b'{"messages":[]}{"messages":[]}',
    "trailing garbage": b'{"messages":[{"role":"user","content":"a"}]}x',
    "10,000 brackets": b"[" * 10000, "10,000 brackets in a key": b'{"messages":' + b"[" * 10000 + b"]" * 10000 + b"}",
    "10,000 objects deep": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "bad UTF-8": b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', "cut UTF-8": b'{"messages":[{"role":"user","content":"\xe2\x82"}]}',
    "overlong UTF-8": b'{"messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "a UTF-8 surrogate": b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "half an escaped surrogate": b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    "a NUL": b'{"messages":[{"role":"user","content":"a\\u0000b"}]}', "a raw NUL": b'{"messages":\x00[]}',
    "a doubled key": b'{"messages":[{"role":"user","content":"a"}],"seed":1,"seed":2}',
    "NaN": b'{"messages":[{"role":"user","content":"a"}],"temperature":NaN}',
    "1e999": b'{"messages":[{"role":"user","content":"a"}],"temperature":1e999}',
    "a number of 5,000 digits": b'{"messages":[{"role":"user","content":"a"}],"seed":' + b"9" * 5000 + b"}",
}

BODIES = {
    "messages": [{}, {"messages": None}, {"messages": "x"}, {"messages": []}, {"messages": [5]}, {"messages": [{}]},
                 {"messages": {"role": "user"}}, {"messages": [{"role": "user"}]},
                 {"messages": [{"role": 5, "content": "x"}]}, {"messages": [{"role": "user", "content": 5}]},
                 {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}],
    "temperature": [-1, 2.5, 1e300, "hot", [], True, -0.001],
    "top_p": [-1, 1.5, "x", {}], "top_k": [-5, "x", 1.5, 1 << 40], "min_p": [-1, 2, "x"],
    "max_tokens": [-1, "x", 1.5, 1 << 62, {}, 10 ** 9], "max_completion_tokens": [-1, "many", 1 << 62],
    "seed": ["x", 1.5, {}], "n": [0, 2, -1, "x", 1.5], "stream": ["yes", 1, {}],
    "stop": [5, [5], "", [""], ["x"] * 500, {"a": 1}], "frequency_penalty": [-3, 3, "x"], "presence_penalty": [-3, 3, []],
    "logit_bias": [5, "x", [], {"x": 1}, {"5": "x"}, {"5": 1000}, {"-1": 1}, {"99999999": 1}],
    "logprobs": [5, "x"], "top_logprobs": [-1, 50, "x"], "stream_options": [5, "x", {"include_usage": "x"}],
    "tools": [[{"type": "function", "function": {"name": "f"}}]], "response_format": [{"type": "json_object"}],
    "model": [5, {}, []],
}


def each_server(name):
    """Declares the test once for each server."""
    def keep(fn):
        for kind, server in SERVERS:
            test("%s: %s" % (kind, name))(lambda t, server=server: (fn(t, server), served(t, server)))
        return fn
    return keep


@each_server("broken JSON")
def _(t, server):
    for what, body in TEXTS.items():
        for path in ("/v1/chat/completions", "/v1/completions"):
            refused(t, post(server.url + path, body), what)


@each_server("wrong types and absurd numbers, each named")
def _(t, server):
    for key, values in BODIES.items():
        for value in values:
            body = value if key == "messages" else {"messages": USER, key: value}
            if key in ("top_logprobs",):
                body["logprobs"] = True
            refused(t, post(server.url + "/v1/chat/completions", body), "%s = %r" % (key, value), key)
    for prompt in (None, 5, {}, [5.5], [[1]], [-1], [1 << 40], ["a", "b"], [99999999]):
        refused(t, post(server.url + "/v1/completions", {"prompt": prompt}), "prompt = %r" % (prompt,), "prompt")


@each_server("an unknown model, path and method")
def _(t, server):
    r = post(server.url + "/v1/chat/completions", {"model": "no-such-model", "messages": USER})
    t.equal(r.status, 404, r)
    refused(t, r, "unknown model")
    r = get(server.url + "/v1/nowhere")
    t.equal(r.status, 404, r)
    refused(t, r, "unknown path")
    r = get(server.url + "/v1/chat/completions")
    t.equal(r.status, 405, r)
    refused(t, r, "wrong method")
    t.check("POST" in (r.headers["Allow"] or ""), "no Allow")


@each_server("a prompt that is longer than the context")
def _(t, server):
    refused(t, post(server.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "word " * 2000}]}),
            "a long prompt")
    refused(t, post(server.url + "/v1/completions", {"prompt": [300] * 600}), "a long prompt of tokens")


def head(*lines, path=b"/v1/chat/completions"):
    return b"POST " + path + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in (b"Host: x",) + lines) + b"\r\n"


BODY = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3}'
LENGTH = b"Content-Length: %d" % len(BODY)
RAW = {
    "two different Content-Lengths": head(LENGTH, b"Content-Length: 5") + BODY,
    "two equal Content-Lengths": head(LENGTH, LENGTH) + BODY,
    "a negative Content-Length": head(b"Content-Length: -5") + BODY,
    "a Content-Length that is no number": head(b"Content-Length: 0x40") + BODY,
    "an endless Content-Length": head(b"Content-Length: 99999999999999999999999") + BODY,
    "Content-Length and chunks": head(LENGTH, b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks of hex with 0x": head(b"Transfer-Encoding: chunked") + b"0x%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    "chunks of negative size": head(b"Transfer-Encoding: chunked") + b"-5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a header of 1 MB": head(b"X: " + b"a" * 1000000, LENGTH) + BODY,
    "50,000 headers": head(*([b"X-%d: y" % i for i in range(50000)] + [LENGTH])) + BODY,
    "a request line of 1 MB": head(LENGTH, path=b"/" + b"a" * 1000000) + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 4,
    "HTTP/9.9": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "a header without a colon": head(b"nonsense", LENGTH) + BODY,
}


@each_server("broken HTTP")
def _(t, server):
    for what, data in RAW.items():
        got = raw(server.port, data, timeout=5, end_writing=True)
        first = got.split(b"\r\n")[0]
        t.check(got == b"" or first.split()[1:2] and 400 <= int(first.split()[1]) < 600 and first.split()[1] != b"500",
                "%s was answered %r" % (what, got[:200]))
        t.check(b'"choices"' not in got, "%s was served" % what)


@each_server("a body over the limit: 413")
def _(t, server):
    huge = 64 << 20
    got = raw(server.port, head(b"Content-Length: %d" % huge) + b"x" * 100000, timeout=5)
    t.check(b" 413 " in got.split(b"\r\n")[0], "answered %r" % got[:200])
    memory = server.memory()
    if not SANITIZED:
        t.less(memory, 400e6, "bytes of memory")


@each_server("cut off in the middle")
def _(t, server):
    whole = head(LENGTH) + BODY
    for n in list(range(1, 80, 7)) + [len(whole) - 1]:
        raw(server.port, whole[:n], timeout=2, end_writing=True)


@each_server("slow-loris headers: a connection that sends no whole request is closed")
def _(t, server):
    sockets = []
    for _ in range(50):
        s = socket.create_connection(("127.0.0.1", server.port))
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\nX-")
        sockets.append(s)
    served(t, server)
    for s in sockets:
        s.close()


@test("proxy: slow-loris: given up by the server in the end")
def _(t):
    begun, got = time.monotonic(), b"x"
    with socket.create_connection(("127.0.0.1", proxy.port)) as s:
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: x\r\n")
        s.settimeout(1)
        while got and time.monotonic() - begun < 90:
            try:
                s.sendall(b"X: y\r\n")
                got = s.recv(4096)
            except TimeoutError:
                pass
            except OSError:
                got = b""
    t.less(time.monotonic() - begun, 80, "seconds that a half-sent request was kept")


main()

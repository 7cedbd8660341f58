"""What a broken or hostile client sends gets a 4xx with a message that names the fault, from the proxy and from the node
alike, and costs neither a crash nor a leak."""
from harness import *
from malformed import BODIES, BODY, LENGTH, RAW, TEXTS, USER, head

target = shared.node("target")
proxy = shared.proxy(target, [shared.node("draft")])
SERVERS = (("proxy", proxy), ("node", target))


def served(t, server):
    t.equal(chat(server.url, "What is 2 + 2?", temperature=0, max_tokens=5).status, 200, "the next request")


def refused(t, r, what, name=None):
    t.check(400 <= r.status < 500, "%s: status %d, not a 4xx: %r" % (what, r.status, r.body[:200]))
    e = r.json().get("error")
    t.check(isinstance(e, dict) and e.get("message") and e.get("type"), "%s: no OpenAI error object: %r" % (what, r.body))
    if name:
        t.check(name in r.text, "%s: %r does not name %s" % (what, r.text, name))


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
    for prompt in (None, 5, {}, [5.5], [[1], [2]], [-1], [1 << 40], ["a", "b"], [99999999]):
        refused(t, post(server.url + "/v1/completions", {"prompt": prompt}), "prompt = %r" % (prompt,), "prompt")


@test("proxy: more tokens than the configured limit")
def _(t):
    refused(t, post(proxy.url + "/v1/chat/completions", {"messages": USER, "max_tokens": 10 ** 9}), "10^9", "max_tokens")


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

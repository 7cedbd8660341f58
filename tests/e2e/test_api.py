"""What the server shows and lets be done besides completions: status, health, events, history, metrics, models and
commands must agree with each other and with what really happened."""
import shutil
import stat

from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")
draft = shared.node("draft")
proxy = shared.proxy(target, [draft])
PROMTOOL = os.environ.get("TIGHTWAD_PROMTOOL") or shutil.which("promtool") or \
    os.path.join(BUILD, "tools", "usr", "bin", "promtool")


def sockets(p):
    folder = os.path.join(p.folder, "run", "tightwad")
    return [os.path.join(folder, f) for f in os.listdir(folder) if f.endswith(".sock")]


def over_unix(path, method, url, body=None):
    """One request over a unix socket."""
    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(path)
    conn = Connection("localhost")
    conn.request(method, url, None if body is None else json.dumps(body), {"Content-Type": "application/json"})
    r = conn.getresponse()
    reply = Reply(r.status, r.headers, r.read(), 0)
    conn.close()
    return reply


def settled(p=proxy):
    """The status once no answer is running and two ticks have passed, so that all counters are in."""
    wait_until("answers to end", lambda: p.status()["running"] == 0)
    tick = p.status()["tick"]
    wait_until("two ticks", lambda: p.status()["tick"] >= tick + 2)
    return p.status()


@test("the status counts what was answered, drafted and accepted")
def _(t):
    before = settled()
    answers = [chat(proxy.url, p, stream=i % 2 == 1, temperature=0, max_tokens=40) for i, p in enumerate(prompts(6, "api"))]
    after = settled()
    tokens = sum(a.usage["completion_tokens"] for a in answers)
    drafted = sum(a.usage["tightwad"]["drafted_tokens"] for a in answers)
    accepted = sum(a.usage["tightwad"]["accepted_tokens"] for a in answers)
    for key, grown in (("emitted", tokens), ("drafted", drafted), ("accepted", accepted), ("requests_ok", 6)):
        t.equal(after[key] - before[key], grown, key)
    t.check(after["speculating"], after["why_not"])
    t.equal([b["role"] for b in after["backends"]], ["target", "drafter"])
    t.equal([b["health"] for b in after["backends"]], ["up", "up"])
    t.between(after["acceptance"], 0, 1)
    t.equal(after["version"], before["version"])
    t.check(any(r["state"] == "done" for r in after["requests"]), after["requests"])


@test("before anything was measured it is null, never 0")
def _(t):
    p = t.proxy(target, [draft])
    s = p.status()
    for key in ("acceptance", "tokens_per_round", "verify_ms"):
        t.check(key in s and s[key] is None, "%s is %r" % (key, s.get(key)))


@test("health follows the target")
def _(t):
    node = t.node("target")
    p = t.proxy(node)
    t.equal(get(p.url + "/health").json(), {"status": "ok"})
    node.kill()
    r = wait_until("health to fail", lambda: (lambda r: r if r.status == 503 else None)(get(p.url + "/health")))
    t.equal(r.json()["status"], "no target")


@test("the event stream tells each tick and each round")
def _(t):
    with Stream(proxy.url + "/v1/tightwad/events") as s:
        t.equal(s.status, 200)
        events = s.events()
        t.equal(next(events)[0], "snapshot")
        answer = chat(proxy.url, story_prompts(1, "events")[0], temperature=0, max_tokens=100)
        rounds, ticks, last = [], [], None
        for name, data in events:
            o = json.loads(data)
            if name == "round":
                rounds.append(o)
            else:
                ticks.append(o["tick"])
                last = o
                if o["running"] == 0 and sum(r["emitted"] for r in rounds) >= answer.usage["completion_tokens"] - 1 \
                        and len(ticks) > 3:
                    break
    t.equal(ticks, list(range(ticks[0], ticks[0] + len(ticks))), "ticks follow each other")
    spent = answer.usage["tightwad"]
    t.equal(sum(r["drafted"] for r in rounds), spent["drafted_tokens"], "drafted")
    t.equal(sum(r["accepted"] for r in rounds), spent["accepted_tokens"], "accepted")
    t.equal(len({r["request"] for r in rounds}), 1, "one request")
    t.equal(set(last), set(proxy.status()), "the snapshot event is the status object")


@test("an event reader that does not read costs no memory and holds up nobody")
def _(t):
    p = t.proxy(target, [draft])
    chat(p.url, "What is 2 + 2?", temperature=0)
    begun = p.memory()
    readers = []
    for _ in range(20):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", p.port))
        s.sendall(b"GET /v1/tightwad/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
        readers.append(s)
    for prompt in story_prompts(25, "slow events"):
        t.equal(chat(p.url, prompt, temperature=0, max_tokens=200).status, 200)
    t.note("memory grew by %.1f MB" % ((p.memory() - begun) / 1e6))
    if not SANITIZED:
        t.less(p.memory() - begun, 20 * 400e3, "bytes for 20 readers that do not read")
    for s in readers:
        s.close()
    wait_until("the readers to be forgotten", lambda: p.metrics()["tightwad_event_readers"] == 0)


@test("a client that does not read its answer stops the node, not the memory")
def _(t):
    # Long answers with many alternatives from a quick model: some 10 MB each if nobody held them back.
    node = t.node("draft", ctx=4096, slots=2)
    p = t.proxy(node)
    eog = {str(i): -100 for i in node.info()["eog"]}
    body = json.dumps({"messages": [{"role": "user", "content": "Go on."}], "stream": True, "max_tokens": 3500,
                       "logprobs": True, "top_logprobs": 20, "temperature": 1, "seed": 1, "logit_bias": eog}).encode()
    begun, readers = p.memory(), []
    for _ in range(2):
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        s.connect(("127.0.0.1", p.port))
        s.sendall(b"POST /v1/chat/completions HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
                  b"Content-Length: %d\r\n\r\n" % len(body) + body)
        readers.append(s)

    def generated():
        return node.counters()["tokens"]

    def held():
        n = generated()
        time.sleep(1)
        return n > 0 and generated() == n
    wait_until("the node to be held back", held, 60)
    t.check(p.status()["running"] == 2, "the answers are still open")
    t.note("memory grew by %.1f MB" % ((p.memory() - begun) / 1e6))
    if not SANITIZED:
        t.less(p.memory() - begun, 10e6, "bytes for 2 clients that do not read")
    # One that reads again gets everything.
    first, got = readers[0], b""
    first.settimeout(60)
    while not got.endswith(b"0\r\n\r\n"):
        part = first.recv(1 << 20)
        t.check(part, "the connection broke")
        got += part
    t.check(b"data: [DONE]" in got, "no [DONE]")
    t.equal(got.count(b'"top_logprobs"'), 3500, "tokens")
    for s in readers:
        s.close()
    wait_until("the others to be cancelled", lambda: p.status()["running"] == 0)


@test("the history has a sample a second")
def _(t):
    chat(proxy.url, story_prompts(1, "history")[0], temperature=0, max_tokens=100)
    n = len(get(proxy.url + "/v1/tightwad/history").json()["wall_ms"])
    wait_until("two more samples", lambda: len(get(proxy.url + "/v1/tightwad/history").json()["wall_ms"]) >= n + 2)
    h = get(proxy.url + "/v1/tightwad/history").json()
    for key in ("acceptance", "tokens_per_second", "rounds", "running"):
        t.equal(len(h[key]), len(h["wall_ms"]), key)
    steps = [b - a for a, b in zip(h["wall_ms"], h["wall_ms"][1:])]
    t.check(all(900 <= s <= 3000 * SLOWER for s in steps), steps)
    t.check(sum(h["rounds"]) > 0, "no rounds")
    t.less(sum(h["rounds"]), proxy.status()["rounds"] + 1)


@test("/metrics passes promtool check metrics, and equals the status")
def _(t):
    t.check(os.path.exists(PROMTOOL), "promtool is missing (in the Debian package prometheus): ./bootstrap test gets it")
    s = settled()
    r = get(proxy.url + "/metrics")
    t.equal(r.headers["Content-Type"], "text/plain; version=0.0.4; charset=utf-8")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=r.body, capture_output=True)
    t.equal((done.returncode, done.stdout, done.stderr), (0, b"", b""))
    m = proxy.metrics()
    for name, key in (("rounds_total", "rounds"), ("drafted_tokens_total", "drafted"), ("slots", "slots"),
                      ("accepted_tokens_total", "accepted"), ("emitted_tokens_total", "emitted"),
                      ('requests_total{result="ok"}', "requests_ok")):
        t.equal(m["tightwad_" + name], s[key], name)
    t.check(all(re.match(r"tightwad_[a-z0-9_]+(\{|$)", name) for name in m), sorted(m))


@test("the commands are listed, run over HTTP and over the control socket, and errors name what is wrong")
def _(t):
    listed = get(proxy.url + "/v1/tightwad/commands").json()["commands"]
    names = [c["name"] for c in listed]
    t.equal(names, sorted(names))
    t.check({"drafter-add", "reload", "stop"} <= set(names), names)
    path, = sockets(proxy)
    t.equal(os.path.basename(path), "control-%d.sock" % proxy.port)
    t.equal(stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode), 0o700)
    t.equal(over_unix(path, "GET", "/v1/tightwad/commands").json()["commands"], listed)
    for send in (lambda b: post(proxy.url + "/v1/tightwad/command", b),
                 lambda b: over_unix(path, "POST", "/v1/tightwad/command", b)):
        for body in ({"command": "relaod"}, {}, {"command": 5}, {"command": "drafter-add"}, [], "reload"):
            r = send(body)
            t.equal(r.status, 400, "%r → %r" % (body, r))
            t.check(r.json()["error"]["message"], r)
        t.check("reload" in send({"command": "relaod"}).json()["error"]["message"], "the nearest name")
        t.equal(send({"command": "reload"}).status, 200)
    r = post(proxy.url + "/v1/tightwad/command", {"command": "stop"}, {"Origin": "http://a.page.example"})
    t.equal(r.status, 403, "a web page must not command")
    for host, status in (("a.page.example:%d" % proxy.port, 403), ("localhost:%d" % proxy.port, 200), (socket.gethostname(), 200),
                         ("127.0.0.1", 200), ("[::1]:%d" % proxy.port, 200), (socket.gethostname() + ".a.page.example", 403)):
        r = post(proxy.url + "/v1/tightwad/command", {"command": "drafter-resume"}, {"Host": host})
        t.equal(r.status, status, "a command to %s" % host)
    r = request("GET", proxy.url + "/v1/tightwad/events?live=1", headers={"Host": "a.page.example"})
    t.equal(r.status, 403, "a page whose name leads here reads no answers")


@test("stop ends what is being answered first, then the process, and removes the socket")
def _(t):
    p = t.proxy(target, [draft])
    path, = sockets(p)
    sent = []

    def on_chunk(a):
        if not sent:
            sent.append(over_unix(path, "POST", "/v1/tightwad/command", {"command": "stop"}).status)
    with Stream(p.url + "/v1/tightwad/events") as events:
        p.expected_end = True
        a = chat(p.url, story_prompts(1, "stop")[0], stream=True, temperature=0, max_tokens=150, on_chunk=on_chunk)
        t.equal((a.status, a.error, a.done), (200, None, True), "the answer ended well")
        t.equal(sent, [200])
        t.check(list(events.events()) is not None)  # ends, rather than waits for ever
    t.equal(p.wait(), 0)
    t.check(not os.path.exists(path), "the socket is still there")


@test("the token guards all but /health, off and on the loopback")
def _(t):
    p = t.proxy(target, [draft], env={"SECRET": "s3cret"}, auth_token="${SECRET}")
    with_token = {"Authorization": "Bearer s3cret"}
    for path in ("/v1/models", "/v1/tightwad/status", "/v1/tightwad/events", "/v1/tightwad/history", "/metrics",
                 "/v1/tightwad/commands"):
        for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "s3cret"}):
            r = get(p.url + path, headers)
            t.equal(r.status, 401, path)
            t.equal(r.json()["error"]["code"], "invalid_api_key")
    t.equal(post(p.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "hi"}]}).status, 401)
    t.equal(post(p.url + "/v1/tightwad/command", {"command": "stop"}).status, 401)
    t.equal(get(p.url + "/health").status, 200)
    t.equal(get(p.url + "/v1/models", with_token).status, 200)
    path, = sockets(p)
    t.equal(over_unix(path, "GET", "/v1/tightwad/status").status, 200)
    t.check("s3cret" not in p.output + get(p.url + "/v1/tightwad/status", with_token).text, "the token is shown")


@test("a reload sets, changes and removes the token")
def _(t):
    p = t.proxy(target, [draft])
    path, = sockets(p)

    def status(token=None):
        return get(p.url + "/v1/models", {"Authorization": "Bearer " + token} if token else {}).status
    for token in ("first", "second", None):
        p.options = {"auth_token": token} if token else {}
        p.write_config()
        t.equal(over_unix(path, "POST", "/v1/tightwad/command", {"command": "reload"}).status, 200)
        t.equal((status(), status(token), status("other")), (401, 200, 401) if token else (200, 200, 200), token)


@test("without a token, an address for all serves private peers only, and the log says so")
def _(t):
    # A network of its own whose loopback has a public address as well, so that a public peer can be had.
    script = os.path.join(HERE, "public_peer.py")
    done = subprocess.run(["unshare", "-r", "-n", sys.executable, script, os.path.join(BUILD, "tightwad"), t.folder],
                          capture_output=True, text=True, timeout=60 * SLOWER)
    t.equal(done.returncode, 0, done.stdout + done.stderr)


@test("@target and @draft reach each alone")
def _(t):
    ids = [m["id"] for m in get(proxy.url + "/v1/models").json()["data"]]
    t.equal(len(ids), 4)
    name = ids[0]
    t.equal(ids, [name, name + "@exact", name + "@target", name + "@draft"])
    prompt = prompts(1, "alone")[0]
    alone = {"@target": target, "@draft": draft}
    before = {k: n.counters() for k, n in alone.items()}
    for tail, node in alone.items():
        a, b = chat(proxy.url, prompt, temperature=0, model=name + tail), chat(node.url, prompt, temperature=0)
        t.equal(a.key(), b.key(), tail)
        t.equal(a.model, name + tail)
    t.equal(draft.counters()["drafted"], before["@draft"]["drafted"], "nothing was drafted for these")
    r = get(proxy.url + "/v1/models/" + urllib.parse.quote(name + "@target", safe=""))
    t.equal((r.status, r.json()["id"]), (200, name + "@target"))


@test("who wrote what is told when asked")
def _(t):
    body = {"messages": [{"role": "user", "content": prompts(1, "detail")[0]}], "temperature": 0, "stream": True,
            "stream_options": {"include_usage": True}}
    text, pieces, usage = "", [], None
    with Stream(proxy.url + "/v1/chat/completions", body, {"x-tightwad-detail": "1"}) as s:
        for _, data in s.events():
            if data == "[DONE]":
                break
            o = json.loads(data)
            usage = o.get("usage") or usage
            for c in o["choices"]:
                text += c["delta"].get("content") or ""
            pieces += (o.get("tightwad") or {}).get("pieces", [])
    raw_text = b"".join(bytes(p) if isinstance(p, list) else p.encode() for p, _ in pieces)
    t.equal(raw_text.decode("utf-8", "replace"), text)
    t.equal(sum(d for _, d in pieces), usage["tightwad"]["accepted_tokens"], "drafted pieces")


main()

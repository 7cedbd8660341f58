"""One endpoint serves exact answers and approximate ones beside each other, by the model's name: each reply says how it was
really served, what is exact stays byte for byte the target's, and modes are switched while it runs."""
import shutil

from cmdline import of, tightwad
from exact import Case, references
from fakes import HeldAgent
from harness import *
from prompts import prompts, story_prompts

PROMTOOL = os.environ.get("TIGHTWAD_PROMTOOL") or shutil.which("promtool") or \
    os.path.join(BUILD, "tools", "usr", "bin", "promtool")
ALL = ["exact", "target", "draft", "consensus", "gate"]
OUTCOMES = {"approved", "corrected", "rejected", "direct"}

target = shared.node("target")
draft, small, mid = shared.node("draft"), shared.node("small"), shared.node("mid")
MODES = {"consensus_mode": "strict", "default_mode": "exact", "gate": {"agents": [{"url": mid.url, "name": "mid"}]}}
proxy = shared.proxy(target, [draft, small], **MODES)
NAME = get(proxy.url + "/v1/models").json()["data"][0]["id"]


def names(p):
    return [m["id"] for m in get(p.url + "/v1/models").json()["data"]]


def tails(p):
    """The modes that are listed behind the plain name."""
    plain, *rest = names(p)
    return [n[len(plain) + 1:] for n in rest]


def seen(t, a):
    """How an answer says it was served, once its head and its text agree on it."""
    t.equal((a.status, a.error, a.done), (200, None, True), a)
    for header, key in (("mode", "mode"), ("exactness", "exactness")):
        t.equal(a.headers.get("x-tightwad-" + header), a.about.get(key), key)
    t.equal(a.about.get("exactness"), "approximate" if a.about["mode"] in ("consensus", "gate") else None)
    if a.about["mode"] == "gate":
        t.check(a.about["gate"] in OUTCOMES, a.about)
        if not a.waits:
            t.equal(a.headers.get("x-tightwad-gate"), a.about["gate"])
            t.equal(a.headers.get("x-tightwad-agent"), a.about.get("agent"))
    else:
        t.check("gate" not in a.about and "agent" not in a.about, a.about)
    return a.about["mode"]


def ready(p):
    """Every drafter and agent has been asked, so that no mode is left out for want of them."""
    def looks():
        s = p.status()
        others = s["backends"][1:] + (s["gate"] or {"agents": []})["agents"]
        return all(b["health"] == "up" for b in others) and (not s["consensus"] or not s["consensus"]["why"])
    wait_until("all to be there", looks, 20)


@test("the models listed are the modes that are configured, and each can be asked for by name")
def _(t):
    t.equal(tails(proxy), ALL)
    for name in names(proxy):
        r = get(proxy.url + "/v1/models/" + urllib.parse.quote(name, safe=""))
        t.equal((r.status, r.json()["id"]), (200, name))
    bare = t.proxy(target)
    t.equal(tails(bare), ["exact", "target"])
    for tail, words in (("consensus", "proxy.consensus_mode"), ("gate", "quality_gate"), ("draft", "drafter")):
        a = chat(bare.url, "hi", model="%s@%s" % (NAME, tail))
        t.equal((a.status, a.error["code"], a.error["param"]), (404, "mode_not_configured", "model"))
        t.check(words in a.error["message"], a.error)
    a = chat(bare.url, "hi", model=NAME + "@gaet")
    t.equal((a.status, a.error["code"]), (404, "model_not_found"))
    t.check("@exact and @target" in a.error["message"], a.error)


@test("each reply says how it was served, streamed or not, and what is exact is the target's own")
def _(t):
    ready(proxy)
    case = Case(prompts(1, "modes")[0], temperature=0)
    want = references(target, [case])[0]
    for tail in [None] + ALL:
        for stream in (False, True):
            a = case.ask(proxy.url, stream=stream, model=NAME if tail is None else "%s@%s" % (NAME, tail))
            t.equal(seen(t, a), tail or "exact", tail)
            if tail in (None, "exact", "target"):
                t.equal(a.key(), want.key(), tail)
            t.equal(a.model, NAME if tail is None else "%s@%s" % (NAME, tail))


@test("what a mode can't serve is served exactly, and the reply says so")
def _(t):
    ready(proxy)
    for more in ({"logprobs": True, "top_logprobs": 2},):
        case = Case(prompts(1, "unfit")[0], temperature=0, **more)
        want = references(target, [case])[0]
        a = case.ask(proxy.url, model=NAME + "@gate")
        t.equal(seen(t, a), "exact", more)
        t.equal(a.key(), want.key())
        t.equal(len(a.logprobs), len(want.logprobs))
    ids = post(target.url + "/v1/node/tokenize", {"text": "Count from 1 to 5."}).json()["tokens"]
    body = {"prompt": ids, "max_tokens": 12, "temperature": 0}
    a = complete(proxy.url, dict(body, model=NAME + "@gate"), chat=False)
    t.equal(seen(t, a), "exact")
    t.equal(a.key(), complete(target.url, body, chat=False).key())


@test("all modes at once: nobody fails, and the exact ones are the target's")
def _(t):
    ready(proxy)
    cases = [Case(p, stream=i % 2 == 0, temperature=0, max_tokens=60) for i, p in enumerate(prompts(6, "together"))]
    want = references(target, cases)
    jobs = [(tail, i) for i in range(len(cases)) for tail in ALL]
    answers = in_parallel([lambda tail=tail, i=i: cases[i].ask(proxy.url, model="%s@%s" % (NAME, tail)) for tail, i in jobs])
    for (tail, i), a in zip(jobs, answers):
        t.equal(seen(t, a), tail)
        if tail in ("exact", "target"):
            t.equal(a.key(), want[i].key(), "%s %r" % (tail, cases[i]))


@test("the plain name's mode is switched by commands, which are saved, and by an edit of the file")
def _(t):
    p = t.proxy(target, [draft, small], **MODES)
    ready(p)

    def plain():
        return seen(t, chat(p.url, "What is 2 + 2?", temperature=0, model=NAME))

    t.equal(plain(), "exact")
    p.wait_line(r"✓ agent +\S")
    p.wait_line(r"request 1: answered, ")
    with open(p.config, "a") as f:
        f.write("# a comment of mine\n")
    for mode, is_now in (("consensus", "consensus"), ("gate", "gate"), ("auto", "gate")):
        r = p.command("mode", mode=mode, save=True)
        t.equal(r.status, 200, r)
        t.equal(plain(), is_now, mode)
        p.wait_line(r"answered by (?:the )?%s \(.*approximate\)" % is_now)
    text = open(p.config).read()
    t.check("default_mode: auto" in text and "# a comment of mine" in text, text)
    t.equal(re.findall("plain name is served (?:by )?(consensus|the quality gate|exactly)", p.output), ["consensus", "the quality gate"])
    t.equal(p.command("gate", on=False).status, 200)
    t.equal(plain(), "consensus", "auto: the next that is on")
    t.equal(seen(t, chat(p.url, "What is 2 + 2?", model=NAME + "@gate")), "exact", "the gate is off")
    t.equal(p.command("consensus", mode="off").status, 200)
    t.equal(plain(), "exact")
    t.equal(tails(p), ["exact", "target", "draft", "gate"])
    for wrong, args in (("consensus", {"mode": "lax"}), ("mode", {"mode": "consensus"}), ("gate", {"on": "yes"})):
        r = p.command(wrong, **args)
        t.equal(r.status, 400, r)
    p.options.update(consensus_mode="majority", default_mode="consensus")
    p.write_config()
    wait_until("the file to be read", lambda: "consensus" in tails(p), 10)
    wait_until("consensus to be what the name means", lambda: p.status()["mode"] == "consensus", 5)
    t.equal(plain(), "consensus")
    t.equal(p.status()["consensus"]["mode"], "majority")
    # What a command has switched stays when something else of the file changes.
    t.equal(p.status()["gate"]["on"], False)
    p.gate = None
    p.write_config()
    wait_until("the gate to be gone", lambda: "gate" not in tails(p), 10)
    t.equal(chat(p.url, "hi", model=NAME + "@gate").error["code"], "mode_not_configured")


@test("a stream that waits for its review is heard of, and tells at its end what the gate said")
def _(t):
    case = Case("What is 2 + 2?", temperature=0)
    want = references(target, [case])[0]
    slow = t.own(HeldAgent(want.text))
    p = t.proxy(target, gate={"agents": [{"url": slow.url, "backend": "openai", "name": "slow"}]})
    ready(p)
    comments = threading.Event()
    with Stream(p.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": case.prompt}], "stream": True,
                                                 "temperature": 0, "model": NAME}) as s:
        t.equal((s.status, s.reply.headers["x-tightwad-mode"], s.reply.headers["x-tightwad-exactness"]),
                (200, "gate", "approximate"))
        t.equal(s.reply.headers["x-tightwad-gate"], None)
        lines = s.lines()
        t.equal(next(lines), b": waiting")
        slow.held.set()
        events = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    t.equal("".join(e["choices"][0]["delta"].get("content", "") for e in events), want.text)
    t.equal({k: events[-1]["tightwad"][k] for k in ("mode", "exactness", "gate", "agent")},
            {"mode": "gate", "exactness": "approximate", "gate": "approved", "agent": "slow"})


@test("with a pool as the target every mode is served as well")
def _(t):
    p = t.pool(drafters=[draft, small], **MODES)
    ready(p)
    case = Case(prompts(1, "pooled")[0], temperature=0)
    want = references(target, [case])[0]
    t.equal(tails(p), ALL)
    for tail in ALL:
        a = case.ask(p.url, model="%s@%s" % (names(p)[0], tail))
        t.equal(seen(t, a), tail)
        if tail in ("exact", "target"):
            t.equal(a.key(), want.key(), tail)


@test("/metrics has consensus and the gate, passes promtool, and equals the status")
def _(t):
    t.check(os.path.exists(PROMTOOL), "promtool is missing (in the Debian package prometheus): ./bootstrap test gets it")
    ready(proxy)
    for i, p in enumerate(prompts(4, "metrics")):
        seen(t, chat(proxy.url, p, temperature=0, max_tokens=40, model=NAME + ("@gate" if i % 2 else "@consensus")))
    s = proxy.settled()
    r = get(proxy.url + "/metrics")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=r.body, capture_output=True)
    t.equal((done.returncode, done.stdout, done.stderr), (0, b"", b""))
    m, c, g = proxy.metrics(), s["consensus"], s["gate"]
    t.check(c["windows"] > 0 and g["requests"] > 0, (c, g))
    for name, value in (('consensus_tokens_total{outcome="accepted"}', c["accepted"]),
                        ('consensus_tokens_total{outcome="fallback"}', c["fallback"]),
                        ('consensus_windows_total{outcome="skipped"}', c["skipped"]),
                        ('consensus_windows_total{outcome="verified"}', c["windows"] - c["skipped"]),
                        ('gate_requests_total{verdict="approved"}', g["approved"]),
                        ('gate_requests_total{verdict="rejected"}', g["rejected"]),
                        ('gate_tokens_total{by="agent"}', g["agent_tokens"]),
                        ('gate_tokens_total{by="target"}', g["target_tokens"]),
                        ('gate_agent_answers_total{name="mid",kind="node"}', g["agents"][0]["answers"])):
        t.equal(m["tightwad_" + name], value, name)
    t.check(g["approved"] == 0 or g["agent_tokens"] > 0, g)
    t.check(any(n.startswith("tightwad_backend_wins_total{") for n in m), sorted(m))


@test("tightwad status and tightwad gate say what is approximate, and switch the gate")
def _(t):
    p = t.proxy(target, [draft, small], **dict(MODES, default_mode="auto"))
    ready(p)
    seen(t, chat(p.url, prompts(1, "words")[0], temperature=0, model=NAME + "@consensus"))
    seen(t, chat(p.url, prompts(1, "words")[0], temperature=0, model=NAME + "@gate"))
    p.settled()
    r = tightwad(t, "status", **of(p))
    t.equal(r.code, 0, r)
    for words in ("%s is served by the quality gate, approximate; %s@exact is exact" % (NAME, NAME), "consensus  strict, approximate",
                  "gate       on, approximate, reviewed by", "agent    mid", "1 answers"):
        t.check(words in r.out, "no %r in %r" % (words, r))
    r = tightwad(t, "gate", "status", **of(p))
    t.equal((r.code, r.out.startswith("gate       on, approximate")), (0, True), r)
    r = tightwad(t, "consensus", **of(p))
    t.equal((r.code, r.out.startswith("consensus  strict, approximate")), (0, True), r)
    r = tightwad(t, "consensus", "majority", **of(p))
    t.equal((r.code, "approximate" in r.out), (0, True), r)
    wait_until("the mode to be shown", lambda: tightwad(t, "consensus", "--json", **of(p)).json()["mode"] == "majority", 5)
    r = tightwad(t, "consensus", "loose", **of(p))
    t.check(r.code == 1 and "off, strict, majority or any_disagree" in r.err, r)
    t.equal(tightwad(t, "gate", "status", "--json", **of(p)).json()["requests"], 1)
    r = tightwad(t, "gate", "stop", "--save", **of(p))
    t.equal(r.code, 0, r)
    t.check("served exactly" in r.out, r)
    t.check("enabled: false" in open(p.config).read(), open(p.config).read())
    t.equal(seen(t, chat(p.url, "What is 2 + 2?", model=NAME + "@gate")), "exact")
    t.check(p.running(), "it ended with its gate")
    wait_until("the gate to be shown as off", lambda: "gate       off, answers are exact" in tightwad(t, "status", **of(p)).out, 5)
    r = tightwad(t, "gate", "start", **of(p))
    t.equal(r.code, 0, r)
    t.equal(seen(t, chat(p.url, "What is 2 + 2?", model=NAME + "@gate")), "gate")


@test("tightwad gate without a gate says what to write, and starts an instance where none runs")
def _(t):
    p = t.proxy(target)
    for verb in ("start", "stop", "status"):
        r = tightwad(t, "gate", verb, **of(p))
        t.equal(r.code, 1, r)
        t.check("no quality gate is configured in " + p.config in r.err and "agents:\n" in r.err, r)
    t.equal(tightwad(t, "gate", "on", **of(p)).code, 2)
    # A daemon of its own: its configuration has the gate off, and its verifier is the only server that could be the target.
    config, port = os.path.join(t.folder, "gate.yaml"), free_port()
    with open(config, "w") as f:
        json.dump({"proxy": {"port": port},
                   "quality_gate": {"enabled": False, "verifier": {"url": target.url}, "agents": [{"url": mid.url, "name": "mid"}]}}, f)
    with open(os.path.join(t.folder, "none.yaml"), "w") as f:
        json.dump({"proxy": {"port": free_port(), "target": {"url": target.url}}}, f)
    r = tightwad(t, "gate", "start", "-c", "none.yaml")
    t.equal(r.code, 1, r)
    t.check("quality_gate:\n" in r.err and "agents:\n" in r.err, r)
    r = tightwad(t, "gate", "start", "-c", config)
    try:
        t.equal(r.code, 0, r)
        t.check("started on port %d" % port in r.out, r)
        url = "http://127.0.0.1:%d" % port
        wait_until("the agent", lambda: get(url + "/v1/tightwad/status").json()["gate"]["agents"][0]["health"] == "up", 10)
        t.equal(seen(t, chat(url, "What is 2 + 2?", temperature=0)), "gate")
        case = Case("What is 3 + 4?", temperature=0)
        t.equal(case.ask(url, model=NAME + "@exact").key(), references(target, [case])[0].key(), "the verifier is the target")
    finally:
        r = tightwad(t, "stop", "-c", config)
    t.equal(r.code, 0, r)


main()

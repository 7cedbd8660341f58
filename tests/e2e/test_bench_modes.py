"""`tightwad bench modes` counts what it says: every mode that an endpoint has, the target's own work in each, answers that are
the target's and answers that are right."""
from cmdline import *
from fakes import FakeServer
from questions import FILE, load, questions

target, small, mid, numbers = (shared.node(m) for m in ("target", "small", "mid", "numbers"))
proxy = shared.proxy(target, [small, mid], consensus_mode="strict", consensus_audit=0, default_mode="exact",
                     gate={"agents": [mid, numbers], "routing": "round_robin", "shadow_share": 0})


def modes(t, *args, **more):
    return tightwad(t, "bench", "modes", *args, **dict(of(proxy), **more))


@test("the shipped questions are those of the generator, and the demo target knows them")
def _(t):
    t.equal(load(), questions())
    t.equal(len({q for q, _ in load()}), 300)
    wrong = [q for q, a in questions()[::10] if chat(target.url, q, temperature=0).text != a]
    t.equal(wrong, [], "wrong answers of the target alone")


@test("every mode: its speed, the target's work, what is identical and what is right")
def _(t):
    wait_until("the agents", lambda: all(a["health"] == "up" for a in proxy.status()["gate"]["agents"]), 20)
    before = target.counters()
    r = modes(t, FILE, "--count", "12", "--json", timeout=100)
    t.equal(r.code, 0, r)
    o = r.json()
    t.equal((o["settings"]["prompts"], o["settings"]["known"], o["settings"]["rounds"]), (12, 12, 1))
    t.equal([o["settings"][k] for k in ("consensus_mode", "gate_review", "gate_routing")], ["strict", "both", "round_robin"])
    rows = {m["mode"]: m for m in o["modes"]}
    t.equal(list(rows), ["target", "exact", "consensus", "gate"])
    for name, m in rows.items():
        t.equal((m["answers"], m["known"], m["failure"], m["counted_by"]), (12, 12, None, "node"), name)
        t.equal(m["served_otherwise"], 0, name)
        t.check(m["tokens_per_second"] > 0 and m["ratio"] > 0 and m["seconds"] > 0, m)
    alone, exact, consensus, gate = (rows[m] for m in ("target", "exact", "consensus", "gate"))
    t.equal((alone["right"], alone["identical"], alone["ratio"]), (12, 12, 1.0))
    t.equal((exact["right"], exact["identical"], exact["tokens"]), (12, 12, alone["tokens"]))
    # One pass a token, and the prompts; drafts save most of them.
    t.between(alone["target_passes"], alone["tokens"] - 24, alone["tokens"] + 24)
    t.less(exact["target_passes"], alone["target_passes"] / 2, "passes with drafts")
    t.less(exact["target_tokens_written"], alone["target_tokens_written"] / 2, "tokens that the target wrote")
    t.less(consensus["target_passes"], alone["target_passes"] / 2, "passes by consensus")
    t.check(gate["right"] >= alone["right"], gate)
    t.check(gate["target_tokens_written"] is not None and gate["target_tokens_written"] < gate["tokens"] * 2, gate)
    counted = sum(m["target_passes"] for m in rows.values())
    t.check(0 < counted <= target.counters()["decodes"] - before["decodes"], "more passes than there were")


@test("in words; only some modes; prompts from stdin, without answers; several rounds")
def _(t):
    r = modes(t, "-", "--only", "exact", "-n", "2", stdin="What is 3 + 4?\n# no prompt\nSay the alphabet.\n")
    t.equal(r.code, 0, r)
    t.check(re.search(r"2 prompts.* 0 with a known answer, 2 times", r.out), r)
    t.check(re.search(r"(?m)^target alone +\S+ +1\.00 .* 100\.0 % +-$", r.out), r)
    t.check(re.search(r"(?m)^exact +\S.* 100\.0 % +-$", r.out), r)
    t.check("consensus" not in r.out and "approximate" not in r.out, r)
    r = modes(t, "-k", "2", "--only", "draft")
    t.check(r.code == 0 and re.search(r"(?m)^draft +\S", r.out) and "approximate" in r.out, r)


@test("what can't be: a message that says what would be right")
def _(t):
    for args, code, words in ((["--only", "gait"], 1, 'no mode "gait", but target, exact, consensus, gate, draft'),
                              (["none.tsv"], 1, "none.tsv cannot be read"), (["a", "b"], 2, "one word too many"),
                              (["--rounds", "0"], 2, "--rounds"), (["-u", "http://127.0.0.1:1"], 1, "nothing answers")):
        r = modes(t, *args)
        t.equal(r.code, code, r)
        t.check(words in r.err, r)


def reply_of(text):
    def reply(body):
        if body["model"].endswith("@gate"):
            return 503, {"error": {"message": "no agent is there", "type": "server_error"}}
        o = {"id": "x", "object": "chat.completion.chunk", "usage": {"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 3},
             "tightwad": {"pieces": [["a", 0], ["b", 1]], "mode": "exact"},
             "choices": [{"index": 0, "finish_reason": "stop", "delta": {"content": text(body["model"])}}]}
        return 200, ("data: %s\n\ndata: [DONE]\n\n" % json.dumps(o)).encode()
    return reply


@test("a target that can't be counted, a mode that fails and one that is served otherwise: each is said")
def _(t):
    calls = [0]

    def status(body):
        calls[0] += 1
        return 200, {"tick": calls[0], "running": 0, "queued": 0, "backends": [{"kind": "openai", "url": "http://127.0.0.1:1"}],
                     "consensus": {"target_passes": 10 * len(fake.calls)}}
    fake = t.own(FakeServer({
        ("GET", "/v1/models"): lambda body: (200, {"data": [{"id": "m" + x} for x in ("", "@target", "@exact", "@consensus", "@gate")]}),
        ("GET", "/v1/tightwad/status"): status,
        ("POST", "/v1/chat/completions"): reply_of(lambda model: "It is Oslo" if model == "m@exact" else "Oslo")}))
    path = os.path.join(t.folder, "q.tsv")
    with open(path, "w") as f:
        f.write("Capital of Norway?\toslo\nCapital of Sweden?\tStockholm\n")
    r = modes(t, path, "--json", "-u", fake.url)
    t.equal(r.code, 1, r)
    rows = {m["mode"]: m for m in r.json()["modes"]}
    t.check("no agent is there" in rows["gate"]["failure"], rows["gate"])
    exact, consensus = rows["exact"], rows["consensus"]
    t.equal((exact["counted_by"], exact["target_passes"], exact["target_tokens_read"]), ("proxy", 2, None))
    t.equal((exact["identical"], exact["right"], exact["known"], exact["served_otherwise"]), (0, 1, 2, 0))
    t.equal((consensus["identical"], consensus["served_otherwise"]), (2, 2))
    t.check(consensus["target_passes"] > 0 and consensus["target_passes"] % 10 == 0, consensus)
    r = modes(t, path, "-u", fake.url)
    t.check("could not be measured: no agent is there" in r.out and "2 of 2 answers were served in another mode" in r.out
            and "could not be read" in r.out, r)


main()

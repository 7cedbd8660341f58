"""The quality gate: whole answers of small servers pass only when the target approves them."""
from fake_ollama import FakeOllama
from fakes import FakeAgent
from gates import *
from harness import *
from questions import questions

target = shared.node("target")


def alone(prompt, **params):
    return chat(target.url, prompt, temperature=0, **params).text


@test("approved, corrected, rejected: each is what it says, and exact answers beside it stay exact")
def _(t):
    for review in ("likelihood", "both"):
        writer = t.own(FakeAgent(FRANCE[1]))
        proxy = up(t.proxy(target, gate={"agents": [writer], "review": review, "shadow_share": 0}), 1)
        for text, outcome in ((FRANCE[1], "approved"), ("The capital of France is Rome.", "corrected"), ("I do not know.", "rejected"),
                              ("", "rejected"), (" \n", "rejected"), ("ab" * 300, "rejected")):
            writer.text = text
            got, about, r = ask(proxy, FRANCE[0])
            t.equal((got, about["gate"], about["mode"]), (FRANCE[1], outcome, "gate"), "%s: %r" % (review, text))
            t.equal(about["agent"], "127.0.0.1:%d" % writer.port, "who wrote it")
            t.equal((r.headers["x-tightwad-gate"], r.headers["x-tightwad-exactness"]), (outcome, "approximate"), "headers")
        g = gate(proxy)
        t.equal([g[k] for k in ("requests", "approved", "corrected", "rejected", "errors")], [6, 1, 1, 4, 0], "counts")
        t.check(0 < g["target_tokens"] < g["tokens"], "tokens by the target: %(target_tokens)d of %(tokens)d" % g)
        # What it can't do is done exactly, and says so.
        t.equal(ask(proxy, FRANCE[0], logprobs=True)[1]["mode"], "exact")
        story = "Tell me a story about a fox."
        t.equal(ask(proxy, story, mode="exact", max_tokens=60)[0], alone(story, max_tokens=60), "the exact answer")
        proxy.stop()


@test("an answer that was cut stays cut, and a stop string ends it whoever wrote it")
def _(t):
    proxy = up(t.proxy(target, gate={"agents": [t.node("mid")], "review": "likelihood"}), 1)
    got, about, r = ask(proxy, FRANCE[0], max_tokens=4)
    t.equal((got, about["gate"]), (alone(FRANCE[0], max_tokens=4), "approved"), "cut by length")
    t.equal(r.json()["choices"][0]["finish_reason"], "length")
    t.equal(ask(proxy, FRANCE[0], stop=[" France"])[0], alone(FRANCE[0], stop=[" France"]), "cut by a stop string")
    deaf = t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(target, gate={"agents": [deaf], "review": "likelihood"}), 1)
    t.equal(ask(proxy, FRANCE[0], stop=[" France"])[0], "The capital of", "an agent that knows no stop strings")


@test("questions with known answers: nothing wrong passes, and half passes as it is")
def _(t):
    agents = [t.node(m) for m in ("draft", "mid", "numbers", "words")]
    proxy = up(t.proxy(target, gate={"agents": agents, "routing": "round_robin", "review": "likelihood", "shadow_share": 1}), 4)
    some = questions(24)
    for question, right in some:
        got, about, _ = ask(proxy, question, max_tokens=80)
        t.equal(got, right, "%s, by %s: %s" % (question, about["agent"], about["gate"]))
    g = wait_until("the shadow checks", lambda: (lambda g: g if g["shadowed"] >= min(g["approved"], 16) else None)(gate(proxy)), 20)
    t.note({k: g[k] for k in ("approved", "corrected", "rejected", "tokens", "target_tokens", "shadowed", "seconds_saved")})
    t.check(g["approved"] >= len(some) / 2, "too few pass")
    t.equal((g["false_approved"], g["shadow_low"]), (0, 0), "checked afterwards")
    t.check(0 < g["shadow_high"] < 0.3, "the interval: %r" % g["shadow_high"])
    t.equal(sum(a["shadowed"] for a in g["agents"]), g["shadowed"], "by agent")


@test("the shadow check sees what a review without a threshold lets pass")
def _(t):
    liar = t.own(FakeAgent("The capital of France is Rome."))
    proxy = up(t.proxy(target, gate={"agents": [liar], "review": "likelihood", "min_token_probability": 0, "shadow_share": 1}), 1)
    for i in range(3):
        t.equal(ask(proxy, FRANCE[0])[1]["gate"], "approved")
        g = wait_until("the check", lambda: (lambda g: g if g["shadowed"] == i + 1 else None)(proxy.status()["gate"]), 10)
    t.equal((g["false_approved"], g["agents"][0]["false_approved"], g["shadow_high"]), (3, 3, 1))


@test("a verifier of its own: it writes on what it corrects, and what it rejects the target answers")
def _(t):
    weak, verifier, writer = t.node("draft"), t.node("target"), t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(weak, gate={"agents": [writer], "verifier": verifier, "review": "likelihood"}), 1)
    story = "Tell me a story about a fox."
    for text, outcome, wanted in ((FRANCE[1], "approved", FRANCE[1]), ("The capital of France is Rome.", "corrected", FRANCE[1])):
        writer.text = text
        got, about, _ = ask(proxy, FRANCE[0])
        t.equal((got, about["gate"]), (wanted, outcome))
    got, about, _ = ask(proxy, "What is 21 + 21?", max_tokens=30)
    t.equal((got, about["gate"]), (chat(weak.url, "What is 21 + 21?", temperature=0, max_tokens=30).text, "rejected"), "by the target itself")
    t.equal(gate(proxy)["verifier"], "127.0.0.1:%d" % verifier.port)
    verifier.kill()
    t.equal(ask(proxy, story, mode="exact", max_tokens=30)[0], chat(weak.url, story, temperature=0, max_tokens=30).text)


@test("by prompt, of a target that only chats")
def _(t):
    judge = t.own(FakeAgent("APPROVE"))
    writer = t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(judge, gate={"agents": [writer]}), 1)
    t.equal(proxy.status()["gate"]["review"], "prompt")
    outcomes = []
    for said in ("APPROVE", "CORRECT: Paris.", "REJECT", "I approve"):
        judge.text = lambda body: said if body["messages"][0]["role"] == "system" else "By itself."
        got, about, _ = ask(proxy, FRANCE[0])
        outcomes.append((about["gate"], got))
    t.equal(outcomes, [("approved", FRANCE[1]), ("corrected", "Paris."), ("rejected", "By itself."), ("rejected", "By itself.")])
    t.equal(gate(proxy)["unreadable"], 1)


@test("stock servers write too: llama-server, and Ollama over one")
def _(t):
    llama = t.llama_server("mid")
    ollama = t.own(FakeOllama(upstream=llama.url))
    llama.backend = "llamacpp"
    proxy = up(t.proxy(target, gate={"agents": [llama, ollama], "routing": "round_robin", "review": "likelihood"}), 2)
    some = [q for q, _ in questions(8)]
    got = [ask(proxy, q, seed=3) for q in some]
    t.equal([text for text, _, _ in got], [alone(q) for q in some], "the texts")
    t.equal([(a["answers"], a["failures"]) for a in gate(proxy)["agents"]], [(4, 0), (4, 0)], "answers of each")
    cut = [ask(proxy, "Count from 3 to 20.", max_tokens=9, stop=["7"]) for _ in range(2)]
    t.equal([text for text, _, _ in cut], [alone("Count from 3 to 20.", max_tokens=9, stop=["7"])] * 2, "length and stop strings are theirs too")


@test("over a pool; a swap lets what runs end, and forgets what was remembered")
def _(t):
    writer = t.own(FakeAgent(FRANCE[1]))
    pool = t.pool({"target": "target", "mid": "mid"}, gate={"agents": [writer], "review": "likelihood", "cache_identical": True})
    t.equal([ask(pool, FRANCE[0])[1]["gate"] for _ in range(2)], ["approved", "cached"])
    writer.thinking = 1.5
    got = []
    asking = threading.Thread(target=lambda: got.append(ask(pool, FRANCE[0], max_tokens=40)))
    asking.start()
    wait_until("the agent to write", lambda: agent_of(pool, writer)["busy"] == 1)
    pool.command("swap", model="mid")
    asking.join()
    t.equal((got[0][0], got[0][1]["gate"]), (FRANCE[1], "approved"), "what ran")
    pool.up("mid")
    writer.thinking = 0
    text, about, _ = ask(pool, FRANCE[0], model="mid@gate")
    t.equal((text, about["gate"]), (FRANCE[1], "approved"), "by the new verifier")


@test("a stream hears that it is waited for, gets its text in pieces once approved, and when it goes all work stops")
def _(t):
    slow = t.own(FakeAgent(lambda body: alone("Tell me a story about a fox."), delay=3.6))
    proxy = up(t.proxy(target, gate={"agents": [slow], "review": "likelihood"}), 1)
    body = {"model": "target@gate", "temperature": 0, "stream": True, "messages": [{"role": "user", "content": "Tell me a story about a fox."}]}
    with Stream(proxy.url + "/v1/chat/completions", body) as s:
        lines = list(s.lines())
    first = next(i for i, line in enumerate(lines) if line.startswith(b"data:"))
    t.check(any(line.startswith(b":") for line in lines[:first]), "nothing was heard before the text")
    chunks = [json.loads(line[6:]) for line in lines if line.startswith(b"data: {")]
    texts = [c["choices"][0]["delta"].get("content", "") for c in chunks if c["choices"]]
    t.equal("".join(texts), slow.text(None), "the text")
    t.check(sum(bool(x) for x in texts) > 5 and max(map(len, texts)) < 100, "one giant event: %r" % texts)
    t.equal([c["tightwad"]["gate"] for c in chunks if "tightwad" in c], ["approved"], "the last chunk's word")
    slow.thinking = 20
    conn = Client(proxy.url)
    conn.conn.request("POST", "/v1/chat/completions", json.dumps(body), {"Content-Type": "application/json"})
    wait_until("the agent to write", lambda: agent_of(proxy, slow)["busy"] == 1)
    conn.close()
    wait_until("the agent to be let go", lambda: slow.gone == 1, 5)
    wait_until("nothing to be running", lambda: agent_of(proxy, slow)["busy"] == 0 and proxy.status()["running"] == 0, 5)


@test("race: the first whole answer counts, and the others are called off")
def _(t):
    slow = t.own(FakeAgent("Nonsense.", delay=20))

    def write(body):
        wait_until("the slow one to be asked too", lambda: slow.asked == fast.asked)
        return FRANCE[1]
    fast = t.own(FakeAgent(write))
    proxy = up(t.proxy(target, gate={"agents": [slow, fast], "routing": "race", "review": "likelihood"}), 2)
    for i in range(3):
        got, about, _ = ask(proxy, FRANCE[0])
        t.equal((got, about["agent"]), (FRANCE[1], "127.0.0.1:%d" % fast.port))
        wait_until("the slow one to be called off", lambda: slow.gone == i + 1, 5)
    t.equal((slow.asked, fast.asked, gate(proxy)["retries"]), (3, 3, 0))
    fast.close()
    slow.thinking = 0.1
    t.equal(ask(proxy, FRANCE[0])[1]["gate"], "rejected", "the one that is left")


@test("an approved answer serves the same request again, and nothing else does")
def _(t):
    writer = t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(target, gate={"agents": [writer], "review": "likelihood", "cache_identical": True, "shadow_share": 0}), 1)
    outcomes = [ask(proxy, FRANCE[0], **p)[1]["gate"] for p in (
        {}, {}, {"max_tokens": 50}, {"stop": ["xyz"]}, {"user": "me"}, {"temperature": 0.5, "seed": 7}, {"temperature": 0.5, "seed": 7},
        {"temperature": 0.5, "seed": 8}, {"temperature": 0.5}, {"temperature": 0.5}, {"seed": 5})]
    t.equal([o == "cached" for o in outcomes], [False, True, False, False, True, False, True, False, False, False, True], "%r" % outcomes)
    t.equal(writer.asked, 7, "agents asked")
    r = ask(proxy, FRANCE[0])
    t.equal((r[0], r[2].json()["choices"][0]["finish_reason"]), (FRANCE[1], "stop"))
    writer.text = "The capital of France is Rome."
    t.equal([ask(proxy, FRANCE[0], max_tokens=60)[1]["gate"] for _ in range(2)], ["corrected", "cached"])
    proxy.command("reload")
    t.equal(ask(proxy, FRANCE[0])[1]["gate"], "corrected", "after a reload")
    g = gate(proxy)
    t.equal((g["cached"], g["requests"]), (6, 15), "%r" % g)


@test("stopped and started by a command; agents come and go while answers run")
def _(t):
    first, second = t.own(FakeAgent(FRANCE[1], delay=1.5)), t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(target, gate={"agents": [first], "review": "likelihood"}), 1)
    proxy.command("gate", on=False)
    t.equal(ask(proxy, FRANCE[0])[1]["mode"], "exact", "stopped")
    proxy.command("gate", on=True)
    got = []
    thread = threading.Thread(target=lambda: got.append(ask(proxy, FRANCE[0])))
    thread.start()
    wait_until("the first agent to write", lambda: agent_of(proxy, first)["busy"] == 1)
    proxy.gate["agents"] = [second]
    proxy.write_config()
    proxy.command("reload")
    thread.join()
    t.equal(got[0][0], FRANCE[1])
    t.check(got[0][1]["gate"] in ("approved", "direct"), "%r" % got)
    up(proxy, 1)
    t.equal(ask(proxy, FRANCE[0])[1]["agent"], "127.0.0.1:%d" % second.port)
    wait_until("the one that went to be let go", lambda: first.gone == 1, 5)


main()

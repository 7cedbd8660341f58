"""The quality gate when its agents or its verifier die, stop or lie: no request fails that need not, nothing wrong passes."""
from fakes import Drop, FakeAgent
from gates import *
from harness import *

target = shared.node("target")


@test("agents that die, stop, lie, refuse or never end in the middle: another one answers, and no request fails")
def _(t):
    node = t.node("mid")
    good = t.own(FakeAgent(lambda body: FRANCE[1]))
    bad = t.own(FakeAgent(FRANCE[1]))
    proxy = up(t.proxy(target, gate={"agents": [bad, good], "routing": "round_robin", "review": "likelihood", "agent_timeout": "1s",
                                     "max_retries": 1}), 2)

    def drop(body):
        raise Drop()
    ways = {"dies": drop, "lies": lambda body: (200, b"\x00\xff{{{" * 40), "refuses": lambda body: (400, {"error": {"message": "no"}}),
            "fails": lambda body: (500, {"error": {"message": "broken"}}), "is busy": lambda body: (503, {"error": {"message": "later"}}),
            "breaks off": lambda body: (200, b'data: {"choices":[{"delta":{"content":"The capital"}}]}\n\n'),
            "never ends": lambda body: (200, b'data: {"choices":[{"delta":{"content":"' + b"x" * 5000 + b'"}}]}\n\n' * 400)}
    right, n = bad.on_chat, 0

    def until_asked(name):
        """Asks until it was the bad one's turn: a penalty keeps it away for a while."""
        nonlocal n
        before = bad.asked
        while bad.asked == before:
            got, about, _ = ask(proxy, FRANCE[0], max_tokens=40)
            t.equal((got, about["gate"]), (FRANCE[1], "approved"), name)
            n += 1
            time.sleep(0.05 if bad.asked == before else 0)
        return about["agent"]
    for name, way in ways.items():
        bad.routes[("POST", "/v1/chat/completions")] = way
        t.equal(until_asked(name), "127.0.0.1:%d" % good.port, name)
        bad.routes[("POST", "/v1/chat/completions")] = right
        t.equal(until_asked(name), "127.0.0.1:%d" % bad.port, name + ", and is well again")
    bad.thinking = 30
    t.equal(until_asked("hangs"), "127.0.0.1:%d" % good.port, "hangs")
    t.equal(bad.gone, 1, "it is not asked any longer")
    g = gate(proxy)
    t.equal((g["requests"], g["approved"], g["errors"], g["direct"]), (n, n, 0, 0))
    t.equal((g["retries"], agent_of(proxy, bad)["failures"]), (8, 8))
    # With nobody left the target answers.
    good.close()
    bad.close()
    t.equal(ask(proxy, FRANCE[0])[0], FRANCE[1])
    t.equal(ask(proxy, FRANCE[0])[1]["gate"], "direct", "without agents")
    # Real ones: killed, and stopped, while they write.
    proxy = up(t.proxy(target, gate={"agents": [node, t.own(FakeAgent(FRANCE[1]))], "routing": "round_robin", "agent_timeout": "1s"}), 2)
    node.freeze()
    for _ in range(2):
        t.equal(ask(proxy, FRANCE[0])[0], FRANCE[1], "stopped")
    node.thaw()
    node.kill()
    for _ in range(2):
        t.equal(ask(proxy, FRANCE[0])[0], FRANCE[1], "killed")


@test("without the verifier answers wait for it, then fail; with fail_open they pass, and say so")
def _(t):
    verifier = t.node("target")
    closed = up(t.proxy(verifier, gate={"agents": [t.own(FakeAgent(FRANCE[1]))], "review": "likelihood"}, target_wait="2s"), 1)
    opened = up(t.proxy(verifier, gate={"agents": [t.own(FakeAgent(FRANCE[1]))], "review": "likelihood", "fail_open": True}, target_wait="2s"), 1)
    for p in (closed, opened):
        t.equal(ask(p, FRANCE[0])[1]["gate"], "approved")
    verifier.kill()
    results = in_parallel([lambda p=p: ask(p, FRANCE[0]) for p in (closed, closed, opened, opened)])
    for status, error, r in results[:2]:
        t.equal((status, error["code"]), (503, "target_gone"))
    for text, about, _ in results[2:]:
        t.equal((text, about["gate"]), (FRANCE[1], "unreviewed"))
    t.check("not there" in closed.status()["gate"]["why"], "it says why: %r" % closed.status()["gate"]["why"])
    begun = time.monotonic()
    t.equal(ask(opened, FRANCE[0])[1]["gate"], "unreviewed")
    t.less(time.monotonic() - begun, 1.9, "it is known to be away")
    later = []
    waiting = threading.Thread(target=lambda: later.append(ask(closed, FRANCE[0])))
    waiting.start()
    wait_until("the answer to be written", lambda: any(q["outcome"] in ("written", "waiting") for q in closed.status()["requests"]))
    verifier.restart()
    waiting.join()
    t.check(later[0][0] == 503 or later[0][1]["gate"] == "approved", "%r" % (later,))
    wait_until("the verifier to be back", lambda: closed.status()["backends"][0]["health"] == "up", 20)
    t.equal([ask(p, FRANCE[0])[1]["gate"] for p in (closed, opened)], ["approved", "approved"])
    t.equal((gate(opened)["unreviewed"], gate(opened)["errors"], gate(closed)["unreviewed"]), (3, 0, 0))


main()

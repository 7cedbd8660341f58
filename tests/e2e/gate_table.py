"""The table of doc/gate.md: the whole gate over the 300 questions with known answers, by each kind of review and routing.
By hand: TIGHTWAD_BUILD=build python3 tests/e2e/gate_table.py [review …]"""
import os
import sys

REVIEWS = [a for a in sys.argv[1:] if not a.startswith("-")] or ["likelihood", "both", "prompt"]
sys.argv[1:] = []

from gates import *  # noqa: E402
from harness import *  # noqa: E402
from questions import questions  # noqa: E402

MODELS_OF_AGENTS = ("draft", "mid", "numbers", "words")
QUESTIONS = questions(int(os.environ.get("QUESTIONS", "300")))
MOST = 100  # tokens of an answer: the longest right one has fewer
HEADS = ("review", "routing", "right", "approved", "corrected", "rejected", "text unchanged", "tokens by the target",
         "wrong approved", "right not approved", "shadow check: differs")


def line(cells):
    print("| %s |" % " | ".join(str(c) for c in cells), flush=True)


def percent(n, of):
    return "%d (%.1f %%)" % (n, 100 * n / of) if of else "0"


def row(proxy, review, routing, wrote):
    outcomes, right, unchanged, wrong, refused, by_agent = {}, 0, 0, 0, 0, 0
    for question, answer in QUESTIONS:
        text, about, _ = ask(proxy, question, max_tokens=MOST)
        own, outcome = wrote[about["agent"], question], about["gate"]
        outcomes[outcome] = outcomes.get(outcome, 0) + 1
        right += text.strip() == answer
        unchanged += text == own
        by_agent += own.strip() == answer
        wrong += outcome == "approved" and text.strip() != answer
        refused += outcome != "approved" and own.strip() == answer
    wait_until("the target to be idle", lambda: proxy.status()["running"] == 0)
    g = gate(proxy)
    approved = outcomes.get("approved", 0)
    line((review, routing, right, approved, outcomes.get("corrected", 0), outcomes.get("rejected", 0), unchanged,
          percent(g["target_tokens"], g["tokens"]), percent(wrong, approved), percent(refused, by_agent),
          "%d of %d (%.1f–%.1f %%)" % (g["false_approved"], g["shadowed"], 100 * g["shadow_low"], 100 * g["shadow_high"])))


@test("the table")
def _(t):
    target, agents = t.node("target"), {m: t.node(m) for m in MODELS_OF_AGENTS}
    wrote = {("127.0.0.1:%d" % node.port, q): chat(node.url, q, temperature=0, max_tokens=MOST).text for node in agents.values() for q, _ in QUESTIONS}
    line(HEADS)
    line("---" for _ in HEADS)
    for review in REVIEWS:
        for routing in ("round_robin", "least_busy"):
            proxy = up(t.proxy(target, gate={"agents": list(agents.values()), "routing": routing, "review": review, "shadow_share": 0.3}), 4)
            row(proxy, review, routing, wrote)
            proxy.stop()


main()

"""Prints what consensus does on the demo models, for doc/consensus.md: for each trio of drafters and each mode the share of tokens
without the target, how many of these are wrong, and how many answers are the target's own.  By hand: consensus_table.py [PROMPTS]"""
import sys

from harness import Scope, chat, wait_until
from prompts import prompts
from questions import questions

TRIOS = [("draft", "small", "mid"), ("small", "mid", "words"), ("mid", "numbers", "words")]
MODES = ["strict", "majority", "any_disagree"]


def audited(proxy):
    """The consensus part of the status once every token that went out without the target has been audited."""
    def whole():
        c = proxy.settled()["consensus"]
        return c if c["audited_tokens"] == c["accepted"] else None
    return wait_until("all windows to be audited", whole, 60)


def row(scope, target, voters, mode, todo):
    proxy = scope.proxy(target, voters, consensus_mode=mode, consensus_audit=1, consensus_max_error=1)
    wait_until("three voters", lambda: all(b["health"] == "up" for b in proxy.status()["backends"]), 10)
    same = sum(chat(proxy.url, p, temperature=0, max_tokens=150).text == w for p, w in todo)
    c = audited(proxy)
    proxy.stop()
    tokens = c["accepted"] + c["fallback"]
    pace = "%.1f" % (tokens / c["target_passes"]) if c["target_passes"] else "never asked"
    return "%.1f %% | %.2f %% (%d of %d) | %s | %d of %d" % (
        100 * c["accepted"] / tokens, 100 * (c["error"] or 0), c["wrong_tokens"], c["audited_tokens"],
        pace, same, len(todo))


def main(n):
    scope = Scope()
    try:
        target = scope.node("target")
        nodes = {m: scope.node(m) for m in sorted({m for trio in TRIOS for m in trio})}
        for name, todo in (("questions", [q for q, _ in questions(n)]), ("mixed prompts", prompts(n, "consensus table"))):
            todo = [(p, chat(target.url, p, temperature=0, max_tokens=150).text) for p in todo]
            print("\n%s\n\n| drafters | mode | without the target | wrong among these | tokens a pass of the target | answers that are its own |" % name)
            print("|---|---|---|---|---|---|")
            for trio in TRIOS:
                for mode in MODES:
                    print("| `%s` | %s | %s |" % ("` `".join(trio), mode, row(scope, target, [nodes[m] for m in trio], mode, todo)), flush=True)
    finally:
        scope.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

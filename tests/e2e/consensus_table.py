"""Prints what consensus does on the demo models, for doc/consensus.md: for each trio of drafters and each mode the share of tokens
without the target, how many of these are wrong, and how many answers are the target's own.  By hand: consensus_table.py [PROMPTS]"""
import sys

from harness import Scope, chat, wait_until
from prompts import prompts

TRIOS = [("draft", "small", "mid"), ("small", "mid", "words"), ("mid", "numbers", "words")]
MODES = ["strict", "majority", "any_disagree"]


def audited(proxy):
    """The consensus part of the status once every token that went out without the target has been audited."""
    def whole():
        c = proxy.settled()["consensus"]
        return c if c["audited_tokens"] == c["accepted"] else None
    return wait_until("all windows to be audited", whole, 60)


def main(n):
    scope = Scope()
    todo = prompts(n, "consensus table")
    try:
        target = scope.node("target")
        nodes = {m: scope.node(m) for m in sorted({m for trio in TRIOS for m in trio})}
        wanted = [chat(target.url, p, temperature=0, max_tokens=150).text for p in todo]
        print("| drafters | mode | without the target | wrong among these | windows without the target | tokens a pass | answers equal to the target's |")
        print("|---|---|---|---|---|---|---|")
        for trio in TRIOS:
            for mode in MODES:
                proxy = scope.proxy(target, [nodes[m] for m in trio], consensus_mode=mode, consensus_audit=1,
                                    consensus_max_error=1)
                wait_until("three voters", lambda: not proxy.status()["consensus"]["why"], 10)
                same = sum(chat(proxy.url, p, temperature=0, max_tokens=150).text == w for p, w in zip(todo, wanted))
                c = audited(proxy)
                tokens = c["accepted"] + c["fallback"]
                print("| `%s` | %s | %.1f %% | %.2f %% (%d of %d) | %.0f %% | %.1f | %d of %d |" % (
                    "` + `".join(trio), mode, 100 * c["accepted"] / tokens, 100 * c["error"], c["wrong_tokens"],
                    c["audited_tokens"], 100 * c["skipped"] / c["windows"], tokens / max(c["target_passes"], 1), same, n), flush=True)
                proxy.stop()
    finally:
        scope.close()


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)

#!/usr/bin/python3
"""What it costs to stand behind the proxy: a short request and a 300-token answer with speculation off, through the proxy
and from the node directly, in turn; medians, difference and ratio.  Then what speculation brings for the same answers.

usage: tests/bench/latency.py [ROUNDS]      (TIGHTWAD_BUILD names the build folder, build/ otherwise)"""
import os
import statistics
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from harness import Client, Scope  # noqa: E402

SHORT = {"messages": [{"role": "user", "content": "What is 17 + 4?"}], "temperature": 0, "max_tokens": 4}
# A prompt that the demo target answers at length; max_tokens makes it exactly 300 tokens or its own end.
LONG = {"prompt": "Once upon a time there was a", "temperature": 1.0, "seed": 1, "max_tokens": 300,
        "logit_bias": {}}


def once(client, path, body):
    reply = client.request("POST", path, body)
    if reply.status != 200:
        sys.exit("status %d: %s" % (reply.status, reply.text))
    return reply.seconds * 1000, reply.json()["usage"]["completion_tokens"]


def compare(name, path, body, servers, rounds):
    """servers: (label, Client) in turn; the first is what the others are compared with."""
    times = {label: [] for label, _ in servers}
    tokens = 0
    for i in range(rounds + 3):
        for label, client in servers:
            ms, tokens = once(client, path, body)
            if i >= 3:
                times[label].append(ms)
    base = statistics.median(times[servers[0][0]])
    print("%s (%d tokens, %d rounds)" % (name, tokens, rounds))
    for label, _ in servers:
        m = statistics.median(times[label])
        print("  %-28s %9.3f ms   %+8.3f ms   x %.3f" % (label, m, m - base, m / base))


def main():
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 40
    scope = Scope()
    try:
        target, drafter = scope.node("target"), scope.node("draft")
        eog = target.info()["eog"]
        LONG["logit_bias"] = {str(t): -100 for t in eog}
        off = scope.proxy(target, [drafter], max_draft_tokens=0)
        on = scope.proxy(target, [drafter])
        servers = [("node directly", Client(target.url)), ("proxy, speculation off", Client(off.url)),
                   ("proxy, speculation on", Client(on.url))]
        compare("a short request", "/v1/chat/completions", SHORT, servers, rounds)
        compare("a long answer", "/v1/completions", LONG, servers, max(5, rounds // 4))
    finally:
        for problem in scope.close():
            print(problem, file=sys.stderr)


if __name__ == "__main__":
    main()

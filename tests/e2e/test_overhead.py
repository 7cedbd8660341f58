"""With speculation off nothing may be slower for going through Tightwad: the same requests in turn to the proxy and to the
node itself, medians compared."""
import statistics

from harness import *
from prompts import prompts

target = shared.node("target")
proxy = shared.proxy(target)
NO_END = {str(i): -100 for i in target.info()["eog"]}
TRIES = 4  # other programs disturb the clock; what is slower by itself is slower in each of them


def in_turn(body, pairs_wanted):
    """Pairs of seconds (node, proxy), each pair one right after the other, in changing order, over kept connections.
    Always the same request: its prompt stands in the node's cache for both."""
    pairs = []
    clients = {"node": Client(target.url), "proxy": Client(proxy.url)}
    for i in range(pairs_wanted):
        times = {}
        for kind in ("node", "proxy") if i % 2 == 0 else ("proxy", "node"):
            r = clients[kind].request("POST", "/v1/chat/completions", body)
            if r.status != 200:
                raise Failure("%s: %r" % (kind, r))
            times[kind] = r.seconds
        pairs.append((times["node"], times["proxy"]))
    for c in clients.values():
        c.close()
    return pairs


def body(prompt, n, stream):
    return {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": n, "logit_bias": NO_END,
            "stream": stream}


def holds(t, what, body, pairs_wanted, slack):
    """The median of the proxy is at most slack(median of the node) longer."""
    seen = []
    for _ in range(TRIES):
        pairs = in_turn(body, pairs_wanted + 4)[4:]
        node = statistics.median(p[0] for p in pairs)
        more = statistics.median(p[1] - p[0] for p in pairs)
        seen.append("%s: node %.3f ms, proxy %+.3f ms" % (what, node * 1e3, more * 1e3))
        t.note(seen[-1])
        if SANITIZED or more <= slack(node):
            return
    raise Failure("; ".join(seen))


def kind(stream):
    return "streamed" if stream else "in one piece"


@test("a short request is within 0.5 ms")
def _(t):
    for stream in (False, True):
        holds(t, "4 tokens, " + kind(stream), body(prompts(1, "short")[0], 4, stream), 80, lambda node: 0.0005)


@test("an answer of 300 tokens is within 2 %")
def _(t):
    for stream in (False, True):
        holds(t, "300 tokens, " + kind(stream), body(prompts(1, "long")[0], 300, stream), 20, lambda node: node * 0.02)


main()

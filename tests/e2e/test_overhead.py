"""With speculation off nothing may be slower for going through Tightwad: the same requests in turn to the proxy and to the
node itself, medians compared."""
import statistics

from harness import *
from prompts import prompts

target = shared.node("target")
proxy = shared.proxy(target)
NO_END = {str(i): -100 for i in target.info()["eog"]}
TRIES = 4  # other programs disturb the clock; what is slower by itself is slower in each of them


def in_turn(bodies, stream):
    """Pairs of seconds (node, proxy), each pair one right after the other, in changing order, over kept connections."""
    pairs = []
    clients = {"node": Client(target.url), "proxy": Client(proxy.url)}
    for i, body in enumerate(bodies):
        body, times = dict(body, stream=stream), {}
        for kind in ("node", "proxy") if i % 2 == 0 else ("proxy", "node"):
            r = clients[kind].request("POST", "/v1/chat/completions", body)
            if r.status != 200:
                raise Failure("%s: %r" % (kind, r))
            times[kind] = r.seconds
        pairs.append((times["node"], times["proxy"]))
    for c in clients.values():
        c.close()
    return pairs


def body(prompt, n):
    return {"messages": [{"role": "user", "content": prompt}], "temperature": 0, "max_tokens": n, "logit_bias": NO_END}


def holds(t, what, bodies, stream, slack):
    """The median of the proxy is at most slack(median of the node) longer."""
    seen = []
    for _ in range(TRIES):
        pairs = in_turn(bodies, stream)[4:]
        node = statistics.median(p[0] for p in pairs)
        more = statistics.median(p[1] - p[0] for p in pairs)
        seen.append("%s: node %.3f ms, proxy %+.3f ms" % (what, node * 1e3, more * 1e3))
        t.note(seen[-1])
        if SANITIZED or more <= slack(node):
            return
    raise Failure("; ".join(seen))


@test("a short request is within 0.5 ms")
def _(t):
    bodies = [body(p, 4) for p in prompts(60, "short")]
    for stream in (False, True):
        holds(t, "4 tokens, %s" % ("streamed" if stream else "in one piece"), bodies, stream, lambda node: 0.0005)


@test("an answer of 300 tokens is within 2 %")
def _(t):
    bodies = [body(p, 300) for p in prompts(24, "long")]
    for stream in (False, True):
        holds(t, "300 tokens, %s" % ("streamed" if stream else "in one piece"), bodies, stream, lambda node: node * 0.02)


main()

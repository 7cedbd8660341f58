"""Speculation over a slow link pays only if little crosses it: under 150 bytes per output token, headers and all, at any
length of the context."""
from harness import *
from prompts import sized_chat, story_prompts

LIMIT = 150


PREFILL = {"/v1/node/session", "/v1/node/verify", "/v1/node/draft", "/v1/node/generate"}


def per_token(t, proxy, relays, prompt):
    """(bytes per output token after the prefill, tokens of context before the answer).  All that crossed the wire counts,
    finished or broken off, but for the first request of each kind on each link: those carry the prompt."""
    proxy.settled()
    for r in relays:
        r.forget()
        r.reset_counts()
    a = chat(proxy.url, prompt, temperature=0)
    t.check(a.done, a)
    size = sum(r.bytes for r in relays)
    for r in relays:
        first = {}
        for e in r.exchanges():
            if e.path in PREFILL:
                first.setdefault("session" if e.path.endswith("session") else "work", e)
        size -= sum(e.bytes_up + e.bytes_down for e in first.values())
    return size / a.usage["completion_tokens"], a.usage["prompt_tokens"]


@test("under %d bytes per output token at 400 tokens of context, and no more than at 30" % LIMIT)
def _(t):
    target, drafter = t.node("target"), t.node("draft")
    relays = [t.relay(target, record=True), t.relay(drafter, record=True)]
    proxy = t.proxy(relays[0], [relays[1]], max_draft_tokens=16, draft_ahead=False)
    chat(proxy.url, "What is 3 + 4?", temperature=0)
    short, long = [], []
    for i, p in enumerate(story_prompts(4, "wire")):
        size, context = per_token(t, proxy, relays, p)
        t.note("%d tokens of context: %.1f bytes per token" % (context, size))
        short.append(size)
        messages, _ = sized_chat(target.url, 100 + i, 420)
        size, context = per_token(t, proxy, relays, messages)
        t.between(context, 330, 420, "context")
        t.note("%d tokens of context: %.1f bytes per token" % (context, size))
        long.append(size)
    t.less(sum(long) / len(long), LIMIT, "bytes per output token, long context")
    t.less(sum(short) / len(short), LIMIT, "bytes per output token, short context")


@test("the status counts the bytes that the relays count")
def _(t):
    target, drafter = t.node("target"), t.node("draft")
    relays = [t.relay(target), t.relay(drafter)]
    proxy = t.proxy(relays[0], [relays[1]])
    before = proxy.settled()
    for r in relays:
        r.reset_counts()
    for p in story_prompts(6, "bytes"):
        chat(proxy.url, p, temperature=0)
    s = proxy.settled()
    for name, counted in (("wire_out", sum(r.up for r in relays)), ("wire_in", sum(r.down for r in relays))):
        t.between(s[name] - before[name], counted * 0.9, counted * 1.1, name)


main()

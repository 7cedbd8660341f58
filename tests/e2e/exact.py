"""Compares answers through the proxy with the target's own, byte by byte."""
import threading

from harness import Failure, chat, complete, in_parallel


class Case:
    """One request: the same body goes to the target's own endpoint and to the proxy."""

    def __init__(self, prompt, stream=False, **params):
        self.prompt, self.stream, self.params = prompt, stream, params

    def ask(self, base, stream=None, **more):
        return chat(base, self.prompt, stream=self.stream if stream is None else stream,
                    **dict(self.params, **more))

    def __repr__(self):
        return "%r stream=%s %r" % (self.prompt if isinstance(self.prompt, str) else self.prompt[-1]["content"],
                                    self.stream, self.params)


def references(target, cases):
    """The target's own answers, one at a time, so that nothing is batched with anything."""
    out = []
    for c in cases:
        a = c.ask(target.url, stream=False)
        if a.status != 200 or not a.done:
            raise Failure("the target alone did not answer %r: %r" % (c, a))
        out.append(a)
    return out


def differences(proxy, cases, wanted, clients=1, **more):
    """Asks the proxy all cases, clients at a time; returns the cases whose answers differ, in words."""
    wrong, lock, todo = [], threading.Lock(), list(enumerate(cases))

    def work():
        while True:
            with lock:
                if not todo:
                    return
                i, c = todo.pop(0)
            got = c.ask(proxy.url, **more)
            if got.key() != wanted[i].key() or not got.done or got.error:
                with lock:
                    wrong.append("case %d %r\n  target %r\n   proxy %r" % (i, c, wanted[i], got))

    in_parallel([work] * clients)
    return wrong


def check_exact(t, proxy, target, cases, clients=1, wanted=None, **more):
    """Fails with the count and the first few differences; returns the target's own answers."""
    wanted = wanted or references(target, cases)
    wrong = differences(proxy, cases, wanted, clients, **more)
    t.note("%d of %d identical to the target alone, %d tokens" % (
        len(cases) - len(wrong), len(cases), sum(w.usage["completion_tokens"] for w in wanted)))
    if wrong:
        raise Failure("%d of %d answers differ\n%s" % (len(wrong), len(cases), "\n".join(wrong[:4])))
    return wanted

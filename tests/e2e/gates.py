"""What the tests of the quality gate have in common."""
from harness import *

FRANCE = ("What is the capital of France?", "The capital of France is Paris.")


def ask(proxy, prompt, mode="gate", timeout=120, **params):
    """The reply as a client gets it: (text, what is said of it, finish)."""
    r = post(proxy.url + "/v1/chat/completions", dict(
        {"model": "target@" + mode, "temperature": 0, "messages": [{"role": "user", "content": prompt}]}, **params), timeout=timeout)
    o = r.json()
    if r.status != 200:
        return r.status, o["error"], r
    return o["choices"][0]["message"]["content"], o["tightwad"], r


def gate(proxy):
    return proxy.settled()["gate"]


def agent_of(proxy, what):
    return next(a for a in proxy.status()["gate"]["agents"] if a["url"] == what.url)


def up(proxy, n):
    wait_until("the agents to be known", lambda: sum(a["health"] == "up" for a in (proxy.status()["gate"] or {"agents": []})["agents"]) == n, 20)
    return proxy

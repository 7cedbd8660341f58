"""As configured by default the length of drafts follows what is measured: where drafting pays it is done, where it can't pay it
stops, and neither changes a byte of any answer."""
from exact import Case, check_exact
from fakes import FakeNode
from harness import *
from prompts import prompts, story_prompts

target = shared.node("target")
ONE_WAY = 0.002  # seconds between the node and each of its workers


def cases(name, n):
    return [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=150)
            for i, p in enumerate(prompts(n, name) + story_prompts(n // 2, name))]


def pooled(t, **kw):
    """The target with its layers on two RPC workers, each behind ONE_WAY: every pass of it makes trips."""
    ports = []
    for i in range(2):
        port = free_port()
        t.process(rpc_server() + ["-H", "127.0.0.1", "-p", str(port), "-d", "CPU", "-t", "1"],
                  name="worker %d" % i, env={"GGML_CPU_TILED_MM": "0"}, cwd=t.folder)
        wait_until("worker %d to listen" % i, lambda: listens(port))
        ports.append(t.relay(port, delay=ONE_WAY).port)
    return t.node("target", args=["--rpc", ",".join("127.0.0.1:%d" % p for p in ports)], **kw)


def listens(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in f.readlines()[1:])


@test("a target over two workers behind a slow link: drafting pays")
def _(t):
    pool = pooled(t)
    t.note({k: pool.info()[k] for k in ("batch_invariant", "noise", "rpc")})
    on, off = t.proxy(pool, [t.node("draft")], governor=True), t.proxy(pool, max_draft_tokens=0)
    todo = [Case(p, temperature=0) for p in story_prompts(6, "pool")]
    seconds = {}
    for name, proxy in (("alone", off), ("drafted", on)):
        begun = time.monotonic()
        check_exact(t, proxy, target, todo)
        seconds[name] = time.monotonic() - begun
    s = on.settled()
    t.note("%r; %r" % (seconds, {k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "tokens_per_round")}))
    t.check(s["accepted"] > 0.5 * s["emitted"], "few tokens came from the drafter")


@test("a drafter that is always wrong is left alone soon")
def _(t):
    fake = t.own(FakeNode(target.info()))
    proxy = t.proxy(target, [{"url": fake.url, "backend": "node"}], governor=True)
    check_exact(t, proxy, target, cases("wrong", 24))
    s = proxy.settled()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted")})
    t.less(s["rounds"], 6 * 36, "rounds of an always wrong drafter in 36 answers")


@test("a good drafter beside a fast target, killed and restarted, with four clients")
def _(t):
    drafter = t.node("draft")
    proxy = t.proxy(target, [drafter], governor=True)
    wanted = check_exact(t, proxy, target, cases("four", 20), clients=4)
    drafter.restart()
    check_exact(t, proxy, target, cases("four", 20), clients=4, wanted=wanted)


main()

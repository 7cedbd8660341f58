"""Exactness must not hang on one quantisation, one thread count or one kind of memory: Q4_K_M, two threads, recurrent and
hybrid models, and a drafter that is as good as the target."""
import subprocess
from exact import Case, check_exact
from fakes import HalfRight
from harness import *
from prompts import long_chat, prompts

N = 12 if SANITIZED else 45


def cases(name, n=N, **params):
    out = [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=100, **params)
           for i, p in enumerate(prompts(n, name))]
    return out + [Case(long_chat(i, 600), temperature=(0, 0.7, 1.0)[i], seed=i, max_tokens=60, **params) for i in range(3)]


@test("two threads")
def _(t):
    target = t.node("target", threads=2)
    proxy = t.proxy(target, [t.node("draft", threads=2)])
    t.check(target.info()["batch_invariant"], "the self-test at load found differences")
    check_exact(t, proxy, target, cases("two threads"), clients=2)


@test("a Q4_K_M made by llama-quantize")
def _(t):
    q4 = os.path.join(t.folder, "target-q4.gguf")
    r = subprocess.run(llama_tool("llama-quantize") + ["--allow-requantize", model_path("target"), q4, "Q4_K_M", "2"],
                       capture_output=True, text=True, env=dict(os.environ, OMP_WAIT_POLICY="passive"))
    t.equal(r.returncode, 0, r.stderr[-500:])
    target = t.node(q4)
    proxy = t.proxy(target, [t.node("small")])
    t.check(target.info()["batch_invariant"], "the self-test at load found differences")
    check_exact(t, proxy, target, cases("q4"), clients=2)
    t.check(proxy.status()["accepted"] > 0, "nothing was drafted")


@test("the target's own model as its drafter: nearly everything is accepted, and nothing changes")
def _(t):
    target = t.node("target")
    proxy = t.proxy(target, [t.node("target")])
    check_exact(t, proxy, target, cases("twin"))
    s = proxy.status()
    t.check(s["accepted"] > 0.97 * s["drafted"], "accepted %d of %d" % (s["accepted"], s["drafted"]))


@test("a drafter that is right for a while: every length of acceptance")
def _(t):
    target = t.node("target")
    half = t.own(HalfRight(t.node("target").url, target.info()))
    proxy = t.proxy(target, [{"url": half.url, "backend": "node"}])
    check_exact(t, proxy, target, cases("half right", 15), clients=2)
    s = proxy.status()
    t.between(s["accepted"] / s["drafted"], 0.3, 0.97, "share accepted")


def kind_of_memory(kind):
    @test("a %s model: rollback is right, by whatever means" % kind)
    def _(t):
        path = os.path.join(t.folder, kind + ".gguf")
        r = subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), kind, path], capture_output=True, text=True)
        t.equal(r.returncode, 0, r.stderr)
        target, reference = t.node(path), t.node(path)
        info = target.info()
        t.note({k: info[k] for k in ("architecture", "rollback", "batch_invariant", "noise", "selftest")})
        t.check(info["rollback"] in ("truncate", "snapshot", "reprefill"), info["rollback"])
        half = t.own(HalfRight(reference.url, info))
        for drafter in (half, t.node(path), t.node("draft")):
            entry = {"url": drafter.url, "backend": "node"}
            proxy = t.proxy(target, [entry])
            todo = [Case(p, temperature=(0, 0.7, 1.0)[i % 3], seed=i, stream=i % 2 == 0, max_tokens=60)
                    for i, p in enumerate(prompts(12, kind))]
            check_exact(t, proxy, reference, todo, clients=1 + 2 * (drafter is half))
            s = proxy.status()
            t.note("%s: %d of %d accepted" % (drafter.__class__.__name__, s["accepted"], s["drafted"]))
            proxy.stop()


for kind in ("transformer", "recurrent", "hybrid"):
    kind_of_memory(kind)


main()

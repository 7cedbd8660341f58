"""Nothing of ours in the pool: ggml's own RPC servers and an unmodified llama-server as the coordinator, in the same
configuration.  It gets its flags, verifies drafts through its slots, is swapped, hangs, dies, is stopped; the text stays the same."""
import cmdline
from drawer import StockWorker, send
from exact import Case, check_exact, references
from harness import *
from prompts import story_prompts

PROMPTS = story_prompts(6, "pool stock")
# Without a unified cache and flash attention a pass of several slots has the same bits as one alone.
SAME_BITS = ["--no-kv-unified", "--flash-attn", "off"]


def stock_program(t):
    """A llama-server by one path, as `binaries.coordinator` wants it."""
    tool, path = llama_tool("llama-server"), os.path.join(t.folder, "llama-server")
    with open(path, "w") as f:
        f.write("#!/bin/sh\ncd '%s' && exec %s \"$@\"\n" % (os.path.dirname(tool[0]), " ".join("'%s'" % w for w in tool)))
    os.chmod(path, 0o755)
    return path


def stock_pool(t, models, **more):
    workers = [t.own(StockWorker(t.folder)).ready() for _ in range(2)]
    coordinator = {"extra_args": ["--tensor-split", "1,1"] + more.pop("extra", []), "env": {"STOCK_TEST": "yes"}}
    return t.pool(models, workers, binaries={"coordinator": stock_program(t)}, coordinator=coordinator, **more), workers


def cmdline_of(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().decode().split("\0")[:-1]


def environ_of(pid):
    with open("/proc/%d/environ" % pid, "rb") as f:
        return dict(x.split("=", 1) for x in f.read().decode().split("\0") if "=" in x)


def value_of(args, option):
    """The last one counts."""
    return args[len(args) - args[::-1].index(option)]


@test("it gets the flags that a person would give it, and those that verifying takes")
def _(t):
    pool, workers = stock_pool(t, {"target": {"path": "target", "ctx_size": 512, "flash_attn": False, "draft": "small"},
                                   "small": "small"})
    s = pool.status()
    pid = s["pool"]["pid"]
    args = cmdline_of(pid)
    t.note(" ".join(args))
    t.equal(s["backends"][0]["kind"], "llamacpp")
    t.equal(value_of(args, "--rpc"), ",".join("127.0.0.1:%d" % w.port for w in workers))
    t.equal((value_of(args, "--port"), value_of(args, "--tensor-split")), (str(pool.node_port), "1,1"))
    t.equal(value_of(args, "--model"), model_path("target"))
    t.equal([value_of(args, o) for o in ("--flash-attn", "--parallel", "--cache-ram")], ["off", "9", "0"])
    t.check("--kv-unified" in args, "passes of several slots are not one")
    t.equal(environ_of(pid).get("STOCK_TEST"), "yes", "the environment")
    t.equal([d["layers"] for d in s["pool"]["devices"] if d["layers"]], [3, 2])
    r = cmdline.tightwad(t, "stop", "--pool", **cmdline.of(pool))
    t.check(r.code == 0, r)
    t.equal((pool.pool()["state"], os.path.exists("/proc/%d" % pid)), ("off", False))
    r = cmdline.tightwad(t, "start", **cmdline.of(pool))
    t.check(r.code == 0, r)
    t.check(chat(pool.url, PROMPTS[0], temperature=0, max_tokens=20).status == 200)
    t.check(all(w.running() for w in workers), "an RPC server is gone")


@test("drafts are verified through its slots: its own text, also when it is killed, hangs, or is swapped")
def _(t):
    pool, workers = stock_pool(t, {"target": {"path": "target", "ctx_size": 512, "draft": "small"},
                                   "mid": {"path": "mid", "ctx_size": 512, "draft": "small"}, "small": "small"},
                               extra=SAME_BITS, max_draft_tokens=4)
    # What lies on an RPC server is never repacked.
    own = {name: t.llama_server(name, slots=1, ctx=512, args=SAME_BITS + ["--no-repack"])
           for name in ("target", "mid")}
    todo = [Case(p, temperature=0, max_tokens=80, stream=True) for p in PROMPTS]
    right = {name: references(server, todo) for name, server in own.items()}

    def drafting():
        return wait_until("the drafter to be in use", lambda: pool.status()["speculating"], 40)
    drafting()
    check_exact(t, pool, None, todo, wanted=right["target"])
    s = pool.settled()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "emitted", "exactness")})
    t.check(s["accepted"] > 0.3 * s["emitted"], "few tokens came from the drafter")
    for name, number in (("killed", signal.SIGKILL), ("stopped", signal.SIGSTOP)):
        pid, done = pool.up()["pid"], []

        def chunk(a):
            if a.chunks >= 2 and not done:
                done.append(True)
                send([pid], number)
        a = todo[0].ask(pool.url, on_chunk=chunk)
        t.check(done, "the answer was over before anything could be broken")
        t.equal(a.key(), right["target"][0].key(), name)
        t.note("%s: pause %d ms" % (name, pool.up()["pause_ms"]))
        for w in workers:
            if not w.running():  # ggml's own ends when it replies to a client that is gone
                w.wait()
                w.start()
                w.ready()
    for name in ("mid", "target"):
        r = cmdline.tightwad(t, "swap", name, **cmdline.of(pool))
        t.check(r.code == 0, r)
        drafting()
        check_exact(t, pool, None, todo[:3], wanted=right[name][:3])
    t.equal(pool.settled()["requests_failed"], 0)


main()

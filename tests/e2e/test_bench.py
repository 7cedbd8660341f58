"""`tightwad bench pool` measures what it says: every row is there, the answers are the pool's own, the numbers fit together,
and nothing that it started is left."""
import subprocess
from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


def environment(t):
    return {"XDG_RUNTIME_DIR": t.folder, "HOME": t.folder, "TMPDIR": t.folder, "TIGHTWAD_CONFIG": None}


def bench(t, *args):
    before = list(args[:2]) if args[0] == "-c" else []
    p = t.process([TIGHTWAD] + before + ["bench", "pool"] + list(args[len(before):]), env=environment(t), name="bench")
    p.expected_end = True
    return p


@test("a short run: rows, shape, identical answers, an emulated link that is named, nothing left behind")
def _(t):
    p = bench(t, "--link", "1", "--runs", "1", "--prompts", "2", "--only", "pool,k8,auto,stock,stock-16-0", "--json")
    t.equal(p.wait(150), 0, p.output)
    o = json.loads(p.output[p.output.index("{"):])
    rows = {r["name"]: r for r in o["rows"]}
    try:
        llama_tool("llama-server")
        want = ["pool", "k8", "auto", "stock", "stock-16-0"]
        t.equal(o["stock_best"] in ("stock", "stock-16-0"), True)
    except Failure:
        want = ["pool", "k8", "auto"]
    t.equal(list(rows), want)
    t.check(o["settings"]["emulated_link"] and "EMULATED" in o["conditions"], o["conditions"])
    t.check(o["shortest_answer_tokens"] >= 100, "an answer has %r tokens" % o["shortest_answer_tokens"])
    for r in rows.values():
        t.equal((r["answers"], r["failure"]), (2, None), r["name"])
        t.check(r["tokens_per_second"] > 0 and len(r["runs"]) == 1, r)
        if not r["name"].startswith("stock"):
            t.equal(r["identical"], 2, r["name"])
    t.equal(rows["pool"]["ratio_to_pool"], 1.0)
    t.equal(rows["pool"]["tokens_per_round"], 1.0)
    k8 = rows["k8"]
    t.between(k8["tokens_per_round"], 1.0, 9.0)
    t.between(k8["acceptance"], 0.0, 1.0)
    t.check(k8["verify_ms"] >= 2, "a pass over links of 1 ms one way took %r ms" % k8["verify_ms"])
    t.between(k8["share_of_limit"], 0.0, 1.1)
    t.equal([n for n in os.listdir(t.folder) if n.startswith("tightwad-")], [], "left behind")


@test("the configured pool: its own workers, its models, one further for drafting; refused while they are in use")
def _(t):
    workers = [t.process([os.path.join(BUILD, "tightwad-node"), "worker", "--listen", "127.0.0.1:0", "--threads", "1",
                          "--device", "CPU", "--no-cache"], name="worker %d" % i) for i in range(2)]
    ports = [int(w.wait_line(r"Lending at 127\.0\.0\.1:(\d+)", 20).group(1)) for w in workers]
    config = os.path.join(t.folder, "cluster.yaml")
    with open(config, "w") as f:
        f.write("proxy: {port: %d}\n" % free_port() +
                "coordinator: {port: %d, backend: cpu, threads: 1, extra_args: [--tensor-split, '1,1']}\n" % free_port() +
                "workers:\n" + "".join("  - {host: 127.0.0.1, name: w%d, gpus: [{rpc_port: %d}]}\n" % p
                                       for p in enumerate(ports)) +
                "models:\n  big: {path: '%s', ctx_size: 512, draft: little, default: true}\n" % model_path("target") +
                "  little: {path: '%s', ctx_size: 512}\n" % model_path("small"))
    p = bench(t, "-c", config, "--link", "1", "--runs", "1", "--prompts", "1", "--only", "pool,k8-ahead,stock-8-0", "--json")
    t.equal(p.wait(150), 0, p.output)
    o = json.loads(p.output[p.output.index("{"):])
    t.equal((o["settings"]["target"], o["settings"]["drafter"], o["settings"]["workers"]),
            ("target.gguf", "small.gguf", 2))
    for r in o["rows"]:
        t.equal((r["answers"], r["identical"], r["failure"]), (1, 1, None), r["name"])
    t.check(o["rows"][1]["tokens_per_round"] > 3, o["rows"][1])
    for w in workers:
        t.check(w.running() and "127.0.0.1" in w.output, w.output)
    started = t.process([TIGHTWAD, "proxy", "start", "--no-ui", "-c", config], env=environment(t), name="tightwad")
    started.wait_line(r"is loaded", 60)
    p = bench(t, "-c", config, "--only", "pool")
    t.equal(p.wait(20), 1, p.output)
    t.check("tightwad stop" in p.output, p.output)


@test("several drafters: each alone and all together, each row's rounds its own, every answer the pool's")
def _(t):
    p = bench(t, "--link", "1", "--runs", "1", "--prompts", "2", "--drafters", "numbers,words", "--only", "k32-*,k16-all", "--json")
    t.equal(p.wait(150), 0, p.output)
    o = json.loads(p.output[p.output.index("{"):])
    rows = {r["name"]: r for r in o["rows"]}
    t.equal(list(rows), ["pool", "k32-numbers", "k32-words", "k16-all", "k32-all"])
    t.equal(o["settings"]["drafter"], "numbers.gguf, words.gguf")
    for r in rows.values():
        t.equal((r["answers"], r["identical"], r["failure"]), (2, 2, None), r["name"])
    # One of the two prompts is at home with each.
    best = max(rows["k32-numbers"]["tokens_per_round"], rows["k32-words"]["tokens_per_round"])
    t.check(rows["k16-all"]["tokens_per_round"] > best, rows)
    t.check(rows["k16-all"]["verified_per_round"] <= 32, rows["k16-all"])


@test("what can't be: a message, and nothing is started")
def _(t):
    for args, words in ((["--only", "k9"], 'no row is called "k9"'), (["--link", "fast"], "--link is"),
                        (["--drafter", "./none.gguf"], "cannot be read"),
                        (["--llama-server", "./none"], "not a program"), (["--drafters", "words"], "two or more are wanted"),
                        (["--drafters", "words,words"], "named twice"), (["--drafters", ""], "no drafter is named"),
                        (["--drafters", "words,small", "--only", "k8"], "k32-NAME")):
        p = bench(t, *args)
        t.check(p.wait(20) in (1, 2), p.output)
        t.check(words in p.output, "%r: %s" % (args, p.output))


@test("interrupted: it says so, and ends with all that it started")
def _(t):
    p = bench(t, "--link", "1", "--runs", "1", "--only", "pool")

    def children():
        with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
            return [int(c) for c in f.read().split()]
    started = wait_until("some programs", lambda: (lambda c: c if len(c) >= 5 else None)(children()), 30)
    p.signal(signal.SIGINT)
    t.equal(p.wait(30), 1, p.output)
    t.check("interrupted" in p.output, p.output)
    for pid in started:
        t.check(not os.path.exists("/proc/%d" % pid), "process %d is left" % pid)
    t.equal([n for n in os.listdir(t.folder) if n.startswith("tightwad-")], [], "left behind")


@test("prompts that are to be repeated: n-grams of the text alone draft, and the answers stay the pool's own")
def _(t):
    p = bench(t, "--link", "1", "--runs", "1", "--prompts", "1", "--ngram", "--only", "pool,ngram", "--json")
    t.equal(p.wait(100), 0, p.output)
    rows = {r["name"]: r for r in json.loads(p.output[p.output.index("{"):])["rows"]}
    t.equal(rows["ngram"]["identical"], 1)
    t.check(rows["ngram"]["tokens_per_round"] > 2, rows["ngram"])


main()

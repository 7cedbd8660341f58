"""`tightwad doctor` finds what is wrong: each of its findings is provoked by a server that really is so, and a healthy set-up has
none."""
from cmdline import *
from fake_ollama import FakeOllama
from fakes import FakeNode

target = shared.node("target")
drafter = shared.node("draft")


def entry(server, **more):
    return dict({"url": server if isinstance(server, str) else server.url}, **more)


def doctor(t, target_entry, draft_entry=None, options=(), env=(), words=False):
    path = os.path.join(t.folder, "cluster.yaml")
    proxy = dict(options, target=target_entry)
    if draft_entry:
        proxy["draft"] = draft_entry
    with open(path, "w") as f:
        json.dump({"proxy": proxy}, f)  # JSON is YAML
    r = tightwad(t, "doctor", "-c", path, *([] if words else ["--json"]), timeout=90, **dict(env))
    if words:
        return r
    try:
        o = r.json()
    except ValueError:
        raise Failure(repr(r))
    for f in o["findings"]:
        t.check(f["what"] and len(f["cause"]) > 5 and len(f["fix"]) > 5, f)
    t.equal(o["ok"], all(f["level"] != "error" for f in o["findings"]))
    t.equal(r.code, 0 if o["ok"] else 1, r)
    return o


def found(t, o, name, server=None):
    match = [f for f in o["findings"] if f["id"] == name]
    t.check(match, "no finding %s, but %r" % (name, [(f["id"], f["what"]) for f in o["findings"]]))
    text = " ".join(match[0][k] for k in ("what", "cause", "fix"))
    if server:
        t.check(server in text, "%s is not named: %s" % (server, text))
    return text


@test("a healthy set-up: what was measured, and no finding")
def _(t):
    o = doctor(t, entry(target), entry(drafter))
    t.equal([f for f in o["findings"] if f["id"] != "does-not-pay"], [])  # tiny models: that one is up to chance
    big, small = o["servers"]
    t.equal((big["role"], big["backend"], big["verifies"], small["vocabulary"]), ("target", "node", True, "same"))
    t.between(small["acceptance"], 0.4, 0.99, "acceptance")
    t.check(small["drafted"] > 50 and small["draft_ms"] > 0 and big["alone_ms"] > 0 and big["rtt_ms"] > 0, o)
    r = doctor(t, entry(target), entry(drafter), words=True)
    t.check(r.code == 0 and "Nothing is wrong." in r.out and "✓ target" in r.out and "✓ drafter" in r.out, r)


@test("line by line: each server as soon as it is known, and at last everything")
def _(t):
    path = os.path.join(t.folder, "cluster.yaml")
    with open(path, "w") as f:
        json.dump({"proxy": {"target": entry(target), "draft": entry(drafter)}}, f)
    r = tightwad(t, "doctor", "-c", path, "--json-lines", timeout=90)
    steps = [json.loads(line) for line in r.out.splitlines()]
    t.equal(([len(s["servers"]) for s in steps], [s["ok"] for s in steps]), ([1, 1, 2, 2, 2], [None] * 4 + [True]), r)
    t.check(steps[0]["servers"][0]["alone_ms"] is None and steps[1]["servers"][0]["alone_ms"] > 0, r)
    t.check(steps[2]["servers"][1]["acceptance"] is None and steps[4]["servers"][1]["acceptance"] > 0, r)


@test("errors of the configuration")
def _(t):
    o = doctor(t, entry(target), options={"prot": 1, "max_draft_tokens": "many"})
    t.equal([f["id"] for f in o["findings"]], ["configuration", "configuration"])
    t.check("cluster.yaml" in o["findings"][0]["what"], o)
    o = doctor(t, entry(target), entry(drafter, ssh_user="me"))
    t.equal([f["level"] for f in o["findings"] if f["id"] == "configuration"], ["warning"])


@test("nothing listens at the address")
def _(t):
    url = "http://127.0.0.1:%d" % free_port()
    o = doctor(t, entry(url), entry(drafter))
    t.check("tightwad node" in found(t, o, "nothing-listens", url))
    o = doctor(t, entry(target), entry(url, backend="ollama", model_name="x"))
    t.check("ollama serve" in found(t, o, "nothing-listens", url))
    r = doctor(t, entry(url), words=True)
    t.check(r.code == 1 and "✗ target" in r.out and "cause:" in r.out and "fix:" in r.out, r)


@test("a server that listens on loopback only")
def _(t):
    # 127.0.0.2 is an address of this machine on which a server bound to 127.0.0.1 does not answer.
    o = doctor(t, entry("http://127.0.0.2:%d" % target.port), entry(drafter))
    t.check("0.0.0.0" in found(t, o, "loopback-only", "127.0.0.2"))


@test("a name that does not exist, silence, another kind of server, a key that is wanted")
def _(t):
    found(t, doctor(t, entry("http://no-such-host.invalid:8081")), "no-such-host", "no-such-host.invalid")
    relay = t.relay(target)
    relay.hold()
    found(t, doctor(t, entry(relay.url)), "no-answer", relay.url)
    found(t, doctor(t, entry(target, backend="ollama", model_name="x")), "not-such-a-server", target.url)
    guarded = t.llama_server("draft", args=["--api-key", "s3cret"])
    found(t, doctor(t, entry(target), entry(guarded)), "denied", "api_key")


@test("the model is not there")
def _(t):
    with FakeOllama(model="tiny:latest") as ollama:
        o = doctor(t, entry(target), entry(ollama.url, backend="ollama", model_name="qwen3:0.6b"))
        t.check("ollama pull qwen3:0.6b" in found(t, o, "no-model", "tiny:latest"))


@test("another family: under 10 % accepted")
def _(t):
    fake = t.own(FakeNode(target.info()))
    found(t, doctor(t, entry(target), entry(fake)), "other-family", "%")


@test("another vocabulary")
def _(t):
    fake = t.own(FakeNode(dict(target.info(), fingerprint="ab" * 32)))
    found(t, doctor(t, entry(target), entry(fake)), "other-vocabulary")


@test("a likely mismatch: 10 to 40 % accepted")
def _(t):
    o = doctor(t, entry(target), entry(t.node("numbers")))
    t.check("quantisation or fine-tune" in found(t, o, "mismatch", "%"))
    t.between(o["servers"][1]["acceptance"], 0.10, 0.40, "acceptance")


@test("good acceptance, but the network is slow")
def _(t):
    o = doctor(t, entry(target), entry(t.relay(drafter, delay=0.008)))
    found(t, o, "far-away", "the drafter is")
    t.between(o["servers"][1]["rtt_ms"], 16, 60, "round trip")
    o = doctor(t, entry(t.relay(target, delay=0.008)), entry(drafter))
    found(t, o, "far-away", "the target is")


@test("max_draft_tokens too small to pay, or 0: a target whose layers are two machines away")
def _(t):
    lib = os.path.join(SOURCE, "subprojects", "llama-runtime", "prefix", "usr", "lib", "x86_64-linux-gnu")
    port = free_port()
    worker = shutil.which("ggml-rpc-server")
    args = [worker] if worker else llama_tool("../libexec/x86_64-linux-gnu/llama/bin/ggml-rpc-server")
    rpc = t.process(args + ["-H", "127.0.0.1", "-p", str(port), "-t", "1"], cwd=lib if os.path.isdir(lib) else None)
    rpc.expected_end = True
    rpc.wait_line(r"transport")
    # ggml's RPC client frees its devices never: its leaks are not ours.
    pool = t.node("target", env={"ASAN_OPTIONS": "detect_leaks=0"}, args=["--rpc", "127.0.0.1:%d" % t.relay(port, delay=0.002).port])
    o = doctor(t, entry(pool), entry(drafter), {"max_draft_tokens": 1})
    found(t, o, "draft-too-short", "max_draft_tokens is 1")
    found(t, doctor(t, entry(pool), entry(drafter), {"max_draft_tokens": 0}), "speculation-off")
    o = doctor(t, entry(pool), entry(drafter), {"max_draft_tokens": "auto"})
    t.equal(o["findings"], [])


@test("where drafting can't pay, that is said")
def _(t):
    o = doctor(t, entry(t.relay(target, delay=0.004)), entry(t.relay(drafter, delay=0.004)))
    t.check("tokens/s" in found(t, o, "does-not-pay"), o)


@test("a drafter under 15 tokens a second")
def _(t):
    class Slow(FakeNode):
        def draft_tokens(self, session, path, n):
            time.sleep(0.09 * n)
            return super().draft_tokens(session, path, n)
    found(t, doctor(t, entry(target), entry(t.own(Slow(target.info())))), "slow-drafter", "tokens/s")


@test("several ROCm GPUs without HSA_ENABLE_SDMA=0")
def _(t):
    folder = os.path.join(t.folder, "bin")
    os.mkdir(folder)
    smi = os.path.join(folder, "rocm-smi")

    def gpus(n):
        with open(smi, "w") as f:
            f.write("#!/bin/sh\necho WARNING: noise >&2\ncat <<EOF\n%s\nEOF\n" %
                    json.dumps({"card%d" % i: {"Card Series": "AMD Radeon RX 7900 XTX"} for i in range(n)}))
        os.chmod(smi, 0o755)
    path = folder + ":" + os.environ["PATH"]
    gpus(2)
    found(t, doctor(t, entry(target), env={"PATH": path, "HSA_ENABLE_SDMA": None}), "rocm-sdma", "2 ROCm GPUs")
    o = doctor(t, entry(target), env={"PATH": path, "HSA_ENABLE_SDMA": "0"})
    t.check("rocm-sdma" not in [f["id"] for f in o["findings"]], o["findings"])
    gpus(1)
    o = doctor(t, entry(target), env={"PATH": path, "HSA_ENABLE_SDMA": None})
    t.check("rocm-sdma" not in [f["id"] for f in o["findings"]], o["findings"])


@test("a target that can't verify; the acceptance is then found by comparing")
def _(t):
    o = doctor(t, entry(t.llama_server("target", slots=1)), entry(drafter))
    t.check("tightwad node" in found(t, o, "cannot-verify"))
    t.check("--parallel 9" in found(t, o, "cannot-verify"))
    t.equal(o["servers"][1]["acceptance_source"], "compared")
    t.between(o["servers"][1]["acceptance"], 0.4, 0.99, "acceptance")
    with FakeOllama(model="tiny:latest") as ollama:
        o = doctor(t, entry(ollama.url, backend="ollama", model_name="tiny:latest"))
        found(t, o, "cannot-verify")


@test("a llama-server verifies through its slots, and its flags make that slow")
def _(t):
    o = doctor(t, entry(t.llama_server("target", args=["--kv-unified"])), entry(drafter))
    words = found(t, o, "slot-flags")
    t.check("--parallel 9" in words and "--cache-ram 0" in words, words)
    t.equal(o["servers"][1]["acceptance_source"], "verified")


@test("the servers of the quality gate are asked as well")
def _(t):
    gone, path = "http://127.0.0.1:%d" % free_port(), os.path.join(t.folder, "cluster.yaml")
    with open(path, "w") as f:
        json.dump({"proxy": {"target": entry(target)},
                   "quality_gate": {"verifier": entry(t.node("mid")),
                                    "agents": [entry(drafter, name="laptop"), entry(gone, name="desk")]}}, f)
    r = tightwad(t, "doctor", "-c", path, "--json", timeout=90)
    o = r.json()
    t.equal([(s["role"], s["answers"]) for s in o["servers"]],
            [("target", True), ("verifier", True), ("agent", True), ("agent", False)])
    t.equal([(f["id"], f["server"]) for f in o["findings"]], [("nothing-listens", "desk")])
    t.check("quality_gate.agents" in found(t, o, "nothing-listens", gone))
    t.equal(r.code, 1)
    r = tightwad(t, "doctor", "-c", path, timeout=90)
    t.check("✓ verifier" in r.out and "✓ agent" in r.out and "✗ agent" in r.out, r)


@test("no target, no drafter, no tightwad-node")
def _(t):
    r = tightwad(t, "doctor", "--json")
    t.check(r.code == 1 and "no-target" in [f["id"] for f in r.json()["findings"]], r)
    t.equal([f["id"] for f in doctor(t, entry(target))["findings"]], ["no-drafter"])
    alone = os.path.join(t.folder, "alone")
    os.mkdir(alone)
    shutil.copy(TIGHTWAD, alone)
    r = subprocess.run([os.path.join(alone, "tightwad"), "doctor"], capture_output=True, text=True,
                       env=environment(t, TIGHTWAD_TARGET_URL=target.url))
    t.check(r.returncode == 0 and "tightwad-node is not installed" in r.stdout and "bootstrap" in r.stdout, r)


main()

"""tightwad-node's command line: help, unknown options, clean errors, progress, stopping, Ollama's store, API keys."""
import glob
import hashlib

from harness import *

NODE = os.path.join(BUILD, "tightwad-node")


def run_node(*args, env=None, timeout=60):
    r = subprocess.run([NODE] + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                       env=dict(os.environ, OMP_WAIT_POLICY="passive", **(env or {})), timeout=timeout * SLOWER)
    return r.returncode, r.stdout.decode(), r.stderr.decode()


@test("--help teaches: every option with its default, and examples; --version names llama.cpp")
def _(t):
    code, out, err = run_node("--help")
    t.equal((code, err), (0, ""))
    for word in ("--model", "-m", "--listen", "--host", "--port", "--ctx-size", "-c", "--ctx", "--parallel", "-np", "--slots",
                 "--threads", "-t", "--threads-batch", "-tb", "--batch-size", "-b", "--rpc", "--device", "--n-gpu-layers", "-ngl",
                 "--tensor-split", "-ts", "--no-mmap", "--mlock", "--flash-attn", "-fa", "--alias", "--api-key", "--log-level",
                 "--log-format", "--list-devices", "--version", "--help", "ollama:", "Examples", "127.0.0.1:8081"):
        t.check(word in out, "no %s in --help" % word)
    t.less(max(map(len, out.splitlines())), 101, "a line of --help")
    code, out, err = run_node("--version")
    t.equal(code, 0)
    t.check("tightwad-node" in out and "llama.cpp" in out, out)


@test("a wrong option is named, with the nearest right one")
def _(t):
    for args, words in ((["--modle", "x"], "--model"), (["-m", "x", "--thread", "2"], "--threads"), (["--ctxsize", "2"], "--ctx-size"),
                        (["-m"], "argument"), (["-t", "many", "-m", "x"], "whole number"), (["--port", "70000"], "65535"),
                        (["-c", "-5"], "whole number"), (["--slots", "0"], "1 to 64"), (["--help=1"], "no argument"),
                        (["--flash-attn", "maybe"], "on, off or auto"), (["--log-level", "loud"], "debug"),
                        (["--listen", "1:2:3"], "HOST:PORT"), (["model.gguf"], "-m"), ([], "--model"),
                        (["-c", "99999999999999999999", "-m", "x"], "whole number")):
        code, out, err = run_node(*args)
        t.equal(code, 2, "%r: %s" % (args, err))
        t.check(words in err, "%r: %s" % (args, err))
        t.less(len(err.splitlines()), 4, "lines for %r" % (args,))


@test("a file that is missing, a folder, no GGUF or cut short ends with a clean error")
def _(t):
    junk, cut, empty = (os.path.join(t.folder, n) for n in ("junk.gguf", "cut.gguf", "empty.gguf"))
    with open(junk, "wb") as f:
        f.write(b"not a model at all" * 100)
    open(empty, "wb").close()
    with open(model_path("draft"), "rb") as f, open(cut, "wb") as g:
        g.write(f.read()[:50000])
    for path, words in ((os.path.join(t.folder, "none.gguf"), "No such file"), (t.folder, "folder"), (junk, "GGUF"), (empty, "GGUF"),
                        (cut, "cut.gguf")):
        code, out, err = run_node("-m", path, "--port", "0")
        t.equal(code, 1, "%s: %s" % (path, err))
        t.check(words in err and path in err, "%s: %s" % (path, err))


@test("a port in use, an RPC worker that is not there and too little memory are said at once")
def _(t):
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        s.listen()
        port = s.getsockname()[1]
        code, out, err = run_node("-m", model_path("draft"), "--port", str(port))
    t.equal(code, 1)
    t.check("in use" in err and str(port) in err, err)
    code, out, err = run_node("-m", model_path("draft"), "--port", "0", "--rpc", "127.0.0.1:%d" % free_port())
    t.equal(code, 1, err)
    t.check("RPC worker" in err, err)
    code, out, err = run_node("-m", model_path("target"), "--port", "0", "-c", "16777216", "--slots", "64")
    t.equal(code, 1, err)
    t.check("memory" in err, err)


@test("the load shows itself in lines, then the address, slots and exactness; SIGTERM and SIGINT end it with 0")
def _(t):
    for number in (signal.SIGTERM, signal.SIGINT):
        p = t.process([NODE, "-m", model_path("draft"), "--port", "0", "-c", "256", "--slots", "2", "-t", "1"])
        port = int(p.wait_line(r"http://127\.0\.0\.1:(\d+)").group(1))
        p.wait_line("100 %")
        line = p.wait_line("ready").string
        for words in ("http://127.0.0.1:%d" % port, "256", "2 slots", "byte for byte"):
            t.check(words in line, line)
        t.equal(get("http://127.0.0.1:%d/health" % port).status, 200)
        p.expected_end = True
        p.signal(number)
        t.equal(p.wait(), 0)


@test("on a terminal the load is a bar")
def _(t):
    import pty
    pid, fd = pty.fork()
    if pid == 0:
        os.execv(NODE, [NODE, "-m", model_path("target"), "--port", "0", "-c", "256", "--slots", "2", "-t", "1"])
    seen, deadline = b"", time.monotonic() + 30 * SLOWER
    while b"ready" not in seen and time.monotonic() < deadline:
        seen += os.read(fd, 4096)
    os.kill(pid, signal.SIGTERM)
    with contextlib.suppress(OSError):
        while os.read(fd, 4096):
            pass
    t.equal(os.waitpid(pid, 0)[1], 0)
    t.check(b"\r" in seen and b"[#" in seen and b"%" in seen, seen)


@test("--log-format json writes one object a line; --alias names the model")
def _(t):
    p = t.process([NODE, "-m", model_path("draft"), "--port", "0", "-c", "128", "--slots", "1", "-t", "1", "--log-format", "json",
                   "--alias", "my-model"])
    port = int(p.wait_line(r"ready.*http://127\.0\.0\.1:(\d+)").group(1))
    for line in p.output.splitlines():
        t.check("message" in json.loads(line), line)
    t.equal(get("http://127.0.0.1:%d/v1/models" % port).json()["data"][0]["id"], "my-model")


@test("an API key guards everything but /health, and is not in the process list")
def _(t):
    own = t.node("draft", ctx=128, slots=1, args=["--api-key", "s3cret-key"])
    t.equal(get(own.url + "/health").status, 200)
    t.equal(get(own.url + "/v1/node").status, 401)
    t.equal(post(own.url + "/v1/chat/completions", {}).status, 401)
    t.equal(get(own.url + "/v1/node", {"Authorization": "Bearer wrong"}).status, 401)
    t.equal(get(own.url + "/v1/node", {"Authorization": "Bearer s3cret-key"}).status, 200)
    with open("/proc/%d/cmdline" % own.pid, "rb") as f:
        t.check(b"s3cret" not in f.read(), "the key is in the process list")


@test("a model by Ollama's name is found in Ollama's store")
def _(t):
    with open(model_path("draft"), "rb") as f:
        data = f.read()
    digest = hashlib.sha256(data).hexdigest()
    for folder in ("blobs", "manifests/registry.ollama.ai/library/tiny"):
        os.makedirs(os.path.join(t.folder, folder))
    with open(os.path.join(t.folder, "blobs", "sha256-" + digest), "wb") as f:
        f.write(data)
    with open(os.path.join(t.folder, "manifests/registry.ollama.ai/library/tiny/latest"), "w") as f:
        json.dump({"schemaVersion": 2, "layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest,
                                                   "size": len(data)}]}, f)
    env = {"OLLAMA_MODELS": t.folder}
    own = t.process([NODE, "-m", "ollama:tiny", "--port", "0", "-c", "128", "--slots", "1", "-t", "1"], env=env)
    port = int(own.wait_line(r"ready.*http://127\.0\.0\.1:(\d+)").group(1))
    t.check(digest in get("http://127.0.0.1:%d/v1/node" % port).json()["path"], "path")
    code, out, err = run_node("-m", "ollama:nothing", "--port", "0", env=env)
    t.equal(code, 1)
    t.check("nothing" in err and t.folder in err, err)


@test("--list-devices shows the CPU")
def _(t):
    code, out, err = run_node("--list-devices")
    t.equal(code, 0, err)
    t.check("CPU" in out, out)


def rpc_worker(t):
    """A stock RPC worker of llama.cpp; its address."""
    port = free_port()
    command = llama_tool("llama-server")
    tool = glob.glob(os.path.join(os.path.dirname(os.path.dirname(command[-1])), "lib*", "**", "ggml-rpc-server"), recursive=True)
    worker = t.process(command[:-1] + [tool[0], "-H", "127.0.0.1", "-p", str(port)], cwd=t.folder)
    wait_until("the RPC worker", lambda: accepts(port))
    return worker, "127.0.0.1:%d" % port


def accepts(port):
    try:
        socket.create_connection(("127.0.0.1", port), timeout=1).close()
        return True
    except OSError:
        return False


@test("an RPC worker holds the layers, is listed as a device, and changes no token")
def _(t):
    worker, address = rpc_worker(t)
    code, out, err = run_node("--list-devices", "--rpc", address)
    t.equal(code, 0, err)
    t.check("RPC" in out and address in out, out)
    pooled = t.node("target", ctx=256, slots=2, args=["--rpc", address])
    t.equal(pooled.info()["rpc"], [address])
    t.check(any("RPC" in d for d in pooled.info()["devices"]), pooled.info()["devices"])
    local = t.node("target", ctx=256, slots=2)
    for temperature in (0, 1):
        a, b = (chat(n.url, "Tell me a story about a fox.", temperature=temperature, seed=3) for n in (pooled, local))
        t.equal(a.key(), b.key())
    pooled.expected_end = True
    t.equal(pooled.stop(), None)
    worker.kill()


@test("a device or a split that is none is a clean error")
def _(t):
    for args, words in ((["--device", "CUDA9"], "CUDA9"), (["-ts", "1,x"], "tensor split")):
        code, out, err = run_node("-m", model_path("draft"), "--port", "0", *args)
        t.equal(code, 1, err)
        t.check(words in err, err)


@test("SIGTERM ends it at any moment of the load")
def _(t):
    for wait in (0, 0.01, 0.03, 0.1, 0.3):
        p = t.process([NODE, "-m", model_path("target"), "--port", "0", "-c", "512", "--slots", "4", "-t", "1"])
        p.wait_line("listening")
        time.sleep(wait)
        p.expected_end = True
        p.signal(signal.SIGTERM)
        t.equal(p.wait(), 0, "after %g s" % wait)


@test("a chat template that llama.cpp does not know is an error that says so, never a guess")
def _(t):
    with open(model_path("draft"), "rb") as f:
        data = f.read()
    at = data.index(b"tokenizer.chat_template")
    end = data.index(b"assistant", at)
    odd = os.path.join(t.folder, "odd.gguf")
    with open(odd, "wb") as f:
        f.write(data[:at] + data[at:end].replace(b"im_start", b"xx_begin").replace(b"im_end", b"xx_off") + data[end:])
    own = t.node(odd, ctx=128, slots=1)
    for path, body in (("/v1/chat/completions", {}), ("/v1/node/template", {}), ("/v1/node/session", {})):
        r = post(own.url + path, dict(body, messages=[{"role": "user", "content": "Hi"}]))
        t.equal((r.status, r.json()["error"]["code"]), (400, "no_chat_template"), path)
    r = post(own.url + "/v1/completions", {"prompt": "Hi", "max_tokens": 1})
    t.equal(r.status, 200)


main()

"""tightwad inspect --plan: what a pool has and who would take which layers is known before anything is started; the processes
then do as the plan says, and whatever is wrong with a machine is told by name, with its fix, in under five seconds."""
import shlex
import socket
import subprocess
import threading
import time

from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


def pool_file(t, workers, coordinator="", models=None, proxy="", binaries=""):
    """workers: lines of YAML; models: name → path.  The file's path."""
    path = os.path.join(t.folder, "pool%d.yaml" % len(os.listdir(t.folder)))
    with open(path, "w") as f:
        f.write("coordinator: {host: 127.0.0.1, port: %d, backend: cpu, slots: 2%s}\n" % (free_port(), coordinator))
        f.write("workers:\n" + "".join("  - %s\n" % w for w in workers) if workers else "")
        f.write("models:\n" + "".join("  %s: {path: %s}\n" % m for m in (models or {"target": model_path("target")}).items()))
        f.write(proxy + binaries)
    return path


def plan(t, config, *args, **kw):
    """(exit code, what --json says or None, stderr); under five seconds."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIGHTWAD_")}
    clean.update(HOME=t.folder, OMP_WAIT_POLICY="passive")
    began = time.monotonic()
    r = subprocess.run([TIGHTWAD, "inspect", "--plan", "--json", "-c", config] + list(args), stdin=subprocess.DEVNULL,
                       capture_output=True, text=True, env=clean, timeout=60 * SLOWER)
    t.less(time.monotonic() - began, 5.0 * SLOWER, r.stderr)
    t.check("Sanitizer" not in r.stderr and "runtime error:" not in r.stderr, r.stderr)
    return r.returncode, json.loads(r.stdout) if r.stdout.strip() else None, r.stderr


def listens(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in f.readlines()[1:])


def stock_worker(t):
    port = free_port()
    p = t.process(rpc_server() + ["-H", "127.0.0.1", "-p", str(port), "-d", "CPU", "-t", "1"], name="rpc-server", cwd=t.folder)
    wait_until("the RPC server to listen", lambda: listens(port))
    p.port = port
    return p


def entry(port, name="w", more=""):
    return "{host: 127.0.0.1, name: %s, gpus: [{name: lent, rpc_port: %d%s}]}" % (name, port, more)


@test("the fewest workers hold the model, and the node does as the plan says: a stock RPC server and a worker of ours")
def _(t):
    stock, ours = stock_worker(t), t.worker()
    config = pool_file(t, [entry(stock.port, "one"), entry(ours.port, "two")])
    code, p, err = plan(t, config)
    t.equal((code, err), (0, ""))
    t.equal((p["fits"], p["trips"], [d["layers"] for d in p["devices"]]), (True, 1, [5]))
    t.check(p["devices"][0]["output"] and p["devices"][0]["kind"] == "rpc", p)
    # The user's own shares: three slots for one worker, three for the other, the output layer among them.
    config = pool_file(t, [entry(stock.port, "one"), entry(ours.port, "two")], ', extra_args: ["--tensor-split", "1,1"]')
    code, p, err = plan(t, config)
    t.equal((code, p["trips"], [(d["machine"], d["first"], d["layers"], d["output"]) for d in p["devices"]]),
            (0, 2, [("one", 0, 3, False), ("two", 3, 2, True)]), err)
    node = t.process(["env"] + shlex.split(p["command"]) + ["--log-level", "debug"], name="node")
    node.wait_line(r"ready: ", 60)
    placed = re.findall(r"layer +(\d+) assigned to device RPC(\d)", node.output)
    t.equal(placed, [(str(i), "0" if i < 3 else "1") for i in range(6)])
    sizes = [float(x) for x in re.findall(r"RPC\S+ model buffer size = +([\d.]+) MiB", node.output)]
    t.equal([round(d["weights"] / 2 ** 20, 2) for d in p["devices"]], sizes)
    caches = [float(x) for x in re.findall(r"RPC\S+ KV buffer size = +([\d.]+) MiB", node.output)]
    t.equal([round(d["cache"] / 2 ** 20, 2) for d in p["devices"]], caches)


@test("a stock llama-server as coordinator gets the flags that let it verify, and starts with them")
def _(t):
    worker = stock_worker(t)
    command = llama_tool("llama-server")
    script = os.path.join(t.folder, "llama-server")
    with open(script, "w") as f:
        f.write("#!/bin/sh\ncd %s && exec %s \"$@\"\n" % (shlex.quote(os.path.dirname(command[0]) or "."),
                                                       " ".join(map(shlex.quote, command))))
    os.chmod(script, 0o755)
    config = pool_file(t, [entry(worker.port)], ', extra_args: ["--threads", "1"]', proxy="proxy: {drafters: [{type: ngram}]}\n",
                       binaries="binaries: {coordinator: %s}\n" % script)
    code, p, err = plan(t, config)
    t.equal((code, err, p["verify_slots"]), (0, "", 9))
    for flags in ("--parallel 9", "--ctx-size %d" % (9 * 512), "--kv-unified", "--cache-ram 0", "--rpc 127.0.0.1:%d" % worker.port):
        t.check(flags in p["command"], "%s: %s" % (flags, p["command"]))
    server = t.process(["env"] + shlex.split(p["command"]), name="llama-server")
    port = int(re.search(r"--port (\d+)", p["command"]).group(1))

    def healthy():
        t.check(server.running(), server.output)
        try:
            return get("http://127.0.0.1:%d/health" % port).status == 200
        except OSError:
            return False
    wait_until("llama-server to load", healthy, 60)
    t.equal(get("http://127.0.0.1:%d/v1/models" % port).json()["data"][0]["id"], "target")


def swallow(t):
    """A port that takes no connection and refuses none."""
    s = t.own(socket.socket())
    s.bind(("127.0.0.1", 0))
    s.listen(0)
    for _ in range(4):
        c = t.own(socket.socket())
        c.setblocking(False)
        c.connect_ex(s.getsockname())
    return s.getsockname()[1]


def says(t, reply):
    """A server that answers whatever comes with these bytes."""
    s = t.own(socket.socket())
    s.bind(("127.0.0.1", 0))
    s.listen(8)

    def serve():
        while True:
            try:
                c, _ = s.accept()
            except OSError:
                return
            c.recv(64)
            c.sendall(reply)
            time.sleep(0.2)
            c.close()
    threading.Thread(target=serve, daemon=True).start()
    return s.getsockname()[1]


@test("each thing that can be wrong with a worker is told by its address, with the fix, in under five seconds")
def _(t):
    stopped = stock_worker(t)
    stopped.signal(signal.SIGSTOP)
    newer = (28).to_bytes(8, "little") + bytes([9, 1, 0, 0]) + bytes(24)
    cases = [
        (free_port(), "nothing listens there", "tightwad worker --listen"),
        (swallow(t), "can't be reached", "firewall"),
        (stopped.port, "does not answer", "start the worker again"),
        (says(t, newer), "speaks version 9.1.0", "the same llama.cpp"),
        (says(t, b"HTTP/1.1 400 Bad Request\r\n\r\n"), "is not an RPC server", "rpc_port"),
    ]
    config = pool_file(t, [entry(port, "w%d" % i) for i, (port, *_) in enumerate(cases)] + ["{host: no-such-machine.invalid}"])
    code, p, err = plan(t, config)
    t.equal(code, 1)
    for port, what, fix in cases:
        said = re.search(r"127\.0\.0\.1:%d: ([^;]*);?" % port, err)
        t.check(said and what in said.group(0) and fix in said.group(0), "%d %s: %s" % (port, what, err))
    t.check("no-such-machine.invalid: no machine of this name" in err, err)
    t.equal((p["missing_workers"], p["devices"][0]["kind"]), (6, "cpu"))
    # The question that it could not answer must not be its end: a reply to someone who has gone would be.
    stopped.signal(signal.SIGCONT)
    code, p, err = plan(t, pool_file(t, [entry(stopped.port)]))
    t.equal((code, p["fits"]), (0, True), err)
    t.check(stopped.running(), stopped.output)


@test("a worker that refuses this machine, or serves a client already, is told apart from one that is gone")
def _(t):
    refuses, busy = t.worker(["--allow", "192.0.2.0/24"]), t.worker()
    node = t.node("draft", args=["--rpc", "127.0.0.1:%d" % busy.port])
    code, p, err = plan(t, pool_file(t, [entry(refuses.port, "r"), entry(busy.port, "b")]))
    t.equal((code, p["missing_workers"]), (1, 2), err)
    for port in (refuses.port, busy.port):
        t.check(re.search(r"127\.0\.0\.1:%d: closes the connection: .*--allow" % port, err), err)
    t.check(node.info()["slots"] > 0, "the client of the busy worker was disturbed")


@test("a missing file, a file that is no model, too little memory, and options that the binary does not have")
def _(t):
    worker = stock_worker(t)
    config = pool_file(t, [], models={"target": "gone.gguf"})
    code, p, err = plan(t, config)
    t.equal((code, p), (1, None))
    t.check("model target: %s: there is no such file" % os.path.join(t.folder, "gone.gguf") in err, err)
    with open(os.path.join(t.folder, "text.gguf"), "w") as f:
        f.write("not a model at all")
    code, p, err = plan(t, pool_file(t, [], models={"target": "text.gguf"}))
    t.check(code == 1 and "text.gguf: not a GGUF file" in err, err)
    code, p, err = plan(t, pool_file(t, [entry(worker.port, more=", vram_gb: 0.2")]))
    t.equal((code, p["fits"]), (1, False), err)
    t.check(p["missing"] > 2 ** 20 and "do not fit" in p["reason"], p)
    config = pool_file(t, [], ', extra_args: ["--no-map"]')
    code, p, err = plan(t, config)
    t.check(code == 1 and "%s:1: coordinator.extra_args: tightwad-node has no option --no-map; did you mean --no-mmap?" % config in err,
            err)
    r = subprocess.run([TIGHTWAD, "config", "check", config], capture_output=True, text=True, timeout=60)
    t.check(r.returncode == 1 and "did you mean --no-mmap?" in r.stderr and "1 error" in r.stdout, r.stdout + r.stderr)
    code, p, err = plan(t, pool_file(t, []), "targte")
    t.check(code == 1 and "did you mean target?" in err, err)
    config = pool_file(t, [], binaries="binaries: {coordinator: no-such-server}\n")
    code, p, err = plan(t, config)
    t.check(code == 1 and "%s:4: this machine: no-such-server can't be run" % config in err, err)


main()

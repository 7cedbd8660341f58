"""The real programs, started and ended: tightwad, tightwad-node, llama.cpp's tools."""
import atexit
import contextlib
import http.client
import json
import os
import re
import shutil
import signal
import subprocess
import threading
import time

from common import BUILD, HERE, MODELS, SANITIZED, SLOWER, SOURCE, Failure, free_port, wait_until
from web import get, post


_alive = set()


@atexit.register
def _end_all():
    for p in list(_alive):
        with contextlib.suppress(OSError):
            p.popen.send_signal(signal.SIGCONT)
            p.popen.kill()


class Process:
    """A program whose stderr and stdout are kept line by line."""

    def __init__(self, args, name=None, env=None, cwd=None, stdin=None):
        self.args, self.name = args, name or os.path.basename(args[0])
        self.env, self.cwd, self.stdin = env, cwd, stdin
        self.expected_end = False  # set when the test itself ends or kills it
        self.start()

    def start(self):
        env = dict(os.environ, OMP_WAIT_POLICY="passive")
        if SANITIZED:
            env["LSAN_OPTIONS"] = "print_suppressions=0:suppressions=" + os.path.join(HERE, "leaks-of-others")
        env.update(self.env or {})
        env = {k: v for k, v in env.items() if v is not None}
        self.lines, self.changed, self.expected_end = [], threading.Condition(), False
        self.popen = subprocess.Popen(self.args, stdin=self.stdin or subprocess.DEVNULL, stdout=subprocess.PIPE,
                                      stderr=subprocess.PIPE, env=env, cwd=self.cwd)
        self.readers = [threading.Thread(target=self._read, args=(f,), daemon=True)
                        for f in (self.popen.stdout, self.popen.stderr)]
        for th in self.readers:
            th.start()
        _alive.add(self)

    def _read(self, f):
        for line in iter(f.readline, b""):
            with self.changed:
                self.lines.append(line.decode("utf-8", "replace").rstrip("\r\n"))
                self.changed.notify_all()
        with self.changed:
            self.changed.notify_all()
        f.close()

    @property
    def pid(self):
        return self.popen.pid

    @property
    def output(self):
        with self.changed:
            return "\n".join(self.lines)

    def running(self):
        return self.popen.poll() is None

    def wait_line(self, pattern, timeout=20.0, after=0):
        """The match of the first line (from index after on) that matches; Failure when the program ends or time is up."""
        deadline, rx, at = time.monotonic() + timeout * SLOWER, re.compile(pattern), after
        while True:
            with self.changed:
                while at < len(self.lines):
                    m = rx.search(self.lines[at])
                    at += 1
                    if m:
                        return m
                left = deadline - time.monotonic()
                if left <= 0 or (self.popen.poll() is not None and not any(r.is_alive() for r in self.readers)):
                    break
                self.changed.wait(min(left, 0.2))
        raise Failure("%s never wrote a line like /%s/; it wrote:\n%s" % (self.name, pattern, self.tail()))

    def tail(self, n=25):
        with self.changed:
            return "\n".join("%s| %s" % (self.name, line) for line in self.lines[-n:])

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """kill -9, waited for."""
        self.expected_end = True
        if self.running():
            self.popen.kill()
        self.wait(10)

    def freeze(self):
        self.signal(signal.SIGSTOP)

    def thaw(self):
        self.signal(signal.SIGCONT)

    def wait(self, timeout=20.0):
        """Its exit status; Failure when it does not end."""
        try:
            self.popen.wait(timeout * SLOWER)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not end within %g s\n%s" % (self.name, timeout * SLOWER, self.tail()))
        for r in self.readers:
            r.join(5)
        _alive.discard(self)
        return self.popen.returncode

    def memory(self):
        """Resident bytes."""
        with open("/proc/%d/status" % self.pid) as f:
            for line in f:
                if line.startswith("VmRSS:"):
                    return int(line.split()[1]) * 1024
        raise Failure("no VmRSS of %s" % self.name)

    def stop(self, timeout=15.0):
        """Asks it to end (SIGTERM).  Returns what was wrong with that in words, or None."""
        if not self.running():
            code = self.wait()
            if self.expected_end:
                return None
            return "%s ended by itself with status %d\n%s" % (self.name, code, self.tail(60))
        self.expected_end = True
        self.signal(signal.SIGCONT)
        self.signal(signal.SIGTERM)
        try:
            code = self.wait(timeout)
        except Failure as e:
            self.kill()
            return str(e)
        if code not in (0, -signal.SIGTERM):
            return "%s ended with status %d when asked to stop\n%s" % (self.name, code, self.tail(60))
        return None


def _runtime():
    """(library folder, folder of the tools) of the private llama.cpp prefix, or (None, None) where the system has it."""
    stamp = os.path.join(SOURCE, "subprojects", "llama-runtime", "prefix", ".complete")
    if not os.path.exists(stamp):
        return None, None
    with open(stamp) as f:
        lib = f.read().split()[0]
    prefix = os.path.dirname(stamp)
    return os.path.join(prefix, lib), os.path.join(prefix, "usr", "bin")


def llama_tool(name):
    """The command line that runs one of llama.cpp's own tools (llama-server, llama-quantize …)."""
    lib, tools = _runtime()
    if lib is None:
        found = shutil.which(name)
        if not found:
            raise Failure("%s is missing: neither in the private prefix nor in PATH" % name)
        return [found]
    loader = os.path.join(lib, "ld-linux-x86-64.so.2")
    return [loader, "--library-path", lib + ":" + os.path.join(lib, "llama"), os.path.join(tools, name)]


def rpc_server():
    """The command line of ggml's RPC server, which is no tool of its own in the packages."""
    lib, _ = _runtime()
    if lib is None:
        found = shutil.which("ggml-rpc-server") or shutil.which("rpc-server")
        if not found:
            raise Failure("ggml-rpc-server is missing")
        return [found]
    prefix = os.path.dirname(os.path.dirname(os.path.dirname(lib)))
    place = os.path.join(prefix, "usr", "libexec", os.path.basename(lib), "llama", "bin", "ggml-rpc-server")
    return [os.path.join(lib, "ld-linux-x86-64.so.2"), "--library-path", lib + ":" + os.path.join(lib, "llama"), place]


def model_path(name):
    """A demo model by its short name; a path stays one."""
    return name if "/" in name else os.path.join(MODELS, name + ".gguf")


class Server(Process):
    """A program that listens: its port, url, and readiness by GET of ready_path."""
    ready_path, ready_timeout = "/health", 60.0

    def listen(self, port, args, **kw):
        self.port, self.url = port, "http://127.0.0.1:%d" % port
        super().__init__(args, **kw)

    def ready(self, timeout=None):
        def answers():
            if not self.running():
                raise Failure("%s ended with status %d before it was ready\n%s" %
                              (self.name, self.popen.returncode, self.tail()))
            try:
                return get(self.url + self.ready_path, timeout=2).status == 200
            except (OSError, http.client.HTTPException):
                return False
        wait_until("%s to be ready at %s" % (self.name, self.url), answers, timeout or self.ready_timeout)
        return self

    def restart(self):
        """Starts it again with the same arguments and port, after it has ended."""
        if self.running():
            self.kill()
        self.start()
        return self


class Node(Server):
    def __init__(self, model="target", ctx=512, slots=4, threads=1, args=(), port=None, env=None, name=None):
        port = port or free_port()
        self.model = model_path(model)
        self.listen(port, [os.path.join(BUILD, "tightwad-node"), "-m", self.model, "--listen", "127.0.0.1:%d" % port,
                           "--ctx", str(ctx), "--slots", str(slots), "--threads", str(threads)] + list(args),
                    name=name or "node:" + os.path.basename(self.model).replace(".gguf", ""), env=env)

    def info(self):
        return get(self.url + "/v1/node").json()

    def counters(self):
        return self.info()["counters"]


class Worker(Process):
    """A worker on a free loopback port: what it says it lends, and its address."""

    def __init__(self, folder, args=(), port=0, env=None, name="worker"):
        self.folder = folder
        super().__init__([os.path.join(BUILD, "tightwad-node"), "worker", "--listen", "127.0.0.1:%d" % port, "--json",
                          "--threads", "1"] + list(args), name=name, env=dict({"XDG_CACHE_HOME": folder}, **(env or {})))

    def ready(self, timeout=60):
        self.lent = json.loads(self.wait_line(r"^\{.*\}$", timeout).group(0))
        self.port, self.address = self.lent["port"], self.lent["address"]
        return self

    def server_pid(self):
        """The RPC server that runs now: the child of the one that listens, but for the one that checks the cache, which is
        nicer (after its first moment)."""
        def child():
            with open("/proc/%d/task/%d/children" % (self.pid, self.pid)) as f:
                children = [int(word) for word in f.read().split()]
            plain = []
            for pid in children:
                with contextlib.suppress(ProcessLookupError):
                    plain += [pid] if os.getpriority(os.PRIO_PROCESS, pid) == os.getpriority(os.PRIO_PROCESS, self.pid) else []
            return plain[0] if len(plain) == 1 else None
        return wait_until("the worker to have one server", child, 20)


class LlamaServer(Server):
    def __init__(self, model="draft", ctx=2048, slots=4, threads=1, args=(), port=None):
        port = port or free_port()
        lib, _ = _runtime()
        self.listen(port, llama_tool("llama-server") +
                    ["-m", model_path(model), "--host", "127.0.0.1", "--port", str(port), "-c", str(ctx), "-np",
                     str(slots), "-t", str(threads), "-tb", str(threads)] + list(args), name="llama-server", cwd=lib)


def _yaml(value, indent=0):
    pad = "  " * indent
    if isinstance(value, dict):
        return "".join("%s%s:%s" % (pad, k, ("\n" + _yaml(v, indent + 1)) if isinstance(v, (dict, list)) and v
                                    else " " + _scalar(v) + "\n") for k, v in value.items())
    out = ""
    for item in value:
        body = _yaml(item, indent + 1) if isinstance(item, (dict, list)) else pad + "  " + _scalar(item) + "\n"
        out += pad + "- " + body[len(pad) + 2:]
    return out


def _scalar(v):
    return json.dumps(v)


def server_entry(what):
    """A server of the configuration from a url, a program or a mapping."""
    if isinstance(what, dict):
        return what
    entry = {"url": what if isinstance(what, str) else what.url}
    kind = getattr(what, "backend", None)
    if kind:
        entry["backend"] = kind
    return entry


class Proxy(Server):
    """tightwad with a cluster.yaml of its own; options go into its section `proxy`, gate (with agents: programs) into
    `quality_gate`.  under: a program that runs it."""

    def __init__(self, folder, target, drafters=(), port=None, env=None, wait=True, under=(), **options):
        self.folder, self.target, self.drafters, self.options = folder, target, list(drafters), options
        self.gate = options.pop("gate", None)
        self.config = os.path.join(folder, "cluster.yaml")
        port = port or free_port()
        self.port = port
        self.write_config()
        run = os.path.join(folder, "run")
        os.makedirs(run, mode=0o700, exist_ok=True)
        clean = {k: None for k in os.environ if k.startswith("TIGHTWAD_")}
        clean.update(XDG_RUNTIME_DIR=run, XDG_CONFIG_HOME=folder, HOME=folder, **(env or {}))
        self.listen(port, list(under) + [os.path.join(BUILD, "tightwad"), "proxy", "start", "-c", self.config, "--no-ui"],
                    name="tightwad", env=clean, cwd=folder)
        if wait:
            self.ready()

    def write_config(self):
        # The governor would leave these tiny local models alone, and the drafts are what is tested.
        proxy = {"host": "127.0.0.1", "port": self.port, "governor": False}
        proxy.update(self.options)
        proxy["target"] = server_entry(self.target)
        if self.drafters:
            proxy["drafters"] = [server_entry(d) for d in self.drafters]
        beside = self.config + ".new"
        with open(beside, "w") as f:
            f.write(_yaml(dict({"proxy": proxy}, **self.gate_section())))
        os.rename(beside, self.config)

    def gate_section(self):
        if not self.gate:
            return {}
        gate = dict(self.gate, agents=[server_entry(a) for a in self.gate["agents"]])
        if "verifier" in gate:
            gate["verifier"] = server_entry(gate["verifier"])
        return {"quality_gate": gate}

    def status(self):
        return get(self.url + "/v1/tightwad/status").json()

    def settled(self):
        """The status once nothing runs and a whole tick has passed since."""
        wait_until("nothing to be running", lambda: self.status()["running"] == 0, 10)
        tick = self.status()["tick"]
        return wait_until("the next tick", lambda: (lambda s: s if s["tick"] > tick + 1 else None)(self.status()), 10)

    def metrics(self):
        """Every sample of /metrics: name{labels} → value."""
        out = {}
        for line in get(self.url + "/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def command(self, what, **args):
        return post(self.url + "/v1/tightwad/command", dict(args, command=what))


class Pool(Proxy):
    """tightwad with a pool of its own.  workers: Worker programs, relays, ports or (host, port); models: name → path or a mapping, the
    first is the default; coordinator: more of its section; sections: whole ones; options go into `proxy`."""

    def __init__(self, folder, models=None, workers=(), coordinator=None, binaries=None, vram_gb=None, sections=None, **options):
        self.models = models or {"target": "target"}
        self.workers, self.node_port = list(workers), free_port()
        self.vram = {"vram_gb": vram_gb} if vram_gb else {}
        self.coordinator, self.binaries, self.sections = dict(coordinator or {}), binaries, dict(sections or {})
        super().__init__(folder, None, **options)

    def write_config(self):
        proxy = {"host": "127.0.0.1", "port": self.port, "governor": False}
        proxy.update(self.options)
        if self.drafters:
            proxy["drafters"] = [server_entry(d) for d in self.drafters]
        coordinator = {"host": "127.0.0.1", "port": self.node_port, "backend": "cpu", "threads": 1}
        coordinator.update(self.coordinator)
        models = []
        for name, m in self.models.items():
            m = {"path": m} if isinstance(m, str) else dict(m)
            models.append(dict(m, name=name, path=model_path(m["path"])))
        models[0]["default"] = True
        all_of_it = dict({"proxy": proxy, "coordinator": coordinator, "models": models}, **self.gate_section())
        if self.workers:
            at = [w if isinstance(w, tuple) else ("127.0.0.1", w if isinstance(w, int) else w.port) for w in self.workers]
            all_of_it["workers"] = [{"host": host, "name": "w%d" % i, "gpus": [dict(self.vram, name="lent", rpc_port=port)]}
                                    for i, (host, port) in enumerate(at, 1)]
        if self.binaries:
            all_of_it["binaries"] = self.binaries
        all_of_it.update(self.gate_section(), **self.sections)
        beside = self.config + ".new"
        with open(beside, "w") as f:
            f.write(_yaml(all_of_it))
        os.rename(beside, self.config)

    def pool(self):
        return self.status()["pool"]

    def up(self, model=None, timeout=60):
        """The pool once it is up and its target serves."""
        def looks():
            if not self.running():
                raise Failure("tightwad ended\n" + self.tail(60))
            s = self.status()
            p = s["pool"]
            good = p["state"] == "up" and not p["next"] and s["backends"][0]["health"] == "up"
            return p if good and model in (None, p["model"]) else None
        try:
            return wait_until("the pool to be up", looks, timeout)
        except Failure as e:
            raise Failure("%s\n%s\n%s" % (e, self.pool(), self.tail(60)))

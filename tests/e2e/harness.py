"""What every end-to-end test stands on: the real programs started and stopped, HTTP, TAP.

A test file reads

    from harness import *

    @test("what must hold")
    def _(t):
        node = t.node("target")
        t.equal(get(node.url + "/health").status, 200)

    main()

`t` owns what it starts and ends it when the test ends; `shared` owns what the whole file uses.  A program that dies
by itself, or that ends badly when asked to end, fails the test.  Processes are ended by pid, never by name."""
import atexit
import contextlib
import functools
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
import urllib.parse

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("TIGHTWAD_SOURCE") or os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TIGHTWAD_BUILD") or os.path.join(SOURCE, "build")
MODELS = os.path.join(SOURCE, "subprojects", "demo-models")
SANITIZED = "asan" in os.path.basename(BUILD)
SLOWER = 4 if SANITIZED else 1  # deadlines under sanitizers are this much longer

sys.path.insert(0, HERE)


class Failure(AssertionError):
    pass


# ---- waiting -------------------------------------------------------------------------------------------------------

def wait_until(what, condition, timeout=20.0, every=0.02):
    """Polls condition until it is true (its value is returned); Failure after timeout seconds."""
    deadline = time.monotonic() + timeout * SLOWER
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure("waited %g s for: %s" % (timeout * SLOWER, what))
        time.sleep(every)


_taken_ports = set()


def free_port():
    """A port that nothing listens on, below the range that outgoing connections take theirs from."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 32000)
        if port in _taken_ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port
    raise Failure("no free port")


# ---- HTTP ----------------------------------------------------------------------------------------------------------

class Reply:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise Failure("not JSON (%s), status %d: %r" % (e, self.status, self.body[:300]))

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:300])


def _connect(url, timeout):
    u = urllib.parse.urlsplit(url)
    conn = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    conn.connect()
    conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return conn, (u.path or "/") + ("?" + u.query if u.query else "")


def request(method, url, body=None, headers=None, timeout=60.0):
    """One request on a connection of its own.  body: bytes, or anything else as JSON."""
    begun = time.monotonic()
    conn, path = _connect(url, timeout * SLOWER)
    try:
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        conn.request(method, path, body, headers)
        r = conn.getresponse()
        data = r.read()
        return Reply(r.status, r.headers, data, time.monotonic() - begun)
    finally:
        conn.close()


def get(url, headers=None, timeout=60.0):
    return request("GET", url, None, headers, timeout)


def post(url, body, headers=None, timeout=60.0):
    return request("POST", url, body, headers, timeout)


class Client:
    """A keep-alive connection, for what is timed or counted."""

    def __init__(self, url, timeout=60.0):
        self.conn, _ = _connect(url, timeout * SLOWER)

    def request(self, method, path, body=None, headers=None):
        begun = time.monotonic()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.conn.request(method, path, body, headers or ({"Content-Type": "application/json"} if body else {}))
        r = self.conn.getresponse()
        data = r.read()
        return Reply(r.status, r.headers, data, time.monotonic() - begun)

    def close(self):
        self.conn.close()


class Stream:
    """A streamed reply, read event by event; close() goes away in the middle."""

    def __init__(self, url, body=None, headers=None, timeout=60.0):
        self.conn, path = _connect(url, timeout * SLOWER)
        headers = dict(headers or {})
        if body is not None:
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        self.conn.request("GET" if body is None else "POST", path, body, headers)
        self.sock = self.conn.sock  # http.client lets go of it when the reply ends with the connection
        self.reply = self.conn.getresponse()
        self.status = self.reply.status

    def lines(self):
        while True:
            line = self.reply.readline()
            if not line:
                return
            yield line.rstrip(b"\r\n")

    def events(self):
        """(event name or None, data) of each server-sent event."""
        name, data = None, []
        for line in self.lines():
            if not line:
                if data:
                    yield name, b"\n".join(data).decode()
                name, data = None, []
            elif line.startswith(b"data:"):
                data.append(line[5:].lstrip(b" "))
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def raw(port, data, timeout=10.0, end_writing=False, host="127.0.0.1"):
    """Sends bytes as they are and returns all that comes back until the peer closes or timeout seconds pass."""
    got = b""
    with socket.create_connection((host, port), timeout=timeout) as s:
        with contextlib.suppress(OSError):  # a server may refuse and close before it has read all
            s.sendall(data)
            if end_writing:
                s.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                s.settimeout(max(0.01, deadline - time.monotonic()))
                part = s.recv(65536)
                if not part:
                    break
                got += part
    return got


class Answer:
    """One completion as a client sees it, streamed or not."""

    def __init__(self):
        self.status = 0
        self.text = ""
        self.finish = None
        self.usage = None
        self.error = None       # the error object, before or after tokens
        self.seed = None
        self.logprobs = []      # entries of choices[0].logprobs.content, or the completions' object
        self.done = False       # [DONE] came (streamed), or the reply was whole
        self.chunks = 0
        self.first_seconds = None
        self.seconds = None
        self.model = None

    def key(self):
        """What two servers must agree on."""
        return self.text, self.finish, (self.usage or {}).get("completion_tokens")

    def __repr__(self):
        return "Answer(%d, %r, %r, %r%s)" % (self.status, self.text[:200], self.finish, self.usage,
                                             ", error %r" % (self.error,) if self.error else "")


def complete(base, body, chat=True, timeout=120.0, headers=None, on_chunk=None):
    """POSTs a completion (streamed where body says so) and returns the Answer.  on_chunk(answer) after each piece of
    text; when it returns False the connection is closed."""
    url = base + ("/v1/chat/completions" if chat else "/v1/completions")
    a, begun = Answer(), time.monotonic()
    if not body.get("stream"):
        r = post(url, body, headers, timeout)
        a.status, a.seconds = r.status, time.monotonic() - begun
        o = r.json()
        if "error" in o:
            a.error = o["error"]
            return a
        c = o["choices"][0]
        a.text = c["message"]["content"] if chat else c["text"]
        a.finish, a.usage, a.model = c["finish_reason"], o.get("usage"), o.get("model")
        a.seed = (o.get("tightwad") or {}).get("seed")
        a.logprobs = (c.get("logprobs") or {}).get("content", c.get("logprobs"))
        a.done = True
        return a
    with Stream(url, body, headers, timeout) as s:
        a.status = s.status
        if s.status != 200:
            a.error = json.loads(s.reply.read() or b"{}").get("error")
            return a
        for _, data in s.events():
            if data == "[DONE]":
                a.done = True
                break
            o = json.loads(data)
            if "error" in o:
                a.error = o["error"]
                break
            a.model = o.get("model", a.model)
            if o.get("usage"):
                a.usage = o["usage"]
            for c in o.get("choices", []):
                text = (c["delta"].get("content") if chat else c.get("text")) or ""
                if text and a.first_seconds is None:
                    a.first_seconds = time.monotonic() - begun
                a.text += text
                a.chunks += 1 if text else 0
                a.finish = c.get("finish_reason") or a.finish
                a.seed = (c.get("tightwad") or o.get("tightwad") or {}).get("seed", a.seed)
                if c.get("logprobs"):
                    a.logprobs += c["logprobs"].get("content", [c["logprobs"]])
                if text and on_chunk and on_chunk(a) is False:
                    a.seconds = time.monotonic() - begun
                    return a
    a.seconds = time.monotonic() - begun
    return a


def chat(base, prompt, stream=False, timeout=120.0, on_chunk=None, **params):
    """prompt: a string (one user message) or a list of messages."""
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    body = dict(params, messages=messages, stream=stream)
    if stream:
        body.setdefault("stream_options", {"include_usage": True})
    return complete(base, body, True, timeout, on_chunk=on_chunk)


def in_parallel(jobs):
    """Runs the functions at once, returns their results in order; the first exception is raised again."""
    results, errors = [None] * len(jobs), []

    def run(i, job):
        try:
            results[i] = job()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i, j), daemon=True) for i, j in enumerate(jobs)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    if errors:
        raise errors[0]
    return results


# ---- processes -----------------------------------------------------------------------------------------------------

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
        body = _yaml(item, indent + 1)
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
    """tightwad with a cluster.yaml of its own; options go into its section `proxy`."""

    def __init__(self, folder, target, drafters=(), port=None, env=None, wait=True, **options):
        self.folder, self.target, self.drafters, self.options = folder, target, list(drafters), options
        self.config = os.path.join(folder, "cluster.yaml")
        port = port or free_port()
        self.port = port
        self.write_config()
        run = os.path.join(folder, "run")
        os.makedirs(run, mode=0o700, exist_ok=True)
        clean = {k: None for k in os.environ if k.startswith("TIGHTWAD_")}
        clean.update(XDG_RUNTIME_DIR=run, XDG_CONFIG_HOME=folder, HOME=folder, **(env or {}))
        self.listen(port, [os.path.join(BUILD, "tightwad"), "proxy", "start", "-c", self.config, "--no-ui"],
                    name="tightwad", env=clean, cwd=folder)
        if wait:
            self.ready()

    def write_config(self):
        proxy = {"host": "127.0.0.1", "port": self.port}
        proxy.update(self.options)
        proxy["target"] = server_entry(self.target)
        if self.drafters:
            proxy["drafters"] = [server_entry(d) for d in self.drafters]
        beside = self.config + ".new"
        with open(beside, "w") as f:
            f.write(_yaml({"proxy": proxy}))
        os.rename(beside, self.config)

    def status(self):
        return get(self.url + "/v1/tightwad/status").json()

    def metrics(self):
        """Every sample of /metrics: name{labels} → value."""
        out = {}
        for line in get(self.url + "/metrics").text.splitlines():
            if line and not line.startswith("#"):
                name, value = line.rsplit(" ", 1)
                out[name] = float(value)
        return out

    def command(self, name, **args):
        return post(self.url + "/v1/tightwad/command", dict(args, command=name))


# ---- tests ---------------------------------------------------------------------------------------------------------

class Scope:
    """Owns processes, relays, fakes and a temporary folder; close() ends all and returns what was wrong."""

    def __init__(self):
        self.owned, self.processes, self._folder = [], [], None

    @property
    def folder(self):
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="tightwad-test-")
        return self._folder

    def own(self, thing):
        """Anything with stop() or close()."""
        self.owned.append(thing)
        if isinstance(thing, Process):
            self.processes.append(thing)
        return thing

    def process(self, args, **kw):
        return self.own(Process(args, **kw))

    def node(self, model="target", wait=True, **kw):
        node = self.own(Node(model, **kw))
        return node.ready() if wait else node

    def llama_server(self, model="draft", wait=True, **kw):
        server = self.own(LlamaServer(model, **kw))
        return server.ready() if wait else server

    def proxy(self, target, drafters=(), **options):
        folder = tempfile.mkdtemp(dir=self.folder)
        # Owned before it is awaited, so that one which never gets ready is ended as well.
        wait = options.pop("wait", True)
        p = self.own(Proxy(folder, target, drafters, wait=False, **options))
        return p.ready() if wait else p

    def relay(self, server, **kw):
        from relay import Relay
        return self.own(Relay(server if isinstance(server, int) else server.port, **kw))

    def close(self):
        wrong = []
        for thing in reversed(self.owned):
            try:
                problem = thing.stop() if hasattr(thing, "stop") else thing.close()
            except Exception as e:
                problem = "%s: %s" % (type(thing).__name__, e)
            if problem:
                wrong.append(problem)
            if isinstance(thing, Process):
                m = re.search(r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:).*", thing.output)
                if m:
                    wrong.append("%s: %s\n%s" % (thing.name, m.group(0), thing.tail(60)))
        self.owned, self.processes = [], []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        return wrong


class Test(Scope):
    def check(self, condition, message="does not hold"):
        if not condition:
            raise Failure(message)

    def equal(self, got, want, message="differs"):
        if got != want:
            raise Failure("%s\n   got %r\n  want %r" % (message, got, want))

    def less(self, got, limit, message="too much"):
        if not got < limit:
            raise Failure("%s: %r, must be under %r" % (message, got, limit))

    def between(self, got, low, high, message="out of range"):
        if not low <= got <= high:
            raise Failure("%s: %r, must be from %r to %r" % (message, got, low, high))

    def note(self, text):
        print("# " + str(text).replace("\n", "\n# "), flush=True)


shared = Scope()
_tests = []


def test(name):
    def keep(fn):
        _tests.append((name, fn))
        return fn
    return keep


def main():
    """Runs the file's tests (those whose name contains an argument, if there is one) and writes TAP."""
    chosen = [(n, f) for n, f in _tests if len(sys.argv) < 2 or any(a in n for a in sys.argv[1:])]
    print("1..%d" % (len(chosen) + 1), flush=True)
    failed = 0
    for i, (name, fn) in enumerate(chosen, 1):
        t, begun, wrong = Test(), time.monotonic(), []
        try:
            fn(t)
        except BaseException as e:
            text = str(e) if isinstance(e, Failure) else traceback.format_exc()
            line = traceback.extract_tb(e.__traceback__)
            at = [f.lineno for f in line if f.filename == os.path.abspath(sys.argv[0])]
            wrong.append(text + ("\nat line %s" % ", ".join(map(str, at)) if at else ""))
            wrong += [p.tail() for p in t.processes + shared.processes]
            if isinstance(e, KeyboardInterrupt):
                raise
        closing = t.close()
        wrong += closing
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", i, name.replace("#", "number ")))
        for w in wrong:
            t.note(w)
        t.note("%.1f s" % (time.monotonic() - begun))
    wrong = shared.close()
    print("%s %d - what the file started ended well" % ("not ok" if wrong else "ok", len(chosen) + 1))
    for w in wrong:
        print("# " + w.replace("\n", "\n# "))
    sys.stdout.flush()
    sys.exit(1 if failed or wrong else 0)

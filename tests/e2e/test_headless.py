"""Without a terminal Tightwad tells what happens line by line and a service manager how it is; when its terminal goes away, or is
left, the engines do what was asked of them, and the terminal is as it was."""
import fcntl
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import termios
import threading
import time

from common import BUILD, SLOWER, Failure, wait_until
from harness import main, test
from programs import Proxy
from web import get, post

TIGHTWAD = os.path.join(BUILD, "tightwad")
QUESTION = [{"role": "user", "content": "count from 1 to 60"}]


class Idle(Proxy):
    """The configuration of a proxy, its port and its folder: the test itself starts what is to serve it."""

    def listen(self, port, args, **kw):
        self.url = "http://127.0.0.1:%d" % port
        self.name, self.lines, self.changed = "idle", [], threading.Condition()

    def running(self):
        return False

    def stop(self):
        """Whatever still serves it is ended: what goes on without a terminal goes on after a test that fails, too."""
        pid = pid_of(self)
        if pid is None:
            return None
        os.kill(pid, signal.SIGKILL)
        return "process %d still serves port %d" % (pid, self.port)


def idle(t, drafters=None, target=None, **options):
    drafters = [t.node("draft")] if drafters is None else drafters
    return t.own(Idle(tempfile.mkdtemp(dir=t.folder), target or t.node("target"), drafters, wait=False, **options))


def slow(t):
    """The same with answers that take their time: a token or two a round, over a slow link."""
    return idle(t, target=t.relay(t.node("target"), delay=0.015), max_draft_tokens=1)


class Asking(threading.Thread):
    """A long answer under way: text() waits for it."""

    def __init__(self, p, tokens=120):
        super().__init__(daemon=True)
        self.p, self.tokens, self.got = p, tokens, None
        self.start()
        wait_until("the answer to run", lambda: get(p.url + "/v1/tightwad/status").json()["running"] == 1, 10)

    def run(self):
        self.got = ask(self.p, self.tokens)

    def text(self):
        self.join(60 * SLOWER)
        return self.got


def wait_serving(p):
    def looks():
        try:
            return get(p.url + "/health", timeout=2).status == 200
        except OSError:
            return False
    wait_until("the endpoint to serve", looks, 30)


def wait_silent(p):
    def looks():
        try:
            get(p.url + "/health", timeout=2)
            return False
        except OSError:
            return True
    wait_until("the endpoint to be gone", looks, 30)


def ask(p, tokens=20):
    r = post(p.url + "/v1/chat/completions", {"messages": QUESTION, "max_tokens": tokens, "temperature": 0})
    return r.json()["choices"][0]["message"]["content"] if r.status == 200 else None


def with_ui(t, p, **env):
    """The dashboard over the engines of p's configuration."""
    run = os.path.join(p.folder, "run")
    return t.terminal([TIGHTWAD, "proxy", "start", "-c", p.config], 100, 30, env=dict({"XDG_RUNTIME_DIR": run}, **env))


def in_a_shell(t, p):
    """The same as a shell's child, whose end it tells; the shell stays."""
    words = "'%s' proxy start -c '%s'; echo it ended with $?; exec cat" % (TIGHTWAD, p.config)
    term = t.terminal(["sh", "-c", words], 100, 30, env={"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")})
    wait_serving(p)
    term.wait_for("speculation")
    t.equal(term.ask("#{alternate_on} #{cursor_flag}"), "1 0", "the dashboard's own screen")
    return term


def parent_of(pid):
    with open("/proc/%d/stat" % pid) as f:
        return int(f.read().rsplit(")", 1)[1].split()[1])


def is_restored(t, term, status):
    """The shell's line is on the screen that was there before, with its cursor, and what is typed is echoed."""
    term.wait_for("it ended with %d" % status)
    t.equal(term.ask("#{alternate_on} #{cursor_flag} #{keypad_flag}"), "0 1 0", "the screen after it")
    term.type("typed")
    term.keys("Enter")
    term.wait_for(lambda screen: screen.count("typed") == 2)  # the terminal's echo, and cat's


def add_option(p, text):
    with open(p.config, "a") as f:
        f.write(text)


def pid_of(p):
    """Of the process that listens on p's port."""
    r = subprocess.run(["ss", "-ltnpH", "sport = :%d" % p.port], capture_output=True, text=True)
    found = re.search(r"pid=(\d+)", r.stdout)
    return int(found.group(1)) if found else None


@test("nothing in the environment: no TERM, no locale, no home; a line for whatever happens, and SIGTERM finishes what was begun")
def _(t):
    p = idle(t)
    bare = t.process(["env", "-i", TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], name="bare")
    bare.wait_line(r"✓ listening")
    t.check(ask(p), "an answer")
    bare.wait_line(r"request 1: answered, \d+ tokens in \d")
    bare.expected_end = True
    bare.signal(signal.SIGTERM)
    t.equal(bare.wait(), 0, "exit code")
    t.check(re.search(r"tightwad: stopped", bare.output), "it says that it has stopped")


@test("where no dashboard can be shown, it says why, and what does without one")
def _(t):
    for words, says in ((["env", "-u", "TERM"], "TERM is not set"), (["env", "TERM=dumb"], "a terminal that can't move its cursor"),
                        (["setsid", "-w"], None)):
        term = t.terminal(words + [TIGHTWAD], 200, 30)
        if says is None:  # in a session without a terminal of its own it is in nobody's background
            term.wait_for("the first run")
            continue
        term.wait_for(says)
        t.check("init --yes" in term.text() and "--no-ui" in term.text(), term.text())
        t.equal(term.wait_end(), 1, "exit code")
    r = subprocess.run([TIGHTWAD, "--attach"], stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=20 * SLOWER)
    t.equal(r.returncode, 1, r)
    t.check("are no terminal" in r.stderr and "tightwad status" in r.stderr, r)


@test("a second start finds the first: `start` says that it runs, another program for its port says whose that is")
def _(t):
    p = idle(t)
    env = dict(os.environ, XDG_RUNTIME_DIR=p.folder)
    t.process([TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], env={"XDG_RUNTIME_DIR": p.folder}, name="first")
    wait_serving(p)

    def again(*words):
        return subprocess.run([TIGHTWAD] + list(words) + ["-c", p.config], stdin=subprocess.DEVNULL, capture_output=True, text=True,
                              env=env, timeout=30 * SLOWER)
    r = again("start")
    t.equal((r.returncode, r.stderr), (0, ""), r)
    t.check("it runs already" in r.stdout and "--attach" in r.stdout, r)
    r = again("logs")  # it has a terminal, as far as it knows: nothing is there yet
    t.check(r.returncode == 1 and "without a terminal" in r.stderr, r)
    with open(os.path.join(p.folder, "tightwad", "proxy-%d.log" % p.port), "w") as f:
        f.write("one\ntwo\n")
    for words in (["logs"], ["logs", "--own"]):
        r = again(*words, "-n", "1")
        t.equal((r.returncode, r.stdout), (0, "two\n"), r)
    r = again("stop", "--pool")
    t.check(r.returncode == 1 and "no pool is configured" in r.stderr and "http://" not in r.stderr, r)
    r = again("proxy", "start")
    t.equal(r.returncode, 1, r)
    t.check("an instance of yours runs there" in r.stderr and "in use" in r.stderr, r)


@test("left without a control socket, it says how it is reached and ended all the same")
def _(t):
    p = idle(t)
    taken = os.path.join(p.folder, "run")
    os.makedirs(os.path.join(taken, "tightwad"), mode=0o755)
    term = with_ui(t, p)
    wait_serving(p)
    term.wait_for("speculation")
    term.keys("q")
    term.wait_for("leave them running")
    term.keys("l")
    said = term.wait_for(lambda screen: (lambda one: "it has no log" in one and one)(screen.replace("\n", "")))
    pid = int(re.search(r"`kill (\d+)` ends it", said).group(1))
    t.equal(pid, pid_of(p), "the process to end")
    t.check("--attach %s`" % p.url in said and "tightwad stop" not in said, said)
    os.kill(pid, signal.SIGTERM)
    wait_silent(p)


@test("started with no descriptor open: what is printed goes into no socket")
def _(t):
    p = idle(t)
    shell = t.process(["sh", "-c", 'exec "$@" <&- >&- 2>&-', "sh", TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], name="closed",
                      env={"XDG_RUNTIME_DIR": p.folder})
    wait_serving(p)
    for fd in range(3):
        t.equal(os.readlink("/proc/%d/fd/%d" % (pid_of(p), fd)), "/dev/null", "descriptor %d" % fd)
    t.check(ask(p), "an answer")
    shell.expected_end = True
    shell.signal(signal.SIGTERM)
    t.equal(shell.wait(), 0, "exit code")


@test("probe, init --yes and doctor: nothing in the environment either")
def _(t):
    target, draft = t.node("target"), t.node("draft")
    path = os.path.join(t.folder, "new.yaml")

    def bare(*words):
        r = subprocess.run(["env", "-i", TIGHTWAD] + list(words), stdin=subprocess.DEVNULL, capture_output=True, text=True,
                           encoding="utf-8", timeout=120 * SLOWER)
        t.check(r.returncode in (0, 1), "%r ended with %d\n%s" % (words, r.returncode, r.stderr))
        return r
    here = json.loads(bare("probe", "--json", "--no-scan").stdout)
    t.check("memory" in json.dumps(here), "this machine")
    made = bare("init", "--yes", "--target-url", target.url, "--draft-url", draft.url, "-c", path)
    t.equal(made.returncode, 0, made.stderr + made.stdout)
    t.equal(bare("config", "check", "-c", path).returncode, 0, "the file that was written")
    t.check(target.url.split("//")[1] in bare("doctor", "-c", path).stdout, "doctor names the target")


@test("--log-format json: each line on stderr is an object")
def _(t):
    p = idle(t)
    run = subprocess.Popen([TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui", "--log-format", "json"],
                           stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
                           env=dict(os.environ, XDG_RUNTIME_DIR=os.path.join(p.folder, "run")))
    try:
        wait_serving(p)
        t.check(ask(p), "an answer")
        wait_until("the answer to be told", lambda: get(p.url + "/v1/tightwad/status").json()["requests_ok"] == 1, 10)
    finally:
        run.send_signal(signal.SIGTERM)
        lines = run.stderr.read().decode().splitlines()
        t.equal(run.wait(20 * SLOWER), 0, "exit code")
    objects = [json.loads(line) for line in lines]
    for o in objects:
        t.equal(sorted(o), ["level", "message", "time"], "keys of a line")
    t.check(any("listens at" in o["message"] for o in objects), "the address is told")
    t.check(any(o["message"].startswith("request 1: answered") for o in objects), "the answer is told")
    refused = subprocess.run([TIGHTWAD, "proxy", "start", "-c", p.config, "--log-format", "xml"], capture_output=True, text=True)
    t.equal(refused.returncode, 2, "another format")
    t.check("neither text nor json" in refused.stderr, refused.stderr)


@test("SIGTERM: the answer under way is finished")
def _(t):
    p = slow(t)
    run = t.process([TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], env={"XDG_RUNTIME_DIR": p.folder}, name="slow")
    wait_serving(p)
    whole = ask(p, 120)
    asking = Asking(p)
    run.expected_end = True
    run.signal(signal.SIGTERM)
    t.equal(asking.text(), whole, "the text of the answer that was under way")
    t.equal(run.wait(), 0, "exit code")


class Manager:
    """What a service manager listens on."""

    def __init__(self, folder, abstract):
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.name = ("@tightwad-test-%d" % os.getpid()) if abstract else os.path.join(folder, "notify")
        self.socket.bind("\0" + self.name[1:] if abstract else self.name)
        self.heard = []

    def wait(self, what, timeout=20):
        """Until a message is what(it)."""
        self.socket.settimeout(0.2)
        deadline = time.monotonic() + timeout * SLOWER
        while time.monotonic() < deadline:
            try:
                self.heard.append(self.socket.recv(4096).decode())
            except TimeoutError:
                continue
            if what(self.heard[-1]):
                return self.heard[-1]
        raise Failure("the manager heard only %r" % self.heard)


@test("a service manager hears READY, what it does, a reload, that it lives, and STOPPING")
def _(t):
    for abstract in (False, True):
        p = idle(t)
        manager = Manager(p.folder, abstract)
        env = {"NOTIFY_SOCKET": manager.name, "WATCHDOG_USEC": "400000", "XDG_RUNTIME_DIR": os.path.join(p.folder, "run")}
        run = t.process([TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], env=env, name="service")
        manager.wait(lambda m: m == "READY=1")
        wait_serving(p)
        manager.wait(lambda m: m.startswith("STATUS=") and "speculating" in m)
        manager.wait(lambda m: m == "WATCHDOG=1")
        run.signal(signal.SIGHUP)
        manager.wait(lambda m: m.startswith("RELOADING=1\nMONOTONIC_USEC="))
        manager.wait(lambda m: m == "READY=1")
        t.check(run.running(), "SIGHUP without a terminal is a reload")
        run.expected_end = True
        run.signal(signal.SIGTERM)
        manager.wait(lambda m: m == "STOPPING=1")
        t.equal(run.wait(), 0, "exit code")


def serves_unread(t, out, err):
    """With stdout and stderr there, answers come and the program ends."""
    p = idle(t)
    run = subprocess.Popen([TIGHTWAD, "proxy", "start", "-c", p.config, "--no-ui"], stdin=subprocess.DEVNULL, stdout=out,
                           stderr=err, env=dict(os.environ, XDG_RUNTIME_DIR=os.path.join(p.folder, "run")))
    try:
        wait_serving(p)
        for _ in range(100):  # 80 bytes each: twice what the pipe takes
            t.check(ask(p, 1) is not None, "an answer while nobody reads what is printed")
    finally:
        run.send_signal(signal.SIGTERM)
        t.equal(run.wait(20 * SLOWER), 0, "exit code")


@test("a log that nobody reads, and a terminal that is held (Ctrl-S), hold up no answer")
def _(t):
    read, write = os.pipe()
    fcntl.fcntl(write, 1031, 4096)  # F_SETPIPE_SZ: as small as it goes
    serves_unread(t, subprocess.DEVNULL, write)
    os.close(read)
    os.close(write)
    master, terminal = os.openpty()
    termios.tcflow(terminal, termios.TCOOFF)
    serves_unread(t, terminal, terminal)
    os.close(master)
    os.close(terminal)


@test("the terminal goes away: with ui.on_hangup headless the engines go on, and say so in their log")
def _(t):
    p = idle(t)
    add_option(p, "ui:\n  on_hangup: headless\n")
    term = with_ui(t, p)
    wait_serving(p)
    term.wait_for("speculation")
    pid = pid_of(p)
    t.equal(term.stop(), None, "its end")
    t.check(ask(p), "an answer after the terminal has gone")
    t.equal(pid_of(p), pid, "the process that serves")
    with open("/proc/%d/stat" % pid) as f:
        t.equal(f.read().rsplit(")", 1)[1].split()[4], "0", "its controlling terminal")
    with open(os.path.join(p.folder, "run", "tightwad", "proxy-%d.log" % p.port)) as f:
        t.check("goes on without a terminal" in f.read(), "its log")
    os.kill(pid, signal.SIGHUP)
    t.check(ask(p), "an answer after SIGHUP, a reload now")
    os.kill(pid, signal.SIGTERM)
    wait_silent(p)


@test("the terminal goes away: by default the answer under way is finished, and the engines end")
def _(t):
    p = slow(t)
    term = with_ui(t, p)
    wait_serving(p)
    term.wait_for("speculation")
    asking = Asking(p)
    t.equal(term.stop(60), None, "its end")
    t.check(asking.text(), "the answer that was under way")
    wait_silent(p)


@test("kill -TERM, to the process that the shell knows and to the one behind it: the terminal is as it was, status 0")
def _(t):
    for whom in (parent_of, lambda pid: pid):
        p = idle(t)
        term = in_a_shell(t, p)
        os.kill(whom(pid_of(p)), signal.SIGTERM)
        is_restored(t, term, 0)
        t.check("stopped" in term.text(), "what it says at the end:\n%s" % term.text())
        wait_silent(p)


@test("the engines are killed: the terminal is as it was")
def _(t):
    p = idle(t)
    term = in_a_shell(t, p)
    os.kill(pid_of(p), signal.SIGKILL)
    is_restored(t, term, 128 + signal.SIGKILL)


@test("the process that holds the terminal is killed: the engines end too")
def _(t):
    p = idle(t)
    in_a_shell(t, p)
    os.kill(parent_of(pid_of(p)), signal.SIGKILL)
    wait_silent(p)


@test("leaving the dashboard: the shell has its prompt back, the engines go on, and attach shows them; stopping ends them")
def _(t):
    p = idle(t)
    term = with_ui(t, p)
    wait_serving(p)
    term.wait_for("speculation")
    term.keys("q")
    term.wait_for("quit")
    term.keys("l")
    t.equal(term.wait_end(), 0, "status of what the shell waits for")
    t.check("goes on without this terminal" in " ".join(term.text().split()), term.text())
    t.check(ask(p), "an answer")
    env = {"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")}
    again = t.terminal([TIGHTWAD, "--attach", "-c", p.config], 100, 30, env=env)
    again.wait_for("attached")
    again.keys("q")
    again.wait_for("quit")
    again.keys("s")
    t.equal(again.wait_end(), 0, "status")
    wait_silent(p)


@test("started with `&` by a shell that keeps the keyboard: lines, and it serves")
def _(t):
    p = idle(t)
    words = "set -m; '%s' proxy start -c '%s' & wait" % (TIGHTWAD, p.config)
    term = t.terminal(["sh", "-c", words], 100, 30, env={"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")})
    term.wait_for("✓ listening")
    t.check(ask(p), "an answer")
    os.kill(pid_of(p), signal.SIGTERM)
    t.equal(term.wait_end(), 0, "status")


@test("`start` on a terminal has the dashboard too, and --no-ui goes to the background as ever")
def _(t):
    p = idle(t)
    env = {"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")}
    term = t.terminal([TIGHTWAD, "start", "-c", p.config], 100, 30, env=env)
    term.wait_for("speculation")
    term.keys("q")
    term.wait_for("quit")
    term.keys("s")
    t.equal(term.wait_end(), 0, "status")
    wait_silent(p)
    behind = t.terminal([TIGHTWAD, "start", "-c", p.config, "--no-ui"], 100, 30, env=env)
    behind.wait_for("started on port %d" % p.port)
    t.equal(behind.wait_end(), 0, "status")
    t.check(ask(p), "an answer")
    r = subprocess.run([TIGHTWAD, "stop", "-c", p.config], env=dict(os.environ, **env), capture_output=True, text=True)
    t.equal(r.returncode, 0, r.stderr)


@test("a terminal that is none of those known: lines instead of the dashboard")
def _(t):
    p = idle(t)
    for name in ("dumb", "no-such-terminal"):
        term = t.terminal(["env", "TERM=" + name, TIGHTWAD, "proxy", "start", "-c", p.config], 100, 30,
                          env={"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")})
        term.wait_for("✓ listening")
        t.check(ask(p), "an answer")
        term.keys("C-c")
        t.equal(term.wait_end(), 0, "status")


main()

"""Random keys, text, halves of sequences, pastes and changes of size, under load: the program never crashes, never leaks, answers all the
while, and ends as it should afterwards with a configuration that still loads.

TIGHTWAD_TEST_KEYS: how many, 5000 else (TIGHTWAD_TEST_FULL: 100000); TIGHTWAD_TEST_SEED: which.  They go to three in turn: a dashboard over a
proxy, one over a pool, and a viewer.  Leaving is asked for as often as everything else, and always answered by staying."""
import collections
import subprocess

from cockpit import *
from harness import *
from processes import children
from pseudo import Pseudo
from terminal import alive

KEYS = int(os.environ.get("TIGHTWAD_TEST_KEYS") or (100000 if os.environ.get("TIGHTWAD_TEST_FULL") else 5000))
SEED = int(os.environ.get("TIGHTWAD_TEST_SEED") or random.SystemRandom().randrange(1 << 30))
MEMORY = 48 << 20  # may come to it in all

ACTIONS = "mpaxdstDTlrc/z?\t"
MOVES = ["\x1b[A", "\x1b[B", "\x1bOA", "\x1bOB", "\x1b[C", "\x1b[D", "\x1b[5~", "\x1b[6~", "\x1b[H", "\x1b[F", "\x1b[Z", "\x1b[3~", "\x1bOP", "\x1b[15~"]
EDITS = ["\x7f", "\x08", "\x15", "\x17", "\x01", "\x05", "\r", "\n", "\r", "\r", "\x0c"]
TEXTS = ["127.0.0.1:1", "ngram", "auto", "5", "0", "99999", "small", "target", "What is 2 + 2?", "a" * 300, "error", "é", "日本語", "🙂", " "]
ODD = [b"\xff", b"\xc3", b"\xe2\x82", b"\xf0\x9f", b"\x80", b"\x1b[", b"\x1b[999;999R", b"\x1b[M!!!", b"\x1b]0;x\x07", b"\x1bP$x\x1b\\", b"\x00",
       b"\x1b[200~" + b"mx\rs\r" * 20 + b"\x1b[201~", b"\x1bOx", b"\x1c", b"\x1a", b"\x13\x11"]
DIALOGS = ("models", "target", "small", "loading", "waiting", "keys", "doctor", "quit", "add a drafter", "remove a drafter", "pause or resume",
           "max draft tokens", "start and stop", "log level", "test prompt", "filter", "tune: this machine's memory")
STAY = [b"qn", b"\x03n"]  # not Esc: with what follows it may be another key


class Chooser:
    """Keys by chance, none of which ends the program."""

    def __init__(self, seed):
        self.r = random.Random(seed)

    def one(self):
        """(bytes, how many keys they are)"""
        r = self.r
        k = r.random()
        if k < .30:
            return r.choice(ACTIONS).encode(), 1
        if k < .50:
            return r.choice(MOVES).encode(), 1
        if k < .68:
            return r.choice(EDITS).encode(), 1
        if k < .74:
            return b"\x1b", 1
        if k < .84:
            text = r.choice(TEXTS)
            return text.encode(), len(text)
        if k < .88:
            return r.choice(ODD), 1
        if k < .92:
            return r.choice(STAY), 2
        # Any other printable one, but for those that a dialog about the end would take.
        return r.choice("befghijkouvwyABCEFGHIJ0123456789-_:.").encode(), 1


def open_pty(t, p, *words):
    """Once it has taken the terminal over: before, Ctrl-C is the terminal's own."""
    tty = t.own(Pseudo([TIGHTWAD, *words], env=environment(t, p), cwd=t.folder, keep=True))
    tty.wait_output(b" machines ")
    return tty


def dialogs(tty):
    """Those that came up, by their titles."""
    return [d for d in DIALOGS if b" %s " % d.encode() in tty.output]


def reached(t, tty, p, seed, least):
    """More keys until so many kinds of dialogs came up: a slow machine shows few of those that open and close at once."""
    for k in range(8):
        if len(dialogs(tty)) < least:
            press(t, tty, p, seed + 100 + k, 500)
    seen = dialogs(tty)
    t.note("dialogs: " + ", ".join(seen))
    t.check(len(seen) >= least, "only %d kinds of dialogs came up" % len(seen))


def environment(t, p):
    env = dict(os.environ, TERM="xterm-256color", LANG="C.UTF-8", HOME=t.folder, XDG_RUNTIME_DIR=p.run, OMP_WAIT_POLICY="passive")
    if SANITIZED:
        env.update(ASAN_OPTIONS="log_path=%s/sanitizer" % t.folder, UBSAN_OPTIONS="print_stacktrace=1:log_path=%s/sanitizer" % t.folder,
                   LSAN_OPTIONS="print_suppressions=0:suppressions=" + os.path.join(HERE, "leaks-of-others"))
    return env


def memory(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


class Watch(threading.Thread):
    """Asks for the status all the while: whether the loop answers."""

    def __init__(self, p):
        super().__init__(daemon=True)
        self.p, self.over, self.longest, self.wrong = p, threading.Event(), 0.0, []
        self.start()

    def run(self):
        while not self.over.wait(0.1):
            begun = time.monotonic()
            try:
                self.p.status()
            except Exception as e:
                self.wrong.append(e)
                return
            self.longest = max(self.longest, time.monotonic() - begun)


def press(t, tty, p, seed, count):
    """So many random keys; the load is one client whose requests may wait while the pool is stopped."""
    chooser, pressed, watch, last = Chooser(seed), 0, Watch(p), collections.deque(maxlen=12)
    sizes = random.Random(seed)
    while pressed < count and not watch.wrong and tty.running():
        burst, keys = b"", 0
        for _ in range(sizes.choice((1, 1, 2, 5, 20))):
            data, n = chooser.one()
            burst, keys = burst + data, keys + n
        last.append(burst)
        tty.write(burst)
        pressed += keys
        if sizes.random() < .02:
            tty.resize(sizes.randint(1, 250), sizes.randint(1, 70))
        if sizes.random() < .7:
            time.sleep(0.015)  # so that pictures and answers come between
    wait_until("the last keys to be read", lambda: not tty.running() or tty.unread() == 0, 60)
    watch.over.set()
    watch.join()
    t.check(tty.running(), "it ended after some %d keys with status %r; the last were %r" % (pressed, tty.popen.poll(), list(last)))
    t.equal(watch.wrong, [], "it answers no more after some %d keys; the last were %r" % (pressed, list(last)))
    t.note("%d keys; the slowest status took %.0f ms" % (pressed, 1000 * watch.longest))


def leave(t, tty, words=b"s"):
    """All dialogs left, then quit; its exit status."""
    tty.resize(120, 40)
    tty.write(b"\x0c")
    for _ in range(12):
        tty.write(b"\x1b")
        time.sleep(0.06)  # a lone Esc is told by what does not follow
    tty.write(b"q")
    time.sleep(0.5)
    tty.write(words)
    return tty.wait(60)


def reports(t):
    for name in sorted(os.listdir(t.folder)):
        if name.startswith("sanitizer."):
            with open(os.path.join(t.folder, name), errors="replace") as f:
                raise Failure(f.read())


def answers(t, p):
    """Whatever was stopped is started, and answers."""
    time.sleep(1)  # for orders that the last keys gave
    if p.status()["pool"] is not None:
        for command in ("pool-start", "load"):  # the one that does not apply is refused
            p.command(command)
        wait_until("the pool to be up", lambda: p.pool()["up"] and not p.pool()["next"], 60)
    a = chat(p.url, "What is 2 + 2?", max_tokens=5)
    t.equal((a.status, a.done), (200, True), a)


def loads(t, p):
    r = subprocess.run([TIGHTWAD, "config", "check", p.config], capture_output=True, text=True)
    t.equal(r.returncode, 0, r.stdout + r.stderr)


class Engines:
    """Should a key have left them running, they are ended with the test."""

    def __init__(self, pid):
        self.pid = pid

    def close(self):
        if alive(self.pid):
            os.kill(self.pid, signal.SIGTERM)


def over_engines(t, p, count, seed):
    tty = open_pty(t, p, "proxy", "start", "-c", p.config)
    p.serving()
    engines = wait_until("the engines", lambda: children(tty.pid))[0]
    t.own(Engines(engines))
    press(t, tty, p, seed, count // 10)
    held = memory(engines)
    press(t, tty, p, seed + 1, count - count // 10)
    if not SANITIZED:
        t.less(memory(engines) - held, MEMORY, "bytes of memory")
    reached(t, tty, p, SEED, 5)
    answers(t, p)
    loads(t, p)
    t.equal(leave(t, tty), 0, "status")
    reports(t)


@test("over a proxy's engines, %d keys, seed %d" % (KEYS // 3, SEED))
def _(t):
    over_engines(t, idle_proxy(t, t.node("target"), [t.node("draft"), "http://127.0.0.1:1"]), KEYS // 3, SEED)


@test("over a pool's, %d keys, seed %d" % (KEYS // 3, SEED))
def _(t):
    over_engines(t, idle_pool(t, {"target": {"path": "target", "default": True}, "small": "small"}, drafters=[t.node("draft")]), KEYS // 3, SEED)


@test("in a viewer, %d keys, seed %d: the instance goes on" % (KEYS // 3, SEED))
def _(t):
    p = t.pool({"target": {"path": "target", "default": True}, "small": "small"}, drafters=[t.node("draft")])
    p.run = os.path.join(p.folder, "run")
    tty = open_pty(t, p, "--attach", p.url)
    press(t, tty, p, SEED, KEYS // 3)
    reached(t, tty, p, SEED, 5)
    answers(t, p)
    loads(t, p)
    t.equal(leave(t, tty, b"d"), 0, "status")
    t.check(p.running(), "the instance has ended")
    reports(t)


main()

"""What tests of the dashboard stand on: engines that a terminal shows, and what is wrong with a screen."""
import glob
import os
import re
import tempfile
import threading
import time
import unicodedata

from common import BUILD, SLOWER, SOURCE, Failure, wait_until
from programs import Pool, Proxy
from prompts import prompts, story_prompts
from web import chat, get

TIGHTWAD = os.path.join(BUILD, "tightwad")
MODES = ("gate", "consensus")
CONFIGURED = MODES + ("swarm",)  # panes of what is not always there
PANES = ("machines", "speculation", "answer", "rounds") + MODES + ("requests", "pool", "swarm", "log")
ACROSS = "─-"
ASKS = story_prompts(6, "ui load") + prompts(6, "ui load")


def without_program(kind):
    """A Proxy or Pool of which there is the configuration only: the test itself starts what is to serve it."""
    class Idle(kind):
        def listen(self, port, args, **kw):
            self.url, self.run = "http://127.0.0.1:%d" % port, os.path.join(self.folder, "run")

        def serving(self):
            def looks():
                try:
                    return get(self.url + "/health", timeout=2).status == 200
                except OSError:
                    return False
            wait_until("the endpoint to serve", looks, 60)
            return self
    return Idle


IdleProxy, IdlePool = without_program(Proxy), without_program(Pool)


def idle_proxy(t, target, drafters=(), **options):
    return IdleProxy(tempfile.mkdtemp(dir=t.folder), target, drafters, wait=False, **options)


def idle_pool(t, models=None, workers=(), **options):
    return IdlePool(tempfile.mkdtemp(dir=t.folder), models, workers, wait=False, **options)


def own(t, p, cols=120, rows=40, under=(), **kw):
    """The engines of p's configuration with their dashboard."""
    env = dict({"XDG_RUNTIME_DIR": p.run}, **kw.pop("env", {}))
    return t.terminal(list(under) + [TIGHTWAD, "proxy", "start", "-c", p.config], cols, rows, env=env, **kw)


def attached(t, url, cols=120, rows=40, **kw):
    """A dashboard on what runs at url."""
    term = t.terminal([TIGHTWAD, "--attach", url], cols, rows, **kw)
    term.wait_for(re.compile(r"[─-] machines "))
    return term


class Load:
    """Clients that ask until they are stopped; what went wrong."""

    def __init__(self, url, clients=4, asks=ASKS, max_tokens=60):
        self.url, self.asks, self.max_tokens = url, asks, max_tokens
        self.over, self.wrong, self.texts = threading.Event(), [], []
        self.threads = [threading.Thread(target=self._ask, args=(k,), daemon=True) for k in range(clients)]
        for th in self.threads:
            th.start()

    def _ask(self, k):
        while not self.over.is_set():
            k += 1
            try:
                a = chat(self.url, self.asks[k % len(self.asks)], stream=k % 2 == 0, temperature=0, max_tokens=self.max_tokens)
                if a.status == 200 and a.done:
                    self.texts.append(a.text)
                else:
                    self.wrong.append(a)
            except Exception as e:
                self.wrong.append(e)

    def stop(self):
        self.over.set()
        for th in self.threads:
            th.join()


# ---- what a screen must look like ----

def columns(text):
    return sum(0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1 for c in text)


def vocabulary(*texts):
    """Every word that the dashboard may show: those of its sources, and of what it is told."""
    known, long_ones = set(), set()
    for path in glob.glob(os.path.join(SOURCE, "ui", "*.c")):
        with open(path) as f:
            for literal in re.findall(r'"((?:[^"\\\n]|\\.)*)"', f.read()):
                known.update(re.findall(r"[A-Za-z]{3,}", re.sub(r"%[-+ 0#]*[\d*]*(?:\.[\d*]+)?[hlzjt]*[a-zA-Z]|\\.", " ", literal)))
    for text in texts:
        known.update(re.findall(r"[A-Za-z]{3,}", text))
        long_ones.update(w for w in text.split() if len(w) > 20)
    return known, long_ones


def cut_words(lines, words):
    """Words that nobody wrote: cut without a sign, or run into each other."""
    known, long_ones = words
    out = []
    for line in lines:
        for m in re.finditer(r"[A-Za-z]{3,}", line):
            if line[m.end():m.end() + 1] in ("…", "~") or m.group(0) in known:
                continue
            around = re.search(r"[^\s│|]*$", line[:m.start()]).group(0) + re.match(r"[^\s│|]*", line[m.start():]).group(0)
            if around.endswith(("…", "~")) or any(around in w for w in long_ones):  # shortened, or broken over lines
                continue
            out.append("%r in %r" % (m.group(0), line.strip()))
    return out


def is_rule(line):
    return bool(re.match(r"[─-] \w", line)) and line[-1:] in ACROSS


def rules(line, cols, separators):
    """What is wrong with a line of panes' titles; separators: the columns of those below it."""
    wrong = []
    if columns(line) != cols:
        wrong.append("a rule is %d columns wide: %r" % (columns(line), line))
    starts = [0] + [s + 1 for s in separators]
    for at in starts:
        m = re.match(r"[─-] ([a-z]+)", line[at:])
        if not m or m.group(1) not in PANES:
            wrong.append("no pane's title at column %d of %r" % (at, line))
    for s in separators:
        if line[s] not in ACROSS:
            wrong.append("no rule at column %d of %r" % (s, line))
    return wrong


def screen_problems(lines, cols, rows, words=None):
    """A screen of panes without a dialog: a header, rules with titles across the whole width, separators without a gap, a
    footer, nothing beside.  A list of what is wrong with it."""
    wrong, told = [], lines
    lines = ["".join("??" if columns(c) == 2 else c for c in line) for line in lines] + [""] * (rows - len(lines))
    if len(lines) != rows or any(columns(line) > cols for line in lines):
        wrong.append("%d rows of up to %d columns" % (len(lines), max(map(columns, lines))))
    if not lines[0].startswith(" tightwad"):
        wrong.append("no header: %r" % lines[0])
    if not re.match(r"\? help  q quit", lines[-1]) and not re.match(r"[✓✗!+x–-] ", lines[-1]):
        wrong.append("no footer: %r" % lines[-1])
    at = [i for i, line in enumerate(lines) if is_rule(line)]
    if not at:
        return wrong + ["no panes"]
    titles = [m for i in at for m in re.findall(r"(?:^|[─-])[─-] ([a-z]+)", lines[i]) if m in PANES]
    if len(set(titles)) != len(titles):
        wrong.append("a pane twice: %r" % titles)
    for i, end in zip(at, at[1:] + [rows - 1]):
        body = lines[i + 1:end]
        found = [tuple(k for k, c in enumerate(line) if c == "│") for line in body]
        separators = max(found, key=len, default=())
        if any(f != separators for f in found):
            wrong.append("broken separators below %r: %r" % (lines[i], found))
        wrong += rules(lines[i], cols, separators)
    if words:
        wrong += cut_words(told, words)
    return wrong


def wait_whole(term, words=None, timeout=10, size=None):
    """Waits until nothing is wrong with the screen, and returns it; Failure with what is."""
    cols, rows = size or term.size()
    deadline = time.monotonic() + timeout * SLOWER
    while True:
        lines = term.lines()
        wrong = screen_problems(lines, cols, rows, words)
        if not wrong:
            return lines
        if time.monotonic() > deadline:
            raise Failure("%dx%d: %s\n%s" % (cols, rows, "\n".join(wrong), "\n".join(lines)))
        time.sleep(0.05)


def masked(lines):
    """Without what differs between two pictures of the same state: times, figures of the machine, graphs of the past."""
    def one(line):
        line = re.sub(r"[\u2800-\u28ff.:|=#]+ *", " ", re.sub(r"\b0 to \S+", "0 to 0", line))
        line = re.sub(r"\bup \d+ (ms|s|min|h)\b.*", "up", line)
        line = re.sub(r"(\d+([./]\d+)*|–)( (%|ms|s|tok/s|GiB))?(?=[ │]|$)", "0", line)
        return re.sub(r" +", " ", re.sub(r"\d+", "0", line)).rstrip()
    return [one(line) for line in lines]


def wait_same(what, one, other, timeout=10):
    """Until the functions one and other return screens that are the same but for what differs between two pictures of one state."""
    deadline = time.monotonic() + timeout * SLOWER
    while True:
        a, b = one(), other()
        if masked(a) == masked(b):
            return
        if time.monotonic() > deadline:
            raise Failure(what + "\n" + "\n".join("  %s\n- %s" % (x, y) for x, y in zip(a, b) if masked([x]) != masked([y])))
        time.sleep(0.2)

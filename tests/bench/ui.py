#!/usr/bin/python3
"""What the dashboard costs at 120x40: the time to its first frame, the processor's time and the bytes to the terminal of an idle
cluster and of one that makes some 30 rounds a second, and what a terminal that nobody reads costs the clients.

usage: tests/bench/ui.py [SECONDS]      of each phase (20); TIGHTWAD_BUILD names the build folder, build/ otherwise

The load is one answer after the other over a link that makes a round take about 33 ms.  The instance with the dashboard and one
without get it in turn, and so do the stalled terminal and the one that reads, so that what else the machine does falls on both."""
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.dirname(os.path.abspath(__file__))), "e2e"))
from common import BUILD, wait_until  # noqa: E402
from harness import Scope, chat  # noqa: E402
from processes import children, cpu_seconds, thread_seconds, threads  # noqa: E402
from programs import Proxy  # noqa: E402
from prompts import story_prompts  # noqa: E402
from pseudo import Pseudo  # noqa: E402
from web import get  # noqa: E402

TIGHTWAD = os.path.join(BUILD, "tightwad")
FIRST_PAINTS, TURNS, WARM_SECONDS = 15, 4, 3
FRAME_GAP = 0.02
LINK_SECONDS = 0.010  # each way
PANE = b" machines "  # the title of one that is always there


class Shown(Proxy):
    """A proxy whose dashboard is on a pty."""

    def listen(self, port, args, **kw):
        self.url = "http://127.0.0.1:%d" % port
        self.name, self.lines, self.changed = "tightwad", [], threading.Condition()

    def open(self, **kw):
        env = dict(os.environ, TERM="xterm-256color", LANG="C.UTF-8", HOME=self.folder, XDG_CONFIG_HOME=self.folder,
                   XDG_RUNTIME_DIR=os.path.join(self.folder, "run"))
        self.tty = Pseudo([TIGHTWAD, "proxy", "start", "-c", self.config], env=env, cwd=self.folder, **kw)
        return self

    def serving(self):
        wait_until("it to serve", lambda: self._answers(), 20)
        self.engines = children(self.tty.pid)[0]
        self.drawer = wait_until("the drawing thread", lambda: [k for k, n in threads(self.engines).items() if n == "dashboard"])[0]
        return self

    def _answers(self):
        try:
            return self.status()["speculating"]
        except (OSError, ValueError):
            return False

    def stop(self):
        return self.tty.stop()


class Load:
    """Answers one after the other, until it is left."""

    def __init__(self, url, clients=1):
        self.url, self.over, self.seconds, self.tokens = url, threading.Event(), [], 0
        self.threads = [threading.Thread(target=self._ask, args=(k,), daemon=True) for k in range(clients)]
        for t in self.threads:
            t.start()

    def _ask(self, k):
        prompts = story_prompts(8, "ui bench")
        i = k
        while not self.over.is_set():
            a = chat(self.url, prompts[i % len(prompts)], stream=True, temperature=0, max_tokens=100)
            if a.status != 200 or not a.done:
                sys.exit("a request failed: %r" % a)
            self.seconds.append(a.seconds)
            self.tokens += a.usage["completion_tokens"]
            i += 1

    def stop(self):
        self.over.set()
        for t in self.threads:
            t.join()


def paint_of(tty):
    """Milliseconds from exec to its first byte, and to the end of the first frame with panes."""
    tty.wait_output(PANE)
    time.sleep(0.1)
    with tty.changed:
        first = tty.times[0][0]
        at = tty.output.index(PANE)
        frame = next(when for when, n in tty.times if n > at)
        for when, _ in tty.times:  # what follows at once belongs to it
            frame = when if frame < when < frame + FRAME_GAP else frame
    return (first - tty.begun) * 1000, (frame - tty.begun) * 1000


def first_paint(scope, target, drafter, instance):
    """Of the engines' own dashboard and of an attached one."""
    own, attached = [], []
    env = dict(os.environ, TERM="xterm-256color", LANG="C.UTF-8", XDG_RUNTIME_DIR=os.path.join(instance.folder, "run"))
    for _ in range(FIRST_PAINTS):
        p = Shown(tempfile.mkdtemp(dir=scope.folder), target, [drafter], wait=False).open(keep=True)
        own.append(paint_of(p.tty))
        p.stop()
        tty = Pseudo([TIGHTWAD, "--attach", instance.url], env=env, keep=True)
        attached.append(paint_of(tty))
        tty.stop()
    for name, times in (("of its own engines", own), ("attached", attached)):
        frames = sorted(t[1] for t in times)
        print("  %-44s median %5.1f ms, worst %5.1f ms    (first byte: median %.1f ms)    bar 50 ms" %
              ("first frame after exec, " + name, statistics.median(frames), frames[-1], statistics.median(t[0] for t in times)))


class Sample:
    def __init__(self, shown):
        self.shown, self.at, self.bytes = shown, time.monotonic(), shown.tty.bytes
        self.cpu, self.drawing = cpu_seconds(shown.engines), thread_seconds(shown.engines, shown.drawer)

    def until_now(self):
        now = Sample(self.shown)
        s = now.at - self.at
        return s, now.cpu - self.cpu, now.drawing - self.drawing, now.bytes - self.bytes


def idle(shown, headless, seconds):
    time.sleep(WARM_SECONDS)
    begun, cpu = Sample(shown), cpu_seconds(headless.pid)
    time.sleep(seconds)
    s, all_of_it, drawing, n = begun.until_now()
    print("  %-44s drawing %.2f %%, with its share of the loop %.2f %%, %.0f B/s    bars 0.5 %%, 500 B/s" %
          ("idle, %.0f s" % s, 100 * drawing / s, 100 * (all_of_it - (cpu_seconds(headless.pid) - cpu)) / s, n / s))


def busy(shown, headless, seconds):
    total, without, rounds = [0.0] * 4, [0.0] * 2, [0, 0]
    for _ in range(TURNS):
        for p, pid in ((shown, shown.engines), (headless, headless.pid)):
            load = Load(p.url)
            time.sleep(1)
            before, begun, cpu, r = Sample(shown), time.monotonic(), cpu_seconds(pid), p.status()["rounds"]
            time.sleep(seconds / TURNS)
            if p is shown:
                total = [a + b for a, b in zip(total, before.until_now())]
            else:
                without = [without[0] + time.monotonic() - begun, without[1] + cpu_seconds(pid) - cpu]
            rounds[p is headless] += p.status()["rounds"] - r
            load.stop()
    s, all_of_it, drawing, n = total
    print("  %-44s drawing %.2f %%, with its share of the loop %.2f %%, %.0f B/s    bars 2 %%, 5000 B/s" %
          ("%.0f rounds/s (%.0f without), %.0f s" % (rounds[0] / s, rounds[1] / without[0], s), 100 * drawing / s,
           100 * (all_of_it / s - without[1] / without[0]), n / s))


def stalled(name, url, let_read, seconds):
    """The same clients while the terminal reads and while it does not, in turn."""
    seen = {True: [0, 0.0, []], False: [0, 0.0, []]}
    for i in range(2 * TURNS):
        reads = i % 2 == 0
        let_read(reads)
        time.sleep(1)
        load, begun = Load(url, clients=2), time.monotonic()
        time.sleep(seconds / TURNS)
        load.stop()
        kept = seen[reads]
        kept[0] += load.tokens
        kept[1] += time.monotonic() - begun
        kept[2] += load.seconds
    let_read(True)
    (a, b) = ((seen[k][0] / seen[k][1], statistics.median(seen[k][2]), max(seen[k][2])) for k in (False, True))
    print("  %-44s %.1f tok/s (read: %.1f), x %.3f; an answer: median %.0f ms (read: %.0f), x %.3f; worst %.0f ms (read: %.0f)" %
          ("%s, %.0f s" % (name, seen[False][1]), a[0], b[0], a[0] / b[0], 1000 * a[1], 1000 * b[1], a[1] / b[1],
           1000 * a[2], 1000 * b[2]))


def viewer_alone(viewer, instance, seconds):
    """The whole process of an attached dashboard, which reads the instance's stream."""
    for name in ("idle", "load"):
        load = Load(instance.url) if name == "load" else None
        time.sleep(WARM_SECONDS)
        begun, cpu, n, rounds = time.monotonic(), cpu_seconds(viewer.pid), viewer.bytes, instance.status()["rounds"]
        time.sleep(seconds)
        s = time.monotonic() - begun
        print("  %-44s %.2f %%, %.0f B/s" % ("attached, all of its process, %.0f rounds/s" % ((instance.status()["rounds"] - rounds) / s),
                                           100 * (cpu_seconds(viewer.pid) - cpu) / s, (viewer.bytes - n) / s))
        if load:
            load.stop()


def htop(seconds):
    if shutil.which("htop") is None:
        return
    tty = Pseudo(["htop"], env=dict(os.environ, TERM="xterm-256color", LANG="C.UTF-8"))
    time.sleep(WARM_SECONDS)
    begun, cpu, n = time.monotonic(), cpu_seconds(tty.pid), tty.bytes
    time.sleep(seconds)
    s = time.monotonic() - begun
    print("  %-44s %.2f %%, %.0f B/s" % ("htop, %.0f s" % s, 100 * (cpu_seconds(tty.pid) - cpu) / s, (tty.bytes - n) / s))
    tty.stop()


def main():
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 20
    scope = Scope()
    try:
        target, drafter = scope.node("target"), scope.node("draft")
        far = scope.relay(target, delay=LINK_SECONDS)
        options = {"max_draft_tokens": 4}
        headless = scope.proxy(far, [drafter], **options)
        shown = scope.own(Shown(tempfile.mkdtemp(dir=scope.folder), far, [drafter], wait=False, **options))
        print("120x40, load of the machine %.1f" % os.getloadavg()[0])
        first_paint(scope, target, drafter, headless)
        shown.open().serving()
        idle(shown, headless, seconds)
        busy(shown, headless, seconds)
        stalled("a terminal that nobody reads", shown.url, shown.tty.read, seconds)
        link = scope.relay(headless)
        viewer = scope.own(Pseudo([TIGHTWAD, "--attach", link.url], env=dict(os.environ, TERM="xterm-256color")))
        wait_until("the viewer", lambda: headless.metrics()["tightwad_event_readers"] == 1)
        viewer_alone(viewer, headless, seconds)
        stalled("a viewer behind a dead link", headless.url, lambda on: link.release() if on else link.hold(), seconds)
        viewer.stop()
        htop(seconds)
        print("load of the machine %.1f" % os.getloadavg()[0])
    finally:
        for problem in scope.close():
            print(problem, file=sys.stderr)


if __name__ == "__main__":
    main()

"""A terminal of a test's own: tmux runs the program, keys go in, the screen comes out as text.

    term = t.terminal([os.path.join(BUILD, "tightwad")], 80, 24, env={"HOME": t.folder})
    term.wait_for("Machines")
    term.keys("Down", "Enter")
    term.resize(120, 40)
    print(term.text())

The screen is what tmux shows: a program that draws outside of it, or over itself, is seen.  Keys are those of tmux:
"Enter", "Escape", "Up", "C-c", "F1", and single characters."""
import os
import re
import shlex
import signal
import subprocess
import time

from common import SANITIZED, SLOWER, Failure, wait_until

SETTINGS = """set -g status off
set -g remain-on-exit on
set -g remain-on-exit-format ""
set -g escape-time 0
set -g history-limit 0
set -g default-terminal %s
"""


def alive(pid):
    """Whether it runs; one that has ended stays in the list until the system's first process has time for it."""
    try:
        with open("/proc/%d/stat" % pid) as f:
            return f.read().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


class Terminal:
    """command: a list of words, run without a shell between.  env: what differs from a bare environment (None: unset);
    nothing of the test's own is handed on but PATH and what the sanitizers want.  term: $TERM."""

    def __init__(self, folder, command, cols=80, rows=24, env=None, cwd=None, term="tmux-256color"):
        self.folder, self.command, self.name = folder, list(command), os.path.basename(command[0])
        self.socket, self.reports = os.path.join(folder, "tmux"), os.path.join(folder, "sanitizer")
        settings = os.path.join(folder, "tmux.conf")
        with open(settings, "w") as f:
            f.write(SETTINGS % term)
        clean = {"PATH": os.environ["PATH"], "LANG": "C.UTF-8", "HOME": folder, "XDG_RUNTIME_DIR": folder, "OMP_WAIT_POLICY": "passive"}
        if SANITIZED:
            clean.update(ASAN_OPTIONS="log_path=" + self.reports, UBSAN_OPTIONS="log_path=" + self.reports,
                         LSAN_OPTIONS="print_suppressions=0:suppressions=" +
                         os.path.join(os.path.dirname(os.path.abspath(__file__)), "leaks-of-others"))
        clean.update(env or {})
        words = ["env", "-u", "TMUX", "-u", "TMUX_PANE"] + self.command
        # tmux hands on the environment that it was started with, and sets TERM itself.
        self.tmux("-f", settings, "new-session", "-d", "-x", str(cols), "-y", str(rows), "-c", cwd or folder,
                  "exec " + " ".join(map(shlex.quote, words)), env={k: v for k, v in clean.items() if v is not None})
        self.pid, self.closed = int(self.ask("#{pane_pid}")), False

    def tmux(self, *words, env=None):
        r = subprocess.run(["tmux", "-u", "-S", self.socket] + list(words), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE,
                           stderr=subprocess.PIPE, env=env, timeout=20 * SLOWER)
        if r.returncode != 0:
            raise Failure("tmux %s: %s" % (" ".join(words), r.stderr.decode("utf-8", "replace").strip()))
        return r.stdout.decode("utf-8", "replace")

    def ask(self, form):
        """A format of tmux: "#{cursor_y}", "#{alternate_on}" …"""
        return self.tmux("display-message", "-p", form).rstrip("\n")

    def keys(self, *names):
        self.tmux("send-keys", *names)

    def type(self, text):
        """Character by character, as they are."""
        self.tmux("send-keys", "-l", text)

    def lines(self, styled=False):
        """What the screen shows, a text for each row without the blanks at its end.  styled: with the escape sequences
        of its colours."""
        return self.tmux("capture-pane", "-p", *(["-e"] if styled else [])).split("\n")[:self.size()[1]]

    def text(self, styled=False):
        return "\n".join(self.lines(styled))

    def size(self):
        """(columns, rows)"""
        return tuple(map(int, self.ask("#{pane_width} #{pane_height}").split()))

    def resize(self, cols, rows):
        self.tmux("resize-window", "-x", str(cols), "-y", str(rows))

    def ended(self):
        """Its exit status once it has ended (128 + the number of the signal that ended it), else None."""
        dead, status, killed = (self.ask("#{pane_dead} #{pane_dead_status} #{pane_dead_signal}").split(" ") + ["", ""])[:3]
        if dead != "1":
            return None
        if not (status or killed):  # its terminal is closed, and tmux has missed the end of the program itself
            os.kill(int(self.ask("#{pid}")), signal.SIGCHLD)
            return None
        return int(status) if status else 128 + int(killed or 0)

    def wait_end(self, timeout=20):
        return wait_until("%s to end; the screen:\n%s" % (self.name, self.text()),
                          lambda: (lambda s: None if s is None else (s,))(self.ended()), timeout, 0.05)[0]

    def wait_for(self, what, timeout=20):
        """Until the screen holds a text, or matches a compiled pattern, or what(screen) is true.  That value (the text
        itself, the match), with the screen in the message when it never comes or the program ends before."""
        def looks(screen):
            if callable(what):
                return what(screen)
            return what.search(screen) if hasattr(what, "search") else (what in screen and what)
        deadline = time.monotonic() + timeout * SLOWER
        while True:
            over = self.ended() is not None or time.monotonic() > deadline
            screen = self.text()
            value = looks(screen)
            if value:
                return value
            if over:
                raise Failure("%s: never showed %r; the screen is\n%s" % (self.name, getattr(what, "pattern", what), screen))
            time.sleep(0.05)

    def wait_gone(self, text, timeout=20):
        return self.wait_for(lambda screen: text not in screen, timeout)

    def signal(self, number):
        os.kill(self.pid, number)

    def stop(self, timeout=15):
        """Closes the terminal: the program gets SIGHUP.  What was wrong with its end, or None."""
        if self.closed:
            return None
        problem, status, self.closed = None, self.ended(), True
        try:
            self.tmux("kill-server")
        except (Failure, subprocess.TimeoutExpired) as e:
            problem = str(e)
        if status is None:
            try:
                wait_until("%s to end after its terminal" % self.name, lambda: not alive(self.pid), timeout)
            except Failure as e:
                problem = str(e)
                os.kill(self.pid, signal.SIGKILL)
        for name in sorted(os.listdir(self.folder)):
            if name.startswith("sanitizer."):
                with open(os.path.join(self.folder, name), errors="replace") as f:
                    problem = "%s%s\n%s" % (problem + "\n" if problem else "", name, f.read())
        return problem


def unbroken(lines):
    """The screen as one text with single blanks, so that a sentence is found however it was wrapped; frames of lines are
    taken for blanks."""
    return re.sub(r"[\s\u2500-\u257f|+]+", " ", " ".join(lines))

"""The command line as a user types it: run to its end, with an environment of its own."""
import pty
import select
import subprocess

from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


class Result:
    def __init__(self, args, code, out, err):
        self.args, self.code, self.out, self.err = args, code, out, err

    def __repr__(self):
        return "tightwad %s: status %d\n--- stdout\n%s\n--- stderr\n%s" % (" ".join(self.args), self.code, self.out, self.err)

    def json(self):
        return json.loads(self.out)


def environment(t, **env):
    """Nothing of this user's own: no configuration, no variables, a runtime folder in the test's."""
    run = os.path.join(t.folder, "run")
    os.makedirs(run, mode=0o700, exist_ok=True)
    out = {k: v for k, v in os.environ.items() if not k.startswith("TIGHTWAD_") and k != "NO_COLOR"}
    out.update({"HOME": t.folder, "XDG_CONFIG_HOME": t.folder, "XDG_RUNTIME_DIR": run, "OMP_WAIT_POLICY": "passive"})
    out.update(env)
    return {k: v for k, v in out.items() if v is not None}


def tightwad(t, *args, stdin="", timeout=60, cwd=None, **env):
    """Runs it with pipes; env: variables to set (None: unset)."""
    args = [str(a) for a in args]
    p = subprocess.run([TIGHTWAD] + args, input=stdin, capture_output=True, text=True, timeout=timeout * SLOWER,
                       env=environment(t, **env), cwd=cwd or t.folder)
    return Result(args, p.returncode, p.stdout, p.stderr)


def of(proxy):
    """What makes a command find this proxy: its configuration and its runtime folder."""
    return {"XDG_RUNTIME_DIR": os.path.join(proxy.folder, "run"), "TIGHTWAD_CONFIG": proxy.config}


class Terminal:
    """A pseudo-terminal with tightwad on it."""

    def __init__(self, t, *args, **env):
        self.args = [str(a) for a in args]
        master, slave = pty.openpty()
        self.master, self.text = master, ""
        self.popen = subprocess.Popen([TIGHTWAD] + self.args, stdin=slave, stdout=slave, stderr=slave, cwd=t.folder,
                                      env=environment(t, TERM="xterm", **env), start_new_session=True,
                                      preexec_fn=lambda: __import__("fcntl").ioctl(0, __import__("termios").TIOCSCTTY, 0))
        os.close(slave)
        t.own(self)

    def read(self, seconds):
        ready, _, _ = select.select([self.master], [], [], seconds)
        if not ready:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)

    def expect(self, pattern, timeout=30, after=0):
        deadline = time.monotonic() + timeout * SLOWER
        while True:
            m = re.compile(pattern).search(self.text, after)
            if m:
                return m
            if time.monotonic() > deadline or (not self.read(0.2) and self.popen.poll() is not None and not self.read(0)):
                raise Failure("no /%s/ on the terminal:\n%s" % (pattern, self.text))

    def send(self, text):
        os.write(self.master, text.encode())

    def wait(self, timeout=20):
        deadline = time.monotonic() + timeout * SLOWER
        while self.popen.poll() is None:
            self.read(0.05)
            if time.monotonic() > deadline:
                raise Failure("tightwad %s does not end:\n%s" % (" ".join(self.args), self.text))
        while self.read(0):
            pass
        return self.popen.returncode

    def stop(self):
        if self.popen.poll() is None:
            self.popen.kill()
            self.popen.wait()
        os.close(self.master)

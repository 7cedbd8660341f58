"""The first thing a stranger runs: `tightwad demo` must end with "identical", say how to go on, answer the curl line it prints,
and leave nothing behind."""
import contextlib
import subprocess
from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


def environment(t):
    run = os.path.join(t.folder, "run")
    os.makedirs(run, mode=0o700, exist_ok=True)
    return {"XDG_RUNTIME_DIR": run, "HOME": t.folder, "TIGHTWAD_TARGET_URL": None, "TIGHTWAD_CONFIG": None}


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(c) for c in f.read().split()]


def descendants(pid):
    """The programs that it started, and those that they started."""
    found = []
    for child in children(pid):
        with contextlib.suppress(OSError):
            found += [child] + descendants(child)
    return found


def command(pid):
    with open("/proc/%d/cmdline" % pid, "rb") as f:
        return f.read().decode().split("\0")


# Two workers, a link before each and before the drafter, the drafter, and the proxy.
STARTED = 7


@test("--no-ui --once: all answers identical, exit status 0")
def _(t):
    p = t.process([TIGHTWAD, "demo", "--no-ui", "--once"], env=environment(t), name="demo")
    p.expected_end = True
    t.equal(p.wait(90), 0, p.output)
    for words in (r"identical to the target alone: yes", r"(?i)accept", r"(?i)tok", r"curl ", r"emulated link",
                  r"the pool alone, a trip over the network", r"(?m)^\S* *\d+ tokens, [1-9]\d* of them drafted; .*the pool alone"):
        t.check(re.search(words, p.output), "/%s/ is missing in:\n%s" % (words, p.output))
    t.equal(os.listdir(os.path.join(t.folder, "run", "tightwad")) if os.path.isdir(
        os.path.join(t.folder, "run", "tightwad")) else [], [], "files left behind")


@test("without --once it stays up, answers the smoke test with 4, and ends with all it started")
def _(t):
    p = t.process([TIGHTWAD, "demo", "--no-ui"], env=environment(t), name="demo")
    url = p.wait_line(r"(http://127\.0\.0\.1:\d+)/v1/chat/completions", 60).group(1)
    r = subprocess.run(["curl", "-s", url + "/v1/chat/completions", "-H", "Content-Type: application/json",
                        "-d", '{"messages":[{"role":"user","content":"What is 2 + 2?"}]}'], capture_output=True, text=True)
    t.check("4" in json.loads(r.stdout)["choices"][0]["message"]["content"], r.stdout)
    t.equal(len(children(p.pid)), STARTED, "processes of the demo")
    started = descendants(p.pid)
    t.equal(p.stop(20), None)
    p.expected_end = True
    for pid in started:
        t.check(not os.path.exists("/proc/%d" % pid), "process %d is left" % pid)


@test("on a terminal Enter opens its dashboard, as often as wanted; what that stops is the demo")
def _(t):
    term = t.terminal([TIGHTWAD, "demo"], cols=100, rows=30, env=environment(t))
    term.wait_for("Enter opens its dashboard", 90)
    for end in ("d", "s"):
        term.keys("Enter")
        term.wait_for(" speculation ", 20)
        term.wait_for("drafter", 20)
        term.keys("q")
        term.wait_for("─ quit ─", 10)
        term.keys(end)
        term.wait_for("runs on" if end == "d" else "then stops", 10)
    t.equal(term.wait_end(20), 0)


@test("what it started goes with it, however it ends; a drafter and a worker that die are started again")
def _(t):
    p = t.process([TIGHTWAD, "demo", "--no-ui"], env=environment(t), name="demo")
    p.wait_line(r"stays up until", 90)
    for name, words in (("the drafter", "small.gguf"), ("worker 2", "worker")):
        pid = [c for c in sorted(children(p.pid)) if any(w.endswith(words) for w in command(c))][-1]
        os.kill(pid, signal.SIGKILL)
        p.wait_line(name + r" was ended by signal 9 .*started again", 20)
        wait_until("all children again", lambda: len(children(p.pid)) == STARTED, 10)
    started = descendants(p.pid)
    p.kill()

    def gone(pid):
        try:
            with open("/proc/%d/stat" % pid) as f:
                return f.read().rpartition(")")[2].split()[0] == "Z"  # nobody may be there to collect it
        except OSError:
            return True
    wait_until("the children to be gone", lambda: all(map(gone, started)), 20)


@test("a port that is taken: another one is used, and said")
def _(t):
    with socket.socket() as s:
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            s.bind(("127.0.0.1", 8088))
        except OSError:
            pass  # it is taken already
        with contextlib.suppress(OSError):
            s.listen(1)
        p = t.process([TIGHTWAD, "demo", "--no-ui", "--once"], env=environment(t), name="demo")
        p.expected_end = True
        t.equal(p.wait(90), 0, p.output)
        port = re.search(r"Port 8088 is taken: the demo uses (\d+)", p.output)
        t.check(port and "127.0.0.1:%s/v1" % port.group(1) in p.output, p.output)
        p = t.process([TIGHTWAD, "demo", "--once", "--port", "8088"], env=environment(t), name="demo")
        p.expected_end = True
        t.equal(p.wait(20), 1)
        t.check("port 8088 is taken" in p.output, p.output)


@test("an installed tightwad finds its node and its models")
def _(t):
    root = os.path.join(t.folder, "root")
    r = subprocess.run(["meson", "install", "-C", BUILD, "--no-rebuild", "--quiet", "--destdir", root],
                       capture_output=True, text=True)
    t.equal(r.returncode, 0, r.stdout + r.stderr)
    found = [os.path.relpath(os.path.join(d, f), root) for d, _, files in os.walk(root) for f in files]
    for name in ("bin/tightwad", "tightwad-node", "models/target.gguf", "man1/tightwad.1", "man5/cluster.yaml.5", "README.md"):
        t.check(any(f.endswith(name) for f in found), "%s is not installed: %r" % (name, found))


main()

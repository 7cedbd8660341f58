"""The first run in a terminal: from nothing to a running cluster of two nodes on loopback with ten keystrokes or fewer; going back,
leaving and being ended leave nothing behind; nothing is cut or overlaps at any size; what it can't reach it explains."""
import collections
import subprocess
import sys

from harness import *

if os.environ.get("TIGHTWAD_NAMESPACE") != "wizard":
    # A network of its own, where the usual ports are free and nothing else is found.
    os.environ["TIGHTWAD_NAMESPACE"] = "wizard"
    os.execvp("unshare", ["unshare", "-r", "-n", sys.executable] + sys.argv)

import veth
from public_peer_address import set_address

set_address("lo", "127.0.0.1")
TIGHTWAD = os.path.join(BUILD, "tightwad")
NEAR, FAR = "192.168.78.1", "192.168.78.2"

if sys.argv[1:2] == ["far"]:  # the other end of a cable: an agent, and a model on its disk
    print("namespace", flush=True)
    sys.stdin.readline()
    set_address("v1", FAR)
    home = sys.argv[2]
    os.environ.update(HOME=home, XDG_CACHE_HOME=home, XDG_RUNTIME_DIR=home)
    os.execv(TIGHTWAD, [TIGHTWAD, "agent", "--listen", FAR, "--token-file", os.path.join(home, "token"), "--models",
                        os.path.join(home, "models")])

STEPS = ("looking around", "machines", "the way to do it", "models", "summary", "is everything there?", "done")


class Wizard:
    """The program in a terminal, and the keystrokes that it got."""

    def __init__(self, t, *args, cols=80, rows=24, under=(), home=None, **env):
        self.home = home or tempfile.mkdtemp(dir=t.folder)
        self.file = os.path.join(self.home, ".config", "tightwad", "cluster.yaml")
        self.strokes = 0
        env = dict({"HOME": self.home, "XDG_RUNTIME_DIR": self.home}, **env)
        self.term = t.terminal(list(under) + [TIGHTWAD] + list(args), cols, rows, env=env, cwd=self.home)

    def press(self, *keys):
        self.strokes += len(keys)
        self.term.keys(*keys)
        return self

    def at(self, step, timeout=20):
        """Until that step is shown (its number, from 1)."""
        self.term.wait_for("step %d of 7: %s" % (step, STEPS[step - 1]), timeout)
        return self

    def go(self, step):
        """On by Enter, to that step."""
        now = int(self.term.wait_for(re.compile(r"step (\d) of 7")).group(1))
        if now == 1:
            self.at(2)
            now = 2
        for n in range(now + 1, step + 1):
            self.press("Enter").at(n)
        return self

    def shows(self, text, timeout=20):
        """However it is wrapped."""
        try:
            self.term.wait_for(lambda screen: text in " ".join(screen.split()), timeout)
        except Failure as e:
            raise Failure("%r: %s" % (text, e))
        return self

    def body(self):
        """What stands between the header and the line above the keys, and whether more is below."""
        lines = self.term.lines()
        rule = max(i for i, line in enumerate(lines) if re.search(r"───|---", line))
        return lines[2:rule], "below" in lines[rule]

    def files(self):
        return sorted(os.path.join(folder, f)[len(self.home) + 1:] for folder, _, names in os.walk(self.home) for f in names)


def nodes(t):
    """What a demo-sized cluster has: two nodes on loopback, at the ports that are looked at."""
    return t.node("target", port=8081), t.node("draft", port=8082)


def over_unix(path, url):
    class Connection(http.client.HTTPConnection):
        def connect(self):
            self.sock = socket.socket(socket.AF_UNIX)
            self.sock.connect(path)
    conn = Connection("localhost")
    conn.request("GET", url)
    return json.loads(conn.getresponse().read())


@test("from nothing to a running cluster: ten keystrokes or fewer")
def _(t):
    nodes(t)
    w = Wizard(t)
    w.at(2).shows("node 8081")
    w.press("Enter").at(3).press("Enter").at(4).press("Enter").at(5)
    t.equal(w.files(), [])
    w.press("Enter").at(6).shows("✓ target:").shows("✓ drafter:").shows("✓ Everything answers.")
    t.equal(w.files(), [".config/tightwad/cluster.yaml"])
    w.press("Enter").at(7).shows("Point the chat app at http://127.0.0.1:8088/v1").press("Enter")
    w.term.wait_for("speculating")
    t.check(w.strokes <= 10, "%d keystrokes" % w.strokes)
    t.note("%d keystrokes" % w.strokes)
    control = os.path.join(w.home, "tightwad", "control-8088.sock")
    status = wait_until("both to be up", lambda: (lambda s: s if s["speculating"] else None)(over_unix(control, "/v1/tightwad/status")))
    t.equal([(b["role"], b["health"]) for b in status["backends"]], [("target", "up"), ("drafter", "up")])
    answer = chat("http://127.0.0.1:8088", "What is 2 + 2?", temperature=0)
    t.equal(answer.status, 200)
    r = subprocess.run([TIGHTWAD, "config", "check", w.file], capture_output=True, text=True)
    t.equal((r.returncode, r.stderr), (0, ""), r.stdout)
    with open(w.file) as f:
        t.check(f.read().count("#") > 3, "without comments")
    # Without a verb it shows from now on what runs, and what it would run.
    other = t.terminal([TIGHTWAD], env={"HOME": w.home, "XDG_RUNTIME_DIR": w.home})
    other.wait_for("attached")
    subprocess.run([TIGHTWAD, "-c", w.file, "stop"], env=dict(os.environ, XDG_RUNTIME_DIR=w.home, HOME=w.home), capture_output=True)
    t.equal(w.term.wait_end(), 0)


@test("from model files alone: the cluster starts what serves them")
def _(t):
    w = Wizard(t, "init", "--local", "--model-path", MODELS)
    w.go(6).shows("is started with the cluster").shows("Everything is ready.").press("Enter").at(7).press("Enter")
    w.term.wait_for("speculating", 60)
    answer = chat("http://127.0.0.1:8088", "What is 2 + 2?", temperature=0)
    t.check(answer.status == 200 and answer.text, answer)
    subprocess.run([TIGHTWAD, "-c", w.file, "stop"], env=dict(os.environ, XDG_RUNTIME_DIR=w.home, HOME=w.home), capture_output=True)
    t.equal(w.term.wait_end(), 0)


@test("where there is no model, one can be named, and what to type for it is told")
def _(t):
    w = Wizard(t, "init", "--local")
    w.go(4).shows("No model was found").press("Enter").at(5).shows("Nothing can be written yet").press("Enter", "b").at(4)
    w.press("t")
    w.term.type("qwen3:8b")
    w.press("Enter").shows("qwen3:8b 4.5 GB").press("Enter").at(5).shows("→ ollama pull qwen3:8b")
    w.press("C-c")
    t.equal((w.term.wait_end(), w.files()), (0, []))


@test("back at every step, and leaving before the file is written leaves nothing")
def _(t):
    nodes(t)
    w = Wizard(t)
    for back in ("BSpace", "Left", "b"):
        w.go(5)
        for step in (4, 3, 2):
            w.press(back).at(step)
    w.press("Escape").shows("Leave? Nothing has been written").press("Enter").at(2)
    w.press("Escape").shows("Leave?").press("y")
    t.equal(w.term.wait_end(), 0)
    t.equal(w.files(), [])
    w = Wizard(t)
    w.go(5).press("C-c")
    t.equal((w.term.wait_end(), w.files()), (0, []))


@test("ended by a signal or a crash it leaves the terminal as it was, and nothing else")
def _(t):
    nodes(t)
    script = 'trap "" HUP TERM INT; before=$(stty -g); "$@"; echo "status $?"; test "$(stty -g)" = "$before" && echo same; read x'
    crashes = () if SANITIZED else ((signal.SIGSEGV, "SEGV"), (signal.SIGABRT, "ABRT"))
    for number, name in ((signal.SIGTERM, "TERM"), (signal.SIGHUP, "HUP"), (signal.SIGINT, "INT")) + crashes:
        # The shell between ignores them, and what it starts would, too.
        w = Wizard(t, under=["sh", "-c", script, "sh", "env", "--default-signal"])
        w.go(5)
        child = subprocess.run(["pgrep", "-P", str(w.term.pid)], capture_output=True, text=True).stdout.split()[0]
        os.kill(int(child), number)
        w.term.wait_for("status %d" % (128 + number))
        w.term.wait_for("same")
        t.equal(w.term.ask("#{alternate_on}"), "0", "the other screen is still shown")
        t.equal(w.files(), [], name)
        w.press("Enter")
        w.term.wait_end()


def characters(lines):
    """How often each character occurs: equal for a text however it is wrapped, and unequal when something is cut."""
    return collections.Counter("".join(lines).replace(" ", ""))


def whole_text(w):
    """The step's text, moved through where the screen does not hold it."""
    text, more = w.body()
    while more:
        before = w.body()[0]
        w.press("NPage")
        wait_until("the text to move", lambda: w.body()[0] != before, 5)
        below, more = w.body()
        same = max(n for n in range(len(below) + 1) if n == 0 or text[-n:] == below[:n])
        text += below[same:]
    return text


@test("at 80x24, 120x40 and 200x60 the same is to be read, nothing is cut, and nothing overlaps")
def _(t):
    nodes(t)
    w = Wizard(t)
    for step in range(2, 8):
        w.go(step)
        if step == 6:
            w.shows("Everything answers.")
        first, head = None, ""
        for cols, rows in ((80, 24), (120, 40), (200, 60), (80, 24)):
            w.term.resize(cols, rows)
            w.term.wait_for(lambda screen: len(screen.split("\n")[0]) == cols - 1 and "of 7" in screen, 10)
            wait_until("the keys to be in the last rows", lambda: "Esc leave" in " ".join(w.term.lines()[-3:]), 5)
            w.press("Home")
            head = head or w.body()[0][0][:12]
            wait_until("the top", lambda: w.body()[0][0].startswith(head), 5)
            text = whole_text(w)
            first = first or characters(text)
            got = characters(text)
            t.equal((got - first, first - got), (collections.Counter(),) * 2, "step %d at %dx%d" % (step, cols, rows))
            t.check("▸" in "".join(text) or step not in (2, 4), text)
    w.press("C-c")
    t.equal(w.term.wait_end(), 0)


@test("a change of size flows the text anew")
def _(t):
    nodes(t)
    w = Wizard(t, cols=120, rows=40)
    w.go(4)
    wide = w.term.text()
    for cols, rows in ((40, 12), (80, 24), (200, 60), (60, 20), (120, 40)):
        w.term.resize(cols, rows)
        w.term.wait_for(lambda screen: screen.split("\n")[0].rstrip().endswith("step 4 of 7: models"))
        wait_until("the keys to be in the last rows", lambda: "Esc leave" in " ".join(w.term.lines()[-4:]), 5)
        t.check(all(len(line) <= cols for line in w.term.lines()), w.term.text())
    wait_until("the first picture to be back", lambda: w.term.text() == wide, 5)
    w.press("C-c")
    w.term.wait_end()


@test("without colours, and without UTF-8")
def _(t):
    nodes(t)
    w = Wizard(t, NO_COLOR="1")
    w.go(4)
    t.check(not re.search(r"\x1b\[(\d+;)*[34][0-8][;m]", w.term.text(styled=True)), "colours although NO_COLOR is set")
    w.press("C-c")
    w = Wizard(t, LANG="C", LC_ALL="C")
    for step in (2, 3, 4, 5):
        w.go(step)
        t.check(w.term.text().isascii(), w.term.text())
        t.check("?" not in "".join(w.body()[0]).replace("big model fit on one machine?", "").replace("?", "", 9), w.term.text())
    w.press("C-c")
    w.term.wait_end()


@test("roles, machines and models can be changed")
def _(t):
    nodes(t)
    t.node("small", port=21500)
    w = Wizard(t)
    w.at(2).press("Space").shows("not used").press("u").shows("target, drafter")
    w.press("a").shows("Address of the machine")
    w.term.type("127.0.0.1:21500")
    w.press("Enter").shows("node 21500")
    w.press("m")
    w.term.type("12")
    w.press("Enter").shows("tells its memory itself").press("Escape")
    w.go(4).shows("node 21500")
    w.press("d")
    w.term.type("qwen3:0.6b")
    w.press("Enter").shows("qwen3:0.6b")
    w.press("C-c")
    w.term.wait_end()


@test("an agent tells what its machine has when it is given its token")
def _(t):
    set_address("lo:1", "10.99.0.1")
    token = os.path.join(t.folder, "token")
    with open(token, "w") as f:
        f.write("a-token-of-twenty-one-letters\n")
    os.chmod(token, 0o600)
    agent = t.process([TIGHTWAD, "agent", "--listen", "10.99.0.1", "--token-file", token])
    agent.wait_line("10.99.0.1")
    w = Wizard(t)
    w.at(2).press("a")
    w.term.type("10.99.0.1")
    w.press("Enter").shows("agent 9191").shows("once it is given its token").press("t").shows("The token of the agent")
    w.term.type("wrong")
    w.shows("> *****").press("Enter")
    w.term.wait_gone("> *****")
    w.shows("once it is given its token").press("t")
    w.term.type("a-token-of-twenty-one-letters")
    w.press("Enter")
    w.term.wait_gone("once it is given its token")
    t.check("a-token" not in w.term.text(), "the token is shown")
    w.press("C-c")
    t.equal(w.term.wait_end(), 0)


class FarMachine:
    """A machine in another network namespace, with an agent and one model."""

    def __init__(self, folder, model):
        self.token = os.path.join(folder, "token")
        with open(self.token, "w") as f:
            f.write("a-token-of-the-far-machine\n")
        os.chmod(self.token, 0o600)
        os.mkdir(os.path.join(folder, "models"))
        shutil.copy(model_path(model), os.path.join(folder, "models"))
        self.popen = subprocess.Popen(["unshare", "-n", sys.executable, os.path.join(HERE, "test_wizard.py"), "far", folder],
                                      stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        self.expect("namespace")
        veth.lay("v0", "v1", self.popen.pid)
        set_address("v0", NEAR)
        print("go", file=self.popen.stdin, flush=True)
        self.expect("agent ")

    def expect(self, head):
        line = self.popen.stdout.readline()
        if not line.startswith(head):
            raise Failure("the far machine says %r" % line)

    def stop(self):
        self.popen.terminate()
        try:
            self.popen.wait(20 * SLOWER)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            return "the far machine did not end"
        self.popen.stdin.close()
        self.popen.stdout.close()
        return None


@test("what is missing on a machine with an agent is started there by a key")
def _(t):
    far = t.own(FarMachine(tempfile.mkdtemp(dir=t.folder), "small"))
    t.node("target", port=8081)
    w = Wizard(t, "init", "--host", FAR, "--token-file", far.token, cols=120, rows=40)
    w.go(6).shows("✗ drafter:").shows("a node with small.gguf is not started yet")
    w.press("s").shows("✓ drafter: http://%s:8081" % FAR, 60).shows("Everything answers.", 60)
    w.press("C-c")
    t.equal(w.term.wait_end(), 0)


@test("a server that does not answer is told with what to type there, and asked again")
def _(t):
    target, draft = nodes(t)
    w = Wizard(t)
    w.go(5)
    draft.kill()
    w.press("Enter").at(6).shows("✗ drafter:").shows("→ start it there: tightwad node")
    draft.restart()
    draft.ready()
    w.press("r").shows("✓ drafter:").shows("✓ Everything answers.")
    w.press("C-c")
    t.equal(w.term.wait_end(), 0)
    w.term.wait_for("is written")
    t.equal(w.files(), [".config/tightwad/cluster.yaml"])


@test("a configuration that is there is kept as a backup")
def _(t):
    nodes(t)
    folder = tempfile.mkdtemp(dir=t.folder)
    path = os.path.join(folder, "mine.yaml")
    with open(path, "w") as f:
        f.write("# mine\nproxy:\n  port: 8099\n  target:\n    url: http://127.0.0.1:8081\n")
    w = Wizard(t, "-c", path, "init")
    w.go(5).shows("kept beside it as a backup").shows("port 8099")
    w.press("Enter").at(6).shows("mine.yaml.bak")
    with open(path + ".bak") as f:
        t.check(f.read().startswith("# mine\n"), "the backup is another file")
    w.press("C-c")
    t.equal(w.term.wait_end(), 0)


@test("without a terminal there is help, and a hint")
def _(t):
    r = subprocess.run([TIGHTWAD], stdin=subprocess.DEVNULL, capture_output=True, text=True, env={"PATH": os.environ["PATH"]})
    t.equal((r.returncode, r.stderr), (0, ""))
    t.check("Usage:" in r.stdout and "tightwad init --yes" in r.stdout, r.stdout)


main()

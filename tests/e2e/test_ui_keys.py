"""What the keys do: models are swapped by keyboard under load and no request is lost; every key that acts is pressed in a viewer in
another network, against live engines, and its effect is looked up in the status and in the file, whose comments stay."""
import collections
import shutil
import subprocess
import sys

from cockpit import *
from exact import references, Case
from harness import *
from prompts import story_prompts

if os.environ.get("TIGHTWAD_NAMESPACE") != "keys":
    # A network of its own, beside which there can be another one.
    os.environ["TIGHTWAD_NAMESPACE"] = "keys"
    os.execvp("unshare", ["unshare", "-r", "-n", sys.executable] + sys.argv)

import veth
from public_peer_address import set_address

set_address("lo", "127.0.0.1")
NEAR, FAR = "192.168.78.1", "192.168.78.2"
TOKEN = "sesame"
SWAPS, CLIENTS = 3, 6
PROMPTS = story_prompts(4, "ui keys")


class Clients:
    """Ask until they are stopped; each answer is judged by the model that it says it is from."""

    def __init__(self, url, right):
        self.url, self.right, self.over, self.lock = url, right, threading.Event(), threading.Lock()
        self.answers, self.wrong, self.longest = collections.Counter(), [], 0
        self.threads = [threading.Thread(target=self._ask, args=(k,), daemon=True) for k in range(CLIENTS)]
        for th in self.threads:
            th.start()

    def _ask(self, i):
        while not self.over.is_set():
            i += 1
            try:
                a = chat(self.url, PROMPTS[i % len(PROMPTS)], stream=i % 2 == 0, temperature=0, max_tokens=40, timeout=90)
                good = a.status == 200 and a.done and a.key() == self.right[a.model][i % len(PROMPTS)].key()
            except Exception as e:
                a, good = e, False
            with self.lock:
                if good:
                    self.answers[a.model] += 1
                    self.longest = max(self.longest, a.seconds)
                else:
                    self.wrong.append(a)

    def served(self, model, n):
        want = self.answers[model] + n
        wait_until("%d answers of %s" % (n, model), lambda: self.answers[model] >= want or self.wrong, 90)

    def stop(self):
        self.over.set()
        for th in self.threads:
            th.join()


@test("models are swapped by keyboard under load: no request is lost, and each answer is wholly one model's")
def _(t):
    right = {}
    for name in ("target", "small"):
        node = t.node(name, args=["--noise", "0"])
        right[name] = references(node, [Case(p, temperature=0, max_tokens=40) for p in PROMPTS])
        node.stop()
    t.check(right["target"][0].text != right["small"][0].text, "the models say the same")
    p = idle_pool(t, {"target": "target", "small": "small"}, [t.worker(), t.worker()], coordinator={"extra_args": ["--tensor-split", "1,1"]})
    term = own(t, p)
    p.serving()
    term.wait_for("✓ up target", 60)
    t.equal([d["layers"] > 0 for d in p.pool()["devices"] if d["layers"]], [True, True], p.pool()["devices"])
    clients = Clients(p.url, right)
    try:
        clients.served("target", CLIENTS)
        for k in range(SWAPS):
            name = ("small", "target")[k % 2]
            term.keys("m")
            term.wait_for(re.compile(r"─ models ─(.*\n)+.*▸ *%s " % name))
            term.keys("Enter")
            term.wait_for("takes the place of")
            term.keys("Enter")
            s = wait_until("the swap", lambda: (lambda pool: pool if pool["swaps"] == k + 1 and pool["up"] else None)(p.pool()), 60)
            t.equal((s["model"], s["swap_error"]), (name, ""))
            term.wait_for(lambda screen: "%s is loaded" % name in screen.split("\n")[-1])
            clients.served(name, CLIENTS)
    finally:
        clients.stop()
    t.equal(clients.wrong, [], "failed requests or wrong answers")
    s = p.settled()
    t.equal((s["requests_failed"], s["requests_refused"], s["requests_cancelled"], s["pool"]["restarts"]), (0, 0, 0, 0))
    t.equal(s["requests_ok"], sum(clients.answers.values()))
    t.note("%d swaps; answers %s, the longest took %.1f s" % (SWAPS, dict(clients.answers), clients.longest))
    wait_whole(term)
    term.keys("q")
    term.wait_for("stop the engines")
    term.keys("s")
    t.equal(term.wait_end(30), 0)


class Guarded(Pool):
    """With a token, and a file that somebody has written comments into."""

    def write_config(self):
        super().write_config()
        with open(self.config) as f:
            lines = f.read().splitlines()
        self.comments = ["# %d: %s" % (i, words) for i, words in enumerate(("why", "what for", "naïve – ünïcödé", "don't touch!") * 40)][:len(lines)]
        with open(self.config, "w") as f:
            f.write("# my cluster\n\n" + "".join("%s   %s\n" % pair for pair in zip(lines, self.comments)) + "# the end\n")

    def status(self):
        return request("GET", self.url + "/v1/tightwad/status", headers={"Authorization": "Bearer " + TOKEN}).json()

    def text(self):
        with open(self.config) as f:
            return f.read()


class Viewer:
    """The dashboard in the other network, and what was pressed there."""

    def __init__(self, t, p, far, token=True):
        env = {"TIGHTWAD_TOKEN": TOKEN} if token else {}
        self.t, self.p, self.pressed = t, p, set()
        self.term = t.terminal(["nsenter", "-t", str(far), "-n", TIGHTWAD, "--attach", "http://%s:%d" % (NEAR, p.port)], 120, 40, env=env)

    def ready(self):
        self.term.wait_for("attached")
        return self

    def press(self, key, dialog=None):
        """A key of the table, with no dialog open; dialog: what it shows."""
        wait_whole(self.term)
        self.pressed.add(key)
        self.term.keys(key)
        if dialog:
            self.term.wait_for(dialog)
        return self

    def enter(self, text=None, clear=False):
        if clear:
            self.term.keys("C-u")
        if text is not None:
            self.term.type(text)
            self.term.wait_for(lambda screen: text in screen)
        self.term.keys("Enter")
        return self

    def choose(self, words):
        """The line of a list."""
        def marked():
            found = re.search(r"▸ *(.*?) *│", self.term.text())
            return found.group(1) if found else ""
        wait_until("a list", marked, 10)
        for _ in range(10):
            if marked().startswith(words):
                return self.enter()
            before = marked()
            self.term.keys("Down")
            wait_until("the mark to move", lambda: marked() not in ("", before), 10)
        raise Failure("no line %r in\n%s" % (words, self.term.text()))

    def effect(self, what, condition, timeout=20):
        """Waits until the status says so."""
        try:
            return wait_until(what, lambda: condition(self.p.status()), timeout)
        except Failure as e:
            raise Failure("%s\n%s\n%s" % (e, self.term.text(), {k: v for k, v in self.p.status().items() if k not in ("requests", "log")}))

    def close_dialog(self):
        self.term.keys("Escape")
        wait_whole(self.term)


def another_network(t):
    """The process that holds it; its address is FAR, ours NEAR."""
    holder = subprocess.Popen(["unshare", "-n", "sh", "-c", "echo there; exec cat"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    t.own(type("Holder", (), {"close": lambda self: (holder.stdin.close(), holder.wait(), None)[2]})())
    t.equal(holder.stdout.readline(), "there\n")
    veth.lay("v0", "v1", holder.pid)
    set_address("v0", NEAR)
    code = "from public_peer_address import set_address; set_address('lo', '127.0.0.1'); set_address('v1', '%s')" % FAR
    subprocess.run(["nsenter", "-t", str(holder.pid), "-n", sys.executable, "-c", code], check=True, cwd=HERE)
    return holder.pid


def drafters(s):
    return {b["name"]: b["paused"] for b in s["backends"] if b["role"] == "drafter"}


def press_drafters_keys(v, p, other):
    first = p.drafters[0].url[7:]
    v.press("p").effect("its pause", lambda s: drafters(s)[first])
    v.press("p").effect("its end", lambda s: not drafters(s)[first])
    v.press("a", "add a drafter").enter("127.0.0.1:%d" % other.port)
    v.effect("the drafter to be there, and up", lambda s: any(b["url"] == other.url and b["health"] == "up" for b in s["backends"]))
    v.t.check(other.url in p.text(), p.text())
    v.press("p", "pause or resume").choose("pause all").effect("all to be paused", lambda s: set(drafters(s).values()) == {True})
    v.press("s", "start and stop").choose("resume all").effect("all to go on", lambda s: set(drafters(s).values()) == {False})
    v.press("C", "any_disagree").choose("strict").effect("the vote", lambda s: s["consensus"] and s["consensus"]["mode"] == "strict")
    v.t.check("consensus_mode: strict" in p.text(), p.text())
    v.press("C", "any_disagree").term.keys("o")
    v.effect("no vote", lambda s: s["consensus"] is None)
    v.press("x", "remove a drafter").choose("127.0.0.1:%d" % other.port).choose("remove")
    v.effect("it to be gone", lambda s: list(drafters(s)) == [first])
    v.t.check(other.url not in p.text(), p.text())
    v.press("d", "max draft tokens").enter("5", clear=True).effect("the cap", lambda s: s["max_draft_tokens"] == 5)
    v.t.check("max_draft_tokens: 5 " in p.text(), p.text())


def press_engines_keys(v, p):
    v.press("s", "start and stop").choose("stop speculating").effect("no speculation", lambda s: s["max_draft_tokens"] == 0 and not s["speculating"])
    v.press("s", "start and stop").choose("speculate again").effect("it again", lambda s: s["max_draft_tokens"] == 5 and s["speculating"])
    v.press("s", "start and stop").choose("stop the pool").effect("the pool to be off", lambda s: s["pool"]["state"] == "off")
    v.press("s", "start and stop").choose("start the pool").effect("the pool to be up", lambda s: s["pool"]["up"], 60)
    v.term.wait_for("is loaded", 30)
    v.press("m", "─ models ─").choose("small").choose("swap").effect("the swap", lambda s: s["pool"]["model"] == "small" and s["pool"]["up"], 60)
    v.term.wait_for("small is loaded", 30)
    v.press("m", "─ models ─").choose("small").choose("only load it first")
    wait_until("the other default in the file", lambda: re.search(r"name: \"?small.*(\n(?!\s*- ).*)*default: true", p.text()), 10)
    reclaims = p.status()["pool"]["reclaims"]
    v.press("c").effect("the memory to be given back", lambda s: s["pool"]["reclaims"] > reclaims)


def press_gate_keys(v, p):
    v.press("g", "quality gate ─").choose("switch it on").effect("the gate to be on", lambda s: s["gate"]["on"] and s["mode"] == "gate")
    v.press("M", "default mode ─").term.keys("e")
    v.effect("the name to be exact", lambda s: s["mode"] == "exact")
    v.t.check("default_mode: exact" in p.text() and "enabled: false" in p.text(), p.text())
    v.press("g", "quality gate ─").choose("switch it off").effect("the gate to be off", lambda s: not s["gate"]["on"])


def press_swarm_key(v, model):
    v.press("w", "give out a model of this machine").term.keys("g")
    v.term.wait_for("give out a model ─")
    v.enter(model).effect("it to be given out", lambda s: ("draft.gguf", "seeding") in [(m["file"], m["state"]) for m in s["swarm"]["models"]])


def press_other_keys(v, p):
    before = p.status()["requests_ok"]
    v.press("t", "test prompt").enter("What is 2 + 2?").effect("the prompt to be answered", lambda s: s["requests_ok"] == before + 1)
    v.term.wait_for("answer: %d" % p.status()["requests"][0]["id"])
    v.press("l", "log level").term.keys("e")
    wait_until("the level in the file", lambda: re.search(r"log:\n +level: error", p.text()), 10)
    told = lambda s: sum("the test prompt is answered" in line["text"] for line in s["log"])
    lines = told(p.status())
    v.press("t", "test prompt").enter().effect("the next one", lambda s: s["requests_ok"] == before + 2)
    v.t.equal(told(p.status()), lines, "lines below the level")
    v.press("l", "log level").term.keys("i")
    wait_until("the level in the file", lambda: re.search(r"log:\n +level: info", p.text()), 10)
    v.press("t", "test prompt").enter().effect("a line about it", lambda s: told(s) == lines + 1)
    changed = p.text().replace("max_draft_tokens: 5 ", "max_draft_tokens: 6 ")
    with open(p.config, "w") as f:
        f.write(changed)
    v.press("r").effect("what the file says now", lambda s: s["max_draft_tokens"] == 6)
    v.press("D", "asking every server")
    v.term.wait_for(re.compile(r"─ doctor ─(.*\n)+.*(cause: |Nothing is wrong)"), 120)
    v.close_dialog()
    v.press("T", re.compile(r"─ tune: .*(\n.*)*memory"))
    v.close_dialog()


@test("every key that acts, pressed in another network with a token: its effect is in the status, and in the file with all its comments")
def _(t):
    far, first, other = another_network(t), t.node("draft"), t.node("draft")
    copies = {name: shutil.copy(model_path(name), t.folder) for name in ("target", "small", "draft")}  # manifests are written beside them
    swarm = {"enabled": True, "discovery": False, "port": free_port(), "folder": os.path.join(t.folder, "pulled"), "preseed": "off"}
    p = t.own(Guarded(tempfile.mkdtemp(dir=t.folder), {"target": {"path": copies["target"], "default": True}, "small": copies["small"]}, [t.worker()],
                      drafters=[first], wait=False, host="0.0.0.0", auth_token=TOKEN, max_draft_tokens=8, gate={"enabled": False, "agents": [first]},
                      sections={"swarm": swarm}))
    wait_until("tightwad to listen", lambda: listening(p), 20)
    p.up()
    stranger = Viewer(t, p, far, token=False)
    t.equal(stranger.term.wait_end(), 1, "status without the token")
    t.check("wants a token" in " ".join(stranger.term.text().split()), stranger.term.text())
    v = Viewer(t, p, far).ready()
    press_drafters_keys(v, p, other)
    press_gate_keys(v, p)
    press_engines_keys(v, p)
    press_other_keys(v, p)
    press_swarm_key(v, copies["draft"])
    missing = [c for c in p.comments + ["# my cluster", "# the end"] if c not in p.text()]
    t.equal(missing, [], "comments that are gone from\n" + p.text())
    v.press("q", "detach").term.keys("d")
    t.equal(v.term.wait_end(), 0, "status after detaching")
    t.check(p.running(), "the instance ended")
    again = Viewer(t, p, far).ready()
    again.press("q", "stop the instance").term.keys("n")
    again.press("q", "stop the instance").term.keys("s")
    t.equal(again.term.wait_end(), 0, "status after stopping")
    p.expected_end = True
    t.equal(p.wait(30), 0)
    with open(os.path.join(SOURCE, "doc", "dashboard.md")) as f:
        table = re.search(r"\| The engines \|.*?\n\n", f.read(), re.S).group(0)
    t.equal(sorted(v.pressed - {"q"}), sorted(re.findall(r"^\| `(.)` \|", table, re.M)), "the keys that were pressed, and those there are")


@test("keys that only look: zoom, panes, help, filter, scrolling, painting anew")
def _(t):
    p = t.proxy(t.node("target"), [t.node("draft")])
    for prompt in PROMPTS:
        t.equal(chat(p.url, prompt, max_tokens=40).status, 200)
    p.settled()
    term = attached(t, p.url)
    term.wait_for(re.compile(r"tokens/s +0(?![.\d])"))
    wait_whole(term)
    all_panes = term.lines()
    for pane in ("speculation", "answer", "rounds", "requests", "log", "machines"):
        term.keys("Tab", "z")
        term.wait_for(lambda screen: re.search(r"\n─ %s\b" % pane, screen) and len(re.findall(r"^─ \w", screen, re.M)) == 1)
        wait_whole(term)
        term.keys("z")
        wait_until("all panes", lambda: len(re.findall(r"^─ \w", term.text(), re.M)) > 2, 5)
    term.keys("BTab", "z")
    term.wait_for(lambda screen: re.search(r"\n─ log\b", screen) and "machines" not in screen)
    term.keys("Up", "PageUp", "Down", "PageDown", "Home", "Escape")
    term.wait_for("machines")
    term.keys("?")
    term.wait_for(re.compile(r"─ keys ─(.*\n)*.*models: size"))
    term.keys("PageDown", "Escape")
    term.wait_gone("─ keys ─")
    term.keys("/")
    term.wait_for("Requests and log lines")
    term.type("identical")
    term.wait_for(lambda screen: "identical" in screen.split("─ log")[1])
    term.keys("Enter")
    log = term.wait_for(lambda screen: (lambda part: "is up" not in part and part)(screen.split("─ log")[1]))
    t.check("identical: " in log, log)
    term.keys("Escape", "C-l")
    wait_same("not the first picture", lambda: all_panes, term.lines)
    term.keys("C-c")
    term.wait_for("detach")
    term.keys("C-c")
    term.wait_gone("detach")
    t.check(p.running() and term.ended() is None, "it has ended")


main()

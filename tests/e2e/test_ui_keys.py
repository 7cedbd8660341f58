"""Every key that acts is pressed on a terminal against live engines, on the instance's own dashboard and by `--attach` from another
network namespace; what it does is seen in the status and in the file.  A swap by keyboard under load loses no request."""
import re
import sys
import tempfile

from harness import *
from programs import Pool
from prompts import story_prompts

if os.environ.get("TIGHTWAD_NAMESPACE") != "keys":
    # A network of its own, to which a second one is laid.
    os.environ["TIGHTWAD_NAMESPACE"] = "keys"
    os.execvp("unshare", ["unshare", "-r", "-n", sys.executable] + sys.argv)

import veth
from public_peer_address import set_address

set_address("lo", "127.0.0.1")
TIGHTWAD = os.path.join(BUILD, "tightwad")
TOKEN = "a-secret-of-the-test"
COMMENT = "# a comment of the user's\n"
drafter = shared.node("draft")


class Guarded(Pool):
    """A pool that wants a token, with a comment in its file."""

    def __init__(self, folder, **options):
        super().__init__(folder, {"target": "target", "small": "small"}, auth_token=TOKEN, wait=False, **options)

    def write_config(self):
        super().write_config()
        with open(self.config) as f:
            text = f.read()
        with open(self.config, "w") as f:
            f.write(COMMENT + text)

    def ask(self, method, path, body=None):
        return request(method, self.url + path, body, {"Authorization": "Bearer " + TOKEN})

    def status(self):
        return self.ask("GET", "/v1/tightwad/status").json()

    def text(self):
        with open(self.config) as f:
            return f.read()


class Hands:
    """Presses keys and looks at what comes of them."""

    def __init__(self, t, term, pool):
        self.t, self.term, self.pool, self.pressed = t, term, pool, set()

    def press(self, key, *more):
        self.pressed.add(key)
        self.term.keys(key, *more)

    def dialog(self, title):
        self.term.wait_for("─ %s ─" % title)

    def no_dialog(self):
        self.term.wait_for(lambda screen: "┌" not in screen)

    def becomes(self, what, fn, timeout=20):
        try:
            return wait_until(what, lambda: fn(self.pool.status()), timeout)
        except Failure as e:
            raise Failure("%s\nthe screen:\n%s\nthe status:\n%r" % (e, self.term.text(), self.pool.status()))

    def saved(self, line, is_there=True):
        wait_until("the file to %s %r" % ("have" if is_there else "lack", line),
                   lambda: (line in self.pool.text()) == is_there, 10)
        self.t.check(self.pool.text().startswith(COMMENT), "the comment is gone:\n" + self.pool.text())


def drafters(s):
    return {b["url"]: b for b in s["backends"][1:]}


def press_all(h):
    """Every key of the group; the pool serves `target` before and after."""
    term, url = h.term, drafter.url
    term.wait_for("target")
    h.press("a")
    h.dialog("add a drafter")
    term.type(url[len("http://"):])
    term.keys("Enter")
    h.becomes("the drafter to be there", lambda s: url in drafters(s) and drafters(s)[url]["health"] == "up")
    h.saved("url: " + url)
    h.press("p")
    h.becomes("it to be paused", lambda s: drafters(s)[url]["paused"])
    h.press("p")
    h.becomes("it to be resumed", lambda s: not drafters(s)[url]["paused"])
    h.press("d")
    h.dialog("max draft tokens")
    term.keys("C-u", "5", "Enter")
    h.becomes("the cap to be 5", lambda s: s["max_draft_tokens"] == 5)
    h.saved("max_draft_tokens: 5")
    h.press("s")
    h.dialog("start and stop")
    term.keys("Down", "Enter")
    h.becomes("speculation to be off", lambda s: s["max_draft_tokens"] == 0)
    h.press("s")
    term.wait_for("speculate again")
    term.keys("Down", "Enter")
    h.becomes("it to be on again", lambda s: s["max_draft_tokens"] == 5)
    asked = h.pool.status()["requests_ok"]
    h.press("t")
    h.dialog("test prompt")
    term.type("What is 2 + 2?")
    term.keys("Enter")
    h.becomes("the test prompt to be answered", lambda s: s["requests_ok"] == asked + 1)
    h.press("x")
    h.dialog("remove a drafter")
    term.keys("Enter")
    h.becomes("the drafter to be gone", lambda s: url not in drafters(s))
    h.saved("url: " + url, False)
    h.press("l")
    h.dialog("log level")
    term.keys("w")
    h.saved("level: warn")
    h.press("l", "i")
    h.saved("level: info")
    loads = sum("configuration loaded" in x["text"] for x in h.pool.status()["log"])
    h.press("r")
    h.becomes("the file to be read", lambda s: sum("configuration loaded" in x["text"] for x in s["log"]) > loads)
    h.press("c")
    h.becomes("the memory to be given back", lambda s: s["pool"]["reclaims"] > 0)
    h.press("T")
    term.wait_for("memory: ")
    term.keys("Escape")
    h.no_dialog()
    h.press("D")
    h.dialog("doctor")
    term.keys("Escape")
    h.no_dialog()
    h.press("s")
    h.dialog("start and stop")
    term.keys("Enter")
    h.becomes("the pool to be off", lambda s: s["pool"]["state"] == "off")
    h.press("s")
    h.dialog("start and stop")
    term.keys("Enter")
    h.becomes("the pool to be up", lambda s: s["pool"]["state"] == "up" and s["backends"][0]["health"] == "up", 60)
    h.no_dialog()
    swap(h, "small")
    swap(h, "target")


class Load:
    """Clients that ask all the time; no answer may be anything but a good one."""

    def __init__(self, pool, n=3):
        self.pool, self.stopping, self.good, self.wrong = pool, threading.Event(), 0, []
        self.threads = [threading.Thread(target=self.ask, args=(k,), daemon=True) for k in range(n)]
        for th in self.threads:
            th.start()

    def ask(self, k):
        while not self.stopping.is_set():
            k += 1
            body = {"messages": [{"role": "user", "content": story_prompts(4, "keys")[k % 4]}], "max_tokens": 24}
            try:
                r = self.pool.ask("POST", "/v1/chat/completions", body)
                if r.status == 200 and r.json()["usage"]["completion_tokens"] > 0:
                    self.good += 1
                else:
                    self.wrong.append(r)
            except Exception as e:
                self.wrong.append(e)

    def stop(self):
        self.stopping.set()
        for th in self.threads:
            th.join()


def swap(h, model):
    load = Load(h.pool)
    try:
        swaps = h.pool.pool()["swaps"]
        wait_until("answers", lambda: load.good > 3, 30)
        h.press("m")
        h.dialog("models")
        h.term.wait_for(re.compile(r"▸ %s .* fits .* tok/s" % model))
        h.term.keys("Enter")
        h.dialog(model)
        h.term.keys("Enter")
        h.becomes("%s to be loaded" % model, lambda s: (s["pool"]["model"], s["pool"]["swaps"]) == (model, swaps + 1) and
                  s["pool"]["state"] == "up", 60)
        h.term.wait_for("%s is loaded" % model)
        good = load.good
        wait_until("answers of the new one", lambda: load.good > good + 3, 30)
    finally:
        load.stop()
    h.t.equal(load.wrong, [], "requests were lost in the swap")


def acting_keys():
    """Those of the first table in the manual, which is the key table (a unit test compares them)."""
    with open(os.path.join(SOURCE, "doc", "dashboard.md")) as f:
        table = f.read().split("| The engines |")[1].split("| Looking |")[0]
    return set(re.findall(r"^\| `(.+?)` \|", table, re.M))


def far_attach(t, pool):
    """`tightwad --attach` on a terminal in another network namespace."""
    folder = tempfile.mkdtemp(dir=t.folder)
    term = t.terminal(["unshare", "-n", sys.executable, os.path.join(HERE, "far_terminal.py"), folder, "v1", "10.99.0.2",
                       TIGHTWAD, "--attach", "http://10.99.0.1:%d" % pool.port], 100, 30, env={"TIGHTWAD_TOKEN": TOKEN})
    pid = wait_until("the other namespace", lambda: open(os.path.join(folder, "pid")).read()
                     if os.path.exists(os.path.join(folder, "pid")) else None, 20)
    veth.lay("v0", "v1", int(pid))
    set_address("v0", "10.99.0.1")
    open(os.path.join(folder, "laid"), "w").close()
    term.wait_for("attached")
    return term


@test("each key that acts, by --attach from another network namespace; detaching leaves the instance running")
def _(t):
    pool = t.own(Guarded(tempfile.mkdtemp(dir=t.folder), workers=[t.worker()], host="0.0.0.0"))
    wait_until("tightwad to listen", lambda: listening(pool), 20)
    pool.up()
    h = Hands(t, far_attach(t, pool), pool)
    press_all(h)
    t.equal(h.pressed, acting_keys(), "the keys that act and those that were pressed")
    h.press("q")
    h.dialog("quit")
    h.term.keys("d")
    t.equal(h.term.wait_end(), 0)
    t.equal(pool.status()["pool"]["state"], "up")
    t.equal(pool.ask("POST", "/v1/tightwad/command", {"command": "stop"}).status, 200)
    pool.expected_end = True
    t.equal(pool.wait(20), 0)


@test("each key that acts, on the instance's own dashboard; quitting stops the engines")
def _(t):
    worker = t.worker()
    pool = t.own(Guarded(tempfile.mkdtemp(dir=t.folder), workers=[worker]))
    pool.expected_end = True
    pool.kill()
    wait_until("the port to be free", lambda: not listening_to(pool.port), 10)
    term = t.terminal([TIGHTWAD, "proxy", "start", "-c", pool.config], 100, 30, cwd=pool.folder,
                      env={"XDG_RUNTIME_DIR": os.path.join(pool.folder, "run"), "HOME": pool.folder})
    wait_until("the pool to be up", lambda: listening_to(pool.port) and pool.status()["pool"]["state"] == "up" and
               pool.status()["backends"][0]["health"] == "up", 60)
    h = Hands(t, term, pool)
    press_all(h)
    h.press("q")
    h.dialog("quit")
    term.keys("s")
    t.equal(term.wait_end(), 0)
    t.check(not listening_to(pool.port), "it listens on")


def listening_to(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) == 0


main()

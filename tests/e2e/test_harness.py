"""The harness must see what happens: a relay that miscounts or a runner that calls a failure a success proves nothing."""
import subprocess
from harness import *
from fakes import FakeServer
from relay import Relay

SELF = """
from harness import *
@test("fails")
def _(t):
    t.equal(1, 2)
@test("dies")
def _(t):
    t.process(["/bin/sh", "-c", "exit 3"]).popen.wait()
@test("holds")
def _(t):
    pass
main()
"""


@test("a failing check, a program that dies and a good test are told apart")
def _(t):
    path = os.path.join(t.folder, "self.py")
    with open(path, "w") as f:
        f.write(SELF)
    r = subprocess.run([sys.executable, path], env=dict(os.environ, PYTHONPATH=HERE), capture_output=True, text=True)
    t.equal(r.returncode, 1)
    verdicts = [line.split(" - ")[0] for line in r.stdout.splitlines() if line.startswith(("ok", "not ok", "1.."))]
    t.equal(verdicts, ["1..4", "not ok 1", "not ok 2", "ok 3", "ok 4"])


@test("the relay counts every byte both ways and records the exchanges")
def _(t):
    server = t.own(FakeServer({("POST", "/x"): lambda body: (200, {"got": body})}))
    relay = t.relay(server, record=True)
    c = Client(relay.url)
    for i in range(3):
        t.equal(c.request("POST", "/x", {"i": i}).json(), {"got": {"i": i}})
    c.close()
    exchanges = relay.exchanges()
    t.equal([(e.method, e.path, e.json(), e.reply_json()) for e in exchanges],
            [("POST", "/x", {"i": i}, {"got": {"i": i}}) for i in range(3)])
    t.equal(sum(e.bytes_up + e.bytes_down for e in exchanges), relay.bytes)


@test("the relay delays, holds, cuts, garbles and refuses")
def _(t):
    server = t.own(FakeServer({("GET", "/x"): lambda body: (200, {"long": "x" * 500})}))
    relay = t.own(Relay(server.port, delay=0.05))
    t.between(get(relay.url + "/x").seconds, 0.1, 0.5)
    relay.delay = 0
    relay.hold()
    try:
        get(relay.url + "/x", timeout=0.3 / SLOWER)
        t.check(False, "a held relay let a reply through")
    except TimeoutError:
        pass
    relay.release()
    t.equal(get(relay.url + "/x").status, 200)
    relay.cut_in_reply(100)
    try:
        get(relay.url + "/x")
        t.check(False, "half a reply was taken for a whole one")
    except (http.client.IncompleteRead, ConnectionError):
        pass
    relay.garble(b"nonsense\r\n\r\n")
    try:
        get(relay.url + "/x")
        t.check(False, "garbage was taken for a reply")
    except http.client.HTTPException:
        pass
    relay.release()
    relay.refuse()
    try:
        get(relay.url + "/x")
        t.check(False, "a closed port was answered")
    except ConnectionRefusedError:
        pass
    relay.listen()
    t.equal(get(relay.url + "/x").status, 200)


@test("a terminal takes keys, shows the screen, changes its size and tells how its program ended")
def _(t):
    term = t.terminal(["sh", "-c", "read x; stty size; echo got $x; read y; exit 3"], 60, 10)
    term.type("caf\u00e9")
    term.keys("Enter")
    term.wait_for("got caf\u00e9")
    t.check("10 60" in term.lines(), term.text())
    term.resize(100, 30)
    t.equal((term.size(), len(term.lines()), term.ended()), ((100, 30), 30, None))
    term.keys("Enter")
    t.equal(term.wait_end(), 3)
    term = t.terminal(["sh", "-c", "read x; kill -TERM $$"])
    term.keys("Enter")
    t.equal(term.wait_end(), 128 + 15)


@test("the private runtime's llama-server runs and completes")
def _(t):
    server = t.llama_server("draft")
    a = chat(server.url, "What is 2 + 2?", temperature=0)
    t.equal(a.status, 200)
    t.check(a.text, "no text")
    s = chat(server.url, "What is 2 + 2?", stream=True, temperature=0)
    t.equal((s.text, s.done), (a.text, True))


main()

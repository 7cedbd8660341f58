"""`tightwad --attach` shows what the instance tells: the same figures, also after its restart; only to those who may see them, and
leaving it leaves the instance alone."""
import json
import os
import re
import signal
import subprocess

from common import BUILD, wait_until
from harness import main, test
from web import get, post, request

TIGHTWAD = os.path.join(BUILD, "tightwad")


def attach(t, p, *words, cols=120, rows=40, **env):
    return t.terminal([TIGHTWAD, "--attach"] + list(words), cols, rows, env=dict({"XDG_RUNTIME_DIR": os.path.join(p.folder, "run")}, **env))


def ask(p):
    r = post(p.url + "/v1/chat/completions", {"messages": [{"role": "user", "content": "tell me a story"}], "max_tokens": 60, "temperature": 0})
    return r.json()["choices"][0]["message"]["content"]


def speculating(t, **options):
    p = t.proxy(t.node("target"), [t.node("draft")], **options)
    wait_until("speculation", lambda: p.status()["speculating"], 20)
    return p


def detach(t, term):
    term.keys("q")
    term.wait_for("quit")
    term.keys("d")
    t.equal(term.wait_end(), 0, "status")


def events(p, path, count, **headers):
    """The first events of the stream: [(name, object)]"""
    import urllib.request
    out = []
    with urllib.request.urlopen(urllib.request.Request(p.url + path, headers=headers), timeout=20) as r:
        name = None
        for line in r:
            line = line.decode().rstrip("\n")
            if line.startswith("event: "):
                name = line[7:]
            elif line.startswith("data: "):
                out.append((name, json.loads(line[6:])))
                if len(out) == count:
                    return out


@test("the same figures as the status, once nothing changes them any more")
def _(t):
    p = speculating(t)
    term = attach(t, p, "-c", p.config)
    term.wait_for("attached")
    for _ in range(3):
        ask(p)
    status = wait_until("the rate to be that of nothing", lambda: (lambda s: s if s["requests_ok"] == 3 and s["tokens_per_second"] == 0 else None)(p.status()), 20)
    last = status["requests"][0]
    percent = "%.0f %%" % (100 * status["acceptance"])
    row = term.wait_for(re.compile(r"^ *%d done .*$" % last["id"], re.M)).group(0)
    t.check(" %d " % last["tokens"] in row, "tokens %d in %r" % (last["tokens"], row))
    t.check("%.0f %%" % (100 * last["accepted"] / last["drafted"]) in row, "acceptance in %r" % row)
    screen = term.text()
    t.check("accepted" in screen and percent in screen, "%s in\n%s" % (percent, screen))
    t.check("%d rounds" % status["rounds"] in screen, "%d rounds in\n%s" % (status["rounds"], screen))
    for b in status["backends"]:
        t.check(b["name"] in screen, "%s in\n%s" % (b["name"], screen))
    # Nothing has changed meanwhile, so this was one and the same picture.
    same = p.status()
    for key in ("rounds", "emitted", "acceptance", "requests_ok", "requests"):
        t.equal(same[key], status[key], key)
    detach(t, term)
    t.check(p.running(), "the instance runs on")
    t.check(ask(p), "and answers")


@test("a snapshot of the stream is the status of its tick, to the last key; the text of answers is in neither")
def _(t):
    p = speculating(t)
    text = ask(p)

    def both():
        name, snapshot = events(p, "/v1/tightwad/events?rounds=0", 1)[0]
        status = p.status()
        return (snapshot, status) if snapshot["tick"] == status["tick"] else None
    snapshot, status = wait_until("both of one tick", both, 10)
    t.equal(snapshot, status, "the stream's snapshot")
    live = [e for e in events(p, "/v1/tightwad/events?rounds=0&live=1", 2) if e[0] == "live"]
    t.equal(live[0][1]["text"], text, "the newest answer, for those who may command")
    t.equal(sum(n for n, _, _ in live[0][1]["pieces"]), len(text.encode()), "bytes of its pieces")
    t.check(any(who == "drafter" and k == 1 for _, who, k in live[0][1]["pieces"]), "the drafter wrote some: %r" % live[0][1]["pieces"])
    words = [w for w in re.findall(r"[A-Za-z ]{12,}", text)]
    t.check(words, "an answer with words: %r" % text)
    for path in ("/v1/tightwad/status", "/v1/tightwad/history", "/metrics"):
        t.check(not any(w in get(p.url + path).text for w in words), "no text of an answer at %s" % path)
    t.check(not any(w in json.dumps(events(p, "/v1/tightwad/events", 3)) for w in words), "nor in the stream of everybody")


@test("the instance is restarted: the last picture stays, with words, and then there is a new one")
def _(t):
    p = speculating(t)
    term = attach(t, p, "-c", p.config)
    term.wait_for("attached")
    ask(p)
    term.wait_for(re.compile(r"^ *1 done ", re.M))
    p.stop()
    term.wait_for(re.compile(r"looked for again|again in"))
    t.check(re.search(r"^ *1 done ", term.text(), re.M), "the last picture stays:\n%s" % term.text())
    p.restart()
    p.ready()
    term.wait_for("attached", 30)
    term.wait_for(lambda screen: not re.search(r"^ *1 done ", screen, re.M) and "again in" not in screen)
    ask(p)
    term.wait_for(re.compile(r"^ *1 done ", re.M))
    os.kill(p.pid, signal.SIGKILL)
    p.expected_end = True
    p.wait()
    term.wait_for(re.compile(r"looked for again|again in"))
    p.restart()
    p.ready()
    term.wait_for("attached", 30)
    detach(t, term)


@test("over TCP: a token where one is set, by file and by the environment; without it, or a wrong one, a word and status 1")
def _(t):
    p = t.proxy(t.node("target"), [t.node("draft")], auth_token="sesame")
    right, wrong = os.path.join(p.folder, "token"), os.path.join(p.folder, "wrong")
    for path, text in ((right, "sesame\n"), (wrong, "open\n")):
        with open(path, "w") as f:
            f.write(text)
    for words, env in (([p.url], {}), ([p.url, "--token-file", wrong], {}), ([p.url], {"TIGHTWAD_TOKEN": "open"})):
        term = attach(t, p, *words, **env)
        t.equal(term.wait_end(), 1, "status of %r %r" % (words, env))
        t.check("wants a token" in " ".join(term.text().split()), term.text())
        t.equal(term.ask("#{alternate_on}"), "0", "no dashboard was opened")
    for words, env in (([p.url, "--token-file", right], {}), (["127.0.0.1:%d" % p.port], {"TIGHTWAD_TOKEN": "sesame"})):
        term = attach(t, p, *words, **env)
        term.wait_for("attached")
        detach(t, term)
    t.equal(get(p.url + "/v1/tightwad/events?live=1").status, 401, "the text of answers without the token")
    r = request("GET", p.url + "/v1/tightwad/events?live=1", headers={"Authorization": "Bearer open"})
    t.equal(r.status, 401, "with another one")
    t.check(p.running(), "the instance runs on")


@test("the socket itself, nothing that runs, something else that answers, no terminal")
def _(t):
    p = speculating(t)
    socket = os.path.join(p.folder, "run", "tightwad", "control-%d.sock" % p.port)
    term = attach(t, p, socket)
    term.wait_for("attached")
    detach(t, term)
    only = attach(t, p)  # nothing is named: the one that runs
    only.wait_for("attached")
    detach(t, only)
    empty = os.path.join(t.folder, "empty")
    os.mkdir(empty, 0o700)
    for words, what in (([], "no proxy of yours runs here"), (["http://127.0.0.1:1"], "connect"), ([p.target.url], "127.0.0.1")):
        term = attach(t, p, *words, XDG_RUNTIME_DIR=empty)
        t.equal(term.wait_end(), 1, "status of %r" % words)
        t.check(what in " ".join(term.text().split()), "%r in %s" % (what, term.text()))
    r = subprocess.run([TIGHTWAD, "--attach", p.url], stdin=subprocess.DEVNULL, capture_output=True, text=True)
    t.equal(r.returncode, 1, "status without a terminal")
    t.check("terminal" in r.stderr, r.stderr)


@test("SIGTERM and the end of its terminal end the viewer; the instance notices neither")
def _(t):
    p = speculating(t)
    term = attach(t, p, "-c", p.config)
    term.wait_for("attached")
    term.signal(signal.SIGTERM)
    t.equal(term.wait_end(), 0, "status")
    t.equal(term.ask("#{alternate_on}"), "0", "the screen after it")
    other = attach(t, p, "-c", p.config)
    other.wait_for("attached")
    t.equal(other.stop(), None, "its end")
    wait_until("the readers to be gone", lambda: p.metrics()["tightwad_event_readers"] == 0, 10)
    t.check(ask(p), "an answer")


main()

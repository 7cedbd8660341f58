"""What the dashboard shows: figures that change while a client works, at every size and on every kind of terminal, with nothing cut
and nothing over anything else, also after a hundred changes of size under load; and what strangers call themselves harms no screen."""
from cockpit import *
from fakes import FakeNode, FakeServer
from harness import *

SIZES = ((40, 12), (60, 20), (80, 24), (100, 30), (120, 40), (200, 60), (250, 70))
TERMINALS = ("xterm", "xterm-256color", "screen", "tmux-256color", "linux", "vt100", "vt220")
# Colours of the foreground and of the background, and those by number.
COLOUR = re.compile(r"\x1b\[(?:\d+;)*(?:[349][0-7]|10[0-7]|[34]8;)[\d;]*m")

target = shared.node("target")
drafter = shared.node("draft")


def still(p):
    """The status once nothing runs and its rates have gone down to nothing."""
    return wait_until("the rates to be 0", lambda: (lambda s: s if not s["running"] and s["tokens_per_second"] == 0 else None)(p.status()), 30)


def words_of(p, status, *texts):
    return vocabulary(json.dumps(status, ensure_ascii=False), p.output, socket.gethostname(), "tightwad min", *texts)


@test("acceptance and tokens/s change while a client works, and are those of the status")
def _(t):
    p = idle_proxy(t, target, [drafter])
    term = own(t, p, 80, 24)
    p.serving()
    term.wait_for(re.compile(r"tokens/s +[–0] "))
    t.check(re.search(r"accepted +–", term.text()), "an acceptance before anything was drafted:\n%s" % term.text())
    seen, told = {"rate": set(), "accepted": set()}, {"rate": set(), "accepted": set()}
    load = Load(p.url, clients=1)
    try:
        def changes():
            screen, s = term.text(), p.status()
            rate, accepted = (re.search(r, screen) for r in (r"tokens/s +([\d.]+)", r"\naccepted +(\d+) %"))
            if s["acceptance"] is not None:
                told["accepted"].add(round(100 * s["acceptance"]))
            told["rate"].add(s["tokens_per_second"])
            if rate and float(rate.group(1)) > 0:
                seen["rate"].add(float(rate.group(1)))
            if accepted:
                seen["accepted"].add(int(accepted.group(1)))
            return min(map(len, seen.values())) >= 3
        wait_until("three rates and three acceptances on the screen", changes, 30, 0.1)
    finally:
        load.stop()
    t.equal(load.wrong, [])
    s = still(p)
    want = "%.0f %%" % (100 * s["acceptance"])
    term.wait_for(re.compile(r"\naccepted +%s " % want))
    term.wait_for(re.compile(r"tokens/s +0(?![.\d])"))
    t.between(min(seen["accepted"]), min(told["accepted"]) - 15, max(told["accepted"]) + 15)
    t.less(max(seen["rate"]), 2 * max(told["rate"]) + 10)
    t.note("on the screen: tokens/s %s, acceptance %s %%" % (sorted(seen["rate"]), sorted(seen["accepted"])))


def pool_with_all_of_it(t):
    """Every pane has something to show, and something is wrong."""
    p = t.pool({"target": "target", "small": "small"}, [t.worker(), t.worker()], drafters=["http://127.0.0.1:1", drafter])
    load = Load(p.url, clients=2)
    wait_until("some answers", lambda: len(load.texts) > 12 or load.wrong, 60)
    load.stop()
    t.equal(load.wrong, [])
    return p, load.texts


@test("from 40x12 to 250x70 nothing is cut without a sign, and nothing stands over anything else")
def _(t):
    p, texts = pool_with_all_of_it(t)
    words = words_of(p, still(p), *texts)
    term = attached(t, p.url, *SIZES[0])
    shown = {}
    for cols, rows in SIZES:
        term.resize(cols, rows)
        lines = wait_whole(term, words, size=(cols, rows))
        shown[(cols, rows)] = lines
        screen = "\n".join(lines)
        for pane in [name for name in PANES if name not in CONFIGURED] if rows >= 24 else ("machines", "speculation"):
            t.check(re.search(r"[─-] %s\b" % pane, screen), "%dx%d has no %s:\n%s" % (cols, rows, pane, screen))
        t.check("is down" in screen, "%dx%d does not say what is wrong" % (cols, rows))
    term.keys("z")
    wait_whole(term, words)
    for size in reversed(SIZES):
        term.resize(*size)
        wait_whole(term, words, size=size)
    # That the checks find what they look for.
    good, (cols, rows) = shown[(120, 40)], (120, 40)
    for find, spoil in ((r" drafter ", lambda line: line.replace("drafter", "draf   ")), (r"^[^─]*│", lambda line: line.replace("│", " ")),
                        (r"─ log ─", lambda line: line.replace("log", "lo ")), (r"─ log ─", lambda line: line[:-1]),
                        (r"│", lambda line: line.ljust(115) + "over the edge"), (r"^ tightwad", lambda line: ""), (r"^\? help", lambda line: ""),
                        (r" drafter ", lambda line: line.replace(" drafter ", " drafdraft"))):
        at = next(i for i, line in enumerate(good) if re.search(find, line))
        t.check(screen_problems(good[:at] + [spoil(good[at])] + good[at + 1:], cols, rows, words), "a spoilt screen passes: %s" % spoil(good[at]))


@test("100 changes of size under load leave the screen right")
def _(t):
    p = t.proxy(target, [drafter])
    term = attached(t, p.url, 120, 40)
    r, load = random.Random(5), Load(p.url)
    try:
        for i in range(100):
            term.resize(r.randint(10, 250), r.randint(3, 70))
            if i % 10 == 9:  # and now and then it has the time to draw
                n = len(load.texts)
                wait_until("answers", lambda: len(load.texts) > n or load.wrong, 20)
        term.resize(120, 40)
        wait_whole(term, size=(120, 40))
    finally:
        load.stop()
    t.equal(load.wrong, [])
    s = still(p)
    words = words_of(p, s, *load.texts)
    term.wait_for(re.compile(r"tokens/s +0(?![.\d])"))
    after = wait_whole(term, words)
    t.check("%d rounds" % s["rounds"] in "\n".join(after), "not the status's %d rounds:\n%s" % (s["rounds"], "\n".join(after)))

    def painted_anew():
        term.keys("C-l")
        return term.lines()
    wait_same("what the program believes to be on the screen is not there", lambda: after, painted_anew, 5)
    fresh = attached(t, p.url, 120, 40)
    wait_same("a viewer who comes now sees something else", term.lines, fresh.lines)


@test("xterm, screen, tmux, the console, vt100: the same is shown, in colours where there are some; NO_COLOR and ASCII")
def _(t):
    p, texts = pool_with_all_of_it(t)
    words = words_of(p, still(p), *texts)
    plain = attached(t, p.url, 120, 40, term="xterm")
    for name in TERMINALS:
        term = attached(t, p.url, 120, 40, term=name)
        wait_whole(term, words)
        if name != "linux":  # whose font has no marks
            wait_same(name, plain.lines, term.lines)
        t.equal(bool(COLOUR.search(term.text(styled=True))), not name.startswith("vt"), "colours on " + name)
        t.equal(term.stop(), None, name)
    term = attached(t, p.url, 120, 40, env={"NO_COLOR": "1"})
    wait_whole(term, words)
    t.check(not COLOUR.search(term.text(styled=True)), "colours although NO_COLOR is set")
    t.check("\x1b[7m" in term.text(styled=True), "nothing stands out")
    for env in ({"LC_ALL": "C"}, {"LANG": "C", "NO_COLOR": "1"}):
        for size in ((80, 24), (120, 40)):
            term = attached(t, p.url, *size, env=env)
            lines = wait_whole(term, words)
            t.check("".join(lines).isascii(), "not ASCII:\n%s" % "\n".join(lines))
            t.check(re.search(r"^x 127.0.0.1:1 ", "\n".join(lines), re.M), "no sign of what is down:\n%s" % "\n".join(lines))
            term.stop()


EVIL = "\x1b]2;owned\x07\x1b[2J\x1b[1;1HEVIL\x1b[41m\x9b31m\x0e\x1bc\r\nMODEL\u202e\u200b\x7f\b\b" + "wide世界" * 8


@test("escape sequences in a model's name, in an answer, in an error and in an address stay words")
def _(t):
    answers = FakeServer({
        ("GET", "/v1/models"): lambda body: (200, {"object": "list", "data": [{"id": EVIL, "object": "model"}]}),
        ("POST", "/v1/chat/completions"): lambda body: (200, b"".join(b"data: %s\n\n" % part for part in (
            json.dumps({"id": "x", "object": "chat.completion.chunk", "created": 1, "model": EVIL,
                        "choices": [{"index": 0, "delta": {"role": "assistant", "content": EVIL * 5}, "finish_reason": "stop"}]}).encode(),
            b"[DONE]")))})
    fails = FakeServer({("GET", "/health"): lambda body: (500, {"error": {"message": EVIL}})})
    evil = FakeNode(dict(target.info()))
    evil.info.update(model=EVIL, path=EVIL)
    for fake in (answers, fails, evil):
        t.own(fake)
    p = t.proxy({"url": answers.url, "name": "stranger"}, [{"url": evil.url}, {"url": fails.url}], wait=False)
    wait_until("it to listen", lambda: listening(p), 20)
    q = t.proxy(target, [{"url": evil.url}])
    for proxy in (p, q):
        term = attached(t, proxy.url, 120, 40)
        title, clean = term.ask("#{pane_title}"), attached(t, proxy.url, 120, 40)
        for _ in range(2):
            chat(proxy.url, "What is " + EVIL + "?", max_tokens=20)
            proxy.command("test-prompt", prompt=EVIL)
        proxy.command("drafter-add", url="http://127.0.0.1:1", name=EVIL)
        proxy.command("swap", model=EVIL)
        wait_until("both to be answered", lambda: proxy.status()["running"] == 0, 20)
        for size in ((80, 24), (200, 60), (120, 40)):
            term.resize(*size)
            wait_whole(term, size=size)
            if size[0] == 200:
                term.wait_for("EVIL")  # wide enough for the models of the machines
        for viewer in (term, clean):
            t.equal((viewer.ask("#{pane_title}"), viewer.ask("#{alternate_on}")), (title, "1"))
            styled = viewer.text(styled=True)
            t.check(not re.search(r"\x1b\[(?:\d+;)*41", styled), "a background of the stranger's")
            t.check(not re.search("[\x00-\x09\x0b-\x1a\x1c-\x1f\x7f-\x9f\u202e\u200b]", styled), "control characters")
    t.check(p.running() and q.running(), "it goes on")


main()

"""Whoever looks costs the clients nothing, even where the terminal takes nothing any more or the link to the viewer is dead; and
however it ends, the terminal is as it was."""
import signal

from cockpit import *
from harness import *
from processes import children
from pseudo import Pseudo
from terminal import alive

target = shared.node("target")
drafter = shared.node("draft")
STALL_SECONDS = 4
MEMORY = 24 << 20  # an instance may grow by that much while somebody does not read


def goes_on(t, p, load, seconds=STALL_SECONDS):
    """While clients ask: no request fails, none waits, and the loop answers at once."""
    served, longest, until = len(load.texts), 0.0, time.monotonic() + seconds
    while time.monotonic() < until:
        begun = time.monotonic()
        t.equal(get(p.url + "/health", timeout=5).status, 200)
        longest = max(longest, time.monotonic() - begun)
        time.sleep(0.05)
    t.equal(load.wrong, [], "requests")
    t.check(len(load.texts) - served >= 2 * len(load.threads), "%d answers in %g s" % (len(load.texts) - served, seconds))
    t.less(longest, 2.0 * SLOWER, "seconds for an answer of the loop")
    t.note("%d answers in %g s; the loop's slowest answer took %.1f ms" % (len(load.texts) - served, seconds, 1000 * longest))


def memory(pid):
    with open("/proc/%d/status" % pid) as f:
        return int(re.search(r"VmRSS:\s+(\d+)", f.read()).group(1)) * 1024


@test("Ctrl-S: nothing is drawn any more, requests go on, and Ctrl-Q shows how things are by then")
def _(t):
    p = idle_proxy(t, target, [drafter])
    term = own(t, p)
    p.serving()
    term.wait_for(re.compile(r"tokens/s +"))
    load = Load(p.url)
    try:
        term.wait_for(re.compile(r"tokens/s +[1-9]"))
        term.keys("C-s")
        wait_until("the screen to stand still", lambda: (lambda a: (time.sleep(0.6), a == term.text())[1])(term.text()), 10)
        before = term.text()
        goes_on(t, p, load)
        t.equal(term.text(), before, "it has drawn")
        term.keys("C-q")
        wait_until("it to draw again", lambda: term.text() != before, 5)
    finally:
        load.stop()
    rounds = p.settled()["rounds"]
    term.wait_for("%d rounds" % rounds)
    wait_whole(term)


@test("a pty that nobody reads: requests go on, memory does not grow, and SIGTERM ends it in time")
def _(t):
    p = idle_proxy(t, target, [drafter])
    env = dict(os.environ, TERM="xterm-256color", LANG="C.UTF-8", XDG_RUNTIME_DIR=p.run)
    tty = t.own(Pseudo([TIGHTWAD, "proxy", "start", "-c", p.config], env=env, cwd=t.folder, reads=False))
    p.serving()
    before, engines = tty.settings(), children(tty.pid)[0]
    load = Load(p.url)
    try:
        wait_until("answers", lambda: len(load.texts) > 30 or load.wrong, 60)
        held = memory(engines)
        goes_on(t, p, load)
        if not SANITIZED:
            t.less(memory(engines) - held, MEMORY, "bytes of memory")
        t.equal(tty.bytes, 0)
    finally:
        load.stop()
    begun = time.monotonic()
    tty.popen.send_signal(signal.SIGTERM)
    t.equal(tty.wait(20), 0, "status")
    t.less(time.monotonic() - begun, 5 * SLOWER, "seconds until it ended")
    t.check(tty.settings() != before, "the dashboard had left the terminal's settings alone")
    t.check(tty.settings()[3] & 0o10, "the terminal does not echo")  # ECHO


@test("viewers behind a dead link: requests go on, memory does not grow, and they catch up when it is back")
def _(t):
    p = t.proxy(target, [drafter])
    link = t.relay(p)
    viewers = [attached(t, link.url) for _ in range(2)]
    load = Load(p.url)
    try:
        viewers[0].wait_for(re.compile(r"tokens/s +[1-9]"))
        held = memory(p.pid)
        link.hold()
        goes_on(t, p, load)
        if not SANITIZED:
            t.less(memory(p.pid) - held, MEMORY, "bytes of memory")
        link.release()
        goes_on(t, p, load, 1)
    finally:
        load.stop()
    rounds = p.settled()["rounds"]
    for term in viewers:
        term.wait_for("%d rounds" % rounds, 60)
        wait_whole(term)
    # A link that dies for good: leaving does not wait for it.
    link.hold()
    viewers[0].keys("q")
    viewers[0].wait_for("detach")
    viewers[0].keys("d")
    t.equal(viewers[0].wait_end(), 0)


SHELL = 'before=$(stty -g); "$@"; echo "status $?"; test "$(stty -g)" = "$before" && echo "the same settings"; exec cat'


def in_a_shell(t, p, **kw):
    term = own(t, p, 100, 30, under=["sh", "-c", SHELL, "sh"], **kw)
    p.serving()
    term.wait_for(re.compile(r"[─-] machines "))
    return term


def processes_of(term):
    """The one that the shell waits for, and the one with the engines."""
    holder = children(term.pid)[0]
    return holder, children(holder)[0]


def is_restored(t, term, status):
    term.wait_for("status %d" % status, 30)
    term.wait_for("the same settings")
    t.equal(term.ask("#{alternate_on} #{cursor_flag} #{keypad_cursor_flag} #{keypad_flag} #{mouse_any_flag} #{wrap_flag}"), "0 1 0 0 0 1",
            "the other screen, the cursor, the keypad, the mouse, wrapping")
    term.type("typed")
    term.keys("Enter")
    term.wait_for(lambda screen: screen.count("typed") == 2)


@test("the terminal is as it was after quitting, leaving, SIGTERM, Ctrl-C, a crash, kill -9 of what draws and of what holds")
def _(t):
    def quit_by(*keys):
        def end(term):
            term.keys(keys[0])
            term.wait_for("stop the engines")
            term.keys(*keys[1:])
        return end

    def kill(number, which):
        return lambda term: os.kill(processes_of(term)[which], number)
    for name, end, status in (("q s", quit_by("q", "s"), 0), ("Ctrl-C, Enter", quit_by("C-c", "Enter"), 0), ("SIGTERM", kill(signal.SIGTERM, 1), 0),
                              ("SIGABRT of the engines", kill(signal.SIGABRT, 1), None), ("kill -9 of the engines", kill(signal.SIGKILL, 1), 137)):
        p = idle_proxy(t, target, [drafter])
        term = in_a_shell(t, p, env={"ASAN_OPTIONS": "handle_abort=0:log_path=" + t.folder + "/abort"} if status is None else {})
        chat(p.url, "What is 2 + 2?", max_tokens=5)
        end(term)
        t.note(name)
        is_restored(t, term, 134 if status is None else status)
    # Nobody is left who could tell the shell: the engines end, and set the terminal right.
    p = idle_proxy(t, target, [drafter])
    term = in_a_shell(t, p)
    holder, engines = processes_of(term)
    os.kill(holder, signal.SIGKILL)
    wait_until("the engines to end", lambda: not alive(engines), 20)
    wait_until("the other screen to be left", lambda: term.ask("#{alternate_on} #{cursor_flag}") == "0 1", 10)
    term.type("typed")
    term.keys("Enter")
    term.wait_for(lambda screen: screen.count("typed") == 2)


@test("an engine's child dies: the dashboard says so and goes on, the pool comes back, and the terminal is as it was at the end")
def _(t):
    workers = [t.worker(), t.worker()]
    p = idle_pool(t, {"target": "target"}, workers, coordinator={"extra_args": ["--tensor-split", "1,1"]})
    term = in_a_shell(t, p)
    wait_until("the pool to be up", lambda: p.pool()["up"], 60)
    pid, restarts = p.pool()["pid"], 0
    for who, dies in (("coordinator", lambda: os.kill(pid, signal.SIGKILL)), ("worker", lambda: os.kill(workers[1].server_pid(), signal.SIGKILL))):
        dies()
        t.equal(chat(p.url, "What is 2 + 2?", max_tokens=5).status, 200, "after the death of the " + who)
        s = wait_until("the pool to come back after its " + who, lambda: (lambda pool: pool if pool["up"] and pool["restarts"] > restarts else None)(p.pool()), 60)
        restarts, pid = s["restarts"], s["pid"]
        term.wait_for("✓ pool", 30)
        wait_whole(term)
    term.keys("q")
    term.wait_for("stop the engines")
    term.keys("s")
    is_restored(t, term, 0)


main()

"""`tightwad proxy`: what it prints when it starts, stops and is asked; nothing may be left behind."""
from cmdline import *

target = shared.node("target")
drafter = shared.node("draft")


def start(t, *args, config, **env):
    p = t.process([TIGHTWAD, "proxy", "start", "-c", config] + list(args), env=dict(environment(t), **env), cwd=t.folder,
                  name="tightwad")
    return p


def config(t, target_url, draft_url=None, **options):
    path, port = os.path.join(t.folder, "cluster.yaml"), options.pop("port", None) or free_port()
    with open(path, "w") as f:
        f.write("proxy:\n  port: %d\n" % port + "".join("  %s: %s\n" % kv for kv in options.items()))
        if draft_url:
            f.write("  draft:\n    url: %s\n" % draft_url)
        f.write("  target:\n    url: %s\n" % target_url)
    return path, port


@test("a line with a tick for the drafter, the target and the address")
def _(t):
    path, port = config(t, target.url, drafter.url)
    p = start(t, "--no-ui", config=path)
    p.wait_line(r"✓ listening http://127\.0\.0\.1:%d" % port)
    t.check(re.search(r"✓ drafter +\S.*%s" % re.escape(drafter.url), p.output), p.output)
    t.check(re.search(r"✓ target +\S.*%s" % re.escape(target.url), p.output), p.output)
    t.check("✗" not in p.output, p.output)


@test("a cross, and what to do, for servers that are not there; it serves all the same")
def _(t):
    gone = "http://127.0.0.1:%d" % free_port()
    path, port = config(t, target.url, gone)
    p = start(t, config=path)
    p.wait_line(r"✓ listening")
    t.check(re.search(r"✗ drafter +%s" % re.escape(gone), p.output) and "answers alone" in p.output, p.output)
    t.equal(chat("http://127.0.0.1:%d" % port, "What is 2 + 2?", temperature=0).status, 200)
    os.unlink(path)
    path, port = config(t, gone, drafter.url)
    p = start(t, config=path)
    p.wait_line(r"✓ listening")
    t.check(re.search(r"✗ target +%s" % re.escape(gone), p.output) and "proxy.target.url" in p.output, p.output)


@test("a port that is taken is said, and nothing keeps running")
def _(t):
    path, _ = config(t, target.url, port=target.port)
    p = start(t, config=path)
    p.expected_end = True
    t.equal(p.wait(20), 1, p.output)
    t.check("✗ listening" in p.output and str(target.port) in p.output, p.output)


@test("status and stop find it by its configuration, by --port, and when it is the only one")
def _(t):
    path, port = config(t, target.url, drafter.url)
    p = start(t, config=path)
    p.wait_line(r"✓ listening")
    for args in (["-c", path], ["--port", port], []):
        r = tightwad(t, "proxy", "status", *args)
        t.equal(r.code, 0, r)
        t.check("✓ target" in r.out and "✓ drafter" in r.out and "speculating" in r.out, r)
    s = tightwad(t, "proxy", "status", "--json", "--port", port).json()
    t.equal((s["speculating"], len(s["backends"])), (True, 2))
    other = free_port()
    r = tightwad(t, "proxy", "status", "--port", other)
    t.check(r.code == 1 and str(other) in r.err and str(port) in r.err, r)
    r = tightwad(t, "proxy", "stop")
    t.check(r.code == 0 and "stopped" in r.out, r)
    p.expected_end = True
    t.equal(p.wait(10), 0)
    t.equal([f for f in os.listdir(os.path.join(t.folder, "run", "tightwad")) if f.endswith(".sock")], [])
    r = tightwad(t, "proxy", "stop")
    t.check(r.code == 1 and "tightwad proxy start" in r.err, r)


@test("stop waits for the answer under way, which is whole")
def _(t):
    path, port = config(t, target.url, drafter.url)
    p = start(t, config=path)
    p.wait_line(r"✓ listening")
    url, begun, answer = "http://127.0.0.1:%d" % port, threading.Event(), []

    def ask():
        answer.append(chat(url, "Tell me a story about a fox.", temperature=0, stream=True, on_chunk=lambda a: begun.set()))
    th = threading.Thread(target=ask)
    th.start()
    begun.wait(20)
    r = tightwad(t, "proxy", "stop")
    t.equal(r.code, 0, r)
    th.join(20)
    want = chat(target.url, "Tell me a story about a fox.", temperature=0)
    t.equal((answer[0].text, answer[0].done), (want.text, True))
    p.expected_end = True
    t.equal(p.wait(10), 0)


@test("--daemon returns when it listens; its log is a file; stop ends it")
def _(t):
    path, port = config(t, target.url, drafter.url)
    r = tightwad(t, "proxy", "start", "--daemon", "-c", path)
    t.equal(r.code, 0, r)
    log = re.search(r"log is (.+?);", r.out).group(1)
    try:
        t.check("✓ listening" in r.out and "✓ target" in r.out and "✓ drafter" in r.out, r)
        t.equal(get("http://127.0.0.1:%d/health" % port).status, 200)
        t.check("listens at" in open(log).read(), open(log).read())
    finally:
        r = tightwad(t, "proxy", "stop", "-c", path)
    t.equal(r.code, 0, r)
    r = tightwad(t, "proxy", "start", "--daemon", "-c", config(t, target.url, port=target.port)[0])
    t.check(r.code == 1 and "✗ listening" in r.err, r)


main()

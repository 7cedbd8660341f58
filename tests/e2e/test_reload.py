"""Adding a drafter needs no restart: an edit of the file, SIGHUP and the command all take effect while answers run, and a
broken file changes nothing."""
from exact import Case, check_exact, references
from harness import *
from prompts import story_prompts

target = shared.node("target")
drafter = shared.node("draft")


def drafts(proxy, url):
    return [b["drafted"] for b in proxy.settled()["backends"] if b["url"] == url and b["role"] == "drafter"]


def used(proxy, url):
    def drafted():
        chat(proxy.url, story_prompts(1, 5)[0], temperature=0)
        return any(drafts(proxy, url))
    wait_until("the drafter to draft", drafted, 20, every=0.1)


@test("a drafter added by editing the file drafts, in a proxy that is answering")
def _(t):
    proxy = t.proxy(target)
    case = Case(story_prompts(1, 6)[0], temperature=0, stream=True)
    want = references(target, [case])[0]
    pid, edited = proxy.pid, []

    def edit(a):
        if not edited:
            edited.append(1)
            proxy.drafters = [drafter]
            proxy.write_config()
    t.equal(case.ask(proxy.url, on_chunk=edit).key(), want.key(), "the answer during the edit")
    used(proxy, drafter.url)
    t.equal(proxy.pid, pid)
    t.check(proxy.running(), "it ended")
    check_exact(t, proxy, target, [case])
    proxy.drafters = []
    proxy.write_config()
    wait_until("the drafter to be gone", lambda: not drafts(proxy, drafter.url), 10)
    check_exact(t, proxy, target, [case])


@test("SIGHUP reloads")
def _(t):
    proxy = t.proxy(target, [drafter])
    proxy.options["max_draft_tokens"] = 3
    proxy.write_config()
    proxy.signal(signal.SIGHUP)
    wait_until("the new cap", lambda: proxy.status()["max_draft_tokens"] == 3, 10)


@test("a broken file is reported with its line, and the old configuration stays")
def _(t):
    proxy = t.proxy(target, [drafter])
    at = len(proxy.lines)
    with open(proxy.config, "a") as f:
        f.write("  max_draft_tokes: 5\n")
    proxy.signal(signal.SIGHUP)
    m = proxy.wait_line(r"cluster\.yaml:\d+.*max_draft_tok", after=at)
    t.check("max_draft_tokens" in proxy.output, "the nearest valid name is missing: %s" % m.string)
    used(proxy, drafter.url)


@test("the commands add, pause, resume and remove a drafter")
def _(t):
    proxy = t.proxy(target)
    r = proxy.command("drafter-add", url=drafter.url)
    t.equal(r.status, 200, r)
    used(proxy, drafter.url)
    name = [b["name"] for b in proxy.status()["backends"] if b["role"] == "drafter"][0]
    t.equal(proxy.command("drafter-pause", name=name).status, 200)
    before = drafts(proxy, drafter.url)
    chat(proxy.url, story_prompts(1, 7)[0], temperature=0)
    t.equal(drafts(proxy, drafter.url), before, "drafts of a paused drafter")
    t.equal(proxy.command("drafter-resume", name=name).status, 200)
    wait_until("it to draft again", lambda: (chat(proxy.url, story_prompts(1, 8)[0], temperature=0),
                                              drafts(proxy, drafter.url) > before)[1], 20)
    t.equal(proxy.command("drafter-remove", name=name).status, 200)
    wait_until("it to be gone", lambda: not drafts(proxy, drafter.url), 5)
    r = proxy.command("drafter-ad", url=drafter.url)
    t.check(400 <= r.status < 500 and "drafter-add" in r.text, "the nearest command is missing: %r" % r)


@test("a target that changes in the file is named as needing a restart")
def _(t):
    proxy = t.proxy(target)
    at = len(proxy.lines)
    proxy.target = "http://127.0.0.1:%d" % free_port()
    proxy.write_config()
    proxy.signal(signal.SIGHUP)
    proxy.wait_line(r"proxy\.target\.url.*next start", after=at)
    t.equal(chat(proxy.url, "What is 1 + 1?", temperature=0).status, 200)


main()

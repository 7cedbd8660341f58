"""chat, bench and bench exact against a running proxy: text that is the answer and nothing else, colours that are true,
counts that are right, and status 1 when an answer differs."""
from cmdline import *
from prompts import story_prompts

target = shared.node("target")
drafter = shared.node("draft")
proxy = shared.proxy(target, [drafter])
STORY = "Tell me a story about a fox."


def story(**options):
    return chat(target.url, STORY, temperature=0, **options).text


@test("a pipe gets the answer and nothing else; --direct and stdin too")
def _(t):
    want = story() + "\n"
    for args, stdin in ((["-t", "0", STORY], ""), (["-t", "0", "--direct", STORY], ""), (["-t", "0"], STORY + "\n"),
                        (["-t", "0", "-"], STORY), (["-t", "0"] + STORY.split(), "")):
        r = tightwad(t, "chat", *args, stdin=stdin, **of(proxy))
        t.equal((r.code, r.out, r.err), (0, want, ""), r)
    r = tightwad(t, "chat", "-t", "0", "-n", "5", STORY, **of(proxy))
    t.equal(r.out, story(max_tokens=5) + "\n")
    r = tightwad(t, "chat", "-t", "1", "-s", "7", STORY, **of(proxy))
    t.equal(r.out, chat(target.url, STORY, temperature=1, seed=7).text + "\n")
    r = tightwad(t, "chat", "--system", "You are a poet.", "-t", "0", "Hello", **of(proxy))
    t.equal(r.code, 0, r)


@test("marks: without the brackets it is the answer, and what is marked was not drafted")
def _(t):
    for _ in range(10):  # on a busy machine the target may not wait for the drafter
        r = tightwad(t, "chat", "-t", "0", "--marks", STORY, **of(proxy))
        t.equal(re.sub(r"[][]", "", r.out), story() + "\n")
        marked = sum(len(m) for m in re.findall(r"\[([^]]*)\]", r.out))
        if 0 < marked < len(story()) / 2:
            break
    t.between(marked, 1, len(story()) / 2, "characters that the target wrote itself: %r" % r)
    r = tightwad(t, "chat", "-t", "0", "--marks", "--direct", STORY, **of(proxy))
    t.equal(re.findall(r"\[[^]]*\]", r.out), ["[" + story() + "]"] if "[" in r.out else [], "the target alone drafts nothing")


@test("a terminal gets colours, and a conversation")
def _(t):
    term = Terminal(t, "chat", "-t", "0", **of(proxy))
    term.expect(r"> $")
    term.send("What is 2 + 2?\n")
    term.expect(r"\x1b\[3[23]m")
    term.expect(r"tokens/s")
    at = term.expect(r"(?s)tokens/s.*> $").end()
    term.send("/new\n")
    term.expect(r"> $", after=at)
    at = len(term.text)
    term.send("/nonsense\n")
    term.expect(r"/quit", after=at)
    term.send("\x04")
    t.equal(term.wait(), 0, term.text)
    t.check("4" in re.sub(r"\x1b\[\d+m", "", term.text), term.text)
    term = Terminal(t, "chat", "-t", "0", STORY, NO_COLOR="1", **of(proxy))
    t.equal(term.wait(), 0, term.text)
    t.check("\x1b[3" not in term.text and "[" in term.text, term.text)


@test("Ctrl-C breaks the answer off, not the conversation")
def _(t):
    own = t.node("target")
    # Rounds of three tokens over a long way: the answer is not over before the key is pressed.
    far = t.proxy(t.relay(own, delay=0.05), [t.node("draft")], max_draft_tokens=2)
    term = Terminal(t, "chat", "-t", "0", **of(far))
    term.expect(r"> $")
    term.send("Tell me a story about a bear.\n")
    term.expect(r"Once")
    own.freeze()
    term.send("\x03")
    at = term.expect(r"(?s)broken off.*> $").end()
    own.thaw()
    term.send("What is 2 + 2?\n")
    term.expect(r"4", after=at)
    at = term.expect(r"(?s)tokens/s.*> $", after=at).end()
    term.send("\x04")
    t.equal(term.wait(), 0, term.text)


@test("what can't be asked is said, with what to do")
def _(t):
    r = tightwad(t, "chat", "--url", "http://127.0.0.1:%d" % free_port(), "hi")
    t.check(r.code == 1 and "tightwad proxy start" in r.err and r.out == "", r)
    r = tightwad(t, "chat", "-m", "nobody", "hi", **of(proxy))
    t.check(r.code == 1 and "nobody" in r.err, r)
    r = tightwad(t, "chat", stdin="", **of(proxy))
    t.check(r.code == 1 and "no prompt" in r.err, r)
    r = tightwad(t, "chat", "word " * 2000, **of(proxy))
    t.check(r.code == 1 and "context" in r.err, r)
    secret = shared.proxy(target, auth_token="s3cret")
    r = tightwad(t, "chat", "-u", secret.url, "hi")
    t.check(r.code == 1 and "token" in r.err, r)
    r = tightwad(t, "chat", "-t", "0", "What is 2 + 2?", **of(secret))
    t.check(r.code == 0 and "4" in r.out, r)


@test("bench: medians, ratio, acceptance and identity, in words and as JSON")
def _(t):
    path = os.path.join(t.folder, "prompts.txt")
    with open(path, "w") as f:
        f.write("# mine\nWhat is 3 + 4?\n\nCount from 3 to 12.\n")
    r = tightwad(t, "bench", "--prompts", path, "-n", "2", "--json", **of(proxy))
    t.equal(r.code, 0, r)
    o = r.json()
    t.equal((o["prompts"], o["rounds"], o["answers"], o["identical"]), (2, 2, 4, 4), o)
    t.check(o["ratio"] > 0 and 0 < o["acceptance"] <= 1, o)
    t.check(o["proxy"]["tokens_per_second"] > 0 and o["target"]["tokens"] == o["proxy"]["tokens"] > 0, o)
    r = tightwad(t, "bench", "-k", "2", "-n", "1", "-m", "20", **of(proxy))
    t.check(r.code == 0 and "target alone" in r.out and "Identical to the target alone: 2 of 2" in r.out, r)


@test("bench exact: every answer of a node pair is the target's; the count is printed")
def _(t):
    r = tightwad(t, "bench", "exact", "-n", "6", timeout=120, **of(proxy))
    t.equal(r.code, 0, r)
    t.check("36 of 36 answers are byte for byte" in r.out, r)
    o = tightwad(t, "bench", "exact", "-n", "2", "-t", "0", "--json", **of(proxy)).json()
    t.equal((o["answers"], o["identical"], o["failed"], o["differences"]), (4, 4, 0, []))
    t.check(o["drafted_share"] > 0.2, o)


@test("bench exact: an endpoint that answers otherwise is found out")
def _(t):
    from fakes import FakeServer

    def reply(body):
        text = "right" if body["model"].endswith("@target") else "wrong"
        o = {"id": "x", "object": "chat.completion", "choices": [{"index": 0, "finish_reason": "stop",
             "message": {"role": "assistant", "content": text}, "delta": {"content": text}}],
             "usage": {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2}}
        if body.get("stream"):
            return 200, ("data: %s\n\ndata: [DONE]\n\n" % json.dumps(o)).encode()
        return 200, o
    fake = t.own(FakeServer({("GET", "/v1/models"): lambda body: (200, {"data": [{"id": "m"}]}),
                             ("POST", "/v1/chat/completions"): reply}))
    r = tightwad(t, "bench", "exact", "-n", "2", "-t", "0", "-u", fake.url)
    t.equal(r.code, 1, r)
    t.check("0 of 4 answers are byte for byte" in r.out and "differs" in r.out and "from byte 0" in r.out, r)


main()

"""Branches of drafts and of verifies in the node's protocol, local and over RPC workers: however sequences are put together,
padded and cut, and whoever takes slots away, the tokens are those of one at a time."""
import json
import random
import threading
import time

from harness import *

drafter = shared.node("draft", ctx=512, slots=4)
PROMPT = "Tell me a story about a fox."


def call(node, name, body, status=200):
    r = post(node.url + "/v1/node/" + name, body)
    if r.status != status:
        raise Failure("%s: status %d, wanted %d: %s" % (name, r.status, status, r.text[:300]))
    return r.json()


def open_chat(node, prompt, **sampling):
    o = call(node, "session", {"sampling": sampling, "messages": [{"role": "user", "content": prompt}]})
    return o["session"], o["tokens"]


def draft(node, **body):
    """(tokens of the line, {id: (at, tokens)}, the last line) of a streamed draft."""
    line, branches = [], {}
    with Stream(node.url + "/v1/node/draft", dict(body, stream=True)) as s:
        if s.status != 200:
            raise Failure("draft: %d %s" % (s.status, s.reply.read()))
        for o in (json.loads(text) for text in s.lines() if text):
            if "done" in o:
                return line, branches, o
            if len(o["t"]) != len(o["p"]) or not all(0 <= p <= 1 for p in o["p"]):
                raise Failure("tokens and chances do not go together: %r" % o)
            if "b" in o:
                at, tokens = branches.setdefault(o["b"], (o["at"], []))
                tokens += o["t"]
                if at != o["at"]:
                    raise Failure("a branch that moves: %r" % o)
            else:
                line += o["t"]
    raise Failure("the stream has no end")


def reference(node, prompt, n, **sampling):
    """What the model writes, one token at a time."""
    s, tokens = open_chat(node, prompt, **sampling)
    with Stream(node.url + "/v1/node/generate", {"session": s, "keep": 0, "tokens": tokens, "n": n}) as stream:
        return [t for text in stream.lines() if text for t in json.loads(text).get("t", [])]


@test("a draft tells its line and branches at uncertain positions; a path that goes along a branch costs nothing again")
def _(t):
    for temperature in (0, 0.8):
        s, prompt = open_chat(drafter, PROMPT, temperature=temperature, seed=3)
        line, branches, end = draft(drafter, session=s, epoch=1, keep=0, tokens=prompt, n=20, first=20, branches=6, depth=5)
        t.equal((len(line), end["n"], end["reason"]), (20, 20, "n"))
        t.equal(line, reference(drafter, PROMPT, 20, temperature=temperature, seed=3))
        t.check(len(branches) > 0, "no branches")
        for at, tokens in branches.values():
            t.check(len(prompt) <= at < len(prompt) + 20 and 0 < len(tokens) <= 5, "branch at %d: %r" % (at, tokens))
            t.check(tokens[0] != line[at - len(prompt)], "a branch that begins as the line does")
        # To its end along the longest branch: known already.  And the rest is what a fresh session drafts there.
        at, tokens = max(branches.values(), key=lambda b: len(b[1]))
        before = drafter.counters()
        again, _, _ = draft(drafter, session=s, epoch=2, keep=at, tokens=tokens[:1], n=len(tokens) - 1)
        after = drafter.counters()
        t.equal(again, tokens[1:])
        t.equal(after["decodes"], before["decodes"])
        path = prompt + line[:at - len(prompt)] + tokens
        more, _, _ = draft(drafter, session=s, epoch=3, keep=len(path), tokens=[], n=6)
        fresh = call(drafter, "session", {"sampling": {"temperature": temperature, "seed": 3}, "prompt": len(prompt)})["session"]
        t.equal(more, call(drafter, "draft", {"session": fresh, "epoch": 1, "keep": 0, "tokens": path, "n": 6})["tokens"])


@test("branches behind `from` stay, with their ids; those before it, and of a line that was left, are gone")
def _(t):
    s, prompt = open_chat(drafter, PROMPT, temperature=0)
    line, first, _ = draft(drafter, session=s, epoch=1, keep=0, tokens=prompt, n=20, first=20, branches=40, depth=3)
    places = sorted({at for at, _ in first.values()})
    t.check(len(places) > 1, "branches at one position only: %r" % first)
    come = places[1]
    _, second, _ = draft(drafter, session=s, epoch=2, keep=len(prompt) + 20, tokens=[], n=1, branches=40, depth=3, **{"from": come})
    for id, (at, tokens) in first.items():
        if at >= come:
            t.equal(second.get(id), (at, tokens), "branch %d" % id)
        else:
            t.check(id not in second, "branch %d at %d before %d" % (id, at, come))
    _, third, _ = draft(drafter, session=s, epoch=3, keep=len(prompt), tokens=[65], n=1, branches=40, depth=3)
    t.check(not set(third) & set(first), "branches of a line that was left: %r" % third)


@test("a newer request takes over from branches at once; a closed session gives its slot to them")
def _(t):
    own = t.node("draft", slots=2)
    s, prompt = open_chat(own, PROMPT, temperature=0)
    with Stream(own.url + "/v1/node/draft", {"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 300, "first": 2,
                                             "branches": 64, "depth": 200, "stream": True}) as running:
        next(running.lines())
        line, _, _ = draft(own, session=s, epoch=2, keep=len(prompt), tokens=[], n=4)
        t.equal(line, reference(drafter, PROMPT, 4, temperature=0))
        last = [json.loads(x) for x in running.lines() if x][-1]
        t.equal((last["done"], last["reason"]), (True, "superseded"))
    # Two sessions that were just at work hold both slots: a third has its own only once one of them is over.
    other, tokens = open_chat(own, "Count from 3 to 12.", temperature=0)
    call(own, "draft", {"session": other, "epoch": 1, "keep": 0, "tokens": tokens, "n": 2})
    o = call(own, "session", {"sampling": {"temperature": 0}, "prompt": len(prompt), "closed": [s, other, 12345]})
    _, branches, _ = draft(own, session=o["session"], epoch=1, keep=0, tokens=prompt, n=20, branches=4, depth=4)
    t.check(any(len(b[1]) > 1 for b in branches.values()), "no branch has grown: %r" % branches)
    call(own, "verify", {"session": other, "keep": 1, "tokens": tokens[1:], "draft": []}, 409)


@test("what is wrong in a request with branches is a 400 that names it")
def _(t):
    s, prompt = open_chat(drafter, PROMPT, temperature=0)
    base = {"session": s, "epoch": 1, "keep": 0, "tokens": prompt, "n": 4}
    for more, word in (({"branches": 2}, "stream"), ({"branches": -1, "stream": True}, "branches"),
                       ({"depth": "x"}, "depth"), ({"from": -1}, "from"), ({"first": 1.5}, "first")):
        t.check(word in call(drafter, "draft", dict(base, **more), 400)["error"]["message"], more)
    base = {"session": s, "keep": 0, "tokens": prompt, "draft": [65, 66]}
    for branches in (7, {}, [7], [{}], [{"at": 0}], [{"t": [1]}], [{"at": 2, "t": [1]}], [{"at": -1, "t": [1]}], [{"at": 0, "t": []}],
                     [{"at": 0, "t": [640]}], [{"at": 0, "t": ["x"]}], [{"at": 0, "t": [1], "x": 1}], [{"at": 0, "t": [1]}] * 5):
        call(drafter, "verify", dict(base, branches=branches), 400)
    call(drafter, "session", {"prompt": 3, "closed": ["x"]}, 400)
    huge = dict(base, branches=[{"at": 1, "t": [1] * 600}])
    t.equal(call(drafter, "verify", huge)["branches"], 0, "a branch beyond the context")


@test("--draft-rate is kept, and the tokens are the same")
def _(t):
    slow = t.node("draft", args=["--draft-rate", "200"])
    s, prompt = open_chat(slow, PROMPT, temperature=0)
    start = time.monotonic()
    line, branches, _ = draft(slow, session=s, epoch=1, keep=0, tokens=prompt, n=20, branches=4, depth=3)
    took = time.monotonic() - start
    t.equal(line, reference(drafter, PROMPT, 20, temperature=0))
    grown = sum(len(tokens) - 1 for _, tokens in branches.values())  # first tokens are other choices of the line's
    t.check(took >= (20 + grown) / 200 * 0.95, "%d tokens in %.3f s" % (20 + grown, took))


def listens(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in f.readlines()[1:])


class Answer(threading.Thread):
    """An answer by verifies whose drafts go wrong, with branches some of which are right there."""

    def __init__(self, node, right, prompt, luck, **sampling):
        super().__init__(daemon=True)
        self.node, self.right, self.rng, self.error, self.used, self.taken = node, right, random.Random(luck), None, 0, 0
        self.session, self.prompt = open_chat(node, prompt, **sampling)

    def round(self, out, keep):
        rng, here = self.rng, self.right[len(out):]
        n, good = rng.randrange(1, 24), rng.randrange(0, 24)
        line = [x if i < good else rng.randrange(600) for i, x in enumerate((here + [1] * 24)[:n])]
        branches = []
        for i in range(rng.randrange(0, 4)):
            at, length = good if i == 0 and good < n else rng.randrange(n), rng.randrange(1, 14)
            right = rng.randrange(0, 14) if i == 0 else 0
            branches.append({"at": at, "t": [x if j < right else rng.randrange(600)
                                             for j, x in enumerate((here + [1] * 40)[at:at + length])]})
        path = self.prompt + out
        o = call(self.node, "verify", {"session": self.session, "keep": keep, "tokens": path[keep:], "draft": line, "branches": branches})
        if "branch" in o:
            self.taken += 1
            b = branches[o["branch"]]
            line = line[:b["at"]] + b["t"]
        self.used += o["branches"]
        return line[:o["accepted"]] + [o["next"]], len(path) + o["accepted"]

    def run(self):
        try:
            out, keep = [], 0
            while len(out) < len(self.right):
                more, keep = self.round(out, keep)
                out += more
                if out[:len(self.right)] != self.right[:len(out)]:
                    raise Failure("differs after %d tokens: %r" % (len(out), out))
        except Exception as e:  # told by the test
            self.error = e


def answers(t, node, plain, count, length=60):
    prompts = [PROMPT, "What is 17 + 25?", "Count from 3 to 12.", "Repeat: the blue stone", "What is the capital of France?"]
    at_work = []
    for i in range(count):
        sampling = {"temperature": (0, 0.7, 1)[i % 3], "seed": 40 + i}
        prompt = prompts[i % len(prompts)]
        right = reference(plain, prompt, length, **sampling)
        at_work.append(Answer(node, right, prompt, i, **sampling))
    for a in at_work:
        a.start()
    for a in at_work:
        a.join(120 * SLOWER)
        t.check(not a.is_alive(), "an answer does not end")
        if a.error:
            raise a.error
    return sum(a.used for a in at_work), sum(a.taken for a in at_work)


@test("verify with branches is exact on this machine: alone, several at once, more sessions than slots, recurrent models")
def _(t):
    plain = t.node("target", slots=1)
    node = t.node("target", slots=4)
    used, taken = answers(t, node, plain, 1)
    t.check(used > 0 and taken > 0, "%d branches, %d taken" % (used, taken))
    answers(t, node, plain, 3)
    answers(t, node, plain, 6, length=30)
    c = node.counters()
    t.check(c["branches"] >= used and c["branches_taken"] >= taken, c)
    path = os.path.join(t.folder, "recurrent.gguf")
    subprocess.run([sys.executable, os.path.join(HERE, "make_gguf.py"), "recurrent", path], check=True)
    own = t.node(path, slots=3)
    t.equal(own.info()["branches"], 0)
    t.equal(answers(t, own, own, 1, length=20), (0, 0))


@test("verify with branches is exact over two RPC workers, padded and not")
def _(t):
    workers = []
    for i in range(2):
        port = free_port()
        t.process(rpc_server() + ["-H", "127.0.0.1", "-p", str(port), "-d", "CPU", "-t", "1"],
                  name="worker %d" % i, env={"GGML_CPU_TILED_MM": "0"}, cwd=t.folder)
        wait_until("worker %d" % i, lambda: listens(port))
        workers.append("127.0.0.1:%d" % port)
    q4 = os.path.join(t.folder, "q4.gguf")
    r = subprocess.run(llama_tool("llama-quantize") + ["--allow-requantize", model_path("target"), q4, "Q4_K_M", "2"],
                       capture_output=True, text=True, env=dict(os.environ, OMP_WAIT_POLICY="passive"))
    t.equal(r.returncode, 0, r.stderr[-500:])
    for model in ("target", q4):
        plain = t.node(model, slots=1)
        node = t.node(model, slots=5, args=["--rpc", ",".join(workers)])
        t.equal(len(node.info()["devices"]), 2)
        used, taken = answers(t, node, plain, 1)
        t.check(used > 0 and taken > 0, "%d branches, %d taken" % (used, taken))
        answers(t, node, plain, 3)
        answers(t, node, plain, 5, length=30)
        node.stop()


main()

"""The rows of the command table that the keys of the dashboard send: what they change is in force at once and, where asked
for, in the file with its comments; what takes its time holds nothing up."""
from exact import references, Case
from harness import *
from prompts import story_prompts

target = shared.node("target")
drafter = shared.node("draft")

FILE = """# my cluster
proxy:
  port: %d # mine
  max_draft_tokens: 8   # not too many
  target:
    url: %s
  drafters: # who helps
    - url: %s # the old one
      name: old
# the end
"""


def commented(t):
    """A proxy whose file has comments."""
    p = t.proxy(target, [drafter])
    with open(p.config, "w") as f:
        f.write(FILE % (p.port, target.url, drafter.url))
    t.equal(p.command("reload").status, 200)
    wait_until("the file to be in force", lambda: [b["name"] for b in p.status()["backends"]][1:] == ["old"], 10)
    return p


def text(p):
    with open(p.config) as f:
        return f.read()


@test("what a command changes is saved with the comments kept, and the file still loads")
def _(t):
    p = commented(t)
    want = FILE % (p.port, target.url, drafter.url)
    t.equal(p.status()["config"], p.config)
    t.equal(p.command("max-draft-tokens", n=5, save=True).json(), {"ok": True})
    want = want.replace("max_draft_tokens: 8 ", "max_draft_tokens: 5 ")
    t.equal(text(p), want)
    t.equal(p.command("max-draft-tokens", n="auto", save=True).status, 200)
    want = want.replace("max_draft_tokens: 5 ", "max_draft_tokens: auto ")
    t.equal(text(p), want)
    t.equal(p.command("drafter-add", url="http://127.0.0.1:1", name="new", save=True).status, 200)
    want = want.replace("      name: old\n", "      name: old\n    - url: http://127.0.0.1:1\n      name: new\n")
    t.equal(text(p), want)
    t.equal(p.command("log-level", level="debug", save=True).status, 200)
    t.equal(text(p), want[:-len("# the end\n")] + "log:\n  level: debug\n# the end\n")
    t.equal(p.command("drafter-remove", name="new", save=True).status, 200)
    t.check("new" not in text(p) and "# who helps" in text(p), text(p))
    t.equal(p.command("reload").status, 200)
    s = p.settled()
    t.equal((s["max_draft_tokens"], [b["name"] for b in s["backends"]][1:]), ("auto", ["old"]))


@test("a change that can't be written is in force all the same, and the answer says so")
def _(t):
    p = commented(t)
    t.equal(p.command("drafter-add", url="http://127.0.0.1:1", name="new").status, 200)
    r = p.command("drafter-remove", name="new", save=True)
    t.check(r.status == 400 and "it is done, but not saved" in r.text and "no drafter new" in r.text, r.text)
    t.equal([b["name"] for b in p.settled()["backends"]][1:], ["old"])


@test("models: size, fit, and the rate of what ran, by which the others are estimated")
def _(t):
    pool = t.pool({"target": {"path": "target", "default": True}, "small": "small",
                   "gone": {"path": os.path.join(t.folder, "gone.gguf")}})
    for p in story_prompts(2, "models"):
        t.equal(chat(pool.url, p, temperature=0, max_tokens=40).status, 200)
    pool.settled()
    r = pool.command("models").json()
    t.equal((r["pool"], [m["name"] for m in r["models"]]), (True, ["target", "small", "gone"]))
    one, two, gone = r["models"]
    t.equal((one["fits"], one["resident"], one["default"], one["rate"]), (True, True, True, "measured"), one)
    t.equal((two["fits"], two["resident"], two["default"], two["rate"]), (True, False, False, "estimate"), two)
    t.check(one["bytes"] > two["bytes"] > 0 and one["where"] == "CPU", r)
    t.between(two["tokens_per_second"] / one["tokens_per_second"], 1.001, one["bytes"] / two["bytes"])
    t.equal((gone["fits"], gone["bytes"], gone["tokens_per_second"], gone["rate"]), (None, None, None, None), gone)
    t.check("gone.gguf" in gone["reason"], gone)
    measured = one["tokens_per_second"]
    t.equal(pool.command("swap", model="small").status, 200)
    pool.up("small")
    one, two = pool.command("models").json()["models"][:2]
    t.equal((one["resident"], one["rate"], two["resident"]), (False, "measured", True))
    t.between(one["tokens_per_second"] / measured, 0.5, 2)  # the same answers, or the like
    t.equal(pool.command("model-default", model="small").status, 200)
    def defaults():
        return {m["name"]: m["default"] for m in pool.command("models").json()["models"]}
    wait_until("the file to be in force", lambda: defaults() == {"target": False, "small": True, "gone": False}, 10)
    pool.restart()
    wait_until("it to listen again", lambda: listening(pool), 20)
    pool.up("small")


@test("models of a stopped pool, and of a target that somebody else runs")
def _(t):
    pool = t.pool({"target": "target", "small": "small"})
    t.equal(pool.command("pool-stop").status, 200)
    wait_until("it to be off", lambda: pool.pool()["state"] == "off", 20)
    r = pool.command("models").json()["models"]
    t.equal([(m["fits"], m["resident"]) for m in r], [(True, False), (True, False)])
    p = t.proxy(target)
    t.equal(chat(p.url, "What is 2 + 2?", temperature=0, max_tokens=20).status, 200)
    p.settled()
    r = p.command("models").json()
    t.equal((r["pool"], len(r["models"])), (False, 1))
    m = r["models"][0]
    t.equal((m["name"], m["resident"], m["fits"], m["rate"]), (p.status()["model"], True, None, "measured"), m)


@test("a test prompt is a request: its number is told at once, and it is answered")
def _(t):
    p = t.proxy(target, [drafter])
    r = p.command("test-prompt", prompt="What is 2 + 2?", max_tokens=12)
    number = r.json()["request"]
    def mine():
        return [q for q in p.status()["requests"] if q["id"] == number and q["state"] == "done"]
    q = wait_until("it to be answered", mine, 20)[0]
    t.between(q["tokens"], 1, 12)
    t.check(p.command("test-prompt").json()["request"] > number)
    r = p.command("test-prompt", model="nobody")
    t.check(r.status == 400 and "nobody" in r.text, r.text)


@test("doctor and tune are the verbs' own findings; the endpoint answers meanwhile")
def _(t):
    p = t.proxy(target, [drafter])
    found = []
    thread = threading.Thread(target=lambda: found.append(p.command("doctor")))
    thread.start()
    want = references(target, [Case("What is 3 + 4?", temperature=0)])[0]
    answers = 0
    while thread.is_alive():
        t.equal(chat(p.url, "What is 3 + 4?", temperature=0).key(), want.key())
        answers += 1
    t.check(answers > 0, "it was over before anything could be asked")
    o = found[0].json()
    t.equal([(s["role"], s["answers"]) for s in o["servers"]], [("target", True), ("drafter", True)])
    t.check(isinstance(o["findings"], list) and o["config"] == p.config, o)
    o = p.command("tune").json()
    t.check({"memory"} <= {f["what"] for f in o["findings"]}, o)


@test("an instance that ends does not wait for a doctor, nor for who asked for one")
def _(t):
    p = t.proxy(target, [drafter])
    replies = []
    def ask():
        try:
            replies.append(p.command("doctor").status)
        except OSError as e:
            replies.append(e)
    threads = [threading.Thread(target=ask) for _ in range(2)]
    for th in threads:
        th.start()
    def children():
        with open("/proc/%d/task/%d/children" % (p.pid, p.pid)) as f:
            return f.read().split()
    pids = wait_until("the doctor", children, 10)
    t.equal(len(pids), 1, "they share one")
    begun = time.monotonic()
    t.equal(p.command("stop").status, 200)
    p.expected_end = True
    t.equal(p.wait(20), 0)
    t.less(time.monotonic() - begun, 10)
    for th in threads:
        th.join(10)
    t.check(len(replies) == 2 and 200 not in replies, replies)
    t.check(not any(os.path.exists("/proc/" + pid) for pid in pids), "a doctor is left")


main()

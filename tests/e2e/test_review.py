"""What the verifier says of whole answers, through the gate: both ways of reviewing against known answers, verifiers of
every kind, and verdicts that must not let anything pass."""
import queue

from fake_ollama import FakeOllama
from fakes import FakeAgent
from gates import *
from harness import *
from questions import questions

AGENTS = ("draft", "mid", "numbers", "words")
MOST = 100  # tokens of an answer: the longest right one has fewer, and some agents would go on and on
target = shared.node("target")


def ask_all(t, proxy, pairs, threads=4):
    """[(question, right, what the client got, what was said of it)]"""
    waiting, got, wrong = queue.Queue(), [], []
    for pair in pairs:
        waiting.put(pair)

    def work():
        while True:
            try:
                question, right = waiting.get_nowait()
                text, about, _ = ask(proxy, question, max_tokens=MOST)
                got.append((question, right, text, about))
            except queue.Empty:
                return
            except Exception as e:
                wrong.append(repr(e))
                return
    all_threads = [threading.Thread(target=work) for _ in range(threads)]
    for th in all_threads:
        th.start()
    for th in all_threads:
        th.join()
    t.equal(wrong, [], "requests that failed")
    t.equal(len(got), len(pairs))
    return got


@test("known answers, agents that know half of it: nothing wrong is approved, all answers are right, half pass unchanged")
def _(t):
    agents = {m: t.node(m) for m in AGENTS}
    # What each agent writes by itself, to see what became of it.
    own, pairs = {}, questions(60 if SANITIZED else 300)
    for review in ("likelihood", "both"):
        proxy = up(t.proxy(target, gate={"agents": list(agents.values()), "routing": "round_robin", "review": review, "shadow_share": 0}), 4)
        got = ask_all(t, proxy, pairs, threads=1)  # so that the same agent gets the same question each time
        t.equal([(q, text, about["gate"]) for q, right, text, about in got if text != right], [], "wrong answers by " + review)
        g = gate(proxy)
        proxy.stop()
        by_port = {"127.0.0.1:%d" % a.port: a for a in agents.values()}
        # The final text is right everywhere: it is the agent's own where that is right as well.
        unchanged = 0
        for q, right, _, about in got:
            writer = by_port[about["agent"]]
            if about["gate"] == "approved":
                unchanged += 1
            elif about["gate"] == "corrected":
                key = (writer.port, q)
                if key not in own:
                    own[key] = chat(writer.url, q, temperature=0, max_tokens=MOST).text
                unchanged += own[key] == right
        t.note("%s: approved %d, unchanged %d, corrected %d, rejected %d; %d of %d tokens by the target" %
               (review, g["approved"], unchanged, g["corrected"], g["rejected"], g["target_tokens"], g["tokens"]))
        if len(pairs) == 300:
            t.check(unchanged >= 150, "%d pass unchanged" % unchanged)
            t.less(g["target_tokens"], g["tokens"] / 2, "tokens that the target wrote")


@test("by prompt wrong answers do pass, and the shadow check's interval holds their true share")
def _(t):
    agents = [t.node(m) for m in AGENTS]
    proxy = up(t.proxy(target, gate={"agents": agents, "routing": "round_robin", "review": "prompt", "shadow_share": 1}), 4)
    approved = wrong = 0
    pairs = questions(48 if SANITIZED else 96)
    # A check gives way to requests that need its slot, and few wait for theirs: so two at a time, and not too many.
    for i in range(0, len(pairs), 12):
        for _, right, text, about in ask_all(t, proxy, pairs[i:i + 12], threads=2):
            approved += about["gate"] == "approved"
            wrong += about["gate"] == "approved" and text != right
        g = wait_until("the checks", lambda: (lambda g: g if g["shadowed"] >= approved else None)(gate(proxy)), 30)
    t.equal((g["shadowed"], g["false_approved"]), (approved, wrong), "what the check saw")
    t.note("%d of %d approved were wrong; interval %.2f to %.2f" % (wrong, approved, g["shadow_low"], g["shadow_high"]))
    t.check(wrong > 0, "nothing wrong was approved: there is nothing to see here")
    t.check(g["shadow_low"] <= wrong / approved <= g["shadow_high"], "outside of the interval")


@test("a verifier that only chats lets pass what it approves, and nothing on any other word")
def _(t):
    verifier, writer = t.own(FakeAgent("APPROVE")), t.own(FakeAgent("The capital of France is Rome."))
    proxy = up(t.proxy(target, gate={"agents": [writer], "verifier": verifier, "shadow_share": 0}), 1)
    wait_until("the verifier", lambda: proxy.status()["gate"]["review"] == "prompt", 20)
    t.equal(ask(proxy, FRANCE[0])[:2][0], writer.text, "what it approves, be it right or not")
    verifier.text = "CORRECT: It is Paris."
    got, about, _ = ask(proxy, FRANCE[0])
    t.equal((got, about["gate"]), ("It is Paris.", "corrected"))
    words = ["", "approve", "Approve", "I cannot approve this", "APPROVED? no", "APPROVE is not", "REJECT\nAPPROVE", "APPROVE\nREJECT",
             "\n\nAPPROVE", "```\nAPPROVE\n```", "**APPROVE**", "\"APPROVE\"", "\ufeffAPPROVE", "\u0410PPROVE", "CORRECT:", "CORRECT: APPROVE",
             "APPROVE" * 1000, " " * 5000 + "APPROVE!", "REJECT"]
    for word in words:
        verifier.text = word
        got, about, _ = ask(proxy, FRANCE[0])
        t.equal((got, about["gate"]), (FRANCE[1], "rejected"), "after %r" % word[:40])
    g = gate(proxy)
    t.equal((g["rejected"], g["unreadable"]), (len(words), len(words) - 2), "counts")


@test("verifiers of other kinds: llama-server and Ollama by prompt, an API with echo by likelihood as well")
def _(t):
    writer = t.own(FakeAgent(FRANCE[1]))
    llama = t.llama_server("target")
    ollama = t.own(FakeOllama(upstream=target.url, model="target:latest"))
    cases = [({"url": llama.url, "backend": "llamacpp"}, "prompt"),
             ({"url": ollama.url, "backend": "ollama", "model_name": "target:latest"}, "prompt"),
             ({"url": target.url, "backend": "openai"}, "both")]
    for verifier, kind in cases:
        proxy = up(t.proxy(target, gate={"agents": [writer], "verifier": verifier, "shadow_share": 0}), 1)
        wait_until("the verifier", lambda: proxy.status()["gate"]["review"] == kind, 20)
        for text, outcome in ((FRANCE[1], "approved"), ("The capital of France is Rome.", "corrected"), ("I do not know.", "rejected")):
            writer.text = text
            got, about, _ = ask(proxy, FRANCE[0])
            t.equal((got, about["gate"]), (FRANCE[1], outcome), "%s: %r" % (kind, text))
        proxy.stop()


@test("a verifier that stalls or dies in the middle of a review: the review is made, or made again, and the answer passes")
def _(t):
    verifier, writer = t.node("target"), t.own(FakeAgent(FRANCE[1]))
    for review in ("both", "prompt"):
        proxy = up(t.proxy(verifier, gate={"agents": [writer], "review": review, "shadow_share": 0}), 1)
        for act in (verifier.thaw, verifier.restart):
            verifier.freeze()
            later = []
            asking = threading.Thread(target=lambda: later.append(ask(proxy, FRANCE[0])))
            asking.start()
            wait_until("the review to begin", lambda: proxy.status()["gate"]["reviewing"] == 1, 20)
            act()
            asking.join()
            t.equal((later[0][0], later[0][1]["gate"]), (FRANCE[1], "approved"), "%s, %s" % (review, act.__name__))
        t.equal(gate(proxy)["errors"], 0)
        proxy.stop()


@test("several turns and plain prompts are reviewed too")
def _(t):
    mid = t.node("mid")
    proxy = up(t.proxy(target, gate={"agents": [mid], "review": "likelihood", "shadow_share": 0}), 1)
    turns = [{"role": "user", "content": "Hello"}, {"role": "assistant", "content": "Hello! How can I help you today?"},
             {"role": "user", "content": "What is 3 + 4?"}]
    body = {"model": "target@gate", "temperature": 0, "messages": turns}
    o = post(proxy.url + "/v1/chat/completions", body).json()
    t.equal((o["choices"][0]["message"]["content"], o["tightwad"]["gate"]), ("3 + 4 = 7.", "approved"))
    plain = {"model": "target@gate", "temperature": 0, "max_tokens": 12, "prompt": "<|im_start|>user\nWhat is 3 + 4?<|im_end|>\n<|im_start|>assistant\n"}
    o = post(proxy.url + "/v1/completions", plain).json()
    t.equal((o["choices"][0]["text"], o["tightwad"]["gate"]), ("3 + 4 = 7.", "approved"))


main()

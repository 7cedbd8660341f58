"""What the dashboard shows of consensus and the quality gate: its figures are those of the status, here and attached, at the sizes of
the field; its keys switch the modes; and what is approximate says so."""
from cockpit import *
from harness import *
from questions import questions

target, numbers, words, mid, draft = (shared.node(name) for name in ("target", "numbers", "words", "mid", "draft"))
ASKED = [q for q, _ in questions(300)][::14]


def instance(t, **options):
    gate = {"agents": [{"url": n.url, "backend": "node", "name": name} for n, name in ((mid, "mid"), (draft, "least"))], "shadow_share": 0.5}
    p = idle_proxy(t, target, [{"url": numbers.url, "backend": "node", "name": "numbers"}, {"url": words.url, "backend": "node", "name": "words"}],
                   gate=gate, consensus_mode="strict", consensus_audit=0.5, consensus_max_error=1, **options)
    with open(p.config) as f:
        text = f.read()
    with open(p.config, "w") as f:
        f.write("# my cluster\n" + text + "# the end\n")
    return p


def ask_all(t, p):
    """The texts of the answers."""
    texts = []
    for i, q in enumerate(ASKED):
        a = chat(p.url, q, model=p.status()["model"] + ("", "@consensus", "@exact")[i % 3], temperature=0, max_tokens=60)
        t.equal((a.status, a.done), (200, True), a)
        texts.append(a.text)
    return texts


def percent(part, whole):
    return "%.0f %%" % (100.0 * part / whole) if whole else "–"


def still(p):
    """The status once nothing runs, no audit is under way, and its rates have gone down to nothing."""
    def looks():
        s, before = p.status(), json.dumps([p.status()[k] for k in ("gate", "consensus")])
        return s if not s["running"] and s["tokens_per_second"] == 0 and json.dumps([s[k] for k in ("gate", "consensus")]) == before else None
    return wait_until("the rates to be 0", looks, 30)


def figures(s):
    """What must stand on a screen that has room for all of it."""
    g, c = s["gate"], s["consensus"]
    answered = sum(g[k] for k in ("approved", "corrected", "rejected", "direct", "unreviewed", "cached"))
    wanted = ["approved %s" % percent(g["approved"] + g["cached"], answered), "corrected %s" % percent(g["corrected"], answered),
              "rejected %s" % percent(g["rejected"], answered),
              "target needed %s of requests, %s of tokens" % (percent(g["corrected"] + g["rejected"] + g["direct"], answered),
                                                              percent(g["target_tokens"], g["tokens"])),
              "agents chosen %s" % g["routing"], "review %s, %s" % (g["review"], g["verifier"]),
              "✓ %s %d tokens a window" % (c["mode"], c["window"]),
              "no target %s" % percent(c["accepted"], c["accepted"] + c["fallback"]),
              "%d tokens without the target, %d with it in %d passes" % (c["accepted"], c["fallback"], c["target_passes"]),
              "%d of %d windows without it; %d audited, %d wrong" % (c["skipped"], c["windows"], c["audited"], c["wrong"]),
              "%d of %d audited tokens were wrong" % (c["wrong_tokens"], c["audited_tokens"])]
    for a in g["agents"]:
        wanted.append("✓ %s %d/%d %d %s" % (a["name"], a["busy"], a["slots"], a["answers"],
                                            percent(a["approved"], a["approved"] + a["corrected"] + a["rejected"])))
    return wanted


def missing(screen, wanted):
    flat = re.sub(r" +", " ", screen)
    return [w for w in wanted if w not in flat]


def shows(term, wanted):
    try:
        term.wait_for(lambda screen: not missing(screen, wanted))
    except Failure as e:
        raise Failure("not on the screen: %s\n%s" % (missing(term.text(), wanted), e))


@test("the figures on the screen are those of the status, attached as well, at every size, and nothing is cut")
def _(t):
    p = instance(t)
    term = own(t, p, 200, 60)
    p.serving()
    term.wait_for("by the gate, approximate")
    answers = ask_all(t, p)
    s = still(p)
    t.check(s["gate"]["requests"] == len(ASKED[::3]) and s["consensus"]["windows"] > 0, (s["gate"], s["consensus"]))
    shows(term, figures(s))
    screen = term.text()
    t.check("─ gate: approximate ─" in screen and "─ consensus: approximate ─" in screen, screen)
    for r in s["requests"]:
        t.check(re.search(r"│ +%d done +%s +%s " % (r["id"], r["outcome"] or "", r["mode"]), screen), "%r in\n%s" % (r, screen))
    known = vocabulary(json.dumps(s, ensure_ascii=False), socket.gethostname(), "tightwad min", *answers)
    other = attached(t, p.url, 200, 60)
    shows(other, figures(s))
    t.check("attached" in other.lines()[0] and "by the gate, approximate" in other.lines()[0], other.lines()[0])
    for cols, rows in ((250, 70), (200, 60), (100, 30), (120, 40), (60, 20), (40, 12), (80, 24)):
        for each in (term, other):
            each.resize(cols, rows)
            lines = wait_whole(each, known, size=(cols, rows))
            for pane in MODES if rows >= 20 else ("gate",):
                t.check(re.search(r"[─-] %s: approximate [─-]" % pane, "\n".join(lines)), "%dx%d has no %s:\n%s" % (cols, rows, pane, "\n".join(lines)))
        wait_same("attached at %dx%d" % (cols, rows), lambda: term.lines()[1:], lambda: other.lines()[1:])
    shows(term, ["approved %s" % percent(s["gate"]["approved"], s["gate"]["requests"]), "✓ strict", "approximate"])


@test("the keys switch the gate, the vote and the meaning of the name, attached at 80x24, and the file keeps its comments")
def _(t):
    p = instance(t)
    here = own(t, p, 200, 60)
    p.serving()
    term = attached(t, p.url, 80, 24)
    term.wait_for("by the gate, approximate")

    def press(keys, title, what, want):
        term.keys(keys[0])
        term.wait_for(title)
        term.keys(keys[1])
        wait_until(what, lambda: want(p.status()), 10)
        term.wait_gone(title)

    press("gs", "quality gate ─", "the gate to be off", lambda s: not s["gate"]["on"] and s["mode"] == "consensus")
    term.wait_for("by consensus, approximate")
    here.wait_for(lambda screen: "─ gate ─" in screen and "– off" in screen)
    press("Cm", "any_disagree", "the vote", lambda s: s["consensus"]["mode"] == "majority")
    here.wait_for("✓ majority")
    press("Co", "any_disagree", "no vote", lambda s: s["consensus"] is None and s["mode"] == "exact")
    here.wait_for("exact byte for byte")
    term.wait_gone("approximate")
    press("gf", "quality gate ─", "the gate to be on", lambda s: s["gate"]["on"] and s["mode"] == "gate")
    press("Me", "default mode ─", "the name to be exact", lambda s: s["mode"] == "exact")
    here.wait_for(lambda screen: "exact byte for byte" in screen.split("\n")[0] and "─ gate: approximate ─" in screen)
    with open(p.config) as f:
        text = f.read()
    t.check(text.startswith("# my cluster\n") and text.endswith("# the end\n"), text)
    t.check(re.search(r"(?m)^  consensus_mode: \"?off", text) and re.search(r"(?m)^  default_mode: exact", text) and
            re.search(r"(?m)^  enabled: true", text), text)
    a = chat(p.url, ASKED[0], temperature=0, max_tokens=60)
    t.equal((a.status, p.settled()["requests"][0]["mode"]), (200, "exact"), a)


@test("without consensus and a gate there is neither a pane nor a word of them, and the keys say what is missing")
def _(t):
    p = idle_proxy(t, target, [numbers])
    term = own(t, p, 120, 40)
    p.serving()
    term.wait_for("exact byte for byte")
    for key, words_of_it in (("g", "no gate is configured"), ("C", "two drafters"), ("M", "neither consensus nor a gate")):
        term.keys(key)
        term.wait_for(words_of_it)
    screen = "\n".join(term.lines()[:-1])
    t.check("approximate" not in screen and not re.search(r"[─-] (gate|consensus)\b", screen), screen)


main()

"""`tightwad demo --mode` shows several drafters, consensus and the quality gate, ends with 0 when each kept what it promises, and
leaves nothing behind."""
from cmdline import *


def demo(t, mode):
    r = tightwad(t, "demo", "--mode", mode, "--no-ui", "--once", timeout=100)
    t.equal(r.code, 0, r)
    t.check("curl " in r.out and "emulated link" in r.out, r)
    t.equal([n for n in os.listdir(os.path.join(t.folder, "run")) if n != "tightwad"], [], "files left behind")
    return r


@test("tree: two drafters that know half each, every answer the target's own")
def _(t):
    r = demo(t, "tree")
    t.check("`numbers` and `words`" in r.out and "identical to the target alone: yes (4 of 4 answers)" in r.out, r)
    for who in ("numbers", "words"):
        t.check(re.search(r"(?m)^%s: [1-9]\d* of [1-9]\d* drafted tokens right" % who, r.out), "%s was of no use: %r" % (who, r))


@test("consensus: two rules, most tokens without the target, labelled, exact beside it")
def _(t):
    r = demo(t, "consensus")
    t.check("`draft`, `small` and `mid`" in r.out and "consensus is approximate" in r.out, r)
    t.check("(target@exact): identical to the target alone: yes (4 of 4 answers)" in r.out, r)
    for rule in ("strict", "majority"):
        n, of_all = map(int, re.search(r"(?m)^%s: (\d+) of (\d+) tokens without the target" % rule, r.out).groups())
        t.between(n, of_all / 2, of_all - 1, "tokens without the target by %s" % rule)
    t.equal(len(re.findall(r"(?m)^consensus is approximate: of [1-9]\d* windows [1-9]\d* needed no target", r.out)), 2, r)


@test("gate: who wrote each answer, what came of it, none wrong that was approved")
def _(t):
    r = demo(t, "gate")
    t.equal(len(re.findall(r"(?m)^  (?:draft|mid|numbers|words) wrote an answer, (?:approved|corrected|rejected).*; right$", r.out)), 12, r)
    t.check(re.search(r"(?m)^the gate is approximate.* Right: 12 of 12, the target alone 12; wrong ones approved: 0 of [1-9]", r.out), r)
    for who in ("draft", "mid", "numbers", "words"):
        t.check(re.search(r"(?m)^%s +3 answers: " % who, r.out), r)


@test("a mode that is none: it names those there are")
def _(t):
    r = tightwad(t, "demo", "--mode", "gat", "--once")
    t.equal(r.code, 2, r)
    t.check("exact, tree, consensus or gate" in r.err and 'did you mean `gate`?' in r.err, r)


main()

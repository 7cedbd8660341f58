"""What a user can type is in the manual: every verb, every option and every command of the tables stands in the man page, and
the README names nothing that isn't there."""
import subprocess
from harness import *

TIGHTWAD, NODE = os.path.join(BUILD, "tightwad"), os.path.join(BUILD, "tightwad-node")


def said(*args):
    r = subprocess.run(args, capture_output=True, text=True, timeout=60, stdin=subprocess.DEVNULL)
    return r.returncode, r.stdout + r.stderr


@functools.cache
def page(name):
    with open(os.path.join(SOURCE, "doc", name), encoding="utf-8") as f:
        return f.read().replace("\\-", "-").replace("\\(aq", "'")


@functools.cache
def verbs():
    """Each verb and sub-verb ("proxy start") with its help."""
    out = {}

    def of(words):
        code, text = said(TIGHTWAD, *words, "--help")
        if code != 0:
            raise Failure("tightwad %s --help ended with %d" % (" ".join(words), code))
        if words:
            out[" ".join(words)] = text
        m = re.search(r"^(?:Verbs|Commands|What to do):\n((?:  .*\n)+)", text, re.M)
        for name in re.findall(r"^  ([a-z][a-z-]*)\b", m.group(1) if m else "", re.M):
            if len(words) < 2:
                of(words + [name])
    of([])
    return out


@test("every verb answers --help with what it does")
def _(t):
    t.note(", ".join(verbs()))
    t.check({"bench", "chat", "config", "demo", "doctor", "inspect", "node", "proxy", "worker"} <= set(verbs()), "verbs are missing")
    for verb, text in verbs().items():
        t.check(len(text.splitlines()) >= 3, "tightwad %s --help says little: %r" % (verb, text))


@test("every verb and option stands in tightwad(1)")
def _(t):
    missing = []
    for verb, text in verbs().items():
        if verb.split()[-1] not in page("tightwad.1") + page("tightwad-swarm.1"):
            missing.append(verb)
        for option in re.findall(r"^\s+(?:-\w, )?(--[a-z][a-z-]+)", text, re.M):
            own = "tightwad-%s.1" % verb if verb in ("node", "worker") else "tightwad.1"
            if (verb.split()[0] in ("distribute", "manifest", "swarm") or verb == "bench swarm") and option not in ("--config", "--help"):
                own = "tightwad-swarm.1"
            if option not in page(own):
                missing.append("%s %s" % (verb, option))
    t.equal(sorted(set(missing)), [], "not in the man page")
    told = [re.split(r" *\\", s)[0] for s in re.findall(r"^\.SS (.*)", page("tightwad.1") + page("tightwad-swarm.1"), re.M)]
    t.equal([s for s in told if told.count(s) > 1], [], "told twice")


@test("every option of tightwad-node stands in tightwad-node(1), and of the worker in tightwad-worker(1)")
def _(t):
    for command, name in (([NODE], "tightwad-node.1"), ([NODE, "worker"], "tightwad-worker.1")):
        code, text = said(*command, "--help")
        t.equal(code, 0)
        options = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text))
        t.check(len(options) > 8, "few options: %r" % options)
        t.equal(sorted(o for o in options if o not in page(name)), [], "not documented")


@test("every option of the configuration stands in configuration.md and cluster.yaml(5)")
def _(t):
    code, shown = said(TIGHTWAD, "config", "reference")
    t.equal(code, 0, shown)
    t.equal(shown.strip(), page("configuration.md").strip(), "doc/configuration.md is not what the table says")
    keys = re.findall(r"`(?:proxy|log)\.(?:\w+\.|\w+\[\]\.)*(\w+)`", shown) or re.findall(r"^\| `(\w+)`", shown, re.M)
    t.check(len(keys) > 10, "few keys found: %r" % keys)
    t.equal(sorted({k for k in keys if k not in page("cluster.yaml.5")}), [], "not in cluster.yaml(5)")


@test("the verbs that the README shows exist")
def _(t):
    with open(os.path.join(SOURCE, "README.md"), encoding="utf-8") as f:
        readme = f.read()
    for verb in set(re.findall(r"^ +tightwad ([a-z]+)", readme, re.M)):
        t.check(verb in verbs(), "the README shows `tightwad %s`" % verb)
    options = r"(?<![\w-])--[a-z][a-z-]+"
    table = " ".join(re.findall(r"^\| `--.*", page("architecture.md"), re.M))  # the flags of a stock llama-server
    for option in set(re.findall(options, readme)) - set(re.findall(options, table)) - {"--host", "--port"}:
        t.check(option in page("tightwad.1") + page("tightwad-node.1") + page("tightwad-worker.1") + page("tightwad-swarm.1"), "the README shows %s" % option)


@test("a wrong word gets the nearest right one")
def _(t):
    for words, near in ((("prox",), "proxy"), (("proxy", "strat"), "start"), (("benhc",), "bench"),
                        (("chat", "--dircet", "x"), "--direct"), (("config", "chekc"), "check")):
        code, text = said(TIGHTWAD, *words)
        t.check(code != 0, "tightwad %s was taken" % " ".join(words))
        t.check(near in text, "tightwad %s does not name %s: %r" % (" ".join(words), near, text))


main()

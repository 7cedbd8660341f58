"""The command line answers every slip with what would be right: unknown verbs, options, values, missing servers, -c before and
after the verb."""
from cmdline import *


@test("help of the program and of every verb; the version")
def _(t):
    r = tightwad(t, "--help")
    t.equal(r.code, 0, r)
    verbs = re.findall(r"^  ([a-z]+)  +\S", r.out.split("Options:")[0], re.M)
    for verb in ("bench", "chat", "config", "demo", "doctor", "inspect", "node", "proxy", "worker"):
        t.check(verb in verbs, "%s is not listed: %r" % (verb, verbs))
    for words in [[v] for v in verbs] + [["proxy", "start"], ["proxy", "stop"], ["proxy", "status"], ["bench", "exact"],
                                          ["config", "check"], ["config", "show"]]:
        r = tightwad(t, *(words + ["--help"]))
        t.equal(r.code, 0, r)
        t.check(len(r.out) > 100 and "-h" in r.out, r)
    t.equal(tightwad(t).code, 0)
    t.check(re.match(r"tightwad \d+\.\d+\.\d+\n$", tightwad(t, "--version").out))
    t.check("Usage: tightwad chat" in tightwad(t, "help", "chat").out)


@test("unknown words get the nearest valid one, and status 2")
def _(t):
    for args, hint in ((["docter"], "tightwad doctor"), (["proxy", "strat"], "tightwad proxy start"),
                       (["bench", "exat"], "tightwad bench exact"), (["config", "chek"], "tightwad config check"),
                       (["chat", "--temprature", "1", "x"], "--temperature"), (["demo", "--onec"], "--once"),
                       (["--verion"], "--version"), (["proxy", "status", "-json"], "--json"),
                       (["bench", "exact", "--cuont=3"], "--count")):
        r = tightwad(t, *args)
        t.equal(r.code, 2, r)
        t.check("did you mean `%s`?" % hint in r.err, r)
    r = tightwad(t, "proxy")
    t.check(r.code == 2 and "start" in r.err and "status" in r.err, r)


@test("values out of range name the range")
def _(t):
    for args, says in ((["chat", "-t", "3", "x"], "from 0 to 2"), (["chat", "-n", "0", "x"], "from 1"),
                       (["bench", "--rounds", "no"], "whole number"), (["demo", "--port", "70000"], "65535"),
                       (["bench", "exact", "-t", "0,x"], "from 0 to 2"), (["chat", "--seed"], "--seed N")):
        r = tightwad(t, *args)
        t.equal(r.code, 2, r)
        t.check(says in r.err, r)


@test("-c FILE before and after the verb, and a file that is not there")
def _(t):
    path = os.path.join(t.folder, "x.yaml")
    with open(path, "w") as f:
        f.write("proxy:\n  port: 4321\n")
    for args in (["-c", path, "chat", "hi"], ["chat", "-c", path, "hi"], ["--config", path, "chat", "hi"],
                 ["--config=" + path, "chat", "hi"], ["chat", "hi", "--config=" + path], ["-c" + path, "chat", "hi"]):
        r = tightwad(t, *args)
        t.equal(r.code, 1, r)
        t.check("127.0.0.1:4321" in r.err and "tightwad proxy start" in r.err, r)
    for args in (["-c", path, "proxy", "status"], ["proxy", "-c", path, "status"], ["proxy", "status", "-c", path]):
        r = tightwad(t, *args)
        t.check(r.code == 1 and "tightwad proxy start" in r.err, r)
    r = tightwad(t, "doctor", "-c", os.path.join(t.folder, "missing.yaml"))
    t.check(r.code == 1 and "missing.yaml: there is no such file" in r.out, r)
    r = tightwad(t, "chat", "hi", "-c", os.path.join(t.folder, "missing.yaml"))
    t.check(r.code == 1 and "missing.yaml: error: there is no such file" in r.err, r)


@test("errors of the configuration stop a verb before it starts anything")
def _(t):
    path = os.path.join(t.folder, "x.yaml")
    with open(path, "w") as f:
        f.write("proxy:\n  prot: 4321\n  max_draft_tokens: many\n")
    r = tightwad(t, "-c", path, "proxy", "start")
    t.equal(r.code, 1, r)
    t.check("x.yaml:2" in r.err and "x.yaml:3" in r.err and "port" in r.err, r)
    with open(path, "w") as f:
        f.write("proxy:\n  port: 4321\n")
    r = tightwad(t, "-c", path, "proxy", "start")
    t.check(r.code == 1 and "target" in r.err and "tightwad demo" in r.err, r)


@test("without tightwad-node, node and demo say how to get it")
def _(t):
    alone = os.path.join(t.folder, "bin")
    os.mkdir(alone)
    shutil.copy(TIGHTWAD, alone)
    for args in (["node", "-m", "x.gguf"], ["worker"], ["demo", "--once"]):
        r = subprocess.run([os.path.join(alone, "tightwad")] + args, capture_output=True, text=True, env=environment(t))
        t.equal(r.returncode, 1, r)
        t.check("tightwad-node" in r.stderr and "./bootstrap build" in r.stderr, r.stderr)


main()

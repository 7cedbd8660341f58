"""tightwad bench swarm: the same file from the same peers by the swarm, aria2c and rsync, checked, with figures that can be, and
nothing left behind."""
import bulk_gguf
from cmdline import *


def bench(t, *args, **kw):
    r = tightwad(t, "bench", "swarm", "--json", *args, TMPDIR=t.folder, timeout=120, **kw)
    t.check("Sanitizer" not in r.err and "runtime error:" not in r.err, r)
    return r


def left(t):
    return sorted(n for n in os.listdir(t.folder) if n.startswith("tightwad-"))


@test("every row that is installed fetches the file; time, memory and bytes are told; the folder is empty again")
def _(t):
    r = bench(t, "--size", "12", "--peers", "2", "--runs", "1")
    t.equal((r.code, r.err), (0, ""), r)
    o = r.json()
    t.check(11 << 20 < o["bytes"] <= 12 << 20, o["bytes"])
    t.equal((o["peers"], o["emulated_link"]), (2, False))
    for name in ("swarm", "aria2c", "rsync"):
        row = o[name]
        t.equal(row is not None, name == "swarm" or shutil.which(name) is not None, name)
        if row is None:
            t.note("%s is not installed" % name)
            continue
        t.equal((row["failure"], row["runs"], len(row["all_seconds"])), (None, 1, 1), row)
        t.check(row["seconds"] > 0 and row["cpu_seconds"] >= 0, row)
        t.less(1 << 20, row["memory"])
    t.check(o["swarm"]["slowest_ms"] >= 0 and o["peer_slowest_ms"] >= 0, o)
    t.equal(o["swarm_to_aria2c"] is None, shutil.which("aria2c") is None)
    t.equal(left(t), [])


@test("a model of one's own over an emulated link, and nothing of it is touched")
def _(t):
    path = os.path.join(t.folder, "mine.gguf")
    bulk_gguf.write(path, 2 << 20, layers=2)
    before = os.stat(path)
    r = bench(t, path, "--peers", "1", "--runs", "1", "--only", "swarm", "--link", "1,400")
    t.equal((r.code, r.err), (0, ""), r)
    o = r.json()
    t.equal((o["bytes"], o["emulated_link"], o.get("aria2c"), o["swarm"]["failure"]), (before.st_size, True, None, None))
    after = os.stat(path)
    t.equal((after.st_ino, after.st_mtime_ns, after.st_size), (before.st_ino, before.st_mtime_ns, before.st_size))
    t.equal(sorted(n for n in os.listdir(t.folder) if "mine" in n), ["mine.gguf"])
    t.equal(left(t), [])


@test("words for people; what is wrong is told before anything is started")
def _(t):
    r = tightwad(t, "bench", "swarm", "--size", "2", "--runs", "1", "--peers", "1", "--only", "swarm", TMPDIR=t.folder)
    t.check(r.code == 0 and re.search(r"swarm +[\d.]+ s +\d+ MB/s", r.out) and "held at most" in r.out, r)
    for args, code, words in ((("--only", "rsnyc"), 2, "rsnyc"), (("--peers", "0"), 2, "peers"), (("--link", "x"), 2, "link"),
                              ((os.path.join(t.folder, "none.gguf"),), 1, "none.gguf")):
        r = bench(t, *args)
        t.check(r.code == code and words in r.err, r)
    t.equal(left(t), [])


main()

"""tightwad manifest: a model's pieces are hashed once and right, the id is what anybody can compute from the file, and nothing that a
stranger wrote into a manifest is believed or reaches the terminal."""
import hashlib

import bulk_gguf
from cmdline import *

SUFFIX = ".tightwad.manifest"


def run(t, *args, **env):
    r = tightwad(t, "manifest", *args, XDG_CACHE_HOME=None, **env)
    t.check("Sanitizer" not in r.err and "runtime error:" not in r.err, r)
    return r


def put(t, name="m.gguf", size=3 << 20, age=100, **kw):
    """A model that has not changed for some time."""
    path = os.path.join(t.folder, name)
    bulk_gguf.write(path, size, layers=4, **kw)
    then = time.time() - age
    os.utime(path, (then, then))
    return path


def load(path):
    with open(path + SUFFIX, encoding="utf-8") as f:
        return json.load(f)


def id_of(m):
    m = json.loads(json.dumps(m))
    m.pop("id"), m.pop("filename"), m["metadata"].pop("compatible_drafters", None)
    return hashlib.sha256(json.dumps(m, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


@test("create: pieces without gap, each with its hash, and the id that doc/manifest.md tells how to compute")
def _(t):
    path = put(t)
    r = run(t, "create", path, "--json", "--drafters", "tiny,other")
    t.equal((r.code, r.err), (0, ""), r)
    m, said = load(path), r.json()
    with open(path, "rb") as f:
        data = f.read()
    at = 0
    for i, p in enumerate(m["pieces"]):
        t.equal((p["index"], p["offset"]), (i, at))
        t.equal(p["sha256"], hashlib.sha256(data[at:at + p["size"]]).hexdigest(), "piece %d" % i)
        at += p["size"]
    t.equal((at, m["total_size"], said["bytes"], said["hashed"]), (len(data),) * 4)
    t.equal(m["id"], id_of(m))
    t.equal((said["id"], said["manifest"], said["pieces"]), (m["id"], path + SUFFIX, len(m["pieces"])))
    t.equal(len(m["pieces"]), 7, "header, embeddings, four layers, output")
    t.equal(m["metadata"]["compatible_drafters"], ["tiny", "other"])
    t.equal((m["model"], m["filename"], m["metadata"]["architecture"]), ("Bulk 1", "m.gguf", "llama"))
    t.equal(run(t, "show", path, "--json").json(), m)
    t.check("all 7 pieces are right" in run(t, "verify", path).out)


@test("a file that is as it was is not hashed again, also under another name; one that changed is")
def _(t):
    path = put(t)
    first = run(t, "create", path, "--json").json()
    t.equal(run(t, "create", path, "--json").json()["hashed"], 0)
    other = os.path.join(t.folder, "other.gguf")
    os.rename(path, other)
    again = run(t, "create", other, "--json").json()
    t.equal((again["hashed"], again["id"], load(other)["filename"]), (0, first["id"], "other.gguf"))
    t.equal(run(t, "create", other, "--again", "--json").json()["hashed"], first["bytes"])
    with open(other, "r+b") as f:
        f.seek(-5, 2)
        f.write(b"other")
    changed = run(t, "create", other, "--json").json()
    t.equal(changed["hashed"], first["bytes"])
    t.check(changed["id"] != first["id"])


@test("an edited template and a changed tensor each change one piece and no other")
def _(t):
    size = 24 << 20
    ids = {}
    for name, kw in (("old", {}), ("template", {"template": "{{ other }} and longer " * 40})):
        path = put(t, name + ".gguf", size, **kw)
        run(t, "create", path)
        ids[name] = [p["sha256"] for p in load(path)["pieces"]]
    t.equal(ids["template"][1:], ids["old"][1:])
    t.check(ids["template"][0] != ids["old"][0])
    path = put(t, "tensor.gguf", size)
    with open(path, "r+b") as f:
        f.seek(size // 2)
        f.write(b"changed")
    run(t, "create", path)
    tensor = [p["sha256"] for p in load(path)["pieces"]]
    t.equal(sum(a != b for a, b in zip(tensor, ids["old"])), 1)


@test("verify names the pieces that are wrong, and a file of another size at once")
def _(t):
    path = put(t)
    run(t, "create", path)
    m = load(path)
    with open(path, "r+b") as f:
        for i in (2, 5):
            f.seek(m["pieces"][i]["offset"] + 9)
            f.write(b"damaged")
    r = run(t, "verify", path, "--json")
    t.equal((r.code, r.json()["ok"], r.json()["wrong"]), (1, False, [2, 5]), r)
    r = run(t, "verify", path)
    t.check(r.code == 1 and "piece 2:" in r.out and "piece 5:" in r.out and "piece 3:" not in r.out, r)
    good = put(t, "good.gguf")
    t.equal(run(t, "verify", good, "--manifest", path + SUFFIX).code, 0)
    t.equal(run(t, "create", good, "--json").json()["hashed"], 0, "what was found right is known")
    with open(path, "ab") as f:
        f.write(b"more")
    r = run(t, "verify", path)
    t.check(r.code == 1 and "another file" in r.err, r)


@test("a manifest that lies, or would speak to the terminal, is refused by name")
def _(t):
    path = put(t)
    run(t, "create", path)
    good = load(path)

    def refused(change, words):
        m = json.loads(json.dumps(good))
        m.pop("id")
        change(m)
        with open(path + SUFFIX, "w") as f:
            json.dump(m, f)
        for args in (("show", path + SUFFIX), ("verify", path)):
            r = run(t, *args)
            t.check(r.code == 1 and words in r.err and "\x1b" not in r.err and r.out == "", r)
    refused(lambda m: m["pieces"][1].update(offset=0), "pieces[1].offset")
    refused(lambda m: m["pieces"][1].update(size=1 << 40), "pieces[1].size")
    refused(lambda m: m["pieces"].pop(), "total_size")
    refused(lambda m: m.update(filename="../../etc/passwd.gguf"), "filename")
    refused(lambda m: m.update(filename="/etc/x.gguf"), "filename")
    refused(lambda m: m.update(model="\x1b]0;title\x07"), "model")
    refused(lambda m: m.update(id="0" * 64), "id: ")


@test("split models have a manifest for each file, also where the later ones say nothing of the model")
def _(t):
    first = put(t, "m-00001-of-00002.gguf")
    second = put(t, "m-00002-of-00002.gguf", kv={"split.no": 1, "split.count": 2, "split.tensors.count": 40})
    stray = put(t, "stray.gguf", kv={"general.name": "who?"})
    r = run(t, "create", first, second, "--json")
    t.equal((r.code, r.err), (0, ""), r)
    a, b = load(first), load(second)
    t.equal([p["sha256"] for p in a["pieces"]][1:], [p["sha256"] for p in b["pieces"]][1:])
    t.check(a["id"] != b["id"] and b["metadata"].get("architecture") is None, b["metadata"])
    r = run(t, "create", stray)
    t.check(r.code == 1 and "architecture" in r.err, r)


@test("on a terminal a bar shows how far it is, and the line is gone at the end")
def _(t):
    path = put(t, size=40 << 20)
    for verb, words in (("create", "hashed    in"), ("verify", "pieces are right")):
        term = Terminal(t, "manifest", verb, path, XDG_CACHE_HOME=None)
        term.expect(words)
        t.equal(term.wait(), 0)
        t.check(re.search(r"m\.gguf \[=+\] 100 %  [\d.]+ [KMG]iB/s  0:00\x1b\[K\r\x1b\[K", term.text), repr(term.text))


@test("what is no model, and a folder that takes no manifest")
def _(t):
    for name, data in (("x.gguf", b"GGUX" * 100), ("empty.gguf", b"")):
        path = os.path.join(t.folder, name)
        with open(path, "wb") as f:
            f.write(data)
        r = run(t, "create", path)
        t.check(r.code == 1 and name in r.err and r.out == "", r)
    t.check("no such file" in run(t, "create", "/nowhere/m.gguf").err)
    path = put(t)
    t.check("tightwad manifest create" in run(t, "show", path).err)
    os.mkdir(path + SUFFIX)
    r = run(t, "create", path)
    t.check(r.code == 0 and "in the cache alone" in r.out, r)
    t.check("stored" in run(t, "show", path).out)
    r = run(t, "create", path, path, "/nowhere/m.gguf", "--drafters", ",")
    t.equal(r.code, 2, r)


main()

"""With another version of a model on the disk only what differs is fetched, and what that is, is told before."""
import filecmp
import hashlib
import os
import shutil
import tempfile

import bulk_gguf
from fake_peer import FakePeer
from harness import *
from pulls import MIB, SUFFIX, event, finish, make_model, manifest_of, pull

OLD, OLD_MANIFEST = make_model(shared.folder, "old.gguf", 96 * MIB, layers=30)
TOTAL = OLD_MANIFEST["total_size"]


def folder_with_old(t, manifest=True):
    """A model folder with the old version in it, under its own name."""
    folder = tempfile.mkdtemp(dir=t.folder)
    os.link(OLD, os.path.join(folder, "old.gguf"))
    if manifest:
        os.link(OLD + SUFFIX, os.path.join(folder, "old.gguf" + SUFFIX))
    return folder


def new_version(t, name="new.gguf", **kw):
    return make_model(tempfile.mkdtemp(dir=t.folder), name, 96 * MIB, **dict({"layers": 30}, **kw))


def hashes(manifest):
    return {p["sha256"] for p in manifest["pieces"]}


@test("an edited chat template moves under 1 % of the bytes")
def _(t):
    path, manifest = new_version(t, template="{% for m in messages %}" + "{{ m.content }}" * 300 + "{% endfor %}")
    t.check(manifest["total_size"] != TOTAL, "nothing has moved in the file")
    for known in (True, False):
        peer, dest = t.own(FakePeer(manifest, path)), folder_with_old(t, known)
        p = pull(t, manifest["id"], [peer], dest)
        estimate = event(p, "estimate")
        done = finish(t, p)
        t.equal(done["event"], "done")
        sent = sum(peer.reset().values())
        t.less(sent, TOTAL / 100, "bytes of pieces that were sent")
        t.equal((estimate["fetch"], estimate["local"]), (sent, manifest["total_size"] - sent))
        t.equal((done["fetched"], done["copied"]), (sent, manifest["total_size"] - sent))
        t.check(filecmp.cmp(path, os.path.join(dest, "new.gguf"), shallow=False), "the file differs")
        t.check(filecmp.cmp(OLD, os.path.join(dest, "old.gguf"), shallow=False), "the old file was touched")
        t.note("%d bytes sent for %d (%.3f %%)%s" % (sent, TOTAL, 100 * sent / TOTAL,
                                                     "" if known else ", the old version was not known before"))


@test("what another version only promises is fetched, and not told as copied")
def _(t):
    path, manifest = new_version(t, template="{{ messages }}" * 300)
    peer, dest = t.own(FakePeer(manifest, path)), tempfile.mkdtemp(dir=t.folder)
    copy = shutil.copy(OLD, os.path.join(dest, "old.gguf"))
    when = os.stat(OLD).st_mtime_ns - 10**12
    os.utime(copy, ns=(when, when))
    manifest_of(copy)
    with open(copy, "r+b") as f:
        f.seek(OLD_MANIFEST["pieces"][11]["offset"])
        f.write(b"a disk forgets")
    os.utime(copy, ns=(when, when))
    p = pull(t, manifest["id"], [peer], dest)
    estimate, done = event(p, "estimate"), finish(t, p)
    lost = OLD_MANIFEST["pieces"][11]["size"]
    t.equal((done["event"], done["copied"], done["fetched"]), ("done", estimate["local"] - lost, estimate["fetch"] + lost))
    t.check(filecmp.cmp(path, os.path.join(dest, "new.gguf"), shallow=False), "the file differs")


@test("one changed tensor moves that tensor's pieces and no others")
def _(t):
    folder = tempfile.mkdtemp(dir=t.folder)
    path = os.path.join(folder, "new.gguf")
    bulk_gguf.write(path, 96 * MIB, layers=30)
    at = OLD_MANIFEST["pieces"][11]["offset"] + 4096
    with open(path, "r+b") as f:
        f.seek(at)
        f.write(b"another value")
    manifest = manifest_of(path)
    changed = {i for i, p in enumerate(manifest["pieces"]) if p["sha256"] not in hashes(OLD_MANIFEST)}
    t.equal(changed, {11})
    peer, dest = t.own(FakePeer(manifest, path)), folder_with_old(t)
    t.equal(finish(t, pull(t, manifest["id"], [peer], dest))["event"], "done")
    t.equal(set(peer.reset()), changed)
    t.check(filecmp.cmp(path, os.path.join(dest, "new.gguf"), shallow=False), "the file differs")


@test("a re-quantised model is another one: the estimate says so, and nothing moves until it is wanted")
def _(t):
    path, manifest = new_version(t, seed=2)
    peer, dest = t.own(FakePeer(manifest, path)), folder_with_old(t)
    p = pull(t, manifest["id"], [peer], dest, "--estimate")
    estimate = event(p, "estimate")
    t.equal(p.wait(20), 0)
    t.equal((estimate["fetch"], estimate["local"]), (manifest["total_size"], 0))
    t.check(estimate["room"] > 0, estimate)
    t.equal(sum(peer.reset().values()), 0, "it was fetched all the same")
    t.check(not os.path.exists(os.path.join(dest, "new.gguf")), "it is there")


def part_of_old(t):
    """A folder with a .part of the old version, the pieces that it has, and the peer that they came from."""
    old, dest = t.own(FakePeer(OLD_MANIFEST, OLD)), tempfile.mkdtemp(dir=t.folder)
    old.limit = 60 * MIB
    p = pull(t, OLD_MANIFEST["id"], [old], dest, "--no-local")
    wait_until("a part of it", lambda: sum(old.sent.values()) >= 40 * MIB, 30)
    p.kill()
    with open(os.path.join(dest, "old.gguf.part.map")) as f:
        had = {i for i, c in enumerate(f.read().split("\n")[3]) if c == "1"}
    t.check(had, "nothing was had at that moment")
    return dest, had, old


def contents(folder):
    """By name, what is in the files of a folder."""
    found = {}
    for name in os.listdir(folder):
        with open(os.path.join(folder, name), "rb") as f:
            found[name] = hashlib.sha256(f.read()).hexdigest()
    return found


@test("an estimate leaves the .part of another version as it is, and its pull goes on from there")
def _(t):
    path, manifest = new_version(t, name="old.gguf", template="another")
    new = t.own(FakePeer(manifest, path))
    dest, had, old = part_of_old(t)
    before = contents(dest)
    for more in ([], ["--layers", "2-3"]):
        p = pull(t, manifest["id"], [new], dest, "--no-local", "--estimate", *more)
        estimate = event(p, "estimate")
        t.equal(p.wait(20), 0)
        t.check(more or estimate["have"] > 0, "nothing of the .part would be of use: %s" % estimate)
        t.equal(contents(dest), before)
    old.reset()
    old.limit = None
    t.equal(finish(t, pull(t, OLD_MANIFEST["id"], [old], dest, "--no-local"))["event"], "done")
    t.equal(set(old.reset()) & had, set(), "pieces that were here came again")
    t.check(filecmp.cmp(OLD, os.path.join(dest, "old.gguf"), shallow=False), "the file differs")


@test("the .part of another version is taken over, and replaced")
def _(t):
    path, manifest = new_version(t, name="old.gguf", template="another")
    new = t.own(FakePeer(manifest, path))
    dest, had, _ = part_of_old(t)
    t.equal(finish(t, pull(t, manifest["id"], [new], dest, "--no-local"))["event"], "done")
    again = {manifest["pieces"][i]["sha256"] for i in new.reset()}
    t.equal(again & {OLD_MANIFEST["pieces"][i]["sha256"] for i in had}, set(), "pieces that were here came again")
    t.check(filecmp.cmp(path, os.path.join(dest, "old.gguf"), shallow=False), "the file differs")
    t.equal(sorted(os.listdir(dest)), ["old.gguf", "old.gguf" + SUFFIX])


@test("a complete file of that name with other bytes stays as it is")
def _(t):
    path, manifest = new_version(t, name="old.gguf", template="another")
    peer, dest = t.own(FakePeer(manifest, path)), folder_with_old(t)
    failed = finish(t, pull(t, manifest["id"], [peer], dest))
    t.check("is there and is not this model" in failed["why"], failed["why"])
    t.check(filecmp.cmp(OLD, os.path.join(dest, "old.gguf"), shallow=False), "the file was touched")
    t.equal(sorted(os.listdir(dest)), ["old.gguf", "old.gguf" + SUFFIX])


main()

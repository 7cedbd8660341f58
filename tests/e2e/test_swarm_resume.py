"""A pull that is killed, meets a full disk, or finds its notes and its file damaged goes on: no piece that was verified is
fetched a second time, nothing is lost, and the file is right."""
import filecmp
import os
import random
import signal
import subprocess
import tempfile

from fake_peer import FakePeer
from harness import *
from pulls import MIB, event, fill_disk, finish, make_model
from pulls import pull as pull_of

MODEL, MANIFEST = make_model(shared.folder, "model.gguf", 96 * MIB, layers=90)
PIECES = MANIFEST["pieces"]


def pull(t, peer, dest):
    return pull_of(t, MANIFEST["id"], [peer], dest, "--no-local")


def digits(dest):
    """The pieces that the map names; none where there is no map yet."""
    if not os.path.exists(os.path.join(dest, "model.gguf.part.map")):
        return set()
    with open(os.path.join(dest, "model.gguf.part.map")) as f:
        lines = f.read().split("\n")
    return {i for i, c in enumerate(lines[3]) if c == "1"}


def check_whole(t, dest):
    t.check(filecmp.cmp(MODEL, os.path.join(dest, "model.gguf"), shallow=False), "the file differs")
    t.equal(sorted(os.listdir(dest)), ["model.gguf", "model.gguf.tightwad.manifest"])


@test("killed twenty times at any moment, a pull goes on each time; no verified piece comes twice")
def _(t):
    rng = random.Random(7)
    peer = t.own(FakePeer(MANIFEST, MODEL, rate=40 * MIB))
    dest, had, kills, total = tempfile.mkdtemp(dir=t.folder), set(), 0, 0
    part = os.path.join(dest, "model.gguf.part")
    while kills < 20:
        # Some are killed while what is there is verified, most at a number of bytes.
        moment = rng.choice([0, 1, 1, 1]) * rng.randrange(7 * MIB)
        peer.limit = moment + MIB  # so that it is never whole before the last, however late the kill comes
        p = pull(t, peer, dest)
        wait_until("%d bytes" % moment, lambda: sum(peer.sent.values()) >= moment and os.path.exists(part), 30)
        p.kill()
        kills += 1
        sent = peer.reset()
        again = had & set(sent)
        t.equal({i: sent[i] for i in again}, {}, "verified pieces that were sent again after kill %d" % kills)
        total += sum(sent.values())
        had |= digits(dest)
    t.check(0 < len(had) < len(PIECES), "the kills were not in the middle: %d of %d" % (len(had), len(PIECES)))
    peer.limit = None
    done = finish(t, pull(t, peer, dest))
    sent = peer.reset()
    t.equal(had & set(sent), set(), "verified pieces that were sent again")
    t.equal(done["event"], "done")
    check_whole(t, dest)
    t.note("%d of %d pieces had at the last kill, %.1f MiB sent in all for %.1f" %
           (len(had), len(PIECES), (total + sum(sent.values())) / MIB, MANIFEST["total_size"] / MIB))


@test("a map that lies, is cut or is gone, and a file that is damaged: what is on the disk counts")
def _(t):
    peer = t.own(FakePeer(MANIFEST, MODEL, rate=60 * MIB))
    dest = tempfile.mkdtemp(dir=t.folder)
    part, map_ = os.path.join(dest, "model.gguf.part"), os.path.join(dest, "model.gguf.part.map")
    peer.limit = 56 * MIB  # it is never whole before it is killed
    p = pull(t, peer, dest)
    wait_until("half of it", lambda: sum(peer.sent.values()) >= 48 * MIB, 30)
    p.kill()
    had = digits(dest)
    t.check(len(had) > 5, "too few pieces: %r" % had)
    hurt = sorted(had)[2]
    with open(part, "r+b") as f:  # as if that block had never reached the disk
        f.seek(PIECES[hurt]["offset"] + PIECES[hurt]["size"] // 2)
        f.write(bytes(4096))
    with open(map_, "r+") as f:  # and the map were of another moment
        text = f.read()
        line = text.split("\n")[3]
        flipped = "".join("1" if c == "0" else "0" for c in line)
        f.seek(text.index(line))
        f.write(flipped)
    peer.reset()
    peer.limit = 8 * MIB
    p = pull(t, peer, dest)
    wait_until("more", lambda: sum(peer.sent.values()) >= 4 * MIB, 30)
    p.kill()
    sent = peer.reset()
    t.equal(set(sent) & had - {hurt}, set(), "pieces that were on the disk came again")
    now = digits(dest)
    t.check(had - {hurt} <= now, "the map has not been put right")
    had |= now
    os.truncate(map_, 30)
    p = pull(t, peer, dest)
    wait_until("more", lambda: sum(peer.sent.values()) >= 4 * MIB, 30)
    p.kill()
    t.equal(set(peer.reset()) & had - {hurt}, set(), "pieces that were on the disk came again")
    had |= digits(dest)
    os.unlink(map_)
    peer.limit = peer.rate = None
    t.equal(finish(t, pull(t, peer, dest))["event"], "done")
    t.equal(set(peer.reset()) & had - {hurt}, set(), "pieces that were on the disk came again")
    check_whole(t, dest)


@test("a full disk: said before the transfer where it shows, else waited out with all pieces kept")
def _(t):
    if os.geteuid() != 0:
        t.note("skipped: mounting a small file system needs root")
        return
    peer = t.own(FakePeer(MANIFEST, MODEL))
    dest = tempfile.mkdtemp(dir=t.folder)
    mount = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=110m", "tmpfs", dest])
    if mount.returncode != 0:
        t.note("skipped: nothing can be mounted here")
        return
    try:
        ballast = os.path.join(dest, "ballast")
        with open(ballast, "wb") as f:
            f.write(bytes(60 * MIB))
        p = pull(t, peer, dest)
        t.equal(p.wait(30), 1)
        failed = event(p, "failed")
        t.check("needs" in failed["why"] and "are free" in failed["why"], failed["why"])
        t.equal(sum(peer.reset().values()), 0, "it was fetched all the same")

        os.unlink(ballast)
        peer.limit = 30 * MIB
        p = pull(t, peer, dest)
        wait_until("some pieces", lambda: len(digits(dest)) > 5, 30)
        fill_disk(ballast)  # somebody else does, meanwhile
        peer.limit = None
        line = p.wait_line(r"no room is left", 30)
        had = digits(dest)
        t.check(had, "no piece was kept")
        t.check(p.running(), "it has given up")
        peer.reset()
        os.unlink(ballast)
        done = finish(t, p)
        t.equal(done["event"], "done")
        t.equal(set(peer.reset()) & had, set(), "verified pieces that were sent again")
        os.sync()
        check_whole(t, dest)
        t.note(line.string)
    finally:
        for p in t.processes:
            p.kill()
        subprocess.run(["umount", dest])


@test("two processes never work on one file: the second says who does")
def _(t):
    peer = t.own(FakePeer(MANIFEST, MODEL))
    peer.limit = 30 * MIB
    dest = tempfile.mkdtemp(dir=t.folder)
    first = pull(t, peer, dest)
    wait_until("its first bytes", lambda: sum(peer.sent.values()) > 0, 30)
    second = pull(t, peer, dest)
    t.equal(second.wait(20), 1)
    second.wait_line("process %d is working on it" % first.pid)
    peer.limit = None
    t.equal(finish(t, first)["event"], "done")
    check_whole(t, dest)


@test("Ctrl-C keeps what has come, and nothing else is left behind")
def _(t):
    peer = t.own(FakePeer(MANIFEST, MODEL))
    peer.limit = 30 * MIB
    dest = tempfile.mkdtemp(dir=t.folder)
    p = pull(t, peer, dest)
    wait_until("some pieces", lambda: len(digits(dest)) > 5, 30)
    p.signal(signal.SIGINT)
    event(p, "stopped")
    p.wait(10)
    t.equal(sorted(os.listdir(dest)), ["model.gguf.part", "model.gguf.part.map"])
    had = digits(dest)
    t.check(had, "nothing was kept")
    peer.reset()
    peer.limit = None
    t.equal(finish(t, pull(t, peer, dest))["event"], "done")
    t.equal(set(peer.reset()) & had, set(), "verified pieces that were sent again")
    check_whole(t, dest)


main()

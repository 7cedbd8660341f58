"""A pull takes pieces from many peers at once, pullers pass on what they have, and peers that go, come or stand still cost
time and nothing else."""
import filecmp
import json
import os
import tempfile

from common import SANITIZED
from harness import *
from pulls import MIB, event, finish, make_model, pull
from swarms import Seeder

MODEL, MANIFEST = make_model(shared.folder, "model.gguf", 48 * MIB, layers=30)
SIZE, MEMORY_MAX = MANIFEST["total_size"], 64 * MIB


def seed(t, *args, port=None, name="seeder"):
    return t.own(Seeder(t.folder, [MODEL], args, port=port, name=name)).ready()


def sent_by(process):
    """Bytes of pieces that it gave, as it tells when it is stopped."""
    process.expected_end = True
    process.signal(15)
    stopped = json.loads(process.wait_line(r'^\{"event":"stopped".*').group(0))
    process.wait()
    return stopped["sent"]


def most_memory(process):
    with open("/proc/%d/status" % process.pid) as f:
        return next(int(line.split()[1]) * 1024 for line in f if line.startswith("VmHWM:"))


def check_file(t, dest):
    t.check(filecmp.cmp(MODEL, os.path.join(dest, "model.gguf"), shallow=False), "the file differs")


@test("three peers give a part each, and nothing comes twice")
def _(t):
    seeders = [seed(t, "--upload-limit", "20MiB", name="seeder %d" % i) for i in range(3)]
    dest = tempfile.mkdtemp(dir=t.folder)
    done = finish(t, pull(t, MANIFEST["id"], seeders, dest, "--no-local"))
    check_file(t, dest)
    t.equal((done["fetched"], done["wasted"]), (SIZE, 0))
    sent = [sent_by(s) for s in seeders]
    t.check(min(sent) > SIZE / 10, "sent: %s" % sent)
    t.less(sum(sent), SIZE * 1.1, "sent by all")


@test("four pull from one slow seeder at once: what it sends goes round among them")
def _(t):
    seeder = seed(t, "--upload-limit", "12MiB")
    dests = [tempfile.mkdtemp(dir=t.folder) for _ in range(4)]
    pullers = [pull(t, MANIFEST["id"], [seeder], dest, "--no-local", "--seed") for dest in dests]
    done = [event(p, "done|failed", 90) for p in pullers]
    for d, dest in zip(done, dests):
        t.equal((d["event"], d["fetched"]), ("done", SIZE))
        check_file(t, dest)
    memory = [most_memory(p) for p in pullers + [seeder]]
    if not SANITIZED:
        t.less(max(memory), MEMORY_MAX, "memory of a process at most")
    passed_on = sum(d["sent"] for d in done)  # by the time that they were complete
    sent = sent_by(seeder)
    t.note("the seeder sent %.2f times the file, the pullers %.2f times, memory %s MiB" %
           (sent / SIZE, passed_on / SIZE, [m >> 20 for m in memory]))
    t.less(sent, 2 * SIZE, "sent by the seeder: four times the file without the pullers' help")
    t.check(passed_on > 1.5 * SIZE, "sent by the pullers: %d" % passed_on)


@test("the only seeder is killed and comes back: the pull waits, says so, and goes on with what it has")
def _(t):
    seeder = seed(t, "--upload-limit", "16MiB")
    dest = tempfile.mkdtemp(dir=t.folder)
    p = pull(t, MANIFEST["id"], [seeder], dest, "--no-local")
    p.wait_line(r'"event":"progress".*"have":[1-9]')
    seeder.kill()
    waiting = json.loads(p.wait_line(r'^\{"event":"progress".*"state":"waiting".*').group(0))
    t.check(seeder.address in waiting["why"], waiting["why"])
    t.check(waiting["have"] > 0, waiting)
    seed(t, port=seeder.port, name="seeder again")
    done = finish(t, p)
    check_file(t, dest)
    t.equal(done["fetched"] - done["wasted"], SIZE)
    t.less(done["wasted"], 8 * MIB, "bytes that were under way when it was killed")


@test("a peer that stands still in the middle holds nobody up")
def _(t):
    still, other = seed(t, "--upload-limit", "8MiB", name="still"), seed(t, "--upload-limit", "8MiB", name="other")
    dest = tempfile.mkdtemp(dir=t.folder)
    p = pull(t, MANIFEST["id"], [still, other], dest, "--no-local")
    p.wait_line(r'"event":"progress".*"have":[1-9]')
    still.freeze()
    t.less(finish(t, p)["wasted"], 2 * MIB, "bytes that came twice")
    check_file(t, dest)
    still.thaw()
    t.check(sent_by(other) > SIZE / 2)


@test("a limit of what is fetched is kept")
def _(t):
    seeder = seed(t)
    dest = tempfile.mkdtemp(dir=t.folder)
    done = finish(t, pull(t, MANIFEST["id"], [seeder], dest, "--no-local", "--download-limit", "24MiB"))
    check_file(t, dest)
    t.check(done["seconds"] > 0.8 * SIZE / (24 * MIB), "it took %g s" % done["seconds"])


main()

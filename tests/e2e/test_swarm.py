"""`tightwad swarm seed` and `swarm pull` do for a user what they say: a model comes by its name, its id, the URL of a peer, a
manifest or the local network; one peer is enough to find the rest; who pulls gives on what it has; what is asked wrong is
answered in words."""
import base64

import bulk_gguf
from cmdline import *
from cmdline import Terminal as Pseudo
from fake_peer import FakePeer
from swarms import *

MIB = 1 << 20


def folder(t, *names):
    """A folder of the test's, in its own for each name."""
    path = os.path.join(t.folder, *names)
    os.makedirs(path, exist_ok=True)
    return path


def home(t, name):
    """The variables of a machine of its own: nothing that lies with the others is found there."""
    run = folder(t, name, "run")
    os.chmod(run, 0o700)
    return {"HOME": folder(t, name), "XDG_CACHE_HOME": folder(t, name, "cache"), "XDG_RUNTIME_DIR": run,
            "XDG_CONFIG_HOME": folder(t, name, "config"), "XDG_DATA_HOME": folder(t, name, "data")}


def pull(t, what, *args, name="here", **kw):
    """To its end, as JSON lines: the last one, and all."""
    dest = folder(t, name, "models")
    r = tightwad(t, "swarm", "pull", what, "--dest", dest, "--listen", "127.0.0.1:0", "--no-discovery", "--json", *args,
                 **home(t, name), **kw)
    lines = [json.loads(line) for line in r.out.splitlines()]
    t.check(lines, r)
    return lines[-1], lines


class Puller(Process):
    """A pull that goes on beside the test."""

    def __init__(self, t, what, *args, name="puller", discovery=False):
        self.port, self.dest = free_port(), folder(t, name, "models")
        self.address, self.url = "127.0.0.1:%d" % self.port, "http://127.0.0.1:%d" % self.port
        quiet = [] if discovery else ["--no-discovery"]
        self.home = home(t, name)
        super().__init__([TIGHTWAD, "swarm", "pull", what, "--dest", self.dest, "--listen", self.address, "--json", *quiet,
                          *args], name=name, env=self.home)

    def event(self, name, timeout=60, after=0):
        return json.loads(self.wait_line(r'^\{"event":"%s".*\}$' % name, timeout, after).group(0))

    def had(self, id):
        """The pieces that it gives out, by the first line of its stream."""
        try:
            conn = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20 * SLOWER)
            conn.request("GET", "/v1/swarm/%s/events" % id)
            bits = base64.b64decode(json.loads(conn.getresponse().readline())["hello"]["have"])
        except (OSError, KeyError, ValueError):  # it does not listen yet, or does not have the model yet
            return set()
        finally:
            conn.close()
        return {i for i in range(8 * len(bits)) if bits[i // 8] & 0x80 >> i % 8}

    def view(self):
        """What `swarm status` tells of it."""
        r = subprocess.run([TIGHTWAD, "swarm", "status", "--json"], env=dict(os.environ, **self.home), capture_output=True,
                           text=True, timeout=20 * SLOWER)
        return json.loads(r.stdout) if r.stdout else {"peers": [], "models": []}


def same(t, path, other):
    t.equal(sha256_of(path), sha256_of(other), "another file came")


def one_model(t, size=12 * MIB, **kw):
    return model_file(folder(t, "there"), size, **kw)


def there(t, models, *args, **kw):
    return seeder(t, models, args, folder=folder(t, "there"), **kw)


@test("a model comes by its name, its id, a peer's URL, a manifest's file; then nothing has to move any more")
def _(t):
    model = one_model(t)
    s = there(t, [model])
    ways = [("bulk-1", "--peer", s.address), ("BULK-1.gguf", "--peer", "http://%s/" % s.address), (s.id, "--peer", s.address),
            ("sha256:" + s.id.upper(), "--peer", s.address), ("http://%s/bulk-1.gguf" % s.address,),
            ("http://%s/bulk-1" % s.address,), ("http://%s/v1/swarm/%s" % (s.address, s.id),),
            (model + ".tightwad.manifest", "--peer", s.address)]
    for i, way in enumerate(ways):
        last, lines = pull(t, *way, name="way%d" % i)
        t.equal((last["event"], last["id"], last["fetched"]), ("done", s.id, os.path.getsize(model)), way)
        estimate = next(e for e in lines if e["event"] == "estimate")
        t.equal((estimate["have"], estimate["local"], estimate["fetch"]), (0, 0, os.path.getsize(model)), way)
        same(t, last["path"], model)
        left = sorted(os.listdir(os.path.dirname(last["path"])))
        t.equal(left, ["bulk-1.gguf", "bulk-1.gguf.tightwad.manifest"], way)
    last, _ = pull(t, s.id, "--peer", s.address, name="way0")
    t.equal((last["event"], last["fetched"]), ("done", 0))


@test("a name that stands for different models pulls none of them, and lists them with what would be right")
def _(t):
    a = there(t, [one_model(t)])
    other = model_file(folder(t, "elsewhere"), 12 * MIB, seed=2)
    os.rename(other, os.path.join(folder(t, "elsewhere"), "bulk-1.gguf"))
    b = seeder(t, [os.path.join(folder(t, "elsewhere"), "bulk-1.gguf")], folder=folder(t, "elsewhere"), name="elsewhere")
    last, _ = pull(t, "bulk-1", "--peer", a.address, "--peer", b.address)
    t.equal(last["event"], "failed")
    for word in (a.id, b.id, a.address, b.address, "by its id"):
        t.check(word in last["why"], "%r is not in %s" % (word, last["why"]))
    t.equal(os.listdir(folder(t, "here", "models")), [])
    last, _ = pull(t, b.id, "--peer", a.address, "--peer", b.address)
    t.equal((last["event"], last["id"]), ("done", b.id))


@test("what can't be is said in words, with a status that tells so")
def _(t):
    model = one_model(t)
    s = there(t, [model])
    dead = free_port()
    for args, words in ((("nothing", "--peer", s.address), '"nothing": the only peer that answers does not have it; there is bulk-1.gguf'),
                        (("nothing",), "no peer is given"),
                        (("nothing", "--peer", "127.0.0.1:%d" % dead), "127.0.0.1:%d does not answer" % dead),
                        (("f" * 64, "--peer", s.address), "does not have it"),
                        ((s.url + "/x/y.zip",), "is the URL of no model"),
                        (("/etc/passwd",), "no manifest"),
                        (("bulk-1", "--peer", "https://x"), "plain http"),
                        (("bulk-1", "--peer", "a b"), "a b"),
                        (("bulk-1", "--layers", "5-2", "--peer", s.address), "--layers"),
                        (("bulk-1", "--layers", "7-99", "--peer", s.address), "layer")):
        r = tightwad(t, "swarm", "pull", *args, "--dest", folder(t, "here", "models"), "--listen", "127.0.0.1:0",
                     "--no-discovery", **home(t, "here"))
        t.check(r.code in (1, 2) and words in r.err, r)
        for line in r.err.splitlines():
            t.check(line.startswith("  ") or len(line) < 160, "a long line: %r" % line)
    for args, words in ((("seed", os.path.join(t.folder, "none.gguf")), "No such file"),
                        (("seed", folder(t, "empty")), "no .gguf file"), (("status",), "swarm seed MODEL")):
        r = tightwad(t, "swarm", *args, **home(t, "here"))
        t.check(r.code == 1 and words in r.err, r)


@test("a peer that knows another one is enough, and a puller gives on what it has from the first piece on")
def _(t):
    model = one_model(t, 24 * MIB)
    s = there(t, [model], "--upload-limit", "8MB")
    first = t.own(Puller(t, s.id, "--peer", s.address, "--seed", name="first"))
    wait_until("the first puller to have a piece", lambda: any(
        m["pieces_have"] > 0 for m in first.view()["models"]), 30)
    have = first.view()["models"][0]
    second = t.own(Puller(t, s.id, "--peer", first.address, "--seed", name="second"))
    wait_until("the second one to have bytes of both", lambda: {first.address, s.address} <= {
        p["address"] for p in second.view()["peers"] if p["fetched"] > 0}, 60)
    if have["pieces_have"] == have["pieces"]:
        raise Failure("the first was complete before the second came: nothing is shown")
    for p in (first, second):
        p.event("done")
        same(t, os.path.join(p.dest, "bulk-1.gguf"), model)
    given = first.view()
    t.check(given["sent"] > 0, "the first has given nothing: %r" % given)


class Half(FakePeer):
    """Has each second piece, from `first` on."""

    def __init__(self, *args, first, **kw):
        self.first = first
        super().__init__(*args, **kw)

    def pieces(self):
        return set(range(self.first, len(self.manifest["pieces"]), 2))

    def have(self):
        n = len(self.manifest["pieces"])
        return bytes(sum(0x80 >> i % 8 for i in self.pieces() if i // 8 == at) for at in range((n + 7) // 8))


@test("a pull that is done stays while others get from it what nobody else has, then it ends")
def _(t):
    model = one_model(t, 8 * MIB)
    manifest = there(t, [model]).manifest()
    halves = [t.own(Half(manifest, model, first=i, peer="%032x" % i)) for i in range(2)]
    slow = t.own(Puller(t, model + ".tightwad.manifest", "--peer", halves[0].address, "--upload-limit", "1MB", name="slow"))
    wait_until("one half", lambda: halves[0].pieces() <= slow.had(manifest["id"]), 60)
    halves[0].close()
    other = t.own(Puller(t, model + ".tightwad.manifest", "--peer", halves[1].address, "--peer", slow.address, name="other"))
    slow.event("done"), other.event("done")
    for p in (slow, other):
        p.expected_end = True
        t.equal(p.wait(30), 0)
        same(t, os.path.join(p.dest, "bulk-1.gguf"), model)


@test("a pull that is done leaves others to whoever has all of it too")
def _(t):
    model = one_model(t, 8 * MIB)
    s = there(t, [model], "--upload-limit", "3MB")
    first = t.own(Puller(t, s.id, "--peer", s.address, "--upload-limit", "1MB", name="first"))
    other = t.own(Puller(t, s.id, "--peer", s.address, "--peer", first.address, "--download-limit", "300kB", name="other"))
    first.expected_end = True
    first.event("done")
    t.equal(first.wait(5), 0)
    t.equal("done" in [json.loads(l)["event"] for l in other.output.splitlines() if l.startswith("{")], False)
    other.kill()


@test("on the local network nobody has to be named")
def _(t):
    model = one_model(t)
    port = free_port()
    s = t.own(Process([TIGHTWAD, "swarm", "seed", model, "--listen", "127.0.0.1:%d" % port, "--json"], name="seeder",
                      env=home(t, "there")))
    said = json.loads(s.wait_line(r'^\{"event":"shared".*\}$').group(0))
    p = t.own(Puller(t, said["id"], discovery=True))
    t.equal(p.event("done")["id"], said["id"])
    p.expected_end = True
    t.equal(p.wait(20), 0)
    same(t, os.path.join(p.dest, "bulk-1.gguf"), model)
    r = tightwad(t, "swarm", "peers", **home(t, "here"))
    t.check(r.code == 0 and "127.0.0.1:%d" % port in r.out and "bulk-1.gguf" in r.out, r)


@test("Ctrl-C keeps what is here and the same command goes on; the terminal shows a bar, 80 columns wide")
def _(t):
    model = one_model(t, 24 * MIB)
    s = there(t, [model], "--upload-limit", "6MB")
    dest = folder(t, "here", "models")
    args = ["swarm", "pull", "bulk-1", "--peer", s.address, "--dest", dest, "--listen", "127.0.0.1:0", "--no-discovery"]
    screen = Pseudo(t, *args, **home(t, "here"))
    screen.expect(r"to fetch 24 MiB")
    screen.expect(r"\d %.*\[=+>? *\] .*1 peer")
    wait_until("some pieces to be here", lambda: screen.read(0.1) and re.search(r"\] [1-9]\d* of \d+ pieces", screen.text), 60)
    screen.send("\x03")
    screen.expect(r"stopped with \d+ % of it here; the same command goes on from there")
    t.equal(screen.wait(), 1)
    for line in re.split(r"[\r\n]+", re.sub(r"\x1b\[[0-9;]*[A-Za-z]", "", screen.text)):
        t.check(len(line) <= 80, "wider than the terminal: %r" % line)
    t.equal(sorted(os.listdir(dest)), ["bulk-1.gguf.part", "bulk-1.gguf.part.map"])
    last, lines = pull(t, "bulk-1", "--peer", s.address)
    have = next(e for e in lines if e["event"] == "estimate")["have"]
    t.check(have > 0, lines)
    t.equal((last["event"], last["fetched"]), ("done", os.path.getsize(model) - have))
    same(t, last["path"], model)


@test("an estimate moves nothing; layers move what they need; pieces that lie here already are copied")
def _(t):
    model = one_model(t)
    s = there(t, [model])
    r = tightwad(t, "swarm", "pull", "bulk-1", "--peer", s.address, "--estimate", "--dest", folder(t, "here", "models"),
                 "--listen", "127.0.0.1:0", "--no-discovery", **home(t, "here"))
    t.check(r.code == 0 and "to fetch 12 MiB" in r.out and s.id in r.out, r)
    t.equal(os.listdir(folder(t, "here", "models")), [])
    last, lines = pull(t, "bulk-1", "--peer", s.address, "--layers", "2-3", name="layers")
    t.equal((last["event"], last["path"][-5:]), ("done", ".part"), lines)
    t.between(last["fetched"], MIB, 4 * MIB)
    with open(model, "rb") as whole, open(last["path"], "rb") as part:
        t.check(part.read(2048) == whole.read(2048), "the head is another one")
    bulk_gguf.write(os.path.join(folder(t, "here", "models"), "older.gguf"), 12 * MIB, layers=8, seed=1, template="another")
    tightwad(t, "manifest", "create", os.path.join(folder(t, "here", "models"), "older.gguf"), **home(t, "here"))
    last, lines = pull(t, "bulk-1", "--peer", s.address)
    t.equal(last["event"], "done", lines)
    t.less(last["fetched"], 0.01 * os.path.getsize(model), "bytes fetched")
    t.equal(last["fetched"] + last["copied"], os.path.getsize(model))
    same(t, last["path"], model)


@test("a token is wanted from everybody where one is set")
def _(t):
    model = one_model(t)
    key = os.path.join(folder(t, "there"), "token")
    with open(key, "w") as f:
        f.write("open-sesame\n")
    s = there(t, [model], "--token-file", key)
    last, _ = pull(t, "bulk-1", "--peer", s.address)
    t.check(last["event"] == "failed" and "wants a token" in last["why"], last)
    last, _ = pull(t, "bulk-1", "--peer", s.address, "--token-file", key)
    t.equal(last["event"], "done")


@test("a folder is given out with all that lies in it; status tells so, and a signal ends it in order")
def _(t):
    model_file(folder(t, "there", "models", "deep"), 2 * MIB, seed=3)
    model_file(folder(t, "there", "models"), 2 * MIB, seed=4)
    with open(os.path.join(folder(t, "there", "models"), "broken.gguf"), "wb") as f:
        f.write(b"GGUF but not for long")
    s = t.own(Process([TIGHTWAD, "swarm", "seed", folder(t, "there", "models"), "--listen", "127.0.0.1:0", "--no-discovery"],
                      name="seeder", env=home(t, "there")))
    s.wait_line("bulk-3.gguf  2 MiB in")
    s.wait_line("bulk-4.gguf  2 MiB in")
    s.wait_line("broken.gguf")
    r = tightwad(t, "swarm", "status", **home(t, "there"))
    t.check(r.code == 0 and r.out.count("seeding") == 2 and "bulk-3.gguf" in r.out, r)
    view = tightwad(t, "swarm", "status", "--json", **home(t, "there")).json()
    t.equal((view["pid"], len(view["models"]), view["models"][0]["state"]), (s.pid, 2, "seeding"))
    s.expected_end = True
    s.signal(signal.SIGINT)
    t.equal(s.wait(), 0)
    t.equal([n for n in os.listdir(os.path.join(home(t, "there")["XDG_RUNTIME_DIR"], "tightwad")) if n.startswith("swarm")], [])


@test("a file that is written to, or cut short, while it is given out is given out no more: nobody bans its seeder")
def _(t):
    model, other = one_model(t, 48 * MIB), model_file(folder(t, "there"), 2 * MIB, seed=2)
    s = there(t, [model, other])
    p = t.own(Puller(t, s.ids[model], "--peer", s.address, "--download-limit", "6MB"))
    wait_until("a piece to be here", lambda: p.had(s.ids[model]), 20)
    with open(model, "r+b") as f:
        f.write(bytes(os.path.getsize(model)))
    s.wait_line(r"bulk-1.gguf has changed since it was hashed: it is given out no more", 20)
    wait_until("it to be given out no more", lambda: [x["id"] for x in s.shares()] == [s.ids[other]], 20)
    os.truncate(other, MIB)  # nobody asks for this one
    s.wait_line(r"bulk-2.gguf has changed since it was hashed: it is given out no more", 30)
    wait_until("nothing to be given out", lambda: s.shares() == [], 20)
    status = lambda: tightwad(t, "swarm", "status", "--json", HOME=folder(t, "there"), XDG_RUNTIME_DIR=folder(t, "there", "run")).json()
    t.equal([(m["file"], m["state"], m["have"]) for m in status()["models"]], [("bulk-2.gguf", "failed", 0), ("bulk-1.gguf", "failed", 0)])
    t.check("changed since it was hashed" in status()["models"][0]["why"], status())
    seen = wait_until("the puller to wait", lambda: (lambda v: v if v["models"][0]["state"] == "waiting" else None)(p.view()), 30)
    t.check("banned" not in p.output and [x["state"] for x in seen["peers"]] != ["banned"], (p.output, seen))
    t.less(seen["peers"][0]["corrupt"], 2, "wrong pieces: more than was in the sockets' buffers")
    p.kill()


main()

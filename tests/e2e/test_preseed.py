"""A pool whose workers got their layers beforehand, from the swarm or from files of their own, loads its large tensors without
the coordinator's link, and answers as before; whatever is in the way of that is told, and the load does it."""

import fcntl

import cmdline
import make_gguf
from drawer import WeightsLink
from harness import *
from programs import rpc_server
from prompts import story_prompts

TIGHTWAD = os.path.join(BUILD, "tightwad")
PROMPTS = story_prompts(2, "preseed")
TOKENS = 12  # of an answer
LAYERS, FFN = 3, 10752
TENSOR = 256 * FFN * 4  # bytes of a large one; a layer has three
# Layers 0 and 1 to the first worker; layer 2 and the output to the second.  No self-test: it computes longer than all the rest.
SHARES = {"extra_args": ["--tensor-split", "1,1", "--noise", "0"]}
LARGE = [6 * TENSOR, 3 * TENSOR]
MIB = 1 << 20


@functools.cache
def model():
    """The model, and its answers by a node alone."""
    path = os.path.join(shared.folder, "large.gguf")
    make_gguf.write("large", path, layers=LAYERS, ffn=FFN)
    node = shared.node(path, slots=4, args=["--noise", "0"])
    want = answers(node)
    node.kill()
    return path, want


def tensors(data):
    """Where the large tensors of each layer lie."""
    r = make_gguf.Reader(data)
    r.take("4s"), r.take("I")
    n, kvs = r.take("Q"), r.take("Q")
    for _ in range(kvs):
        r.string()
        r.skip(r.take("I"))
    places = [[] for _ in range(LAYERS)]
    for _ in range(n):
        name = r.string().decode()
        for _ in range(r.take("I")):
            r.take("Q")
        r.take("I")
        at = r.take("Q")
        if ".ffn_" in name and "norm" not in name:
            places[int(name.split(".")[1])].append(at)
    start = -(-r.at // make_gguf.ALIGNMENT) * make_gguf.ALIGNMENT
    return [[start + at for at in layer] for layer in places]


class Machine:
    """A machine of the cluster, an address of loopback and folders of its own: a worker, the link to it, and an agent."""

    def __init__(self, t, number, worker=(), models=(), agent=True):
        self.t, self.address, self.folder = t, "127.0.0.%d" % number, os.path.join(t.folder, "machine%d" % number)
        self.models = os.path.join(self.folder, "models")
        os.makedirs(self.models)
        os.makedirs(os.path.join(self.folder, "run"), mode=0o700)
        self.env = {"HOME": self.folder, "XDG_RUNTIME_DIR": os.path.join(self.folder, "run"), "OLLAMA_MODELS": self.folder,
                    "XDG_CACHE_HOME": os.path.join(self.folder, "cache")}
        for path in models:
            os.link(path, os.path.join(self.models, os.path.basename(path)))
        self.cache = os.path.join(self.folder, "cache", "tightwad", "rpc")
        # The worker listens beside the address under which the others know it: there is the link.
        self.worker = t.worker(["--host", "127.0.1.%d" % number] + list(worker), env=self.env)
        self.port = self.worker.port
        self.link = t.own(WeightsLink(self.port, host="127.0.1.%d" % number, at=(self.address, self.port)))
        if agent:
            self.start_agent()

    def start_agent(self, name="agent"):
        self.agent_port = free_port()
        token = os.path.join(self.folder, "token")
        with open(token, "w") as f:
            os.chmod(token, 0o600)
            f.write("secret-of-the-agents\n")
        self.agent = self.t.process([TIGHTWAD, "agent", "--listen", "%s:%d" % (self.address, self.agent_port), "--token-file", token,
                                     "--models", self.models, "--no-discovery"], env=self.env, name="%s %s" % (name, self.address))
        wait_until("the agent to listen", lambda: self.healthy(), 20)

    def healthy(self):
        try:
            return get("http://%s:%d/health" % (self.address, self.agent_port), timeout=2).status == 200
        except OSError:
            return False

    def manifest(self):
        """As `distribute` or a pull leave it beside the model."""
        for name in os.listdir(self.models):
            r = cmdline.tightwad(self.t, "manifest", "create", os.path.join(self.models, name), **self.env)
            if r.code != 0:
                raise Failure(repr(r))

    def kept(self):
        return sorted(f for f in os.listdir(self.cache) if not f.startswith(".")) if os.path.isdir(self.cache) else []

    def shipped(self):
        """Bytes of the last load that crossed its link."""
        return self.link.shipped[-1]


def start(t, machines, preseed="auto", peers=(), wait=True, manifest=True, before=None):
    """A pool over the machines whose configuration names the agents that there are.  before: models that stand before it."""
    path, _ = model()
    here = tempfile.mkdtemp(dir=t.folder)
    env = {"XDG_CACHE_HOME": os.path.join(here, "cache")}
    mine = os.path.join(here, "large.gguf")
    os.link(path, mine)
    if manifest:
        r = cmdline.tightwad(t, "manifest", "create", mine, **env)
        t.equal(r.code, 0, r)
    agents = ["%s:%d" % (m.address, m.agent_port) for m in machines if hasattr(m, "agent_port")]
    return t.pool(dict(before or {}, large={"path": mine, "ctx_size": 512}), [(m.address, m.port) for m in machines], coordinator=SHARES, wait=wait,
                  sections={"agents": {"hosts": agents, "token": "secret-of-the-agents"},
                            "swarm": {"preseed": preseed, "peers": list(peers)}}, env=env)


def answers(pool):
    return [chat(pool.url, p, temperature=0, max_tokens=TOKENS).key() for p in PROMPTS]


BEARER = {"Authorization": "Bearer secret-of-the-agents"}


def preseed_url(m):
    return "http://%s:%d/v1/agent/preseed" % (m.address, m.agent_port)


def order(m, what, first, last, **more):
    """Its number; what: the id of the model's manifest."""
    r = post(preseed_url(m), dict({"id": what, "worker": m.port, "first_layer": first, "last_layer": last}, **more), headers=BEARER)
    if r.status != 200:
        raise Failure(repr(r))
    return r.json()["number"]


def id_of(m):
    with open(os.path.join(m.models, "large.gguf.tightwad.manifest")) as f:
        return json.load(f)["id"]


def look(m, number):
    return get(preseed_url(m) + "?number=%s" % number, headers=BEARER).json()


def plain_load(t, machines):
    """Bytes over each link without anything beforehand; the caches stay as they were."""
    pool = start(t, machines, preseed="off")
    t.equal(answers(pool), model()[1], "without pre-seeding")
    pool.stop()
    return [m.shipped() for m in machines]


def check_seeded(t, machines, whole, pool):
    """Under 5 % of the large tensors crossed the links, and the answers are the same."""
    for m, before, large in zip(machines, whole, LARGE):
        sent = m.shipped() - (before - large)
        t.note("%s: %.1f MiB of %.1f MiB of large tensors crossed its link (%.2f %%); all in all %.1f instead of %.1f MiB"
               % (m.address, max(0, sent) / MIB, large / MIB, max(0, 100 * sent / large), m.shipped() / MIB, before / MIB))
        t.less(sent, 0.05 * large, "bytes of large tensors over the coordinator's link")
    t.equal(answers(pool), model()[1], "pre-seeded")


@functools.cache
def forgotten():
    """An order whose cache another program fills, and that nobody asks about: its machine, its number, when, and the other program's lock."""
    m = Machine(shared, 6, models=[model()[0]])
    m.manifest()
    os.makedirs(m.cache, exist_ok=True)
    lock = open(os.path.join(m.cache, ".preseed.lock"), "w")
    fcntl.flock(lock, fcntl.LOCK_EX)
    number = order(m, id_of(m), 0, 0)
    wait_until("it to wait", lambda: look(m, number)["state"] == "waiting", 10)
    return m, number, time.monotonic(), lock


@functools.cache
def whole():
    """Bytes of a plain load over each link."""
    with contextlib.closing(Rig()) as t:
        return plain_load(t, [Machine(t, i, ["--no-cache"], agent=False) for i in (2, 3)])


class Rig(Test):
    pass


def seeder(t):
    """A machine beside the pool that gives the model out."""
    folder, port = os.path.join(t.folder, "seeder"), free_port()
    os.makedirs(os.path.join(folder, "run"), mode=0o700)
    path = os.path.join(folder, "large.gguf")
    os.link(model()[0], path)
    p = t.process([TIGHTWAD, "swarm", "seed", path, "--listen", "127.0.0.9:%d" % port, "--no-discovery"], name="seeder",
                  env={"HOME": folder, "XDG_RUNTIME_DIR": os.path.join(folder, "run"), "XDG_CACHE_HOME": os.path.join(folder, "cache")})

    def serves():
        with contextlib.suppress(OSError, http.client.HTTPException):
            return get("http://127.0.0.9:%d/v1/swarm" % port, timeout=2).json()["shares"]
    wait_until("the seeder to serve", serves, 20)
    return "127.0.0.9:%d" % port


@test("from the swarm: each worker fetches its layers, the load ships under 5 % of the large tensors, the answers are the same")
def _(t):
    before = whole()
    forgotten()  # is looked at in the last test
    machines = [Machine(t, i) for i in (2, 3)]
    pool = start(t, machines, peers=[seeder(t)])
    check_seeded(t, machines, before, pool)
    t.equal([len(m.kept()) for m in machines], [6, 3])
    for m, large in zip(machines, LARGE):
        part = os.path.join(m.models, "large.gguf.part")
        t.between(os.stat(part).st_blocks * 512, large, large + 20 * MIB, "bytes on the disk of %s: its layers alone" % m.address)
    t.check("has its layers" in pool.output, pool.tail())
    # Once more: nothing is fetched, read or written.
    pool.stop()
    times = {m.address: [os.stat(os.path.join(m.cache, f)).st_ino for f in m.kept()] for m in machines}
    pool = start(t, machines)
    t.equal({m.address: [os.stat(os.path.join(m.cache, f)).st_ino for f in m.kept()] for m in machines}, times)
    check_seeded(t, machines, before, pool)


@test("from a file of its own: a worker whose machine has the model needs no peer; one behind a stock server works alike")
def _(t):
    program = os.path.join(t.folder, "stock-rpc-server")
    with open(program, "w") as f:
        f.write("#!/bin/sh\nexec %s \"$@\"\n" % " ".join(rpc_server()))
    os.chmod(program, 0o755)
    machines = [Machine(t, 2, models=[model()[0]]), Machine(t, 3, ["--stock", program, "--device", "CPU"], models=[model()[0]])]
    for m in machines:
        m.manifest()
    pool = start(t, machines)
    check_seeded(t, machines, whole(), pool)


@test("swarm pull --layers: the pieces of these layers alone, more layers add to them, and the whole takes only the rest")
def _(t):
    peer, dest = seeder(t), os.path.join(t.folder, "dest")
    with open(model()[0], "rb") as f:
        want = f.read()

    def pull(*more):
        r = cmdline.tightwad(t, "swarm", "pull", "large.gguf", "--peer", peer, "--dest", dest, "--no-discovery", "--no-local", "--json",
                             "--listen", "127.0.0.1:%d" % free_port(), *more, timeout=60, XDG_CACHE_HOME=t.folder)
        return r, [json.loads(line) for line in r.out.splitlines() if line.startswith("{")]

    def held():
        """Which of the large tensors lie in the .part."""
        with open(os.path.join(dest, "large.gguf.part"), "rb") as f:
            got = f.read()
        t.equal(len(got), len(want), "it is as long as the model")
        return ["".join("x" if got[at:at + TENSOR] == want[at:at + TENSOR] else "." for at in places) for places in tensors(want)]
    r, lines = pull("--layers", "1")
    t.equal(r.code, 0, r)
    fetched = lines[-1]["fetched"]
    t.between(fetched, 3 * TENSOR, 3 * TENSOR + 8 * MIB, "bytes for layer 1")
    t.equal(held(), ["...", "xxx", "..."])
    r, lines = pull("--layers", "1-2,output")
    t.equal(r.code, 0, r)
    fetched += lines[-1]["fetched"]
    t.between(lines[-1]["fetched"], 3 * TENSOR, 3 * TENSOR + 8 * MIB, "bytes for layer 2 and the output")
    t.equal(held(), ["...", "xxx", "xxx"])
    r, _ = pull("--layers", "2-3")
    t.check(r.code != 0 and "3 layers, 0 to 2" in r.err + r.out, r)
    r, lines = pull()
    t.equal(r.code, 0, r)
    t.equal(fetched + lines[-1]["fetched"], len(want), "bytes in all: nothing twice")
    with open(os.path.join(dest, "large.gguf"), "rb") as f:
        t.check(f.read() == want, "the whole differs")


@test("in a swap the workers get the new model's layers while the old one still answers")
def _(t):
    machines = [Machine(t, i, models=[model()[0]]) for i in (2, 3)]
    for m in machines:
        m.manifest()
    pool = start(t, machines, before={"target": "target"})
    r = pool.command("swap", model="large")
    t.equal(r.status, 200, r)
    pool.up("large")
    lines = pool.output
    t.check(-1 < lines.rfind("has its layers of large") < lines.find("started for large"), pool.tail())
    check_seeded(t, machines, whole(), pool)


@test("what is in the way is told, and the load does it: no cache, no room, no peer, no agent, no manifest")
def _(t):
    none, small = Machine(t, 2, ["--no-cache"]), Machine(t, 3, ["--cache-size", "20M"], models=[model()[0]])
    small.manifest()
    pool = start(t, [none, small])
    t.check("keeps no tensors" in pool.output and "may hold" in pool.output, pool.tail())
    t.equal(answers(pool), model()[1], "without a cache, and without room")
    t.equal([m.shipped() for m in (none, small)], whole())
    pool.stop()
    lonely, gone = Machine(t, 4), Machine(t, 5)
    gone.agent.kill()
    pool = start(t, [lonely, gone], wait=False)
    why = wait_until("the state to tell", lambda: (lambda w: w if "first" in w else None)(pool.pool()["why"]), 10)
    t.check("w1 is" in why and "w2 " in why, why)
    pool.up()
    t.check(re.search("w1 gets its layers of large.gguf from here: .*does not answer", pool.output) and "no agent answers" in pool.output, pool.tail())
    t.equal(answers(pool), model()[1], "without peers, and without an agent")
    pool.stop()
    pool = start(t, [lonely, gone], manifest=False)
    t.check("manifest create" in pool.output, pool.tail())


@test("two workers of one machine, with one cache and one agent, are served one after the other")
def _(t):
    here, peers = Machine(t, 2, models=[model()[0]]), Machine(t, 3)
    here.manifest()
    what = id_of(here)
    for m, more in ((here, {}), (peers, {"peers": [seeder(t)]})):
        other = t.worker(["--host", "127.0.1.%d" % int(m.address.split(".")[3])], env=m.env)
        numbers = [order(m, what, 0, 0, **more), order(m, what, 1, 2, worker=other.port, **more)]
        for n in numbers:
            done = wait_until("it to be done", lambda: (lambda o: o if o["state"] in ("done", "failed") else None)(look(m, n)), 30)
            t.equal(done["state"], "done", done)
        t.equal([look(m, n)["total"] for n in numbers], [3 * TENSOR, 6 * TENSOR])
        t.equal(len(m.kept()), 9)


@test("orders that make no sense are refused; one for the same worker takes the place of the one before")
def _(t):
    m = Machine(t, 2)
    url = preseed_url(m)
    good = {"id": "ab" * 32, "worker": m.port, "first_layer": 0, "last_layer": 1, "peers": ["127.0.0.9:1"]}
    for status, word, change in ((400, "id", {"id": "ab"}), (400, "id", {"id": None}), (400, "worker", {"worker": 0}),
                                 (409, "no `tightwad worker`", {"worker": 1}), (400, "last_layer", {"last_layer": -1}),
                                 (400, "first_layer", {"first_layer": -1}), (400, "last_layer", {"last_layer": 99999}),
                                 (400, "output", {"output": 1}), (400, "peers", {"peers": ["../etc"] * 65}), (400, "token", {"token": "a\nb"})):
        r = post(url, dict(good, **change), headers=BEARER)
        t.equal(r.status, status, r)
        t.check(word in r.json()["error"]["message"], r)
    t.equal(post(url, good).status, 401)
    r = post(url, good, headers=BEARER)
    t.equal((r.status, r.json()["state"]), (200, "looking"), r)
    n = r.json()["number"]
    status = lambda n: get(url + "?number=%s" % n, headers=BEARER).status
    ended = wait_until("it to give up", lambda: (lambda o: o if o["state"] == "failed" else None)(look(m, n)), 20)
    t.check("127.0.0.9:1 does not answer" in ended["why"] and "\n" not in ended["why"], ended)
    for wrong in ("99", "x", "", "-1", "1x"):
        t.equal(status(wrong), 404, wrong)
    again = post(url, good, headers=BEARER).json()["number"]
    t.equal(status(n), 404, "the one before, of the same worker")
    t.equal(status(again), 200)


@test("what nobody asks about any more is stopped")
def _(t):
    m, number, since, lock = forgotten()
    time.sleep(max(0, since + 17 - time.monotonic()))
    lock.close()
    t.equal(look(m, number)["state"], "stopped")
    t.equal(m.kept(), [])


main()

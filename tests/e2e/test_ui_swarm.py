"""What the dashboard shows of the swarm: its figures are those of the status, here and attached, at the sizes of the field; its key
pulls a model, gives one out and stops a pull; and the metrics have the same."""
import shutil
import subprocess

from cockpit import *
from harness import *
from swarms import Seeder, model_file, seeder, sha256_of

PROMTOOL = os.environ.get("TIGHTWAD_PROMTOOL") or shutil.which("promtool") or os.path.join(BUILD, "tools", "usr", "bin", "promtool")
SIZE = 24 << 20
target = shared.node("draft")


def instance(t):
    """An instance that takes part in a swarm, with a folder for what it pulls: (it, where it serves)."""
    p, port = idle_proxy(t, target), free_port()
    with open(p.config, "a") as f:
        f.write("swarm:\n  enabled: true\n  discovery: false\n  host: 127.0.0.1\n  port: %d\n  folder: %s\n" % (port, os.path.join(p.folder, "models")))
    return p, "127.0.0.1:%d" % port


def models(p):
    return {m["file"] or m["name"]: m for m in p.status()["swarm"]["models"]}


def state_of(p, name, *states):
    return wait_until("%s to be %s" % (name, " or ".join(states)),
                      lambda: (lambda m: m if m and m["state"] in states else None)(models(p).get(name)), 30)


def sized(n, unit=None):
    """As the dashboard writes bytes."""
    units, value, k = ("B", "KiB", "MiB", "GiB"), float(n), 0
    while value >= 1024 and k < 3:
        value, k = value / 1024, k + 1
    return "%.*f %s" % (0 if k == 0 or value >= 99.95 else 1, value, units[k])


def shared_size(have, of):
    value, part, k = float(of), float(have), 0
    while value >= 1024 and k < 3:
        value, part, k = value / 1024, part / 1024, k + 1
    return "%.*f/%.*f %s" % (0 if k == 0 or part >= 99.95 else 1, part, 0 if k == 0 or value >= 99.95 else 1, value, ("B", "KiB", "MiB", "GiB")[k])


def map_of(m):
    """As it is drawn where there is room for all of it."""
    return "".join("·" if c["had"] > 100 else "█" if c["had"] == 100 else "░" if c["had"] == 0 else "▒" for c in m["map"])


def figures(s):
    """What must stand on a screen that has room for all of it, once nothing moves."""
    wanted = []
    for m in s["models"]:
        share = "%d %%" % (100 * m["have"] // m["wanted"]) if m["wanted"] else "–"
        sign = {"seeding": "✓", "waiting": "!", "failed": "✗"}.get(m["state"], "▸")
        wanted.append("%s %s %s %s" % (sign, m["name"], m["state"], share))
        if m["state"] != "seeding" and m["map"]:
            wanted.append("%s %d/%d pieces, %s" % (map_of(m), m["pieces_have"], m["pieces"], shared_size(m["have"], m["wanted"])))
    # One that is gone is tried now and then.
    wanted += [peer["address"] + (" up" if peer["state"] == "up" else "") for peer in s["peers"]]
    return wanted + ["at %s" % s["listen"], "fetched %s, sent %s" % (sized(s["fetched"]), sized(s["sent"])), "not announced"]


def shows(term, wanted):
    def missing(screen):
        flat = re.sub(r" +", " ", screen)
        return [w for w in wanted if w not in flat]
    try:
        term.wait_for(lambda screen: not missing(screen))
    except Failure as e:
        raise Failure("not on the screen: %s\n%s" % (missing(term.text()), e))


def still(p):
    """The swarm's status once its figures are the same for some ticks."""
    def looks():
        first, s = p.status(), p.status()
        while s["tick"] < first["tick"] + 3:
            time.sleep(0.05)
            s = p.status()
        return s["swarm"] if figures(s["swarm"]) == figures(first["swarm"]) else None
    return wait_until("the swarm to rest", looks, 30)


@test("a pull is followed at every size, here and attached; its figures are those of the status when the peer goes and comes back")
def _(t):
    path = model_file(t.folder, SIZE)
    name = os.path.basename(path)
    source = seeder(t, [path], ["--upload-limit", "3MB"])
    p, where = instance(t)
    term = own(t, p, 200, 60)
    p.serving()
    term.wait_for("no model is given out or on its way: w pulls one")
    order = {"command": "swarm-pull", "what": source.id, "peer": source.address}
    t.equal(post(p.url + "/v1/tightwad/command", order).status, 200)
    state_of(p, name, "fetching")
    term.wait_for(re.compile(r"▸ \S.* fetching +\d+ % +\d+(\.\d)? [KM]iB/s"))
    known = vocabulary(json.dumps(p.status(), ensure_ascii=False), socket.gethostname(), "tightwad min")
    other = attached(t, p.url, 200, 60)
    for cols, rows in ((250, 70), (40, 12), (80, 24), (200, 60)):
        for each in (term, other):
            each.resize(cols, rows)
            lines = wait_whole(each, known, size=(cols, rows))
            t.check(rows < 24 or re.search(r"[─-] swarm: .* in, .* out ", "\n".join(lines)), "%dx%d has no swarm:\n%s" % (cols, rows, "\n".join(lines)))

    half = wait_until("some pieces", lambda: (lambda m: m if m["pieces_have"] > 1 else None)(models(p)[name]), 30)
    t.less(half["have"], half["wanted"])
    source.stop()
    state_of(p, name, "waiting")
    s = still(p)
    t.check(0 < s["models"][0]["have"] < s["models"][0]["wanted"] and s["models"][0]["why"], s)
    for each in (term, other):
        shows(each, figures(s))

    again = t.own(Seeder(t.folder, [path], port=source.port, name="seeder again")).ready()
    done = state_of(p, name, "seeding")
    t.equal((done["have"], again.id), (done["size"], source.id))
    s = still(p)
    for each in (term, other):
        shows(each, figures(s))
    t.equal(sha256_of(os.path.join(p.folder, "models", name)), sha256_of(path))


@test("the key pulls a model, gives one out and stops a pull, attached; /metrics passes promtool and equals the status")
def _(t):
    first, second = model_file(t.folder, SIZE), model_file(t.folder, 4 << 20, seed=2)
    source = seeder(t, [first], ["--upload-limit", "1MB"])
    p, where = instance(t)
    own(t, p, 80, 24)
    p.serving()
    term = attached(t, p.url, 120, 40)
    term.wait_for("w swarm")

    def choose(letter, title, text):
        term.keys("w")
        term.wait_for("give out a model of this machine")
        term.keys(letter)
        term.wait_for(title)
        term.type(text)
        term.keys("Enter")

    choose("p", "pull a model ─", "%s at %s" % (os.path.basename(first), source.address))
    m = state_of(p, os.path.basename(first), "fetching")
    term.wait_for(re.compile(r"▸ .* fetching"))
    choose("g", "give out a model ─", second)
    given = state_of(p, os.path.basename(second), "seeding")
    term.wait_for(re.compile(r"✓ .* seeding +100 %"))
    choose("g", "give out a model ─", os.path.join(t.folder, "not-there.gguf"))
    term.wait_for(re.compile(r"not given\s+out|No such file"))
    term.keys("Escape")
    term.wait_gone("give out a model ─")

    t.check(os.path.exists(PROMTOOL), "promtool is missing (in the Debian package prometheus): ./bootstrap test gets it")
    r = get(p.url + "/metrics")
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=r.body, capture_output=True)
    t.equal((done.returncode, done.stdout, done.stderr), (0, b"", b""))
    of = {name: {k: v for k, v in p.metrics().items() if 'id="%s"' % x["id"][:16] in k} for name, x in (("coming", m), ("given", given))}
    label = 'id="%s",model="%s"' % (given["id"][:16], given["name"])
    t.equal({k: v for k, v in of["given"].items() if "_bytes{" in k or "pieces" in k or "complete" in k or "info" in k},
            {'tightwad_swarm_model_%s{%s%s}' % (k, label, ',state="seeding"' if k == "info" else ""): v for k, v in (
                ("info", 1), ("complete", 1), ("size_bytes", given["size"]), ("wanted_bytes", given["size"]), ("have_bytes", given["size"]),
                ("pieces", given["pieces"]), ("pieces_have", given["pieces"]))})
    t.equal([v for k, v in of["coming"].items() if "_complete{" in k or "_size_bytes{" in k], [0, m["size"]])

    term.keys("w")
    term.wait_for("stop a pull")
    term.keys("s")
    term.wait_for("none of them")
    term.keys("Enter")
    wait_until("the pull's end", lambda: os.path.basename(first) not in models(p), 20)
    part = [f for f in os.listdir(os.path.join(p.folder, "models")) if f.endswith(".part")]
    t.equal(part, [os.path.basename(first) + ".part"], "what had come")


main()

"""`tightwad probe` tells what this machine and its network have whatever the vendors' tools do: answer, fail, hang, babble or be
missing; with no terminal, locale, home or $PATH; what is unknown is null, never 0."""
import shutil
import stat
import unicodedata

from cmdline import *
from fake_ollama import FakeOllama

CARDS = """0, NVIDIA GeForce RTX 4090, 24564, 1387, 37, 52, 131.42, 550.120, 00000000:C1:00.0
1, NVIDIA GeForce GTX 1070, 8192, [N/A], [N/A], 41, [N/A], 550.120, 00000000:C2:00.0
"""
ROCM = {"card0": {"Temperature (Sensor edge) (C)": "41.0", "Average Graphics Package Power (W)": "18.0", "GPU use (%)": "4",
                  "VRAM Total Memory (B)": "25753026560", "VRAM Total Used Memory (B)": "1310720000",
                  "PCI Bus": "0000:D3:00.0", "Card series": "Radeon RX 7900 XTX"}, "system": {"Driver version": "5.18.13"}}
AMD = {"gpu_data": [{"gpu": 0, "asic": {"market_name": "AMD Instinct MI300X"}, "bus": {"bdf": "0000:d5:00.0"},
                     "vram": {"size": {"value": 196592, "unit": "MB"}}, "driver": {"version": "6.14.14"}}]}


def tool(t, name, script):
    """A program of this name in the test's own $PATH."""
    folder = os.path.join(t.folder, "bin")
    os.makedirs(folder, exist_ok=True)
    path = os.path.join(folder, name)
    with open(path, "w") as f:
        f.write("#!/bin/sh\n" + script)
    os.chmod(path, 0o700)
    return path


def says(text, status=0):
    return "/bin/cat <<'END'\n%s\nEND\nexit %d\n" % (text.rstrip("\n"), status)


def probe(t, *args, **env):
    os.makedirs(os.path.join(t.folder, "bin"), exist_ok=True)
    env.setdefault("PATH", os.path.join(t.folder, "bin"))
    return tightwad(t, "probe", *args, OLLAMA_MODELS=None, XDG_CACHE_HOME=None, HF_HOME=None, LLAMA_CACHE=None, **env)


def here(t, *args, **env):
    r = probe(t, "--no-scan", "--json", *args, **env)
    t.equal(r.code, 0, r)
    t.equal(r.err, "", r)
    t.equal(len(r.json()), 1, r)
    return r.json()[0]


def notes(t, m, *wanted):
    for text in wanted:
        t.check(any(text in n for n in m["notes"]), "no note %r in %r" % (text, m["notes"]))


def own_cards(m):
    """Those of the fake tools; the machine that runs the test may have some of its own."""
    return [g for g in m["gpus"] if g["bus"] and g["bus"][5] in "cd"]


def sound(t, m):
    t.equal(m["origin"], "here")
    for key in ("name", "os", "arch"):
        t.check(m[key], "no %s: %r" % (key, m))
    t.check(m["memory"] > 1 << 20 and 0 < m["memory_available"] <= m["memory"], m)
    t.check(m["cpu"]["threads"] >= 1, m["cpu"])
    t.check(m["disks"] and all(0 <= d["free"] <= d["size"] for d in m["disks"]), m["disks"])


@test("this machine, with tools that answer")
def _(t):
    tool(t, "nvidia-smi", says(CARDS))
    tool(t, "amd-smi", "[ $1 = static ] || exit 1\n" + says(json.dumps(AMD)))
    tool(t, "rocm-smi", says("never asked, for amd-smi told", 1))
    m = here(t)
    sound(t, m)
    a, b, c = own_cards(m)
    t.equal((a["vendor"], a["name"], a["memory"], a["memory_used"]), ("nvidia", "NVIDIA GeForce RTX 4090", 24564 << 20, 1387 << 20))
    t.equal((a["driver"], a["bus"], a["utilisation"], a["temperature"], a["power"]), ("550.120", "0000:c1:00.0", 0.37, 52, 131.42))
    t.equal((b["memory"], b["memory_used"], b["utilisation"], b["power"]), (8192 << 20, None, None, None))
    t.equal((c["vendor"], c["name"], c["memory"], c["temperature"]), ("amd", "AMD Instinct MI300X", 196592 << 20, None))
    t.check(not any("rocm" in n for n in m["notes"]), m["notes"])
    r = probe(t, "--no-scan")
    t.equal(r.code, 0, r)
    for text in ("this machine", "NVIDIA GeForce RTX 4090", "24.0 GiB", "131 W", "AMD Instinct MI300X"):
        t.check(text in r.out, r)
    words = r.out.replace(t.folder, "")  # made of random letters
    t.check("\x1b" not in words and "-1" not in words and "nan" not in words, r)


@test("no tools at all: a note each, and no failure")
def _(t):
    m = here(t)
    sound(t, m)
    t.equal(own_cards(m), [])
    notes(t, m, "nvidia-smi: not installed", "amd-smi: not installed", "rocm-smi: not installed")
    r = probe(t, "--no-scan")
    t.check("nvidia-smi: not installed" in r.out, r)


@test("tools that fail, in their own words and in ours")
def _(t):
    tool(t, "nvidia-smi", says("Failed to initialize NVML: Driver/library version mismatch\nNVML library version: 550.120", 18))
    tool(t, "amd-smi", "echo 'Traceback (most recent call last):' >&2; echo '  File x' >&2; echo 'ModuleNotFoundError: amdsmi' >&2; exit 1")
    tool(t, "rocm-smi", says(json.dumps(ROCM)))
    m = here(t)
    sound(t, m)
    notes(t, m, "nvidia-smi: the driver that runs and its library are of different versions")
    t.equal([g["name"] for g in own_cards(m)], ["Radeon RX 7900 XTX"])
    os.remove(os.path.join(t.folder, "bin", "rocm-smi"))
    m = here(t)
    notes(t, m, "ModuleNotFoundError: amdsmi", "rocm-smi: not installed")
    tool(t, "nvidia-smi", "kill -SEGV $$\n")
    with open(os.path.join(t.folder, "bin", "amd-smi"), "w") as f:
        f.write("#!/no/such/interpreter\n")
    os.chmod(f.name, stat.S_IRWXU)
    m = here(t)
    notes(t, m, "nvidia-smi: a signal ended it", "amd-smi: it says")


@test("an old release that lacks a field is asked for less")
def _(t):
    tool(t, "nvidia-smi", """case "$1" in
*power.draw*) echo 'Field "power.draw" is not a valid field to query.'; exit 2;;
esac
""" + says("0, GeForce GTX 770, 2047, 312, 331.113"))
    m = here(t)
    g = [g for g in m["gpus"] if g["name"] == "GeForce GTX 770"][0]
    t.equal((g["memory"], g["memory_used"], g["power"], g["temperature"]), (2047 << 20, 312 << 20, None, None))
    notes(t, m, "nvidia-smi: this release can't tell utilisation")


@test("a tool that hangs costs its deadline, and is ended with all that it has started")
def _(t):
    pids = os.path.join(t.folder, "pids")
    tool(t, "nvidia-smi", "trap '' TERM\n/bin/sleep 600 &\necho $$ $! > %s\nwait\n" % pids)
    tool(t, "rocm-smi", says(json.dumps(ROCM)))
    began = time.monotonic()
    m = here(t)
    t.check(time.monotonic() - began < 30 * SLOWER)
    sound(t, m)
    notes(t, m, "nvidia-smi: no answer within")
    t.equal([g["name"] for g in own_cards(m)], ["Radeon RX 7900 XTX"])
    with open(pids) as f:
        for pid in map(int, f.read().split()):
            def gone():
                try:
                    with open("/proc/%d/stat" % pid) as s:
                        return s.read().rpartition(")")[2].split()[0] == "Z"
                except OSError:
                    return True
            wait_until("process %d of the tool to end" % pid, gone, 10)


@test("garbage, 100 KB of it, and a tool that never stops writing")
def _(t):
    tool(t, "nvidia-smi", "/usr/bin/head -c 102400 /dev/urandom\n")
    tool(t, "amd-smi", "i=0; while [ $i -lt 12800 ]; do echo '[[[[[[['; i=$((i+1)); done\n")
    tool(t, "rocm-smi", "while :; do echo '{\"card0\": '; done\n")
    m = here(t)
    sound(t, m)
    t.equal(own_cards(m), [])
    notes(t, m, "nvidia-smi: it says", "amd-smi: it says", "rocm-smi: it writes without end")
    t.check(not any(unicodedata.category(c) in ("Cc", "Cs") for n in m["notes"] for c in n), m["notes"])


@test("no TERM, no locale, no HOME, no PATH, nothing open")
def _(t):
    r = subprocess.run([TIGHTWAD, "probe", "--no-scan", "--json"], env={}, cwd="/", stdin=subprocess.DEVNULL, capture_output=True,
                       timeout=60 * SLOWER)
    t.equal(r.returncode, 0, r)
    sound(t, json.loads(r.stdout)[0])
    r = subprocess.run([TIGHTWAD, "probe"], env={}, cwd="/", stdin=subprocess.DEVNULL, capture_output=True, timeout=60 * SLOWER)
    t.equal(r.returncode, 0, r)
    t.check(b"this machine" in r.stdout and b"\x1b" not in r.stdout + r.stderr, r)
    r = subprocess.run(["/bin/sh", "-c", "exec \"$0\" probe --no-scan <&- >&- 2>&-", TIGHTWAD], env={"HOME": "not/absolute"}, cwd="/",
                       timeout=60 * SLOWER)
    t.check(r.returncode >= 0, "a signal ended it")


@test("programs with their versions, models on disk and in Ollama's store")
def _(t):
    tool(t, "llama-server", "echo 'version: 5046 (7c3f55c1)' >&2; exit 0\n")
    tool(t, "ollama", "echo 'Warning: could not connect to a running Ollama instance'; echo 'Warning: client version is 0.9.1'\n")
    cache, store = os.path.join(t.folder, ".cache/llama.cpp"), os.path.join(t.folder, ".ollama/models")
    digest = "0123456789abcdef" * 4
    manifest = os.path.join(store, "manifests/registry.ollama.ai/library/tiny/1b")
    for folder in (cache, os.path.join(store, "blobs"), os.path.dirname(manifest)):
        os.makedirs(folder)
    shutil.copy(os.path.join(MODELS, "draft.gguf"), os.path.join(cache, "draft.gguf"))
    shutil.copy(os.path.join(MODELS, "small.gguf"), os.path.join(store, "blobs", "sha256-" + digest))
    with open(manifest, "w") as f:
        json.dump({"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest}]}, f)
    with open(os.path.join(cache, "half.gguf"), "wb") as f:
        f.write(b"GGUF\x03\0\0\0")
    m = here(t)
    versions = {p["name"]: (p["version"], p["path"]) for p in m["tools"]}
    t.equal(versions["llama-server"], ("5046 (7c3f55c1)", os.path.join(t.folder, "bin/llama-server")))
    t.equal(versions["ollama"][0], "0.9.1")
    models = {x["name"]: x for x in m["models"]}
    file, pulled = models["draft.gguf"], models["tiny:1b"]
    t.equal((file["from"], file["architecture"], file["quantisation"]), ("file", "llama", "Q8_0"))
    t.equal(file["bytes"], os.path.getsize(os.path.join(MODELS, "draft.gguf")))
    t.equal((pulled["from"], pulled["vocab"]), ("ollama", file["vocab"]))
    t.check(file["parameters"] > 1000 and len(file["vocab"]) == 64, file)
    t.check("half.gguf" not in models)
    notes(t, m, "half.gguf")
    t.check(any(t.folder.startswith(d["path"]) or d["path"].startswith(t.folder) for d in m["disks"]), m["disks"])


@test("what answers on the network, and what does not")
def _(t):
    with FakeOllama(model="tiny:latest") as ollama:
        port = int(ollama.url.rsplit(":", 1)[1])
        r = probe(t, "--json", "--host", "127.0.0.1:%d,nowhere.invalid" % port)
        t.equal(r.code, 0, r)
        m = r.json()[0]
        t.equal(m["origin"], "here")
        mine = [s for s in m["services"] if s["port"] == port]
        t.equal([(s["kind"], s["host"]) for s in mine], [("ollama", "127.0.0.1")], r)
        t.check(mine[0]["rtt_us"] > 0, mine)
        t.check(any(x["name"] == "tiny:latest" and x["from"] == "ollama" for x in m["models"]), m["models"])
        notes(t, m, "nowhere.invalid")
        r = probe(t, "--host", "127.0.0.1:%d" % port)
        t.check("ollama 127.0.0.1:%d" % port in r.out, r)


@test("what can't be scanned is said at once")
def _(t):
    for args, text in ((["--subnet", "10.0.0.0/99"], "10.0.0.0/99"), (["--subnet", "everywhere"], "everywhere"),
                       (["--host", "x:notaport"], "notaport")):
        r = probe(t, *args)
        t.equal(r.code, 2, r)
        t.check(text in r.err and r.out == "", r)


@test("a progress bar on a terminal, and none in a pipe")
def _(t):
    term = Terminal(t, "probe", "--subnet", "127.99.0.0/24")
    term.expect(r"scanning +\[[#.]{30}\] \d+ of \d+")
    term.expect("this machine")
    t.equal(term.wait(), 0)
    r = probe(t, "--subnet", "127.99.0.0/28", TERM="xterm")
    t.check("scanning" not in r.out + r.err, r)


main()

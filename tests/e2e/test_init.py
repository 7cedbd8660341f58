"""`tightwad init --yes` must turn what is there into a file that the endpoint serves with, say why, keep what was there before,
and leave nothing half-written, whoever answers, and with no terminal, locale or home."""
import signal
import socket
import stat

from cmdline import *
from fake_ollama import FakeOllama


class Served(Server):
    """The endpoint with a configuration that is there; its port is given from outside."""

    def __init__(self, folder, config):
        self.folder, self.config = folder, config
        run = os.path.join(folder, "run")
        os.makedirs(run, mode=0o700, exist_ok=True)
        port = free_port()
        env = {k: None for k in os.environ if k.startswith("TIGHTWAD_")}
        env.update(XDG_RUNTIME_DIR=run, XDG_CONFIG_HOME=folder, HOME=folder, TIGHTWAD_PORT=str(port))
        self.listen(port, [TIGHTWAD, "proxy", "start", "-c", config, "--no-ui"], name="tightwad", env=env, cwd=folder)


def answer(url, text, model=None):
    body = {"messages": [{"role": "user", "content": text}], "max_tokens": 24, "temperature": 0, "seed": 1}
    if model:
        body["model"] = model
    r = post(url + "/v1/chat/completions", body)
    return r.status, r.json()


def init(t, *args, **env):
    return tightwad(t, "init", "--yes", *args, **env)


def read(path):
    with open(path) as f:
        return f.read()


def listing(folder):
    return sorted(os.listdir(folder))


def checked(t, path):
    r = tightwad(t, "config", "check", path)
    t.equal((r.code, r.err), (0, ""), r)


@test("two nodes are found, the small one drafts for the big one, and the endpoint serves with the file")
def _(t):
    big, small = t.node("target"), t.node("small")
    path = os.path.join(t.folder, "new", "cluster.yaml")
    r = init(t, "-c", path, "--host", "127.0.0.1:%d,127.0.0.1:%d" % (small.port, big.port))
    t.equal((r.code, r.err), (0, ""), r)
    for words in ("How it was decided", "How many machines can run a model?", "speculative proxy", "Estimate:", path,
                  "✓ target   " + big.url, "✓ drafter  " + small.url, "tightwad start", "instead of Ollama's port 11434"):
        t.check(words in r.out, "no %r in %r" % (words, r))
    t.check(max(map(len, r.out.splitlines())) < 250, r)
    checked(t, path)
    t.equal(stat.S_IMODE(os.stat(path).st_mode), 0o600)
    text = read(path)
    t.check("url: " + big.url in text and "url: " + small.url in text and "# estimate: " in text, text)
    served = t.own(Served(t.folder, path)).ready()
    status, body = answer(served.url, "What is 2 + 2?")
    t.equal(status, 200, body)
    t.equal(answer(big.url, "What is 2 + 2?")[1]["choices"], body["choices"])
    # What was expected is held against what is measured.
    r = tightwad(t, "-c", path, "bench", "-k", "1", "-n", "1", "-m", "8", "--json", TIGHTWAD_PORT=str(served.port))
    t.equal(r.code, 0, r)
    noted = re.search(r"# estimate: (\S+) tokens/s alone", text).group(1)
    t.equal(r.json()["target"]["estimated_tokens_per_second"], float(noted), r)
    servers = get(served.url + "/v1/tightwad/status").json()["backends"]
    t.equal(sorted((s["role"], s["url"]) for s in servers), [("drafter", small.url), ("target", big.url)])


@test("servers that are given are used, and nothing else is looked for")
def _(t):
    big = t.node("target")
    ollama = t.own(FakeOllama(upstream=t.llama_server("draft").url, model="tiny:latest"))
    path = os.path.join(t.folder, "cluster.yaml")
    # Given the way people give them: without a scheme, and with what OpenAI clients want.
    r = init(t, "-c", path, "--target-url", "127.0.0.1:%d" % big.port, "--draft-url", ollama.url + "/v1/", "--draft-model",
             "tiny:latest")
    t.equal((r.code, r.err), (0, ""), r)
    t.check("Are the servers given?" in r.out and "backend: ollama" in read(path), r)
    t.check("model_name: tiny:latest" in read(path), read(path))
    checked(t, path)
    served = t.own(Served(t.folder, path)).ready()
    status, body = answer(served.url, "What is the capital of France?")
    t.equal(status, 200, body)
    t.equal(answer(big.url, "What is the capital of France?")[1]["choices"][0]["message"],
            body["choices"][0]["message"])


@test("an Ollama as the target is told apart: it answers by itself, and what would help is said")
def _(t):
    ollama = t.own(FakeOllama(model="qwen3:32b"))
    path = os.path.join(t.folder, "cluster.yaml")
    r = init(t, "-c", path, "--host", "127.0.0.1:%d" % ollama.port, "--target-model", "qwen3:32b", "--target-url", ollama.url)
    t.equal(r.code, 0, r)
    said = " ".join(r.out.split())
    t.check("Ollama has no call that checks a draft" in said, r)
    t.check("tightwad node -m ollama:qwen3:32b" in said, r)
    checked(t, path)


@test("models that lie here are served by `tightwad start`: a pool of this machine, and a small one beside it")
def _(t):
    models = os.path.join(t.folder, "models")
    os.mkdir(models)
    for name in ("target", "small"):
        shutil.copy(model_path(name), models)
    with open(os.path.join(models, "broken.gguf"), "w") as f:
        f.write("no model")
    path = os.path.join(t.folder, "cluster.yaml")
    r = init(t, "-c", path, "--host", "127.0.0.1:1", "--model-path", models, "--target-model", "target.gguf",
             OLLAMA_MODELS=os.path.join(t.folder, "none"))
    t.equal(r.code, 0, r)
    t.check("layers of llama" in r.out, r)  # the plan of the start
    text = read(path)
    t.check("path: %s/target.gguf" % models in text and "default: true" in text, text)
    checked(t, path)
    # The port that it chose was free then, for it looked; another test may have taken it since.
    with open(path, "w") as f:
        f.write(re.sub(r"(coordinator:\n(?:  .*\n)*?  port: )\d+", lambda m: m.group(1) + str(free_port()), text))
    served = t.own(Served(t.folder, path))
    wait_until("the pool to be up", lambda: listening(served) and
               get(served.url + "/v1/tightwad/status").json()["pool"]["state"] == "up", 60)
    status, body = answer(served.url, "What is 2 + 2?")
    t.equal(status, 200, body)


@test("the file that was there is kept, byte for byte, and older ones too")
def _(t):
    big, small = t.node("target"), t.node("draft")
    given = ["--target-url", big.url, "--draft-url", small.url]
    path = os.path.join(t.folder, "cluster.yaml")
    before = "# mine\nproxy:\n  port: 9999   # and nothing else\n"
    with open(path, "w") as f:
        f.write(before)
    os.chmod(path, 0o640)
    r = init(t, "-c", path, *given)
    t.equal(r.code, 0, r)
    t.check(path + ".bak" in r.out, r)
    t.equal(read(path + ".bak"), before)
    t.equal(stat.S_IMODE(os.stat(path).st_mode), 0o640)
    first = read(path)
    r = init(t, "-c", path, "--target-url", big.url, "--draft-url", small.url, "--target-model", "another")
    t.equal(read(path + ".bak"), first)
    t.equal(read(path + ".bak.1"), before)


@test("a target that does not answer yet: written all the same, told what to type, and the exit code says so")
def _(t):
    small, port = t.node("draft"), free_port()
    path = os.path.join(t.folder, "cluster.yaml")
    r = init(t, "-c", path, "--target-url", "http://127.0.0.1:%d" % port, "--draft-url", small.url)
    t.equal((r.code, r.err), (1, ""), r)
    t.check("✗ target" in r.out and "✓ drafter" in r.out and "nothing listens" in r.out, r)
    t.check("tightwad node" in r.out, r)
    checked(t, path)


@test("nothing to answer with: nothing is written, and what to fetch is said")
def _(t):
    path = os.path.join(t.folder, "cluster.yaml")
    # A network of its own, where nobody answers.
    r = subprocess.run(["unshare", "-r", "-n", TIGHTWAD, "init", "--yes", "-c", path], capture_output=True, text=True,
                       timeout=60 * SLOWER, env=environment(t, OLLAMA_MODELS=os.path.join(t.folder, "none")), cwd=t.folder)
    t.equal(r.returncode, 1, r)
    t.check("no model that could answer" in r.stderr, r)
    t.check("ollama pull qwen3" in r.stdout and "How many machines can run a model?" in r.stdout, r)
    t.check("cluster.yaml" not in listing(t.folder), listing(t.folder))


@test("no TERM, no locale, no HOME: with -c it works, without it says what to give")
def _(t):
    big, small = t.node("target"), t.node("draft")
    given = ["--target-url", big.url, "--draft-url", small.url]
    bare = {"env": {}, "cwd": t.folder, "stdin": subprocess.DEVNULL, "capture_output": True, "timeout": 60 * SLOWER}
    r = subprocess.run([TIGHTWAD, "init", "--yes"] + given, **bare)
    t.equal((r.returncode, r.stdout), (1, b""), r)
    t.check(b"-c FILE" in r.stderr, r)
    t.check(not [f for f in listing(t.folder) if f.startswith("cluster")], listing(t.folder))
    r = subprocess.run([TIGHTWAD, "init", "--yes", "-c", "mine.yaml"] + given, **bare)
    t.equal((r.returncode, r.stderr), (0, b""), r)
    t.check(b"\x1b" not in r.stdout and b"\r" not in r.stdout, r)
    checked(t, os.path.join(t.folder, "mine.yaml"))
    # Without a terminal and without --yes there is nobody to ask.
    r = subprocess.run([TIGHTWAD, "init"] + given, **bare)
    t.equal(r.returncode, 2, r)
    t.check(b"--yes" in r.stderr, r)
    # The usual place, with its folders made.
    r = init(t, *given, XDG_CONFIG_HOME=None, HOME=os.path.join(t.folder, "home"))
    t.equal(r.code, 0, r)
    checked(t, os.path.join(t.folder, "home", ".config", "tightwad", "cluster.yaml"))


@test("a wish for the gate: the file says approximate, and NAME is answered so; without one it is exact")
def _(t):
    big, small = t.node("target"), t.node("mid")
    path = os.path.join(t.folder, "cluster.yaml")
    given = ["--target-url", big.url, "--draft-url", small.url]
    r = init(t, "-c", path, *given)
    t.equal(r.code, 0, r)
    t.check("approximate" not in (r.out + read(path)).lower(), r)
    r = init(t, "-c", path, "--mode", "gate", *given)
    t.equal(r.code, 0, r)
    t.check("1 agent writes" in r.out and "answers are approximate" in r.out, r)
    text = read(path)
    t.check("# APPROXIMATE while it is on" in text and "enabled: true" in text and "NAME@exact" in text, text)
    checked(t, path)
    r = init(t, "-c", path, "--mode", "consensus", *given)  # one drafter can't vote
    t.equal(r.code, 0, r)
    t.check("there is no consensus here, so answers are exact" in " ".join(r.out.split()), r)
    t.check("consensus_mode: strict" not in read(path), read(path))
    r = init(t, "-c", path, "--mode", "quick", *given)
    t.equal((r.code, r.out), (2, ""), r)
    t.check("exact, consensus or gate" in r.err, r)


@test("what can't be is said before anything is looked at")
def _(t):
    for args, words in ((["--target-url", "ftp://x"], "--target-url"), (["--subnet", "everywhere"], "everywhere"),
                        (["--model-path", os.path.join(t.folder, "none")], "no file or folder"),
                        (["--local", "--host", "x"], "--local"), (["--draft-url", "http://"], "--draft-url")):
        r = init(t, "-c", os.path.join(t.folder, "c.yaml"), *args)
        t.equal((r.code, r.out), (2, ""), r)
        t.check(words in r.err, r)
    big, small = t.node("target"), t.node("draft")
    with open(os.path.join(t.folder, "file"), "w") as f:
        f.write("")
    r = init(t, "-c", os.path.join(t.folder, "file", "c.yaml"), "--target-url", big.url, "--draft-url", small.url)
    t.equal(r.code, 1, r)
    t.check(os.path.join(t.folder, "file", "c.yaml") in r.err, r)
    t.check("c.yaml" not in listing(t.folder), listing(t.folder))


@test("broken off at any time the file is the old one or the new one, and nothing else lies about")
def _(t):
    big, small = t.node("target"), t.node("draft")
    folder = os.path.join(t.folder, "place")
    os.mkdir(folder)
    path = os.path.join(folder, "cluster.yaml")
    before = "proxy: {port: 9999}\n"
    written = 0
    args = [TIGHTWAD, "init", "--yes", "-c", path, "--target-url", big.url, "--draft-url", small.url]
    for i in range(24):
        for name in listing(folder):
            os.unlink(os.path.join(folder, name))
        with open(path, "w") as f:
            f.write(before)
        p = subprocess.Popen(args, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                             env=environment(t))
        time.sleep(0.004 * i)  # the moment is what is tried
        p.send_signal((signal.SIGINT, signal.SIGTERM, signal.SIGHUP)[i % 3])
        p.wait(30 * SLOWER)
        text = read(path)
        if text != before:
            checked(t, path)
            written += 1
            t.equal(read(path + ".bak"), before)
        t.check(set(listing(folder)) <= {"cluster.yaml", "cluster.yaml.bak"}, listing(folder))
    t.note("%d of 24 were broken off after the file was written" % written)
    # One that never answers is left at once.
    with socket.create_server(("127.0.0.1", 0)) as silent:
        args[args.index(big.url)] = "http://127.0.0.1:%d" % silent.getsockname()[1]
        os.unlink(path)
        p = t.process(args, env=environment(t))
        time.sleep(0.3)
        p.popen.send_signal(signal.SIGINT)
        begun = time.monotonic()
        p.popen.wait(30 * SLOWER)
        t.less(time.monotonic() - begun, 2 * SLOWER)
        t.processes.remove(p)
        t.owned.remove(p)
        t.check(set(listing(folder)) <= {"cluster.yaml", "cluster.yaml.bak"}, listing(folder))


main()

"""tightwad config and tightwad inspect as a user types them: exit codes, every error with file:line, where values come from,
what a model file is, and that a damaged one is an error and nothing worse."""
import hashlib
import struct
import subprocess

from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


def run(t, *args, **env):
    """In an empty folder, without the configuration of the machine."""
    clean = {k: v for k, v in os.environ.items() if not k.startswith("TIGHTWAD_")}
    clean.update({"HOME": t.folder, "XDG_CONFIG_HOME": t.folder, "LSAN_OPTIONS": "exitcode=99"}, **env)
    r = subprocess.run([TIGHTWAD] + list(args), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean,
                       cwd=t.folder, timeout=60 * SLOWER)
    t.check(b"Sanitizer" not in r.stderr and b"runtime error:" not in r.stderr, r.stderr.decode("utf-8", "replace"))
    return r.returncode, r.stdout.decode(), r.stderr.decode()


def write(t, name, text):
    path = os.path.join(t.folder, name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "wb") as f:
        f.write(text if isinstance(text, bytes) else text.encode())
    return path


@test("config check: 0 for a good file, every error with its line and 1 for a bad one")
def _(t):
    good = write(t, "good.yaml", "proxy:\n  target:\n    url: http://127.0.0.1:8081\n")
    code, out, err = run(t, "config", "check", good)
    t.equal((code, err), (0, ""), out)
    bad = write(t, "bad.yaml", "proxy:\n  prot: 9\n  peer: x\n  max_body_size: much\n  target:\n    url: 10.0.0.1:8081\nswarm: {hosts: x}\n")
    code, out, err = run(t, "config", "check", bad)
    t.equal(code, 1)
    lines = err.splitlines()
    for line, what in ((2, "did you mean port?"), (3, "warning"), (4, "10MiB"), (6, "http://10.0.0.1:8081"), (7, "did you mean host?")):
        t.check(any(l.startswith("%s:%d: " % (bad, line)) and what in l for l in lines), "line %d, %s: %s" % (line, what, err))
    t.equal(len(lines), 5, err)
    t.check("4 errors" in out, out)
    code, out, err = run(t, "config", "check", os.path.join(t.folder, "none.yaml"))
    t.equal(code, 1)
    t.check("no such file" in err, err)


@test("the file is found by the search order, and -c goes before or after the verb")
def _(t):
    named = write(t, "named.yaml", "proxy:\n  port: 1\n")
    write(t, "tightwad/cluster.yaml", "proxy:\n  port: 2\n")

    def port(*args, **env):
        code, out, err = run(t, *args, **env)
        t.equal(code, 0, err)
        return json.loads(out)["proxy"]["port"]
    t.equal(port("config", "show", "--json"), {"value": 2, "from": os.path.join(t.folder, "tightwad/cluster.yaml") + ":2"})
    write(t, "configs/cluster.yaml", "proxy:\n  port: 3\n")
    t.equal(port("config", "show", "--json")["value"], 3)
    write(t, "tightwad.yaml", "proxy:\n  port: 4\n")
    t.equal(port("config", "show", "--json")["value"], 4)
    t.equal(port("config", "show", "--json", TIGHTWAD_CONFIG=named)["value"], 1)
    for args in (["-c", named, "config", "show"], ["config", "-c", named, "show"], ["config", "show", "-c", named]):
        t.equal(port(*args, "--json"), {"value": 1, "from": named + ":2"})
    t.equal(port("config", "show", "--json", TIGHTWAD_PORT="5"), {"value": 5, "from": "$TIGHTWAD_PORT"})


@test("config show can be written to a file and read again, and shows no secret")
def _(t):
    path = write(t, "x.yaml", "proxy:\n  auth_token: ${MY_TOKEN}\n  target:\n    url: http://a:1\n    api_key: sk-secret\n"
                              "  drafters:\n    - url: http://b:2\n")
    code, out, err = run(t, "-c", path, "config", "show", MY_TOKEN="tok-secret")
    t.equal((code, err), (0, ""))
    t.check("secret" not in out, out)
    t.check("x.yaml:2" in out and "x.yaml:7" in out and "default" in out, out)
    again = write(t, "again.yaml", out)
    code, out, err = run(t, "config", "check", again)
    t.equal(code, 0, err)
    code, out, err = run(t, "-c", path, "config", "show")
    t.equal(code, 1)
    t.check("x.yaml:2: error" in err and "MY_TOKEN is not set" in err, err)


@test("texts that could blow a parser up are one error each, at once")
def _(t):
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join("%s: &%s [%s]\n" % (c, c, ",".join("*" + p for _ in range(9)))
                                                 for p, c in zip("abcdefgh", "bcdefghi"))
    for name, text in (("aliases", bomb), ("depth", "[" * 10000), ("braces", "{a: " * 10000), ("large", "# x\n" * 400000),
                       ("binary", bytes(range(256)) * 100), ("nul", b"proxy:\n  host: \"a\\0b\"\n"), ("keys", "a: 1\n" * 100000),
                       ("utf16", "proxy:\n".encode("utf-16"))):
        path = write(t, name + ".yaml", text)
        begun = time.monotonic()
        code, out, err = run(t, "config", "check", path)
        t.equal(code, 1, name + err[:500])
        t.less(time.monotonic() - begun, 2 * SLOWER, name)
        t.check(path + ":" in err and len(err.splitlines()) < 110, "%s: %s" % (name, err[:500]))


def fingerprint(path):
    """SHA-256 over the tokens of a GGUF file, each with its length before it, found without the program's reader."""
    with open(path, "rb") as f:
        data = f.read()
    key = b"tokenizer.ggml.tokens"
    at = data.index(key) + len(key)
    n = struct.unpack_from("<IIQ", data, at)[2]
    at += 16
    h = hashlib.sha256()
    for _ in range(n):
        size = struct.unpack_from("<Q", data, at)[0]
        h.update(struct.pack("<I", size) + data[at + 8:at + 8 + size])
        at += 8 + size
    return n, h.hexdigest()


@test("inspect tells what a model is, in words and as JSON, and its fingerprint is the node's")
def _(t):
    path = model_path("target")
    code, out, err = run(t, "inspect", path)
    t.equal((code, err), (0, ""))
    n, want = fingerprint(path)
    for word in ("llama", "Q8_0", "512", want, "%d tokens" % n, "mit"):
        t.check(word in out, "no %s in\n%s" % (word, out))
    code, out, err = run(t, "inspect", "--json", path)
    j = json.loads(out)
    t.equal((j["architecture"], j["layers"], j["n_ctx_train"], j["n_vocab"], j["fingerprint"], j["quantisation"], j["chat_template"]),
            ("llama", 5, 512, n, want, "Q8_0", True))
    t.equal(sum(x["bytes"] for x in j["tensors"]), j["tensor_bytes"])
    t.equal(j["file_bytes"], os.path.getsize(path))
    t.equal(get(t.node("target").url + "/v1/node").json()["fingerprint"], want)


@test("inspect finds Ollama's models, and says where it looked")
def _(t):
    digest = "ab" * 32
    write(t, ".ollama/models/manifests/registry.ollama.ai/library/demo/tiny", json.dumps(
        {"layers": [{"mediaType": "application/vnd.ollama.image.model", "digest": "sha256:" + digest}]}))
    with open(model_path("draft"), "rb") as f:
        write(t, ".ollama/models/blobs/sha256-" + digest, f.read())
    code, out, err = run(t, "inspect", "ollama:demo:tiny", "--json")
    t.equal(code, 0, err)
    t.equal(json.loads(out)["layers"], 1)
    code, out, err = run(t, "inspect", "ollama:demo")
    t.equal(code, 1)
    t.check("demo:tiny" in err and os.path.join(t.folder, ".ollama/models") in err, err)


@test("a damaged model file is an error that names the file, and quick")
def _(t):
    with open(model_path("draft"), "rb") as f:
        whole = f.read()
    huge = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k" + struct.pack("<IIQ", 9, 8, 1 << 60)
    for name, data in (("empty", b""), ("cut", whole[:50000]), ("short", whole[:-1]), ("text", b"hello"), ("huge", huge),
                       ("counts", b"GGUF" + struct.pack("<IQQ", 3, 1 << 63, 1 << 63))):
        path = write(t, name + ".gguf", data)
        code, out, err = run(t, "inspect", path)
        t.equal((code, out), (1, ""), name)
        t.check(path in err and len(err.splitlines()) == 1, err)
    code, out, err = run(t, "inspect", t.folder)
    t.equal(code, 1, err)
    escape = bytearray(whole)
    at = escape.index(b"Demo draft")
    escape[at:at + 10] = b"\x1b[2J\x07\xc2\x9b31m"
    code, out, err = run(t, "inspect", write(t, "escape.gguf", bytes(escape)))
    t.equal(code, 0, err)
    t.check("\x1b" not in out and "\x9b" not in out and "\x07" not in out, "the terminal would obey: %r" % out)


main()

"""What a seeder gives out is for any HTTP client: curl and aria2c fetch it whole and in parts; and whoever asks for nonsense, for
too much, or reads nothing, costs the others nothing."""
import contextlib
import hashlib
import http.client
import os
import shutil
import socket
import subprocess

from harness import *
from swarms import *

MB = 1 << 20
folder = shared.folder
model = model_file(folder, 60 * MB)
size = os.path.getsize(model)
with open(model, "rb") as f:
    content = f.read()
peer = seeder(shared, [model])


def run(args, timeout=60):
    p = subprocess.run(args, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=timeout * SLOWER)
    if p.returncode != 0:
        raise Failure("%s ended with %d: %s" % (args[0], p.returncode, p.stdout.decode("utf-8", "replace")[-2000:]))
    return p.stdout


def installed(t, program):
    if shutil.which(program) is None:
        t.note("%s is not installed: skipped" % program)
    return shutil.which(program)


def raw(data, source="127.0.0.1", timeout=20):
    """What comes back for these bytes until the connection closes or rests, b"" when it is closed at once."""
    with contextlib.closing(socket.create_connection(("127.0.0.1", peer.port), source_address=(source, 0))) as s:
        s.settimeout(timeout * SLOWER)
        got = b""
        with contextlib.suppress(ConnectionError):
            s.sendall(data)
            s.shutdown(socket.SHUT_WR)
            while chunk := s.recv(65536):
                got += chunk
        return got


def status_of(data, **kw):
    reply = raw(data, **kw)
    return int(reply[9:12]) if reply.startswith(b"HTTP/1.1 ") else 0


def ask(path, more="", method="GET"):
    return ("%s %s HTTP/1.1\r\nHost: localhost\r\n%sConnection: close\r\n\r\n" % (method, path, more)).encode()


def open_reader(path, source="127.0.0.1"):
    """A connection that has asked for that and reads nothing."""
    s = socket.socket()
    s.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
    s.bind((source, 0))
    s.connect(("127.0.0.1", peer.port))
    s.sendall(("GET %s HTTP/1.1\r\nHost: localhost\r\n\r\n" % path).encode())
    return s


@test("each piece is what its hash in the manifest says, whole and in parts")
def _(t):
    manifest = peer.manifest()
    t.equal(manifest["id"], peer.id)
    t.equal([s["have"] for s in peer.shares()], [len(manifest["pieces"])])
    for p in manifest["pieces"]:
        r = get(peer.of("piece/%d" % p["index"]))
        t.equal((r.status, len(r.body)), (200, p["size"]))
        t.equal(hashlib.sha256(r.body).hexdigest(), p["sha256"])
        t.check(r.body == content[p["offset"]:p["offset"] + p["size"]])
    p = manifest["pieces"][1]
    for wanted, first, last in (("0-0", 0, 0), ("100-", 100, p["size"] - 1), ("-7", p["size"] - 7, p["size"] - 1),
                                ("5-99999999999", 5, p["size"] - 1)):
        r = get(peer.of("piece/1"), headers={"Range": "bytes=" + wanted})
        t.equal((r.status, r.headers["Content-Range"]), (206, "bytes %d-%d/%d" % (first, last, p["size"])), wanted)
        t.check(r.body == content[p["offset"] + first:p["offset"] + last + 1], wanted)


@test("curl fetches the file, goes on where it stopped, and asks for its head")
def _(t):
    if not installed(t, "curl"):
        return
    out = os.path.join(t.folder, "out.gguf")
    curl = ["curl", "-sS", "--fail", "-o", out, peer.of("file")]
    run(curl)
    t.equal(sha256_of(out), sha256_of(model))
    os.truncate(out, 12345678)
    run(curl + ["-C", "-"])
    t.equal(sha256_of(out), sha256_of(model))
    head = run(["curl", "-sSI", peer.of("file")]).decode()
    t.check("\r\nContent-Length: %d\r\n" % size in head and '\r\nETag: "%s"\r\n' % peer.id in head, head)
    parts = run(["curl", "-sS", "-r", "0-9,20-29", "-o", out, "-w", "%{http_code} %{size_download}", peer.of("file")])
    t.equal(parts.decode(), "200 %d" % size, "several ranges at once")
    gone = run(["curl", "-sS", "-C", str(size + 1), "-o", out, "-w", "%{http_code}", peer.of("file")])
    t.equal(gone.decode(), "416")


@test("aria2c fetches the file from two seeders over many connections")
def _(t):
    if not installed(t, "aria2c"):
        return
    second = seeder(t, [model], name="second")
    run(["aria2c", "--no-conf", "--quiet", "--async-dns=false", "--min-split-size=1M", "-x", "8", "-s", "16", "-d",
         t.folder, "-o", "out.gguf", "--checksum=sha-256=" + sha256_of(model), peer.of("file"), second.of("file")])
    t.equal(sha256_of(os.path.join(t.folder, "out.gguf")), sha256_of(model))


@test("nonsense is refused in words, and nothing but shared models is to be had")
def _(t):
    path = "/v1/swarm/" + peer.id
    expected = {
        ask(path + "/piece/99999"): 404, ask(path + "/piece/-1"): 404, ask(path + "/piece/0x1"): 404,
        ask(path + "/piece/18446744073709551616"): 404, ask(path + "/piece/"): 404, ask(path + "/piece/1/2"): 404,
        ask(path): 404, ask(path + "/"): 404, ask("/v1/swarm/" + "0" * 64 + "/file"): 404,
        ask("/v1/swarm/" + peer.id.upper() + "/file"): 404, ask("/v1/swarm/" + peer.id[:-1] + "/file"): 404,
        ask("/v1/swarm/../../etc/passwd"): 404, ask("/v1/swarm/..%2f..%2fetc%2fpasswd/file"): 404,
        ask(path + "/../../../../etc/passwd"): 404, ask(path + "/piece/%2e%2e/1"): 404, ask("/etc/passwd"): 404,
        ask(path + "/file%00"): 400, ask("/v1/swarm/view"): 404, ask(path + "/events?peer=x"): 400,
        ask(path + "/events?port=-1"): 400, ask(path + "/events?port=65536"): 400, ask(path + "/file", method="POST"): 405,
        ask(path + "/file", method="BREW"): 405, ask(path + "/file", "Content-Length: 5\r\n"): 413,
        ask(path + "/file", "Range: bytes=%d-\r\n" % size): 416, ask(path + "/file", "Range: bytes=-0\r\n"): 416,
        ask(path + "/manifest", "X: " + "y" * 20000 + "\r\n"): 431,
        ask(path + "/manifest", "".join("X%d: 1\r\n" % i for i in range(200))): 431,
        b"GET " + path.encode() + b"/file HTTP/1.1\r\n\r\n": 400, b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n": 400,
        ask(path + "/manifest").replace(b"localhost", b"evil.example.com"): 403,
    }
    for data, status in expected.items():
        t.equal(status_of(data), status, repr(data[:120]))
    for wanted in ("bytes=5-2", "bytes=a-b", "items=0-1", "bytes=0-1,2-3", "bytes="):
        r = get(peer.of("piece/0"), headers={"Range": wanted})
        t.equal((r.status, len(r.body)), (200, peer.manifest()["pieces"][0]["size"]), wanted)


@test("readers that sleep keep nobody waiting, and cost no memory")
def _(t):
    path = "/v1/swarm/%s/file" % peer.id
    sleepers = [open_reader(path, "127.0.0.%d" % (2 + i % 3)) for i in range(60)]
    with contextlib.ExitStack() as stack:
        for s in sleepers:
            stack.callback(s.close)
        for s in sleepers[:8]:
            t.check(s.recv(12) == b"HTTP/1.1 200")
        r = get(peer.of("piece/1"), timeout=30)
        t.equal(hashlib.sha256(r.body).hexdigest(), peer.manifest()["pieces"][1]["sha256"])
        if not SANITIZED:
            t.less(peer.memory(), 64 * MB, "bytes of memory")


@test("a flood of connections and requests is refused, and over when it is over")
def _(t):
    path = "/v1/swarm/%s/file" % peer.id
    flood, said = [open_reader(path) for _ in range(230)], set()
    for s in flood[120:]:
        s.settimeout(30 * SLOWER)
        try:
            said.add(s.recv(12) or "closed")
        except ConnectionError:
            said.add("closed")
    t.equal(said, {b"HTTP/1.1 429", "closed"}, "what the last of them heard")
    t.equal(status_of(ask("/v1/swarm"), source="127.0.0.9"), 200, "another address")
    for s in flood:
        s.close()
    wait_until("the flood to be over", lambda: status_of(ask("/v1/swarm")) == 200)
    t.equal(get(peer.of("piece/0")).status, 200)


@test("streams say what is there, introduce peers to each other, and end with a word")
def _(t):
    mine = seeder(t, [model], name="leaving")
    first = t.own(Events(mine, "?peer=%032x&port=1111" % 1))
    hello = first.next()["hello"]
    t.equal((hello["protocol"], hello["pieces"], hello["fetching"]), (1, mine.shares()[0]["pieces"], []))
    second = t.own(Events(mine, "?peer=%032x&port=2222" % 2))
    t.check("hello" in second.next())
    t.equal(second.next(), {"peers": ["127.0.0.1:1111"]})
    t.equal(first.next(), {"peers": ["127.0.0.1:2222"]})
    t.equal(get(mine.of("events?peer=" + hello["peer"])).json()["error"]["code"], "self")
    mine.stop()
    t.equal(first.next(), {"bye": True})
    t.equal(first.next(), None)


@test("with a token only those who know it are served")
def _(t):
    path = os.path.join(t.folder, "token")
    with open(path, "w") as f:
        f.write("a-token-of-the-swarm\n")
    os.chmod(path, 0o600)
    mine = seeder(t, [model], ["--token-file", path], name="guarded")
    bearer = {"Authorization": "Bearer a-token-of-the-swarm"}
    for what in ("manifest", "piece/0", "file", "events"):
        t.equal(get(mine.of(what)).status, 401, what)
        t.equal(get(mine.of(what), headers={"Authorization": "Bearer a-token-of-the-swarn"}).status, 401, what)
    t.equal(get(mine.url).status, 401)
    t.equal(get(mine.of("file"), headers=bearer).body == content, True)
    t.check("a-token" not in mine.output)


@test("a file that gets shorter under the seeder ends the reply, not the seeder")
def _(t):
    short = model_file(t.folder, 30 * MB, seed=7)
    mine = seeder(t, [short], name="cut")
    last = mine.shares()[0]["pieces"] - 1
    os.truncate(short, 20 * MB)
    t.equal(get(mine.of("piece/%d" % last)).json()["error"]["code"], "unreadable")
    try:
        got = len(get(mine.of("file")).body)
    except http.client.IncompleteRead as e:
        got = len(e.partial)
    t.check(got <= 20 * MB, "%d bytes" % got)
    wait_until("it to be given out no more", lambda: mine.shares() == [], 10)


main()

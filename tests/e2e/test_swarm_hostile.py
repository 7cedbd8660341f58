"""Peers that lie, stall or flood, and manifests and names made to do harm: a pull is completed by the honest ones, the liar is
left out, and nothing outside the model folder is touched."""
import base64
import copy
import hashlib
import json
import os
import re
import tempfile

from fake_peer import FakePeer
from harness import *
from pulls import *

SIZE = 24 * MIB
PATH, MANIFEST = make_model(shared.folder, "model.gguf", SIZE, layers=8, seed=5)
TOTAL = MANIFEST["total_size"]


def model(t):
    """The model, and a folder for what is pulled with something beside it that must stay as it is."""
    folder, path, manifest = tempfile.mkdtemp(dir=t.folder), PATH, copy.deepcopy(MANIFEST)
    dest = os.path.join(folder, "in", "models")
    os.makedirs(dest)
    with open(os.path.join(folder, "in", "keep.gguf"), "w") as f:
        f.write("mine")
    return folder, path, manifest, dest


def untouched(t, folder, allowed=()):
    """Nothing but the model has come into the folder, and what lay beside it is as it was."""
    with open(os.path.join(folder, "in", "keep.gguf")) as f:
        t.equal(f.read(), "mine")
    t.equal(sorted(os.listdir(os.path.join(folder, "in"))), ["keep.gguf", "models"])
    t.equal(sorted(set(os.listdir(os.path.join(folder, "in", "models"))) - set(allowed)), [])


def completes(t, process, folder, path, manifest, timeout=60):
    done = finish(t, process, timeout)
    t.equal(done["event"], "done")
    with open(path, "rb") as a, open(os.path.join(folder, "in", "models", "model.gguf"), "rb") as b:
        t.equal(hashlib.sha256(a.read()).digest(), hashlib.sha256(b.read()).digest())
    untouched(t, folder, ("model.gguf", "model.gguf" + SUFFIX))
    return done


class Corrupt(FakePeer):
    """Every byte that it sends is wrong."""

    def bytes_of(self, index, data):
        return bytes(b ^ 1 for b in data)


class Braggart(FakePeer):
    """Says that it has everything, and has nothing."""

    asked = 0

    def piece(self, request, index):
        self.asked += 1
        self.json(request, {"error": {"message": "not here", "type": "not_found", "param": None, "code": "not_had"}}, 404)


class Stalling(FakePeer):
    """Begins each piece and goes on with none."""

    def piece(self, request, index):
        self.limit = 1000
        super().piece(request, index)


class Flooding(FakePeer):
    """Its stream never ends a line, or never ends at all."""

    def __init__(self, *args, line=b"", **kw):
        self.line = line
        self.flooded = 0
        super().__init__(*args, **kw)

    def events(self, request):
        request.send_response(200)
        request.send_header("Content-Type", "application/x-ndjson")
        request.send_header("Connection", "close")
        request.end_headers()
        hello = {"protocol": 1, "peer": self.peer, "pieces": len(self.manifest["pieces"]),
                 "have": base64.b64encode(self.have()).decode(), "fetching": []}
        request.wfile.write((json.dumps({"hello": hello}) + "\n").encode())
        block = (self.line or b"x") * (1 << 16)
        while not self.closing.is_set() and self.flooded < 1 << 30:
            request.wfile.write(block)
            self.flooded += len(block)


class Oversized(FakePeer):
    """Sends more of a piece than was asked for, by its own account of the length."""

    def piece(self, request, index):
        request.send_response(206)
        request.send_header("Content-Range", "bytes 0-%d/%d" % ((1 << 40) - 1, 1 << 40))
        request.send_header("Content-Length", str(1 << 40))
        request.end_headers()
        while not self.closing.is_set():
            request.wfile.write(bytes(1 << 16))


def with_honest(t, liars):
    """Pulls from liars and an honest, slower peer: how it ended, and the liars."""
    folder, path, manifest, dest = model(t)
    bad = [make(manifest, path, peer="%032x" % (i + 1)) for i, make in enumerate(liars)]
    good = FakePeer(manifest, path, rate=8 * MIB, peer="e" * 32)
    try:
        done = completes(t, pull(t, manifest["id"], bad + [good], dest), folder, path, manifest)
        t.check(sum(good.sent.values()) >= SIZE - 4 * MIB)
        return done, bad
    finally:
        for peer in bad + [good]:
            peer.close()


@test("corrupt pieces are fetched elsewhere, and their sender is left out after two")
def corrupt(t):
    done, (liar,) = with_honest(t, [Corrupt])
    largest = max(p["size"] for p in liar.manifest["pieces"])
    # Two wrong pieces, and what was under way to it when the second was found out.
    t.check(sum(liar.sent.values()) <= 6 * largest, "the liar sent %d pieces' worth" % (sum(liar.sent.values()) // largest))
    t.check(done["wasted"] > 0)


@test("a peer that is wrong in one byte of each piece does not get honest ones banned")
def one_byte(t):
    class OneByte(FakePeer):
        def bytes_of(self, index, data):
            return data[:-1] + bytes([data[-1] ^ 0x80])
    with_honest(t, [OneByte])


@test("a bitfield that lies, pieces that stall and replies without end hold nobody up")
def lies(t):
    done, (braggart, stalling, oversized) = with_honest(t, [Braggart, Stalling, Oversized])
    t.check(braggart.asked <= 200, "the braggart was asked %d times" % braggart.asked)


@test("a stream that floods is cut off")
def floods(t):
    endless = lambda *a, **kw: Flooding(*a, **kw)
    lines = lambda *a, **kw: Flooding(*a, line=b'{"have":[1]}\n', **kw)
    done, bad = with_honest(t, [endless, lines])
    for peer in bad:
        t.check(peer.flooded < 256 << 20, "%d MiB were read" % (peer.flooded >> 20))


@test("hellos and lines made to do harm are refused, and the pull goes on")
def messages(t):
    n = len(MANIFEST["pieces"])
    full = base64.b64encode(bytes((n + 7) // 8)).decode()

    def says(*lines):
        class Says(FakePeer):
            def events(self, request):
                request.send_response(200)
                request.send_header("Content-Type", "application/x-ndjson")
                request.send_header("Connection", "close")
                request.end_headers()
                for line in lines:
                    request.wfile.write((line if isinstance(line, str) else json.dumps(line)).encode() + b"\n")
                self.closing.wait(30)
        return Says

    hello = {"protocol": 1, "peer": "a" * 32, "pieces": n, "have": full, "fetching": []}
    with_honest(t, [
        says({"hello": dict(hello, pieces=1 << 60)}),
        says({"hello": dict(hello, have="////" * 10000)}),
        says({"hello": dict(hello, peer="../../etc")}),
        says({"hello": dict(hello, fetching=[-1, n, 1 << 70])}),
        says({"hello": hello}, {"have": [n]}),
        says({"hello": hello}, {"have": "0"}, "[" * 10000),
        says({"hello": hello}, {"peers": ["127.0.0.1:99999", "169.254.1.1:9192", "example.org:80", "8.8.8.8:53", ":"]}),
        says("\0\xff", "{}"),
    ])


def rejects(t, change, words):
    """A peer offers the manifest as changed (and sealed as it should be where `change` says so): nothing is pulled."""
    folder, path, manifest, dest = model(t)
    bad = copy.deepcopy(manifest)
    change(bad)

    class Offers(FakePeer):
        def answer(self, request):
            route = request.path.split("?")[0]
            if route == "/v1/swarm":
                self.json(request, {"protocol": 1, "version": "0", "peer": self.peer, "name": "fake", "shares": [
                    {"id": bad["id"], "model": "m", "filename": bad["filename"], "size": bad["total_size"],
                     "pieces": len(bad["pieces"]), "have": len(bad["pieces"])}]})
            elif route.endswith("/manifest"):
                self.json(request, bad)
            else:
                super().answer(request)

    peer = Offers(manifest, path)
    try:
        process = pull(t, bad["id"], [peer], dest)
        done = finish(t, process)
        t.equal(done["event"], "failed")
        t.check(re.search(words, done["why"]), "the reason: " + done["why"])
        untouched(t, folder)
    finally:
        peer.close()


def sealed(m):
    core = {k: v for k, v in m.items() if k not in ("id", "filename")}
    core["metadata"] = {k: v for k, v in m["metadata"].items() if k != "compatible_drafters"}
    m["id"] = hashlib.sha256(json.dumps(core, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()).hexdigest()


@test("the test seals as the program does")
def seals(t):
    manifest = copy.deepcopy(MANIFEST)
    sealed(manifest)
    t.equal(manifest["id"], MANIFEST["id"])


@test("a name with .. or a slash in it is no name")
def names(t):
    for name in ("../keep.gguf", "a/../../keep.gguf", "/etc/x.gguf", "..", ".hidden.gguf", "x\n.gguf", "x.gguf.part",
                 "x\u0000.gguf", "n" * 300 + ".gguf"):
        def change(m):
            m["filename"] = name
        rejects(t, change, "filename|name|NUL|does not have it|is no peer")


@test("manifests with overlapping, huge, missing or empty pieces, or another id, are refused")
def manifests(t):
    def overlapping(m):
        m["pieces"][2]["offset"] -= 1
        sealed(m)

    def huge(m):
        m["pieces"][1]["size"] = 1 << 62
        sealed(m)

    def negative(m):
        m["pieces"][1]["size"] = -5
        sealed(m)

    def beyond(m):
        m["total_size"] = 1 << 63 - 1
        sealed(m)

    def empty(m):
        m["pieces"] = []
        sealed(m)

    def other_id(m):
        m["pieces"][3]["sha256"] = "0" * 64

    def piece_size(m):
        m["piece_size"] = 1 << 40
        m["pieces"] = [dict(m["pieces"][0], offset=0, size=m["total_size"])]
        sealed(m)

    for change, words in ((overlapping, "pieces"), (huge, "pieces"), (negative, "pieces"), (beyond, "total_size|pieces"),
                          (empty, "pieces"), (other_id, "id"), (piece_size, "piece_size")):
        rejects(t, change, words)


main()

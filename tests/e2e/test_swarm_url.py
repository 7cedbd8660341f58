"""A model at a URL: with its manifest beside it, or without and then hashed as it comes; whatever the server can and can't
do, and wherever it is broken off."""
import contextlib
import filecmp
import http.server
import json
import os
import re
import ssl
import subprocess
import tempfile
import threading
import time

from certificates import certificate
from harness import *
from pulls import ENV, MIB, SUFFIX, TIGHTWAD, event, fill_disk, finish, make_model, pull

MODEL, MANIFEST = make_model(shared.folder, "model.gguf", 40 * MIB, layers=20)
TOTAL = MANIFEST["total_size"]
CERT = certificate(shared.folder)
TRUST = {"SSL_CERT_FILE": CERT + ".crt"}


class Web:
    """A web server with one file at /models/model.gguf; what it can do is set by its fields."""

    def __init__(self, tls=False, path=MODEL):
        with open(path, "rb") as f:
            self.data = f.read()
        self.etag, self.ranges, self.length = '"one"', True, True
        self.beside = {}          # other paths: bytes, or (status, headers)
        self.cut = []             # for each reply with the file, in order: bytes after which it is broken off
        self.limit = None         # bytes of the file after which it holds back
        self.closing = threading.Event()
        self.sent, self.asked = 0, []  # bytes of the file; (range, if-range) of each request for it
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                with contextlib.suppress(OSError):
                    outer.answer(self)

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(CERT)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True, do_handshake_on_connect=False)
        self.url = "%s://localhost:%d" % ("https" if tls else "http", self.server.server_address[1])
        self.model = self.url + "/models/model.gguf"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def answer(self, r):
        path = r.path.split("?")[0]
        if path == "/models/model.gguf":
            return self.file(r)
        what = self.beside.get(path, (404, {}))
        status, headers, body = (200, {}, what) if isinstance(what, bytes) else what + (b"",)
        r.send_response(status)
        for name, value in headers.items():
            r.send_header(name, value)
        r.send_header("Content-Length", str(len(body)))
        r.end_headers()
        r.wfile.write(body)

    def file(self, r):
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", r.headers.get("Range", ""))
        condition = r.headers.get("If-Range")
        self.asked.append((r.headers.get("Range"), condition))
        start, end = 0, len(self.data)
        if asked and self.ranges and (condition is None or condition == self.etag):
            start, end = int(asked[1]), min(int(asked[2]) + 1 if asked[2] else end, end)
            r.send_response(206)
            r.send_header("Content-Range", "bytes %d-%d/%d" % (start, end - 1, len(self.data)))
        else:
            r.send_response(200)
        if self.etag:
            r.send_header("ETag", self.etag)
        if self.length:
            r.send_header("Content-Length", str(end - start))
        else:
            r.send_header("Transfer-Encoding", "chunked")
        r.end_headers()
        cut = self.cut.pop(0) if self.cut else None
        stop = end if cut is None else min(end, start + cut)
        while start < stop:
            part = self.data[start:min(start + 65536, stop)]
            r.wfile.write(part if self.length else b"%x\r\n%s\r\n" % (len(part), part))
            self.sent += len(part)
            start += len(part)
            while self.limit is not None and self.sent >= self.limit and not self.closing.wait(0.05):
                pass
        if stop < end:
            r.close_connection = True
        elif not self.length:
            r.wfile.write(b"0\r\n\r\n")

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()


def get_it(t, web, dest, *args, url=None, timeout=20, **kw):
    return finish(t, pull(t, url or web.model, [], dest, *args, **kw), timeout)


def check_whole(t, dest, path=MODEL):
    t.check(filecmp.cmp(path, os.path.join(dest, "model.gguf"), shallow=False), "the file differs")
    t.equal(sorted(os.listdir(dest)), ["model.gguf", "model.gguf" + SUFFIX])


def written(dest):
    """Bytes of the file that its map names."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        with open(os.path.join(dest, "model.gguf.part.map")) as f:
            return int(f.read().split("\n")[5].split()[0])
    return 0


def folder(t):
    return tempfile.mkdtemp(dir=t.folder)


@test("an https URL without a manifest: hashed as it comes, with the id that it would have anywhere")
def _(t):
    web, dest = t.own(Web(tls=True)), folder(t)
    web.beside["/go"] = (302, {"Location": "/models/model.gguf?key=1"})
    p = pull(t, web.url + "/go?f=/model.gguf", [], dest, env=TRUST)
    t.check(p.wait(20) != 0 and "URL of no model" in p.output, p.output)
    web.beside["/go/model.gguf"] = (302, {"Location": "../models/model.gguf?key=1"})
    done = get_it(t, web, dest, url=web.url + "/go/model.gguf", env=TRUST)
    t.equal((done["event"], done.get("id")), ("done", MANIFEST["id"]))
    check_whole(t, dest)
    t.equal(web.sent, TOTAL)
    again = subprocess.run([TIGHTWAD, "manifest", "create", "--json", os.path.join(dest, "model.gguf")],
                           env=dict(os.environ, **ENV), capture_output=True, text=True, check=True)
    t.equal(json.loads(again.stdout.split("\n")[0]).get("hashed"), 0, again.stdout)
    failed = get_it(t, web, dest, env=TRUST)
    t.check("is there already" in failed["why"], failed["why"])


@test("a certificate that nobody trusts, and a way from https to http, are refused")
def _(t):
    web, dest = t.own(Web(tls=True)), folder(t)
    t.check("certificate" in get_it(t, web, dest)["why"])
    web.beside["/down/model.gguf"] = (302, {"Location": "http://localhost/model.gguf"})
    web.beside["/down/model.gguf" + SUFFIX] = (302, {"Location": "http://localhost/model.gguf"})
    failed = get_it(t, web, dest, url=web.url + "/down/model.gguf", env=TRUST)
    t.check("no http or https URL" in failed["why"], failed["why"])
    t.equal(web.sent, 0)


@test("killed in the middle it goes on where it was; of a file that has changed nothing is kept")
def _(t):
    web, dest = t.own(Web()), folder(t)
    for stop, web.limit in ((8 * MIB, 16 * MIB), (20 * MIB, 36 * MIB)):
        p = pull(t, web.model, [], dest)
        wait_until("%d bytes" % stop, lambda: written(dest) >= stop, 30)
        p.kill()
    t.equal(len(web.asked), 2)
    t.check(web.asked[1][0] and web.asked[1][1] == '"one"', web.asked)
    t.less(5 * MIB, int(re.search(r"\d+", web.asked[1][0])[0]), "it began too early")
    web.limit = None
    t.equal(get_it(t, web, dest)["id"], MANIFEST["id"])
    check_whole(t, dest)
    t.less(web.sent, TOTAL + 26 * MIB, "bytes sent")

    # Of what was written before the machine went down only what was surely on the disk counts.
    dest, web.asked, web.sent, web.limit = folder(t), [], 0, 16 * MIB
    p = pull(t, web.model, [], dest)
    wait_until("a part of it", lambda: written(dest) >= 8 * MIB, 30)
    p.kill()
    with open(os.path.join(dest, "model.gguf.part.map")) as f:
        text = f.read()
    with open(os.path.join(dest, "model.gguf.part.map"), "w") as f:
        f.write(re.sub("\nboot .", "\nboot x", text))
    web.limit = None
    t.equal(get_it(t, web, dest)["id"], MANIFEST["id"])
    t.equal([r for r, _ in web.asked], [None, None])

    dest, web.sent, web.asked, web.limit = folder(t), 0, [], 16 * MIB
    p = pull(t, web.model, [], dest)
    wait_until("a part of it", lambda: written(dest) >= 8 * MIB, 30)
    p.kill()
    other, manifest = make_model(folder(t), "model.gguf", 40 * MIB, layers=20, seed=5)
    with open(other, "rb") as f:
        web.data, web.etag, web.limit = f.read(), '"two"', None
    t.equal(get_it(t, web, dest)["id"], manifest["id"])
    check_whole(t, dest, other)


@test("a server that breaks off, has no ranges, no ETag or no length: it is whole in the end")
def _(t):
    for name, fields in {"breaks off": {"cut": [10 * MIB, 5 * MIB]},
                         "breaks off, no ranges": {"cut": [10 * MIB], "ranges": False},
                         "breaks off, no ETag": {"cut": [10 * MIB], "etag": None},
                         "a weak ETag": {"cut": [10 * MIB], "etag": 'W/"x"'},
                         "no length": {"length": False},
                         "breaks off, no length": {"length": False, "cut": [10 * MIB]}}.items():
        web, dest = t.own(Web()), folder(t)
        vars(web).update(fields)
        done = get_it(t, web, dest)
        t.equal(done.get("id"), MANIFEST["id"], "%s: %r" % (name, done))
        check_whole(t, dest)
        t.note("%s: %.0f MiB sent, asked for %r" % (name, web.sent / MIB, [r for r, _ in web.asked]))
        if name == "breaks off":
            t.equal(web.sent, TOTAL)


@test("what is no model is refused at once, and nothing of it stays")
def _(t):
    web, dest = t.own(Web()), folder(t)
    web.data = b"<html>" + bytes(3 * MIB)
    failed = get_it(t, web, dest)
    t.check("no GGUF model" in failed["why"], failed["why"])
    t.equal(os.listdir(dest), [])
    failed = get_it(t, web, dest, url=web.url + "/nothing/model.gguf")
    t.check("404" in failed["why"], failed["why"])
    failed = get_it(t, web, dest, url=web.url + "/models/..%2fmodel.gguf")
    t.equal(failed["event"], "failed")
    t.equal([n for n in os.listdir(dest) if not n.startswith("model.gguf.part")], [])
    t.equal(sorted(os.listdir(t.folder)), sorted([os.path.basename(dest)]), "something lies outside the folder")


@test("with a manifest beside it each piece is checked as it comes, and a local version gives what it has")
def _(t):
    web, dest = t.own(Web()), folder(t)
    with open(MODEL + SUFFIX, "rb") as f:
        web.beside["/models/model.gguf" + SUFFIX] = f.read()
    t.equal(get_it(t, web, dest, "--no-local")["id"], MANIFEST["id"])
    check_whole(t, dest)
    t.check(all(r for r, _ in web.asked), "it was asked for without ranges")
    t.less(web.sent, TOTAL * 1.1, "bytes sent")
    dest = folder(t)
    t.equal(get_it(t, web, dest, "--no-local", url=web.model + SUFFIX)["id"], MANIFEST["id"])
    check_whole(t, dest)


@test("an estimate fetches nothing: without a manifest there is none")
def _(t):
    web, dest = t.own(Web()), folder(t)
    failed = get_it(t, web, dest, "--estimate")
    t.equal(failed["event"], "failed")
    t.check("no manifest beside that URL" in failed["why"], failed["why"])
    t.equal((web.asked, os.listdir(dest)), ([], []))


@test("with a manifest beside it and no ranges all of it comes at once; what has another id is refused")
def _(t):
    web, dest = t.own(Web()), folder(t)
    with open(MODEL + SUFFIX, "rb") as f:
        web.beside["/models/model.gguf" + SUFFIX] = f.read()
    web.ranges, whole = False, bytes(web.data)
    t.equal(get_it(t, web, dest, "--no-local")["id"], MANIFEST["id"])
    check_whole(t, dest)
    t.equal(web.asked[-1][0], None)

    for data, words in ((whole[:-1] + bytes([whole[-1] ^ 1]), "its id is "), (whole + b"x", "%d bytes, not %d" % (TOTAL + 1, TOTAL))):
        web.data, dest = data, folder(t)
        failed = get_it(t, web, dest, "--no-local")
        t.check("is not what the manifest says that lies beside it" in failed.get("why", "") and words in failed["why"], failed)
        t.equal(os.listdir(dest), [])


@test("no room is said before the transfer; a disk that fills up is waited out, with what has come")
def _(t):
    dest = folder(t)
    if os.geteuid() != 0 or subprocess.run(["mount", "-t", "tmpfs", "-o", "size=60m", "tmpfs", dest]).returncode != 0:
        t.note("skipped: a small file system can't be mounted")
        return
    try:
        web, ballast = t.own(Web()), os.path.join(dest, "ballast")
        with open(ballast, "wb") as f:
            f.write(bytes(35 * MIB))
        failed = get_it(t, web, dest)
        t.check("it needs 39.9 MiB, and 2" in failed["why"], failed["why"])
        os.unlink(ballast)
        web.sent, web.limit = 0, 16 * MIB
        p = pull(t, web.model, [], dest)
        wait_until("a part of it", lambda: written(dest) >= 8 * MIB, 30)
        fill_disk(ballast)
        web.limit = None
        p.wait_line(r"no room is left", 30)
        t.equal(event(p, "progress")["event"], "progress")
        os.unlink(ballast)
        t.equal(finish(t, p)["id"], MANIFEST["id"])
        check_whole(t, dest)
        t.less(web.sent, TOTAL + 1, "bytes sent")

        # Started anew while it is full: what is known of the .part stays.
        for name in os.listdir(dest):
            os.unlink(os.path.join(dest, name))
        web.sent, web.limit, web.asked = 0, 16 * MIB, []
        p = pull(t, web.model, [], dest)
        wait_until("a part of it", lambda: written(dest) >= 8 * MIB, 30)
        p.kill()
        fill_disk(ballast)
        failed = get_it(t, web, dest)
        t.check("no room is left" in failed["why"], failed["why"])
        os.unlink(ballast)
        web.limit = None
        t.equal(get_it(t, web, dest)["id"], MANIFEST["id"])
        t.check(web.asked[-1][0], web.asked)
    finally:
        for p in t.processes:
            p.kill()
        subprocess.run(["umount", dest])


@test("a limit holds for a web server too")
def _(t):
    web, dest, begun = t.own(Web()), folder(t), time.monotonic()
    t.equal(get_it(t, web, dest, "--download-limit", "20MB")["id"], MANIFEST["id"])
    check_whole(t, dest)
    t.less(1.5, time.monotonic() - begun, "seconds: it came faster than 20 MB/s")


main()

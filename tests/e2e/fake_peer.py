"""A peer of the swarm that is a test's own: it gives out a file by its manifest, as fast as it is told to, and knows how
many bytes of which piece it has sent to whom."""
import base64
import collections
import http.server
import json
import re
import threading
import time


class FakePeer:
    """rate: bytes a second of all pieces together; None: as fast as they go.  Change what it answers by a subclass."""

    CHUNK = 64 * 1024

    def __init__(self, manifest, path, rate=None, peer="f" * 32):
        self.manifest, self.peer, self.rate = manifest, peer, rate
        self.file = open(path, "rb")
        self.lock, self.closing = threading.Lock(), threading.Event()
        self.sent = collections.Counter()  # by piece: bytes, since reset()
        self.limit = None  # bytes of pieces, since reset(), after which it holds back; None: none
        self.free_at = 0.0
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                try:
                    outer.answer(self)
                except OSError:
                    self.close_connection = True

            def log_message(self, *args):
                pass

        class Server(http.server.ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, address):
                pass  # a connection that was cut is nothing to tell of

        self.server = Server(("127.0.0.1", 0), Handler)
        self.port = self.server.server_address[1]
        self.address = "127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def reset(self):
        """What was sent since the last time, by piece."""
        with self.lock:
            sent, self.sent = self.sent, collections.Counter()
        return sent

    def answer(self, request):
        path, id = request.path.split("?")[0], self.manifest["id"]
        if path == "/v1/swarm":
            n = len(self.manifest["pieces"])
            self.json(request, {"protocol": 1, "version": "0", "peer": self.peer, "name": "fake", "shares": [
                {"id": id, "model": self.manifest.get("model"), "filename": self.manifest["filename"],
                 "size": self.manifest["total_size"], "pieces": n, "have": n}]})
        elif path == "/v1/swarm/%s/manifest" % id:
            self.json(request, self.manifest)
        elif path == "/v1/swarm/%s/events" % id:
            self.events(request)
        elif path.startswith("/v1/swarm/%s/piece/" % id):
            self.piece(request, int(path.rsplit("/", 1)[1]))
        else:
            self.json(request, {"error": {"message": "no such thing", "type": "not_found", "param": None, "code": None}}, 404)

    def json(self, request, value, status=200):
        body = json.dumps(value).encode()
        request.send_response(status)
        request.send_header("Content-Type", "application/json")
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    def have(self):
        """The bitfield of the hello."""
        n = len(self.manifest["pieces"])
        return bytes(0xff if i < n // 8 else 0xff << (8 - n % 8) & 0xff for i in range((n + 7) // 8))

    def events(self, request):
        hello = {"protocol": 1, "peer": self.peer, "pieces": len(self.manifest["pieces"]),
                 "have": base64.b64encode(self.have()).decode(), "fetching": []}
        request.send_response(200)
        request.send_header("Content-Type", "application/x-ndjson")
        request.send_header("Connection", "close")
        request.end_headers()
        request.wfile.write((json.dumps({"hello": hello}) + "\n").encode())
        while not self.closing.wait(1):
            request.wfile.write(b'{"alive":true}\n')

    def bytes_of(self, index, data):
        """What is sent for these bytes of a piece."""
        return data

    def piece(self, request, index):
        p = self.manifest["pieces"][index]
        asked = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("Range", ""))
        start = int(asked[1]) if asked else 0
        end = min(int(asked[2]) + 1 if asked and asked[2] else p["size"], p["size"])
        request.send_response(206 if asked else 200)
        if asked:
            request.send_header("Content-Range", "bytes %d-%d/%d" % (start, end - 1, p["size"]))
        request.send_header("Content-Length", str(end - start))
        request.end_headers()
        while start < end and not self.closing.is_set():
            n = min(self.CHUNK, end - start)
            with self.lock:
                self.file.seek(p["offset"] + start)
                data = self.file.read(n)
            while self.limit is not None and sum(self.sent.values()) >= self.limit and not self.closing.wait(0.05):
                pass
            self.wait_turn(n)
            request.wfile.write(self.bytes_of(index, data))
            with self.lock:
                self.sent[index] += n
            start += n

    def wait_turn(self, n):
        if not self.rate:
            return
        with self.lock:
            now = time.monotonic()
            self.free_at = max(self.free_at, now - 0.05) + n / self.rate
            wait = self.free_at - now
        if wait > 0:
            self.closing.wait(wait)

    def close(self):
        self.closing.set()
        self.server.shutdown()
        self.server.server_close()
        self.file.close()

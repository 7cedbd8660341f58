"""Servers that lie, stall or guess, for what a real one would never do on demand.  The real ones stand beside them in
every test that uses these."""
import contextlib
import json
import random
import select
import socket
import socketserver
import threading
import time

from http.client import HTTPException

from web import post


class FakeServer:
    """HTTP/1.1 keep-alive.  routes: {(method, path): function(body or None) → (status, object)}; a function may raise
    Drop to close the connection without a reply, or return (status, bytes) to send them as they are, or (status, generator of
    bytes): they are sent one by one, and the connection is closed."""
    backend = None

    def __init__(self, routes=None, port=0):
        self.routes = routes or {}
        self.calls = []       # (method, path, body) in order
        self.lock = threading.Lock()
        self.delay = 0.0      # seconds before each reply
        self.raw_reply = None # bytes sent instead of any reply
        self.partial = None   # only so many bytes of a reply are sent, then the connection is closed
        self.open = set()
        fake = self

        class Handler(socketserver.StreamRequestHandler):
            disable_nagle_algorithm = True

            def handle(self):
                fake.open.add(self.connection)
                with contextlib.suppress(OSError):
                    while fake._one(self.rfile, self.wfile):
                        pass
                fake.open.discard(self.connection)

        class TCPServer(socketserver.ThreadingTCPServer):
            allow_reuse_address = True
            daemon_threads = True
            request_queue_size = 128

        self.server = TCPServer(("127.0.0.1", port), Handler)
        self.port = self.server.server_address[1]
        self.url = "http://127.0.0.1:%d" % self.port
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()

    def _one(self, rfile, wfile):
        line = rfile.readline().decode("latin-1").split()
        if len(line) < 2:
            return False
        length, keep = 0, True
        while True:
            h = rfile.readline().strip().lower()
            if not h:
                break
            if h.startswith(b"content-length:"):
                length = int(h[15:])
            if h.startswith(b"connection:") and b"close" in h:
                keep = False
        data = rfile.read(length) if length else b""
        body = json.loads(data) if data else None
        path = line[1].split("?")[0]
        with self.lock:
            self.calls.append((line[0], path, body))
        if self.delay:
            time.sleep(self.delay)
        if self.raw_reply is not None:
            wfile.write(self.raw_reply)
            return False
        fn = self.routes.get((line[0], path))
        try:
            status, reply = fn(body) if fn else (404, {"error": {"message": "no such path", "type": "invalid_request_error"}})
        except Drop:
            return False
        if hasattr(reply, "__next__"):
            wfile.write(b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\n\r\n" % status)
            for piece in reply:
                wfile.write(piece)
                wfile.flush()
            return False
        text = reply if isinstance(reply, bytes) else json.dumps(reply).encode()
        out = b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (status, len(text)) + text
        if self.partial is not None:
            wfile.write(out[:self.partial])
            return False
        wfile.write(out)
        wfile.flush()
        return keep

    def count(self, path):
        with self.lock:
            return sum(1 for c in self.calls if c[1] == path)

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        for s in list(self.open):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)


class Drop(Exception):
    pass


class FakeNode(FakeServer):
    """A drafter that speaks the node protocol and says it has the vocabulary of the node whose /v1/node reply is given.
    It drafts by draft_tokens(session, path, n), random tokens unless replaced."""

    def __init__(self, info, seed=1, port=0):
        self.info = dict(info, model="fake", path="fake.gguf", slots=64)
        self.rng = random.Random(seed)
        self.sessions, self.opened = {}, {}
        self.next_session = self.rng.randrange(1 << 30)
        self.drafted = 0
        super().__init__({
            ("GET", "/health"): lambda body: (200, {"status": "ok"}),
            ("GET", "/v1/node"): lambda body: (200, self.info),
            ("POST", "/v1/node/session"): self.on_session,
            ("POST", "/v1/node/draft"): self.on_draft,
        }, port)

    def draft_tokens(self, session, path, n):
        return [self.rng.randrange(self.info["n_vocab"]) for _ in range(n)]

    def on_session(self, body):
        with self.lock:
            self.next_session += 1
            self.sessions[self.next_session] = []
            self.opened[self.next_session] = body
            return 200, {"session": self.next_session}

    def on_draft(self, body):
        with self.lock:
            path = self.sessions.get(body["session"])
            if path is None or body["keep"] > len(path):
                return 409, {"error": {"message": "session lost", "type": "server_error", "code": "session_lost"},
                             "have": len(path or [])}
            path[body["keep"]:] = body["tokens"]
            tokens = self.draft_tokens(body["session"], path, body["n"])
            self.drafted += len(tokens)
            path += tokens
            probs = [0.9] * len(tokens)
            if body.get("stream"):
                lines = [{"t": tokens, "p": probs}, {"done": True, "n": len(tokens), "reason": "n"}]
                return 200, "".join(json.dumps(line) + "\n" for line in lines).encode()
            return 200, {"tokens": tokens, "probs": probs}


class HalfRight(FakeNode):
    """Drafts what the node at url would write itself, with a wrong token somewhere in every second draft: every length of
    acceptance comes up, so every rollback does."""

    def __init__(self, url, info, seed=1):
        super().__init__(info, seed)
        self.target = url

    def draft_tokens(self, session, path, n):
        opened = self.opened[session]
        try:
            own = post(self.target + "/v1/node/session", {k: opened[k] for k in ("sampling", "prompt")}).json()["session"]
            text = post(self.target + "/v1/node/generate", {"session": own, "keep": 0, "tokens": path, "n": n}).text
        except (OSError, HTTPException):  # the test is over, and the node with it
            raise Drop()
        tokens = [t for line in text.splitlines() for t in json.loads(line).get("t", [])]
        if tokens and self.rng.random() < 0.5:
            at = self.rng.randrange(len(tokens))
            tokens[at] = self.rng.randrange(self.info["n_vocab"])
        return tokens


class FakeAgent(FakeServer):
    """An OpenAI API that writes what it is told to: text, or text(body), after delay seconds.  gone: how many clients
    went away meanwhile."""
    backend = "openai"

    def __init__(self, text, delay=0.0, finish="stop", port=0):
        self.text, self.finish, self.thinking, self.gone, self.local = text, finish, delay, 0, threading.local()
        super().__init__({
            ("GET", "/v1/models"): lambda body: (200, {"object": "list", "data": [{"id": "fake-agent", "object": "model"}]}),
            ("POST", "/v1/chat/completions"): self.on_chat,
        }, port)

    @property
    def asked(self):
        return self.count("/v1/chat/completions")

    def _one(self, rfile, wfile):
        self.local.connection = wfile._sock
        return super()._one(rfile, wfile)

    def _think(self):
        sock, end = self.local.connection, time.monotonic() + self.thinking
        while time.monotonic() < end:
            ready, _, _ = select.select([sock], [], [], min(0.05, max(0, end - time.monotonic())))
            if ready and not sock.recv(1, socket.MSG_PEEK):
                self.gone += 1
                raise Drop()

    def on_chat(self, body):
        self._think()
        text = self.text(body) if callable(self.text) else self.text
        choices = [{"index": 0, "delta": {"content": text[i:i + 7]}, "finish_reason": None} for i in range(0, len(text), 7)]
        choices.append({"index": 0, "delta": {}, "finish_reason": self.finish})
        return 200, b"".join(b"data: %s\n\n" % json.dumps({"choices": [c]}).encode() for c in choices) + b"data: [DONE]\n\n"


class HeldAgent(FakeAgent):
    """One whose answers are held back until `held` is set, or POST /release is called."""

    def __init__(self, text):
        self.held = threading.Event()
        super().__init__(text)
        self.routes[("POST", "/release")] = lambda body: (self.held.set(), (200, {}))[1]

    def _think(self):
        self.held.wait(60)

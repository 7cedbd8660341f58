"""HTTP as clients use it: one request, a kept connection, a stream, raw bytes; and completions as a client sees them."""
import contextlib
import http.client
import json
import socket
import threading
import time
import urllib.parse

from common import SLOWER, Failure


class Reply:
    def __init__(self, status, headers, body, seconds):
        self.status, self.headers, self.body, self.seconds = status, headers, body, seconds

    @property
    def text(self):
        return self.body.decode("utf-8", "replace")

    def json(self):
        try:
            return json.loads(self.body)
        except ValueError as e:
            raise Failure("not JSON (%s), status %d: %r" % (e, self.status, self.body[:300]))

    def __repr__(self):
        return "%d %r" % (self.status, self.body[:300])


def _connect(url, timeout):
    u = urllib.parse.urlsplit(url)
    conn = http.client.HTTPConnection(u.hostname, u.port, timeout=timeout)
    conn.connect()
    conn.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return conn, (u.path or "/") + ("?" + u.query if u.query else "")


def request(method, url, body=None, headers=None, timeout=60.0):
    """One request on a connection of its own.  body: bytes, or anything else as JSON."""
    begun = time.monotonic()
    conn, path = _connect(url, timeout * SLOWER)
    try:
        headers = dict(headers or {})
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        if body is not None:
            headers.setdefault("Content-Type", "application/json")
        conn.request(method, path, body, headers)
        r = conn.getresponse()
        data = r.read()
        return Reply(r.status, r.headers, data, time.monotonic() - begun)
    finally:
        conn.close()


def get(url, headers=None, timeout=60.0):
    return request("GET", url, None, headers, timeout)


def post(url, body, headers=None, timeout=60.0):
    return request("POST", url, body, headers, timeout)


class Client:
    """A keep-alive connection, for what is timed or counted."""

    def __init__(self, url, timeout=60.0):
        self.conn, _ = _connect(url, timeout * SLOWER)

    def request(self, method, path, body=None, headers=None):
        begun = time.monotonic()
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        self.conn.request(method, path, body, headers or ({"Content-Type": "application/json"} if body else {}))
        r = self.conn.getresponse()
        data = r.read()
        return Reply(r.status, r.headers, data, time.monotonic() - begun)

    def close(self):
        self.conn.close()


class Stream:
    """A streamed reply, read event by event; close() goes away in the middle."""

    def __init__(self, url, body=None, headers=None, timeout=60.0):
        self.conn, path = _connect(url, timeout * SLOWER)
        headers = dict(headers or {})
        if body is not None:
            if not isinstance(body, bytes):
                body = json.dumps(body).encode()
            headers.setdefault("Content-Type", "application/json")
        self.conn.request("GET" if body is None else "POST", path, body, headers)
        self.sock = self.conn.sock  # http.client lets go of it when the reply ends with the connection
        self.reply = self.conn.getresponse()
        self.status = self.reply.status
        self.comments = 0  # lines of them so far

    def lines(self):
        while True:
            line = self.reply.readline()
            if not line:
                return
            yield line.rstrip(b"\r\n")

    def events(self):
        """(event name or None, data) of each server-sent event."""
        name, data = None, []
        for line in self.lines():
            if not line:
                if data:
                    yield name, b"\n".join(data).decode()
                name, data = None, []
            elif line.startswith(b"data:"):
                data.append(line[5:].lstrip(b" "))
            elif line.startswith(b":"):
                self.comments += 1
            elif line.startswith(b"event:"):
                name = line[6:].strip().decode()

    def close(self):
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.conn.close()

    def __enter__(self):
        return self

    def __exit__(self, *exc):
        self.close()


def raw(port, data, timeout=10.0, end_writing=False, host="127.0.0.1"):
    """Sends bytes as they are and returns all that comes back until the peer closes or timeout seconds pass."""
    got = b""
    with socket.create_connection((host, port), timeout=timeout) as s:
        with contextlib.suppress(OSError):  # a server may refuse and close before it has read all
            s.sendall(data)
            if end_writing:
                s.shutdown(socket.SHUT_WR)
        deadline = time.monotonic() + timeout
        with contextlib.suppress(OSError):
            while time.monotonic() < deadline:
                s.settimeout(max(0.01, deadline - time.monotonic()))
                part = s.recv(65536)
                if not part:
                    break
                got += part
    return got


class Answer:
    """One completion as a client sees it, streamed or not."""

    def __init__(self):
        self.status = 0
        self.text = ""
        self.finish = None
        self.usage = None
        self.error = None       # the error object, before or after tokens
        self.seed = None
        self.logprobs = []      # entries of choices[0].logprobs.content, or the completions' object
        self.done = False       # [DONE] came (streamed), or the reply was whole
        self.chunks = 0
        self.first_seconds = None
        self.seconds = None
        self.model = None
        self.headers = {}       # of the reply
        self.about = {}         # its "tightwad" object
        self.waits = 0          # comments that came before its text

    def key(self):
        """What two servers must agree on."""
        return self.text, self.finish, (self.usage or {}).get("completion_tokens")

    def __repr__(self):
        return "Answer(%d, %r, %r, %r%s)" % (self.status, self.text[:200], self.finish, self.usage,
                                             ", error %r" % (self.error,) if self.error else "")


def complete(base, body, chat=True, timeout=120.0, headers=None, on_chunk=None):
    """POSTs a completion (streamed where body says so) and returns the Answer.  on_chunk(answer) after each piece of
    text; when it returns False the connection is closed."""
    url = base + ("/v1/chat/completions" if chat else "/v1/completions")
    a, begun = Answer(), time.monotonic()
    if not body.get("stream"):
        r = post(url, body, headers, timeout)
        a.status, a.headers, a.seconds = r.status, r.headers, time.monotonic() - begun
        o = r.json()
        if "error" in o:
            a.error = o["error"]
            return a
        c = o["choices"][0]
        a.text = c["message"]["content"] if chat else c["text"]
        a.finish, a.usage, a.model = c["finish_reason"], o.get("usage"), o.get("model")
        a.about = o.get("tightwad") or {}
        a.seed = a.about.get("seed")
        a.logprobs = (c.get("logprobs") or {}).get("content", c.get("logprobs"))
        a.done = True
        return a
    with Stream(url, body, headers, timeout) as s:
        a.status, a.headers = s.status, s.reply.headers
        if s.status != 200:
            a.error = json.loads(s.reply.read() or b"{}").get("error")
            return a
        for _, data in s.events():
            if data == "[DONE]":
                a.done = True
                break
            o = json.loads(data)
            if "error" in o:
                a.error = o["error"]
                break
            a.model, a.waits = o.get("model", a.model), s.comments
            if "seed" in o.get("tightwad", {}):
                a.about = o["tightwad"]
            if o.get("usage"):
                a.usage = o["usage"]
            for c in o.get("choices", []):
                text = (c["delta"].get("content") if chat else c.get("text")) or ""
                if text and a.first_seconds is None:
                    a.first_seconds = time.monotonic() - begun
                a.text += text
                a.chunks += 1 if text else 0
                a.finish = c.get("finish_reason") or a.finish
                a.seed = (c.get("tightwad") or o.get("tightwad") or {}).get("seed", a.seed)
                if c.get("logprobs"):
                    a.logprobs += c["logprobs"].get("content", [c["logprobs"]])
                if text and on_chunk and on_chunk(a) is False:
                    a.seconds = time.monotonic() - begun
                    return a
    a.seconds = time.monotonic() - begun
    return a


def chat(base, prompt, stream=False, timeout=120.0, on_chunk=None, **params):
    """prompt: a string (one user message) or a list of messages."""
    messages = prompt if isinstance(prompt, list) else [{"role": "user", "content": prompt}]
    body = dict(params, messages=messages, stream=stream)
    if stream:
        body.setdefault("stream_options", {"include_usage": True})
    return complete(base, body, True, timeout, on_chunk=on_chunk)


def in_parallel(jobs):
    """Runs the functions at once, returns their results in order; the first exception is raised again."""
    results, errors = [None] * len(jobs), []

    def run(i, job):
        try:
            results[i] = job()
        except BaseException as e:
            errors.append(e)

    threads = [threading.Thread(target=run, args=(i, j), daemon=True) for i, j in enumerate(jobs)]
    for th in threads:
        th.start()
    for th in threads:
        th.join()
    if errors:
        raise errors[0]
    return results

"""A TCP relay between two of our programs: counts the bytes, records the HTTP exchanges, and does what networks do.

Its counters are the wire's own word: bytes of requests and replies with their headers, without TCP and IP."""
import collections
import contextlib
import json
import os
import select
import socket
import threading
import time


class Exchange:
    """One request and its reply, as they crossed the wire."""

    def __init__(self, method, path, body):
        self.method, self.path, self.body = method, path, body
        self.status, self.reply = None, None
        self.bytes_up = self.bytes_down = 0
        self.at = None  # order of the request on the wire, over all connections

    def json(self):
        return json.loads(self.body) if self.body else None

    def reply_json(self):
        return json.loads(self.reply) if self.reply else None

    def __repr__(self):
        return "%s %s %r -> %s %r" % (self.method, self.path, self.body, self.status, self.reply)


def _message(data, at):
    """(first line, body, end) of the HTTP message that starts at offset at; None when it is not complete."""
    head = data.find(b"\r\n\r\n", at)
    if head < 0:
        return None
    lines = data[at:head].split(b"\r\n")
    headers = {k.strip().lower(): v.strip() for k, _, v in (line.partition(b":") for line in lines[1:])}
    body = head + 4
    if headers.get(b"transfer-encoding", b"").lower() == b"chunked":
        text = b""
        while True:
            end = data.find(b"\r\n", body)
            if end < 0:
                return None
            size = int(data[body:end].split(b";")[0], 16)
            if len(data) < end + 2 + size + 2:
                return None
            text += data[end + 2:end + 2 + size]
            body = end + 2 + size + 2
            if size == 0:
                return lines[0], text, body
    size = int(headers.get(b"content-length", b"0"))
    if len(data) < body + size:
        return None
    return lines[0], data[body:body + size], body + size


class _Pipe:
    """One connection: a client's socket and a server's, with a thread for each direction."""

    def __init__(self, relay, client, server):
        self.relay, self.client, self.server = relay, client, server
        self.log = {"up": bytearray(), "down": bytearray()}
        self.order = []  # (offset in the upward log, global order)
        for s in (client, server):
            s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for args in ((client, server, "up"), (server, client, "down")):
            threading.Thread(target=self.pump, args=args, daemon=True).start()

    def pump(self, source, sink, way):
        queue, ended = collections.deque(), False
        with contextlib.suppress(OSError, ValueError):
            while True:
                wait = None if not queue else max(0.0, queue[0][0] - time.monotonic())
                if not ended:
                    ready, _, _ = select.select([source], [], [], wait)
                    if ready:
                        data = source.recv(65536)
                        ended = not data
                        if data:
                            queue.append((time.monotonic() + self.relay.delay, data))
                elif wait:
                    time.sleep(wait)
                while queue and queue[0][0] <= time.monotonic():
                    self.relay.passing.wait()
                    if not self.relay.forward(self, sink, way, queue.popleft()[1]):
                        return self.close()
                if ended and not queue:
                    break
            sink.shutdown(socket.SHUT_WR)
            if way == "down":
                self.close()
            return
        self.close()

    def close(self):
        for s in (self.client, self.server):
            with contextlib.suppress(OSError):
                s.shutdown(socket.SHUT_RDWR)
            with contextlib.suppress(OSError):
                s.close()
        self.relay.pipes.discard(self)


class Relay:
    def __init__(self, to_port, delay=0.0, record=False, host="127.0.0.1", at=("127.0.0.1", None)):
        """delay: seconds each way.  record: keep what passes, for exchanges().  at: where it listens (None: a free port)."""
        self.to, self.at = (host, to_port), at[0]
        self.delay, self.record = delay, record
        self.lock = threading.Lock()
        self.up = self.down = 0      # bytes forwarded towards the server and back
        self.connections = 0         # ever accepted
        self.pipes, self.old = set(), []
        self.passing = threading.Event()
        self.passing.set()
        self._cut_after = None       # bytes of replies that still pass before everything is closed
        self._garbage = None         # what replies are replaced by
        self._sequence = 0
        self.listener = None
        self.port = at[1]
        self.listen()
        self.url = "http://%s:%d" % (self.at, self.port)

    def listen(self):
        """Listens (again, on the same port, after refuse())."""
        s = socket.socket()
        s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        s.bind((self.at, self.port or 0))
        s.listen(256)
        self.port, self.listener = s.getsockname()[1], s
        threading.Thread(target=self._accept, args=(s,), daemon=True).start()

    def _accept(self, listener):
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            self.connections += 1
            try:
                server = socket.create_connection(self.to, timeout=5)
                server.settimeout(None)
            except OSError:
                client.close()
                continue
            pipe = _Pipe(self, client, server)
            self.pipes.add(pipe)
            if self.record:
                self.old.append(pipe)

    def forward(self, pipe, sink, way, data):
        """Passes one piece on; False when the connection is to be closed."""
        with self.lock:
            if way == "down" and self._garbage is not None:
                data = self._garbage
            if way == "down" and self._cut_after is not None:
                data = data[:self._cut_after]
                self._cut_after -= len(data)
            if way == "up":
                self.up += len(data)
            else:
                self.down += len(data)
            if self.record:
                if way == "up":
                    pipe.order.append((len(pipe.log["up"]), self._sequence))
                    self._sequence += 1
                pipe.log[way] += data
            cut = way == "down" and self._cut_after == 0
            if cut:
                self._cut_after = None
        if data:
            sink.sendall(data)
        return not cut

    @property
    def bytes(self):
        return self.up + self.down

    def hold(self):
        """A black hole: connections stay open, nothing passes, until release()."""
        self.passing.clear()

    def release(self):
        self._garbage = None
        self.passing.set()

    def cut(self):
        """Closes every open connection."""
        for pipe in list(self.pipes):
            pipe.close()

    def cut_in_reply(self, n):
        """After n more bytes of replies the connection that carries them is closed, once."""
        self._cut_after = n

    def garble(self, data=None):
        """Every reply is replaced by data (default: random bytes) until release()."""
        self._garbage = os.urandom(512) if data is None else data

    def refuse(self):
        """Stops listening and closes all connections: a closed port."""
        # A blocked accept() keeps a closed listener alive; shutdown wakes it.
        with contextlib.suppress(OSError):
            self.listener.shutdown(socket.SHUT_RDWR)
        self.listener.close()
        self.cut()

    def reset_counts(self):
        with self.lock:
            self.up = self.down = 0

    def forget(self):
        """Drops what was recorded; open connections must be idle."""
        with self.lock:
            self.old = [p for p in self.old if p in self.pipes]
            for p in self.old:
                p.log = {"up": bytearray(), "down": bytearray()}
                p.order = []

    def exchanges(self):
        """All complete requests recorded so far with their replies, in the order the requests were sent."""
        out = []
        with self.lock:
            logs = [(bytes(p.log["up"]), bytes(p.log["down"]), list(p.order)) for p in self.old]
        for up, down, order in logs:
            a = b = 0
            while True:
                m = _message(up, a)
                if not m:
                    break
                method, path, _ = m[0].decode().split(" ", 2)
                e = Exchange(method, path, m[1])
                e.at = max((seq for off, seq in order if off <= a), default=0)
                e.bytes_up = m[2] - a
                a = m[2]
                r = _message(down, b)
                if r:
                    e.status, e.reply = int(r[0].split()[1]), r[1]
                    e.bytes_down = r[2] - b
                    b = r[2]
                out.append(e)
                if not r:
                    break
        return sorted(out, key=lambda e: e.at)

    def close(self):
        self.passing.set()
        self.refuse()

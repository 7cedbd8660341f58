"""`tightwad relay`, which stands for a network in every measurement: late by what was asked, never early, whole, in order, and
holding a sender up whose receiver does not read."""
import contextlib
import hashlib
from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")
EARLY = 0.0001  # seconds that a trip may be short of its delay: relay.h's RELAY_EARLY_US each way, and the clocks


class Echo:
    """Sends back what it gets; a connection that begins with "S" is not read any further until go()."""

    def __init__(self):
        self.listener = socket.socket()
        self.listener.bind(("127.0.0.1", 0))
        self.listener.listen(16)
        self.port, self.going = self.listener.getsockname()[1], threading.Event()
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                threading.Thread(target=self.serve, args=self.listener.accept()[:1], daemon=True).start()

    def serve(self, s):
        s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with contextlib.suppress(OSError), s:
            data = s.recv(1)
            if data == b"S":
                self.going.wait()
            while data:
                s.sendall(data)
                data = s.recv(65536)
            s.shutdown(socket.SHUT_WR)

    def close(self):
        self.going.set()
        self.listener.close()


def relay(t, server, *args):
    p = t.process([TIGHTWAD, "relay", "--to", "127.0.0.1:%d" % server.port] + list(args), name="relay")
    p.port = int(p.wait_line(r"listening on 127\.0\.0\.1:(\d+), for 127", 10).group(1))
    return p


def connect(p):
    s = socket.create_connection(("127.0.0.1", p.port), timeout=60)
    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return s


def exactly(s, n):
    got = b""
    while len(got) < n:
        data = s.recv(n - len(got))
        if not data:
            raise Failure("ended after %d of %d bytes" % (len(got), n))
        got += data
    return got


def trip(s, data):
    begun = time.monotonic()
    s.sendall(data)
    got = exactly(s, len(data))
    return time.monotonic() - begun, got == data


@test("every trip takes the delay twice at least, the first of a connection the handshake's as well")
def _(t):
    p = relay(t, t.own(Echo()), "--delay", "5")
    with connect(p) as s:
        t.check(trip(s, b"x")[0] >= 0.020 - 4 * EARLY, "the first trip is too short")
        for size in (1, 100, 20000):
            for _ in range(5):
                seconds, whole = trip(s, b"y" * size)
                t.check(whole and seconds >= 0.010 - 2 * EARLY, "%d bytes took %.2f ms" % (size, seconds * 1000))


@test("several connections carry megabytes at once, unchanged, and their ends are passed on")
def _(t):
    p = relay(t, t.own(Echo()), "--delay", "3")
    wrong = []

    def carry(seed):
        data = random.Random(seed).randbytes(3000000 + seed)
        with connect(p) as s:
            writer = threading.Thread(target=lambda: (s.sendall(data), s.shutdown(socket.SHUT_WR)))
            writer.start()
            got = hashlib.sha256()
            while True:
                part = s.recv(65536)
                if not part:
                    break
                got.update(part)
            writer.join()
        if got.digest() != hashlib.sha256(data).digest():
            wrong.append(seed)
    threads = [threading.Thread(target=carry, args=(seed,)) for seed in range(4)]
    for th in threads:
        th.start()
    for th in threads:
        th.join(60)
    t.equal(wrong, [])


@test("the rate holds for all connections together, each way")
def _(t):
    p = relay(t, t.own(Echo()), "--rate", "16")
    begun, threads = time.monotonic(), []
    for _ in range(2):
        s = connect(p)
        threads.append(threading.Thread(target=lambda s=s: (trip(s, b"z" * 500000), s.close())))
        threads[-1].start()
    for th in threads:
        th.join(60)
    t.check(time.monotonic() - begun >= 0.5, "8 Mbit over a line of 16 Mbit/s took %.2f s" % (time.monotonic() - begun))


@test("a receiver that does not read holds its sender up, and little is kept in memory")
def _(t):
    echo = t.own(Echo())
    p = relay(t, echo, "--delay", "1")
    with connect(p) as s:
        s.sendall(b"S")
        s.settimeout(2)
        sent, part = 0, b"q" * (1 << 20)
        with contextlib.suppress(TimeoutError, socket.timeout):
            while sent < 200 << 20:
                sent += s.send(part)
        t.less(sent, 100 << 20, "bytes taken for a receiver that does not read")
        if not SANITIZED:  # which keeps what was freed
            t.less(p.memory(), 80 << 20, "resident bytes of the relay")
        s.settimeout(60)
        echo.going.set()
        s.shutdown(socket.SHUT_WR)
        t.equal(len(exactly(s, sent + 1)), sent + 1)


@test("a server that is not there, one that goes, and a wrong address")
def _(t):
    echo = Echo()
    p = relay(t, echo, "--delay", "1")
    with connect(p) as s:
        t.check(trip(s, b"x")[1])
    echo.close()
    echo.listener.close()
    wait_until("the port to be closed", lambda: refused(echo.port), 10)
    with connect(p) as s:
        with contextlib.suppress(ConnectionError):
            t.equal(s.recv(1), b"")
    wrong = t.process([TIGHTWAD, "relay", "--to", "nowhere"], name="relay")
    wrong.expected_end = True
    t.equal(wrong.wait(10), 2)
    t.check("--to is \"nowhere\"" in wrong.output, wrong.output)


def refused(port):
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", port)) != 0


main()

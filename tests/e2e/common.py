"""Where things are, and waiting."""
import os
import random
import socket
import time

HERE = os.path.dirname(os.path.abspath(__file__))
SOURCE = os.environ.get("TIGHTWAD_SOURCE") or os.path.dirname(os.path.dirname(HERE))
BUILD = os.environ.get("TIGHTWAD_BUILD") or os.path.join(SOURCE, "build")
MODELS = os.path.join(SOURCE, "subprojects", "demo-models")
SANITIZED = "asan" in os.path.basename(BUILD)
SLOWER = 4 if SANITIZED else 1  # deadlines under sanitizers are this much longer


class Failure(AssertionError):
    pass


def wait_until(what, condition, timeout=20.0, every=0.02):
    """Polls condition until it is true (its value is returned); Failure after timeout seconds."""
    deadline = time.monotonic() + timeout * SLOWER
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise Failure("waited %g s for: %s" % (timeout * SLOWER, what))
        time.sleep(every)


_taken_ports = set()


def free_port():
    """A port that nothing listens on, below the range that outgoing connections take theirs from."""
    for _ in range(1000):
        port = random.SystemRandom().randrange(20000, 32000)
        if port in _taken_ports:
            continue
        with socket.socket() as s:
            s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                s.bind(("127.0.0.1", port))
            except OSError:
                continue
        _taken_ports.add(port)
        return port
    raise Failure("no free port")

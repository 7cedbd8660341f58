"""A pool as it stands in a drawer: each of its machines behind a link of its own that can fail without a word.  A link is
`tightwad relay` in a process; stopping that process is a black hole: connections stay and are taken, nothing passes."""
import contextlib
import os
import signal
import stat
import struct
import sys

from common import BUILD, Failure, free_port, wait_until
from programs import Process, rpc_server
from relay import Relay

TIGHTWAD = os.path.join(BUILD, "tightwad")

# Stands before the coordinator's node: the same program, with a relay between its port and itself.
NODE_BEHIND_LINK = """#!%(python)s -IS
import ctypes, os, sys
args = ["%(node)s"] + sys.argv[1:]
if "--port" in args:
    at = args.index("--port") + 1
    front, args[at] = args[at], "%(inner)d"
    relay = os.fork()
    if relay == 0:
        ctypes.CDLL(None).prctl(1, 9)  # it goes when the node goes, also when it is stopped
        nothing = os.open("/dev/null", os.O_RDWR)
        for fd in (0, 1, 2):
            os.dup2(nothing, fd)
        os.execv("%(tightwad)s", ["tightwad", "relay", "--listen", "127.0.0.1:" + front, "--to", "127.0.0.1:%(inner)d"])
    with open("%(pid)s.new", "w") as f:
        f.write(str(relay))
    os.rename("%(pid)s.new", "%(pid)s")
os.execv(args[0], args)
"""


def send(pids, number):
    """A signal to processes that may have ended meanwhile."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def link(t, port, delay_ms=0):
    """A relay process before a server on this machine: its port, and freeze(), thaw()."""
    p = t.process([TIGHTWAD, "relay", "--to", "127.0.0.1:%d" % port, "--delay", str(delay_ms)], name="link")
    p.port = int(p.wait_line(r"listening on 127\.0\.0\.1:(\d+)").group(1))
    return p


class NodeLink:
    """The link between tightwad and the node that it runs as the pool's coordinator: path is the program to configure."""

    def __init__(self, folder):
        self.path, self.pid_file = os.path.join(folder, "tightwad-node"), os.path.join(folder, "link.pid")
        with open(self.path, "w") as f:
            f.write(NODE_BEHIND_LINK % {"python": sys.executable, "node": os.path.join(BUILD, "tightwad-node"),
                                        "tightwad": TIGHTWAD, "inner": free_port(), "pid": self.pid_file})
        os.chmod(self.path, stat.S_IRWXU)

    def hold(self):
        with open(self.pid_file) as f:
            send([int(f.read())], signal.SIGSTOP)


class StockWorker(Process):
    """ggml's own RPC server on one port."""

    def __init__(self, folder, name="rpc-server"):
        self.port = free_port()
        super().__init__(rpc_server() + ["-H", "127.0.0.1", "-p", str(self.port), "-d", "CPU", "-t", "1"], cwd=folder,
                         name=name)

    def ready(self):
        def listens():
            if not self.running():
                raise Failure("it ended\n" + self.tail())
            # It serves one client: a connection that says nothing would be that one.
            with open("/proc/net/tcp") as f:
                return ":%04X 00000000:0000 0A" % self.port in f.read()
        wait_until("the RPC server to listen", listens)
        return self

    def pids(self):
        return [self.pid]


class WeightsLink(Relay):
    """A link to an RPC server that knows what passes: how much each load of a model ships."""
    GRAPH_COMPUTE = 10

    def __init__(self, port, **kw):
        self.shipped = []  # of each connection that computed: bytes before it first did
        super().__init__(port, **kw)

    def forward(self, pipe, sink, way, data):
        if way == "up":
            self.parse(pipe, data)
        return super().forward(pipe, sink, way, data)

    def parse(self, pipe, data):
        """A message is a command of one byte, the length of its body in eight, and that body."""
        head, skip, count = getattr(pipe, "state", (b"", 0, 0))
        at = 0
        while at < len(data) and count is not None:
            if skip:
                n = min(skip, len(data) - at)
                skip, at, count = skip - n, at + n, count + n
                continue
            n = 9 - len(head)
            head, at = head + data[at:at + n], min(at + n, len(data))
            if len(head) == 9:
                if head[0] == self.GRAPH_COMPUTE:
                    self.shipped.append(count)
                    count = None
                    break
                skip, head, count = struct.unpack("<Q", head[1:])[0], b"", count + 9
        pipe.state = head, skip, count

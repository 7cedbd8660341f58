"""A pool as it stands in a drawer: each of its machines behind a link of its own that can fail without a word.  A link is
`tightwad relay` in a process; stopping that process is a black hole: connections stay and are taken, nothing passes."""
import contextlib
import os
import signal
import stat
import sys

from common import BUILD, Failure, free_port, wait_until
from programs import Process, rpc_server

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

"""A target with its layers on two RPC workers, each behind a slow link: every pass of it makes trips, so drafting pays."""
from harness import free_port, rpc_server, wait_until

ONE_WAY = 0.002  # seconds between the node and each of its workers


def listens(port):
    with open("/proc/net/tcp") as f:
        return any(line.split()[1].endswith(":%04X" % port) and line.split()[3] == "0A" for line in f.readlines()[1:])


def far_target(t, **kw):
    ports = []
    for i in range(2):
        port = free_port()
        t.process(rpc_server() + ["-H", "127.0.0.1", "-p", str(port), "-d", "CPU", "-t", "1"],
                  name="worker %d" % i, env={"GGML_CPU_TILED_MM": "0"}, cwd=t.folder)
        wait_until("worker %d to listen" % i, lambda: listens(port))
        ports.append(t.relay(port, delay=ONE_WAY).port)
    return t.node("target", args=["--rpc", ",".join("127.0.0.1:%d" % p for p in ports)], **kw)

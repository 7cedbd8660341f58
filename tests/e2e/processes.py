"""What the kernel tells of processes and their threads."""
import os


def children(pid):
    with open("/proc/%d/task/%d/children" % (pid, pid)) as f:
        return [int(x) for x in f.read().split()]


def threads(pid):
    """Thread id → name."""
    out = {}
    for tid in os.listdir("/proc/%d/task" % pid):
        with open("/proc/%d/task/%s/comm" % (pid, tid)) as f:
            out[int(tid)] = f.read().strip()
    return out


def thread_seconds(pid, tid):
    """What the processor has worked for it."""
    with open("/proc/%d/task/%d/schedstat" % (pid, tid)) as f:
        return int(f.read().split()[0]) / 1e9


def cpu_seconds(pid):
    return sum(thread_seconds(pid, tid) for tid in threads(pid))

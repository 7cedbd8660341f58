#!/usr/bin/python3
"""How fast a model moves.

links     one seeder and four pullers started together, each machine a network namespace with an uplink of its own: the time until all
          have the model against one transfer alone on the same links, the bytes that the seeder sent, and whether all files are the
          same (needs root)
loopback  from three full peers on this machine, against aria2c and rsync (`tightwad bench swarm`): throughput, memory, and the
          longest that a callback held the loop

usage: tests/bench/swarm.py [links] [loopback] [--size MIB] [--pullers N] [--rate MBIT] [--delay MS] [--runs N] [--dir DIR]
Ends with 0 if what it says must hold does.      (TIGHTWAD_BUILD names the build folder, build/ otherwise)"""
import argparse
import filecmp
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "e2e"))
sys.path.insert(0, HERE)
import bulk_gguf  # noqa: E402
import wire  # noqa: E402

BUILD = os.path.abspath(os.environ.get("TIGHTWAD_BUILD", os.path.join(HERE, "..", "..", "build")))
TIGHTWAD = os.path.join(BUILD, "tightwad")
PORT = 9192
ALL_TO_ONE, SEEDER_TO_FILE, MEMORY, SLOWEST_MS = 1.4, 1.3, 64 << 20, 20.0  # what must hold


class Program:
    """A `tightwad swarm …` on a machine of the wire, with the JSON lines that it prints."""

    def __init__(self, net, machine, folder, args):
        self.events, self.memory = {}, 0
        home = os.path.join(folder, "home%d" % machine)
        os.makedirs(home, exist_ok=True)
        env = {k: v for k, v in os.environ.items() if not k.startswith("TIGHTWAD_")}
        env.update(HOME=home, XDG_CACHE_HOME=os.path.join(home, "cache"), XDG_RUNTIME_DIR=home)
        empty = os.path.join(home, "empty.yaml")
        with open(empty, "w") as f:
            f.write("{}\n")
        own = ["--listen", "%s:%d" % (net.address(machine), PORT), "--no-discovery", "--json"]
        self.popen = subprocess.Popen(net.command(machine, [TIGHTWAD, "-c", empty, "swarm"] + args + own), env=env, cwd=home,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
        self.came = threading.Condition()
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self):
        for line in self.popen.stdout:
            o = json.loads(line)
            with self.came:
                self.events[o["event"]] = dict(o, at=time.monotonic())
                self.came.notify_all()
        with self.came:
            self.events.setdefault("end", {})
            self.came.notify_all()

    def expect(self, event, timeout):
        with self.came:
            self.came.wait_for(lambda: event in self.events or "end" in self.events, timeout)
            if event not in self.events:
                sys.exit("no \"%s\" from %s; it said: %s" % (event, " ".join(self.popen.args), self.events))
            return self.events[event]

    def watch(self):
        """The most memory that was resident, as far as it can still be asked."""
        try:
            with open("/proc/%d/status" % self.popen.pid) as f:
                for line in f:
                    if line.startswith("VmHWM:"):
                        self.memory = max(self.memory, int(line.split()[1]) << 10)
        except (OSError, ProcessLookupError):
            pass

    def stop(self):
        self.watch()
        if self.popen.poll() is None:
            self.popen.terminate()
        try:
            self.popen.wait(20)
        except subprocess.TimeoutExpired:
            self.popen.kill()
            self.popen.wait()
        self.thread.join()


def transfer(net, folder, model, n):
    """n pullers started together.  Returns what there is to know, or ends the program."""
    programs = []
    pulled = os.path.join(folder, "pulled")
    try:
        seeder = Program(net, 1, folder, ["seed", model])
        programs.append(seeder)
        ident = seeder.expect("shared", 600)["id"]
        before, began = net.sent[1], time.monotonic()
        pullers = [Program(net, 2 + i, folder, ["pull", ident, "--peer", "%s:%d" % (net.address(1), PORT), "--no-local",
                                                "--dest", os.path.join(pulled, str(i))]) for i in range(n)]
        programs += pullers
        while not all("done" in p.events for p in pullers):
            if any("end" in p.events and "done" not in p.events for p in pullers) or time.monotonic() - began > 1800:
                sys.exit("not all have it: %s" % [p.events for p in pullers])
            for p in programs:
                p.watch()
            time.sleep(0.05)
        took = [p.events["done"]["at"] - began for p in pullers]
        on_the_wire = net.sent[1] - before
        same = all(filecmp.cmp(model, os.path.join(pulled, str(i), os.path.basename(model)), shallow=False) for i in range(n))
        for p in reversed(programs):
            p.stop()
        return {"took": took, "same": same, "sent": seeder.events["stopped"]["sent"], "wire": on_the_wire,
                "memory": max(p.memory for p in programs), "given": [p.events["done"]["sent"] for p in pullers],
                "slowest_ms": max([seeder.events["stopped"]["slowest_ms"]] + [p.events["done"]["slowest_ms"] for p in pullers])}
    finally:
        for p in programs:
            p.stop()
        shutil.rmtree(pulled, ignore_errors=True)


def verdict(ok, words):
    print("  %-8s %s" % ("holds" if ok else "FAILS", words))
    return ok


def links(a, folder):
    if os.geteuid() != 0:
        print("links: skipped, namespaces need root")
        return True
    model = os.path.join(folder, "seed", "m.gguf")
    os.makedirs(os.path.dirname(model))
    size = bulk_gguf.write(model, a.size << 20, layers=32)
    net = wire.Wire(1 + a.pullers, a.rate * 1e6, a.delay / 1e3)
    try:
        one = transfer(net, folder, model, 1)
        all_ = transfer(net, folder, model, a.pullers)
    finally:
        net.close()
    print("links: %d MiB, uplinks of %g Mbit/s and %g ms one way (emulated: TUN devices and a switch in user space), %d CPUs"
          % (size >> 20, a.rate, a.delay, os.cpu_count()))
    print("  the link alone would take     %7.1f s" % (size * 8 / (a.rate * 1e6)))
    print("  one puller                    %7.1f s" % one["took"][0])
    print("  %d pullers, until the last     %7.1f s   (%s)" % (a.pullers, max(all_["took"]), ", ".join("%.1f" % s for s in all_["took"])))
    print("  without a swarm               %7.1f s   (the seeder's uplink shared by all, by calculation)" % (a.pullers * one["took"][0]))
    print("  sent by the seeder            %7.2f x the file, by the pullers %s   (the last puller's end; on the wire %.2f)"
          % (all_["sent"] / size, ", ".join("%.2f" % (g / size) for g in all_["given"]), all_["wire"] / size))
    print("  memory at most                %7.1f MiB, slowest callback %.1f ms" % (all_["memory"] / 2**20, all_["slowest_ms"]))
    ratio, sent = max(all_["took"]) / one["took"][0], all_["sent"] / size
    return all([verdict(ratio <= ALL_TO_ONE, "all in %.2f times the time of one alone (at most %g)" % (ratio, ALL_TO_ONE)),
                verdict(sent <= SEEDER_TO_FILE, "the seeder sent %.2f times the file (at most %g)" % (sent, SEEDER_TO_FILE)),
                verdict(one["same"] and all_["same"], "all files are the same"),
                verdict(all_["memory"] < MEMORY, "memory below %d MiB" % (MEMORY >> 20))])


def loopback(a, folder):
    r = subprocess.run([TIGHTWAD, "bench", "swarm", "--size", str(a.size), "--runs", str(a.runs), "--json"],
                       env=dict(os.environ, TMPDIR=folder), stdout=subprocess.PIPE, text=True)
    if r.returncode != 0:
        sys.exit("tightwad bench swarm ended with %d" % r.returncode)
    o = json.loads(r.stdout)
    print("loopback: %d MiB, 3 peers, medians of %d runs in turn, files in %s, %d CPUs" % (o["bytes"] >> 20, a.runs, a.dir, os.cpu_count()))
    for name in ("swarm", "aria2c", "rsync"):
        row = o[name]
        print("  %-8s %s" % (name, "is not installed" if row is None else
                             "%6.2f s  %6.0f MB/s  CPU %.2f s, its peers' %s s, memory %.1f MiB"
                             % (row["seconds"], row["bytes_a_second"] / 1e6, row["cpu_seconds"],
                                "–" if row["peers_cpu_seconds"] is None else "%.2f" % row["peers_cpu_seconds"], row["memory"] / 2**20)))
    ours = o["swarm"]
    out = [verdict(max(ours["memory"], o["peer_memory"]) < MEMORY, "memory: puller %.1f MiB, peer %.1f MiB (below %d)"
                   % (ours["memory"] / 2**20, o["peer_memory"] / 2**20, MEMORY >> 20)),
           verdict(max(ours["slowest_ms"], o["peer_slowest_ms"]) <= SLOWEST_MS, "slowest callback: puller %.1f ms, peer %.1f ms (at most %g)"
                   % (ours["slowest_ms"], o["peer_slowest_ms"], SLOWEST_MS))]
    if o["aria2c"] is not None:
        out.append(verdict(o["swarm_to_aria2c"] >= 1, "%.2f times the throughput of aria2c" % o["swarm_to_aria2c"]))
    return all(out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="*", choices=["links", "loopback", []])
    p.add_argument("--size", type=int, default=2048)
    p.add_argument("--pullers", type=int, default=4)
    p.add_argument("--rate", type=float, default=400)
    p.add_argument("--delay", type=float, default=2)
    p.add_argument("--runs", type=int, default=3)
    p.add_argument("--dir", help="where the files go (/dev/shm where it has the room: no disk is measured then)")
    a = p.parse_args()
    need = ((a.pullers + 1) * a.size + 256) << 20
    a.dir = a.dir or ("/dev/shm" if os.path.isdir("/dev/shm") and shutil.disk_usage("/dev/shm").free > need else tempfile.gettempdir())
    ok = True
    for name, fn in (("links", links), ("loopback", loopback)):
        if a.what and name not in a.what:
            continue
        folder = tempfile.mkdtemp(prefix="tightwad-bench-", dir=a.dir)
        try:
            ok = fn(a, folder) and ok
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())

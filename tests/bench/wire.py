"""A small network on one machine, in user space: each machine is a network namespace with a TUN device, all are joined by a switch
whose ports send at a fixed rate and whose packets arrive after a fixed delay.  Needs root.

Model: what a machine sends queues before its uplink (tail drop), leaves at the rate, and arrives one delay later.  Packets are large
(MTU), so that the switch need not be fast; TCP sees a link of that rate and delay with a short queue."""
import fcntl
import heapq
import os
import select
import struct
import subprocess
import threading
import time

TUNSETIFF, IFF_TUN, IFF_NO_PI = 0x400454CA, 1, 0x1000
MTU, QUEUE = 32000, 1 << 20  # bytes; QUEUE: before each uplink


def ip(*args):
    subprocess.run(["ip"] + list(args), check=True, stdout=subprocess.DEVNULL)


class Wire:
    """machines 1…n have the addresses 10.77.0.1…n.  rate: bits a second of each uplink; delay: seconds one way."""

    def __init__(self, n, rate, delay):
        self.rate, self.delay, self.names, self.fds = rate, delay, [], {}
        self.free = [0.0] * (n + 1)    # when the uplink has sent what is queued
        self.sent = [0] * (n + 1)      # bytes that left each machine
        self.dropped = 0
        self.stopping = threading.Event()
        try:
            for i in range(1, n + 1):
                self._machine(i)
        except Exception:
            self._remove()
            raise
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _machine(self, i):
        name, device = "tw%d-%d" % (os.getpid(), i), "tw%d-%d" % (os.getpid() % 10000, i)
        ip("netns", "add", name)
        self.names.append(name)
        fd = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
        fcntl.ioctl(fd, TUNSETIFF, struct.pack("16sH22x", device.encode(), IFF_TUN | IFF_NO_PI))
        self.fds[fd] = i
        ip("link", "set", device, "netns", name)
        for args in (("link", "set", "lo", "up"), ("addr", "add", "10.77.0.%d/24" % i, "dev", device),
                     ("link", "set", device, "mtu", str(MTU), "up")):
            ip("-n", name, *args)

    def command(self, i, args):
        """args as they run on machine i."""
        return ["ip", "netns", "exec", self.names[i - 1]] + list(args)

    @staticmethod
    def address(i):
        return "10.77.0.%d" % i

    def _take(self, fd, i, due, now):
        """What machine i has sent goes to the heap, with the time of its arrival."""
        for _ in range(64):
            try:
                packet = os.read(fd, MTU + 64)
            except BlockingIOError:
                return
            if len(packet) < 20 or packet[0] >> 4 != 4 or packet[19] not in self.by_number:
                continue
            start = max(self.free[i], now)
            if (start - now) * self.rate / 8 > QUEUE:
                self.dropped += 1
                continue
            self.free[i] = start + len(packet) * 8 / self.rate
            self.sent[i] += len(packet)
            self.count += 1
            heapq.heappush(due, (self.free[i] + self.delay, self.count, self.by_number[packet[19]], packet))

    def _run(self):
        self.by_number, self.count, due = {i: fd for fd, i in self.fds.items()}, 0, []
        poll = select.epoll()
        for fd in self.fds:
            poll.register(fd, select.EPOLLIN)
        while not self.stopping.is_set():
            wait = due[0][0] - time.monotonic() if due else 0.1
            for fd, _ in poll.poll(max(0.0, min(wait, 0.1))):
                self._take(fd, self.fds[fd], due, time.monotonic())
            now = time.monotonic()
            while due and due[0][0] <= now:
                try:
                    os.write(due[0][2], due[0][3])
                except (BlockingIOError, OSError):
                    self.dropped += 1
                heapq.heappop(due)
        poll.close()

    def _remove(self):
        for fd in self.fds:
            os.close(fd)
        for name in self.names:
            subprocess.run(["ip", "netns", "del", name], stderr=subprocess.DEVNULL)

    def close(self):
        self.stopping.set()
        self.thread.join()
        self._remove()

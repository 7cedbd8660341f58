"""A terminal that shows nothing: a pty whose output is counted and thrown away, or not read at all.

Where tests/e2e/terminal.py tells what a screen looks like, this one tells how much is written to it, when, and what a program
does when nobody reads."""
import fcntl
import os
import pty
import select
import signal
import struct
import subprocess
import termios
import threading
import time

from common import SLOWER, Failure, wait_until


class Pseudo:
    """command runs on a pty of that size, of which it is the controlling terminal.  reads: whether its output is read from the
    beginning.  keep: it is kept in .output, else only counted in .bytes."""

    def __init__(self, command, cols=120, rows=40, env=None, cwd=None, reads=True, keep=False):
        self.name, self.keep, self.output, self.bytes = os.path.basename(command[0]), keep, bytearray(), 0
        self.times = []  # (when, bytes so far) of each piece
        self.master, self.slave = pty.openpty()
        self.resize(cols, rows)
        self.begun = time.monotonic()
        self.popen = subprocess.Popen(command, stdin=self.slave, stdout=self.slave, stderr=self.slave, cwd=cwd, env=env,
                                      start_new_session=True, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        self.pid, self.changed = self.popen.pid, threading.Condition()
        self.reading, self.ending = threading.Event(), False
        if reads:
            self.reading.set()
        self.reader = threading.Thread(target=self._read, daemon=True)
        self.reader.start()

    def _read(self):
        while not self.ending:
            if not self.reading.wait(0.1):
                continue
            try:
                if not select.select([self.master], [], [], 0.1)[0]:
                    continue
                data = os.read(self.master, 65536)
            except OSError:
                return
            with self.changed:
                self.bytes += len(data)
                self.times.append((time.monotonic(), self.bytes))
                if self.keep:
                    self.output += data
                self.changed.notify_all()

    def read(self, on):
        """Whether its output is read from now on."""
        self.reading.set() if on else self.reading.clear()

    def write(self, data, timeout=20):
        """Keys.  The program must read them: Failure when the pty is still full after timeout seconds."""
        deadline = time.monotonic() + timeout * SLOWER
        while data:
            left = deadline - time.monotonic()
            if left <= 0:
                raise Failure("%s reads no keys" % self.name)
            if select.select([], [self.master], [], min(left, 0.5))[1]:
                data = data[os.write(self.master, data[:512]):]

    def unread(self):
        """Bytes of keys that the program has not read yet."""
        return struct.unpack("i", fcntl.ioctl(self.slave, termios.FIONREAD, b"    "))[0]

    def resize(self, cols, rows):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, cols, 0, 0))

    def settings(self):
        """What `stty -g` tells."""
        return termios.tcgetattr(self.slave)

    def wait_output(self, what, timeout=20):
        """Until these bytes have come (keep=True)."""
        def there():
            with self.changed:
                return what in self.output
        try:
            wait_until("%r from %s" % (what, self.name), there, timeout, 0.005)
        except Failure as e:
            raise Failure("%s; it wrote %r" % (e, bytes(self.output[-2000:])))

    def running(self):
        return self.popen.poll() is None

    def wait(self, timeout=20):
        try:
            return self.popen.wait(timeout * SLOWER)
        except subprocess.TimeoutExpired:
            raise Failure("%s did not end within %g s" % (self.name, timeout * SLOWER))

    def stop(self):
        problem = None
        if self.ending:
            return None
        if self.running():
            self.reading.set()
            self.popen.send_signal(signal.SIGTERM)
            try:
                code = self.wait(15)
                problem = None if code in (0, -signal.SIGTERM) else "%s ended with status %d" % (self.name, code)
            except Failure as e:
                problem = str(e)
                self.popen.kill()
                self.popen.wait()
        self.ending = True
        self.reader.join(2)
        os.close(self.master)
        os.close(self.slave)
        return problem

"""What every end-to-end test stands on: the real programs started and stopped, HTTP, TAP.

A test file reads

    from harness import *

    @test("what must hold")
    def _(t):
        node = t.node("target")
        t.equal(get(node.url + "/health").status, 200)

    main()

`t` owns what it starts and ends it when the test ends; `shared` owns what the whole file uses.  A program that dies
by itself, or that ends badly when asked to end, fails the test.  Processes are ended by pid, never by name."""
import functools
import http.client
import json
import os
import random
import re
import shutil
import signal
import socket
import sys
import tempfile
import threading
import time
import traceback

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
from common import *  # noqa: E402,F403
from programs import *  # noqa: E402,F403
from web import *  # noqa: E402,F403


class Scope:
    """Owns processes, relays, fakes and a temporary folder; close() ends all and returns what was wrong."""

    def __init__(self):
        self.owned, self.processes, self._folder = [], [], None

    @property
    def folder(self):
        if not self._folder:
            self._folder = tempfile.mkdtemp(prefix="tightwad-test-")
        return self._folder

    def own(self, thing):
        """Anything with stop() or close()."""
        self.owned.append(thing)
        if isinstance(thing, Process):
            self.processes.append(thing)
        return thing

    def process(self, args, **kw):
        return self.own(Process(args, **kw))

    def node(self, model="target", wait=True, **kw):
        node = self.own(Node(model, **kw))
        return node.ready() if wait else node

    def worker(self, args=(), wait=True, **kw):
        worker = self.own(Worker(tempfile.mkdtemp(dir=self.folder), args, **kw))
        return worker.ready() if wait else worker

    def llama_server(self, model="draft", wait=True, **kw):
        server = self.own(LlamaServer(model, **kw))
        return server.ready() if wait else server

    def proxy(self, target, drafters=(), **options):
        folder = tempfile.mkdtemp(dir=self.folder)
        # Owned before it is awaited, so that one which never gets ready is ended as well.
        wait = options.pop("wait", True)
        p = self.own(Proxy(folder, target, drafters, wait=False, **options))
        return p.ready() if wait else p

    def pool(self, models=None, workers=(), wait=True, **options):
        """wait False: it listens, and its pool is whatever it is."""
        p = self.own(Pool(tempfile.mkdtemp(dir=self.folder), models, workers, wait=False, **options))
        wait_until("tightwad to listen", lambda: listening(p), 20)
        if wait:
            p.up()
        return p

    def relay(self, server, **kw):
        from relay import Relay
        return self.own(Relay(server if isinstance(server, int) else server.port, **kw))

    def terminal(self, command, cols=80, rows=24, **kw):
        from terminal import Terminal
        return self.own(Terminal(tempfile.mkdtemp(dir=self.folder), command, cols, rows, **kw))

    def close(self):
        wrong = []
        for thing in reversed(self.owned):
            try:
                problem = thing.stop() if hasattr(thing, "stop") else thing.close()
            except Exception as e:
                problem = "%s: %s" % (type(thing).__name__, e)
            if problem:
                wrong.append(problem)
            if isinstance(thing, Process):
                m = re.search(r"(ERROR: AddressSanitizer|ERROR: LeakSanitizer|runtime error:).*", thing.output)
                if m:
                    wrong.append("%s: %s\n%s" % (thing.name, m.group(0), thing.tail(60)))
        self.owned, self.processes = [], []
        if self._folder:
            shutil.rmtree(self._folder, ignore_errors=True)
            self._folder = None
        return wrong


def _comment(text):
    """A TAP comment; control characters, which break readers of the log, are shown as codes."""
    for line in str(text).split("\n"):
        print("# " + "".join(c if c.isprintable() or c == "\t" else "\\x%02x" % ord(c) for c in line), flush=True)


def listening(program):
    """Whether its port takes connections; Failure when it has ended."""
    if not program.running():
        raise Failure("%s ended with status %d\n%s" % (program.name, program.popen.returncode, program.tail()))
    with socket.socket() as s:
        return s.connect_ex(("127.0.0.1", program.port)) == 0


class Test(Scope):
    def check(self, condition, message="does not hold"):
        if not condition:
            raise Failure(message)

    def equal(self, got, want, message="differs"):
        if got != want:
            raise Failure("%s\n   got %r\n  want %r" % (message, got, want))

    def less(self, got, limit, message="too much"):
        if not got < limit:
            raise Failure("%s: %r, must be under %r" % (message, got, limit))

    def between(self, got, low, high, message="out of range"):
        if not low <= got <= high:
            raise Failure("%s: %r, must be from %r to %r" % (message, got, low, high))

    def note(self, text):
        _comment(text)


shared = Scope()
_tests = []


def test(name):
    def keep(fn):
        _tests.append((name, fn))
        return fn
    return keep


def main():
    """Runs the file's tests (those whose name contains an argument, if there is one) and writes TAP."""
    chosen = [(n, f) for n, f in _tests if len(sys.argv) < 2 or any(a in n for a in sys.argv[1:])]
    print("1..%d" % (len(chosen) + 1), flush=True)
    failed = 0
    for i, (name, fn) in enumerate(chosen, 1):
        t, begun, wrong = Test(), time.monotonic(), []
        try:
            fn(t)
        except BaseException as e:
            text = str(e) if isinstance(e, Failure) else traceback.format_exc()
            line = traceback.extract_tb(e.__traceback__)
            at = [f.lineno for f in line if f.filename == os.path.abspath(sys.argv[0])]
            wrong.append(text + ("\nat line %s" % ", ".join(map(str, at)) if at else ""))
            wrong += [p.tail() for p in t.processes + shared.processes]
            if isinstance(e, KeyboardInterrupt):
                raise
        closing = t.close()
        wrong += closing
        failed += bool(wrong)
        print("%s %d - %s" % ("not ok" if wrong else "ok", i, name.replace("#", "number ")))
        for w in wrong:
            t.note(w)
        t.note("%.1f s" % (time.monotonic() - begun))
    wrong = shared.close()
    print("%s %d - what the file started ended well" % ("not ok" if wrong else "ok", len(chosen) + 1))
    for w in wrong:
        _comment(w)
    sys.stdout.flush()
    sys.exit(1 if failed or wrong else 0)

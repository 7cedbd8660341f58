"""Seeders of the swarm, and what is read from them: JSON, pieces, streams of events."""
import hashlib
import http.client
import json
import os

import bulk_gguf
from common import BUILD, SLOWER, free_port
from programs import Process
from web import get


def model_file(folder, size, seed=1, name="bulk"):
    """A GGUF of about that size that nothing can load, with its own bytes for each seed: its path."""
    path = os.path.join(folder, "%s-%d.gguf" % (name, seed))
    bulk_gguf.write(path, size, layers=8, seed=seed)
    return path


class Seeder(Process):
    """`tightwad swarm seed` of files on a free loopback port.  ids: by path, as they are shared."""

    def __init__(self, folder, models, args=(), env=None, port=None, name="seeder"):
        self.port = port or free_port()
        self.url, self.address = "http://127.0.0.1:%d/v1/swarm" % self.port, "127.0.0.1:%d" % self.port
        home = {"HOME": folder, "XDG_CACHE_HOME": os.path.join(folder, "cache"),
                "XDG_RUNTIME_DIR": os.path.join(folder, "run"), "XDG_CONFIG_HOME": os.path.join(folder, "config")}
        os.makedirs(home["XDG_RUNTIME_DIR"], mode=0o700, exist_ok=True)
        super().__init__([os.path.join(BUILD, "tightwad"), "swarm", "seed", *models, "--listen", self.address,
                          "--no-discovery", "--json", *args], name=name, env=dict(home, **(env or {})))
        self.models, self.ids = models, {}

    def ready(self, timeout=60):
        """Waits until all that was named is given out."""
        after = 0
        while len(self.ids) < len(self.models):
            said = json.loads(self.wait_line(r'^\{"event":"shared".*\}$', timeout, after).group(0))
            self.ids[said["path"]] = said["id"]
            after = next(i for i in range(after, len(self.lines)) if said["id"] in self.lines[i]) + 1
        return self

    @property
    def id(self):
        return next(iter(self.ids.values()))

    def of(self, what, id=None):
        return "%s/%s/%s" % (self.url, id or self.id, what)

    def shares(self, **kw):
        return get(self.url, **kw).json()["shares"]

    def manifest(self):
        return get(self.of("manifest")).json()


def seeder(t, models, args=(), wait=True, **kw):
    s = t.own(Seeder(kw.pop("folder", t.folder), models, args, **kw))
    return s.ready() if wait else s


class Events:
    """The stream of events of a share: its lines as they come."""

    def __init__(self, seeder, query=""):
        self.conn = http.client.HTTPConnection("127.0.0.1", seeder.port, timeout=30 * SLOWER)
        self.conn.request("GET", "/v1/swarm/%s/events%s" % (seeder.id, query))
        self.reply = self.conn.getresponse()

    def next(self):
        """The next line as an object; None: it has ended."""
        line = self.reply.readline()
        return json.loads(line) if line else None

    def close(self):
        self.conn.close()


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()

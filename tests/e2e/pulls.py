"""`tightwad swarm pull` of generated models, from peers that count what they send."""
import contextlib
import json
import os
import subprocess
import tempfile

import bulk_gguf
from harness import *

TIGHTWAD = os.path.join(BUILD, "tightwad")
MIB = 1 << 20
SUFFIX = ".tightwad.manifest"
HOME = tempfile.mkdtemp(dir=shared.folder)
ENV = {"HOME": HOME, "XDG_CACHE_HOME": HOME + "/cache", "XDG_CONFIG_HOME": HOME + "/config",
       "XDG_RUNTIME_DIR": HOME + "/run"}
os.mkdir(HOME + "/run", 0o700)


def manifest_of(path):
    subprocess.run([TIGHTWAD, "manifest", "create", path], check=True, env=dict(os.environ, **ENV),
                   stdout=subprocess.DEVNULL)
    with open(path + SUFFIX) as f:
        return json.load(f)


def make_model(folder, name, size, **kw):
    """Its path and its manifest."""
    path = os.path.join(folder, name)
    bulk_gguf.write(path, size, **kw)
    return path, manifest_of(path)


def pull(t, what, peers, dest, *args, env=None):
    args = [a for peer in peers for a in ("--peer", peer.address)] + list(args)
    p = t.process([TIGHTWAD, "swarm", "pull", what, "--dest", dest, "--listen", "127.0.0.1:%d" % free_port(),
                   "--no-discovery", "--json", *args], name="pull", env=dict(ENV, **(env or {})))
    p.expected_end = True
    return p


def event(process, kind, timeout=60):
    """The first event of a kind ("done|failed") that it tells of."""
    return json.loads(process.wait_line(r'^\{"event":"(%s)".*' % kind, timeout).group(0))


def finish(t, process, timeout=60):
    """How it ended; its status fits."""
    done = event(process, "done|failed", timeout)
    t.equal(process.wait(20), 0 if done["event"] == "done" else 1)
    return done


def fill_disk(path):
    """A file that takes all room that is left."""
    with contextlib.suppress(OSError), open(path, "wb", buffering=0) as f:
        while f.write(bytes(MIB)):
            pass

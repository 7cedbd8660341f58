"""`tightwad agent` as tests start it."""
import http.client
import json
import os
import tempfile

from common import *
from programs import *

TIGHTWAD = os.path.join(BUILD, "tightwad")


class Agent(Process):
    """One with a home of its own below folder, which is where what it pulls goes (models: elsewhere)."""

    def __init__(self, folder, args=(), under=(), models=None, host="127.0.0.1"):
        self.port, self.folder, self.host = free_port(), folder, host
        self.file, self.models = os.path.join(folder, "token"), models or os.path.join(folder, "models")
        run = os.path.join(folder, "run")
        os.makedirs(run, mode=0o700, exist_ok=True)
        super().__init__(list(under) + [TIGHTWAD, "agent", "--listen", "%s:%d" % (host, self.port), "--token-file", self.file,
                                        "--models", self.models] + list(args), name="agent",
                         env={"HOME": folder, "OLLAMA_MODELS": folder, "XDG_CACHE_HOME": os.path.join(folder, "cache"),
                              "XDG_RUNTIME_DIR": run})
        self.wait_line("^token ")
        with open(self.file) as f:
            self.token = f.read().strip()

    @property
    def where(self):
        return "%s:%d" % (self.host, self.port)

    def ask(self, method, path, body=None, token=None, headers=()):
        """(status, JSON).  token True: its own."""
        conn = http.client.HTTPConnection(self.host, self.port, timeout=60 * SLOWER)
        all_headers = {"Content-Type": "application/json"} if body is not None else {}
        if token:
            all_headers["Authorization"] = "Bearer " + (self.token if token is True else token)
        all_headers.update(headers)
        conn.request(method, path, json.dumps(body) if body is not None else None, all_headers)
        r = conn.getresponse()
        text = r.read()
        conn.close()
        return r.status, json.loads(text)

    def order(self, path, body):
        return self.ask("POST", "/v1/agent/" + path, body, token=True)

    def run(self, name):
        return {r["name"]: r for r in self.ask("GET", "/v1/agent/running", token=True)[1]["running"]}.get(name)

    def pulls(self):
        return self.ask("GET", "/v1/agent/pulls", token=True)[1]


def agents_with(t, n, token=None, **kw):
    """So many, with one token."""
    out = []
    for _ in range(n):
        folder = tempfile.mkdtemp(dir=t.folder)
        if token or out:
            path = os.path.join(folder, "token")
            with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w") as f:
                f.write((token or out[0].token) + "\n")
        out.append(t.own(Agent(folder, **kw)))
    return out

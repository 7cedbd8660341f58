"""A target behind TLS with an API key, as a cloud's is: the certificate is checked, the key comes from the environment and is
shown nowhere, and what the API can do is found by asking it."""
import contextlib
import os
import select
import socket
import ssl
import threading

from certificates import certificate
from exact import Case, check_exact
from harness import *
from prompts import prompts

KEY = "sk-a-key-that-is-secret"
plain = shared.node("target")
guarded = shared.node("target", args=["--api-key", KEY], name="node:guarded")


class Tls:
    """Ends TLS for a server: https://localhost:PORT."""

    def __init__(self, server, cert):
        self.server, self.context = server, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(cert)
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = "https://localhost:%d" % self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self.socket.accept()
                threading.Thread(target=self.serve, args=(peer,), daemon=True).start()

    def serve(self, peer):
        with contextlib.suppress(OSError):
            tls = self.context.wrap_socket(peer, server_side=True)
            inner = socket.create_connection(("127.0.0.1", self.server.port))
            for s in (tls, inner):
                s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with tls, inner:
                while True:
                    ready = [tls] if tls.pending() else select.select([tls, inner], [], [])[0]
                    for a in ready:
                        data = a.recv(65536)
                        if not data:
                            return
                        (inner if a is tls else tls).sendall(data)

    def close(self):
        self.socket.close()


def reason(proxy):
    """Why the target is not used, "" while nothing answers yet."""
    with contextlib.suppress(OSError):
        return proxy.status()["backends"][0]["reason"]
    return ""


def cases(n):
    return [Case(p, temperature=0, stream=i % 2 == 0, max_tokens=100) for i, p in enumerate(prompts(n, "https"))]


@test("https with a key: verified through echo, byte for byte the target's, and the key is shown nowhere")
def _(t):
    cert = certificate(t.folder)
    tls = t.own(Tls(guarded, cert))
    target = {"url": tls.url + "/v1", "backend": "openai", "api_key": "${CLOUD_KEY}"}
    proxy = t.proxy(target, [t.node("draft")], env={"CLOUD_KEY": KEY, "SSL_CERT_FILE": cert + ".crt"})
    check_exact(t, proxy, plain, cases(8))
    s = proxy.status()
    t.note({k: s[k] for k in ("rounds", "drafted", "accepted", "speculating", "why_not")})
    t.check(s["speculating"] and s["accepted"] > 0, "nothing was accepted")
    t.check(KEY not in json.dumps(s) + proxy.output, "the key is shown")


@test("a certificate that nobody vouches for, and a wrong key, are refused in words")
def _(t):
    cert = certificate(t.folder)
    tls = t.own(Tls(guarded, cert))
    proxy = t.proxy({"url": tls.url, "backend": "openai", "api_key": KEY}, wait=False)
    wait_until("the certificate to be named", lambda: "certificate" in reason(proxy), 15)
    wrong = t.proxy({"url": tls.url, "backend": "openai", "api_key": "sk-wrong-key"}, wait=False,
                    env={"SSL_CERT_FILE": cert + ".crt"})
    wait_until("the key to be named", lambda: "api_key" in reason(wrong), 15)
    t.check("sk-wrong-key" not in json.dumps(wrong.status()), "the key is shown")


main()

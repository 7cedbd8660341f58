#!/usr/bin/env python3
"""A stand-in for Ollama where none is installed: its API as a stock server has it, its text from a real model.

With --upstream URL (a llama-server or a tightwad-node) every text is written by that server's model, so drafts are real
ones; without, a fixed text is recited.  In a test:

    with FakeOllama(upstream=t.llama_server("draft").url, model="tiny:latest") as ollama:
        ... ollama.url, ollama.requests ...

By hand: fake_ollama.py --port 11434 --model tiny:latest --upstream http://127.0.0.1:9931"""
import argparse
import datetime
import http.client
import http.server
import json
import threading
import urllib.parse

RECITED = " The quick brown fox jumps over the lazy dog."


class UpstreamError(Exception):
    pass


def complete(upstream, path, body):
    """Yields (text, finish, usage) from an OpenAI endpoint's stream; the connection closes with the generator."""
    where = urllib.parse.urlsplit(upstream)
    conn = http.client.HTTPConnection(where.hostname, where.port, timeout=60)
    try:
        body = dict(body, stream=True, stream_options={"include_usage": True})
        conn.request("POST", path, json.dumps(body), {"Content-Type": "application/json"})
        reply = conn.getresponse()
        if reply.status != 200:
            raise UpstreamError(reply.read().decode("utf-8", "replace"))
        for line in reply:
            if not line.startswith(b"data: ") or line.startswith(b"data: [DONE]"):
                continue
            event = json.loads(line[6:])
            choice = (event.get("choices") or [{}])[0]
            text = choice.get("text") or (choice.get("delta") or {}).get("content") or ""
            yield text, choice.get("finish_reason"), event.get("usage")
    finally:
        conn.close()


def recite(n):
    for i in range(n):
        yield RECITED[i % len(RECITED)], None, None
    yield "", "length", {"prompt_tokens": 1, "completion_tokens": n}


# Ollama's options and what an OpenAI endpoint calls them.
OPTIONS = {"num_predict": "max_tokens", "temperature": "temperature", "seed": "seed", "stop": "stop", "top_k": "top_k",
           "top_p": "top_p", "min_p": "min_p", "repeat_penalty": "repeat_penalty", "repeat_last_n": "repeat_last_n",
           "frequency_penalty": "frequency_penalty", "presence_penalty": "presence_penalty"}


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def log_message(self, *args):
        pass

    @property
    def fake(self):
        return self.server.fake

    def send(self, status, value, content_type="application/json; charset=utf-8"):
        body = value if isinstance(value, bytes) else json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def start_stream(self, content_type):
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, data):
        self.wfile.write(b"%x\r\n%s\r\n" % (len(data), data))
        self.wfile.flush()

    def model_entry(self):
        name = self.fake.model
        return {"name": name, "model": name, "modified_at": "2026-01-01T00:00:00Z", "size": 89984, "digest": "0" * 64,
                "details": {"parent_model": "", "format": "gguf", "family": "llama", "families": ["llama"],
                            "parameter_size": "84K", "quantization_level": "Q8_0"}}

    def do_HEAD(self):
        self.send(200, b"", "text/plain; charset=utf-8")

    def do_GET(self):
        self.fake.requests.append((self.path, None))
        if self.path == "/":
            self.send(200, b"Ollama is running", "text/plain; charset=utf-8")
        elif self.path == "/api/version":
            self.send(200, {"version": self.fake.version})
        elif self.path == "/api/tags":
            self.send(200, {"models": [self.model_entry()]})
        elif self.path == "/api/ps":
            self.send(200, {"models": [dict(self.model_entry(), expires_at="2026-01-01T00:05:00Z", size_vram=0)]})
        elif self.path == "/v1/models":
            self.send(200, {"object": "list", "data": [{"id": self.fake.model, "object": "model", "created": 1767225600,
                                                        "owned_by": "library"}]})
        else:
            self.send(404, b"404 page not found", "text/plain")

    def do_POST(self):
        raw = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        try:
            body = json.loads(raw)
            assert isinstance(body, dict)
        except (ValueError, AssertionError):
            self.send(400, {"error": "invalid character in the request"})
            return
        self.fake.requests.append((self.path, body))
        routes = {"/api/show": self.show, "/api/generate": self.generate, "/api/chat": self.chat,
                  "/api/pull": self.pull, "/v1/chat/completions": self.openai_chat}
        if self.path not in routes:
            self.send(404, b"404 page not found", "text/plain")
        elif not body.get("model") and not body.get("name"):
            self.send(400, {"error": "model is required"})
        elif self.path != "/api/pull" and not self.has(body.get("model") or body.get("name")):
            words = "model '%s' not found" % (body.get("model") or body.get("name"))
            shape = {"message": words, "type": "not_found_error", "param": None, "code": None}
            self.send(404, {"error": shape if self.path.startswith("/v1/") else words})
        else:
            try:
                routes[self.path](body)
            except UpstreamError as e:
                self.send(500, {"error": str(e)})
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True

    def has(self, name):
        return self.fake.model in (name, name + ":latest")

    def show(self, body):
        self.send(200, {"modelfile": "", "parameters": "", "template": "{{ .Prompt }}",
                        "details": self.model_entry()["details"],
                        "model_info": {"general.architecture": "llama", "llama.context_length": 512,
                                       "llama.vocab_size": 640, "tokenizer.ggml.tokens": None},
                        "capabilities": ["completion"]})

    def pull(self, body):
        self.start_stream("application/x-ndjson")
        for status in ("pulling manifest", "verifying sha256 digest", "success"):
            self.chunk(json.dumps({"status": status}).encode() + b"\n")
        self.chunk(b"")

    def write(self, path, given, options):
        body = dict(given)
        for name, value in options.items():
            if name in OPTIONS and not (name == "num_predict" and value < 0):
                body[OPTIONS[name]] = value
        if not self.fake.upstream:
            return recite(int(options.get("num_predict", 64)))
        return complete(self.fake.upstream, path, body)

    def answer(self, body, key, wrap, pieces):
        """The pieces as Ollama's lines, or as one object where stream is false."""
        base = {"model": body["model"]}
        stream, total, finish, usage, open_ = body.get("stream", True), "", None, None, False
        for text, why, counts in pieces:
            finish, usage = why or finish, counts or usage
            total += text
            if not stream or not text:
                continue
            if not open_:
                self.start_stream("application/x-ndjson")
                open_ = True
            line = dict(base, created_at=now(), done=False, **{key: wrap(text)})
            self.chunk(json.dumps(line).encode() + b"\n")
        usage = usage or {}
        last = dict(base, created_at=now(), done=True, done_reason="length" if finish == "length" else "stop",
                    total_duration=1, load_duration=1, prompt_eval_count=usage.get("prompt_tokens", 0),
                    prompt_eval_duration=1, eval_count=usage.get("completion_tokens", 0), eval_duration=1)
        last[key] = wrap("" if stream else total)
        if not stream:
            self.send(200, last)
            return
        if not open_:
            self.start_stream("application/x-ndjson")
        self.chunk(json.dumps(last).encode() + b"\n")
        self.chunk(b"")

    def generate(self, body):
        options = body.get("options") or {}
        if not body.get("prompt"):
            self.send(200, {"model": body["model"], "created_at": now(), "response": "", "done": True,
                            "done_reason": "load"})
        elif body.get("raw"):
            self.answer(body, "response", str, self.write("/v1/completions", {"prompt": body["prompt"]}, options))
        else:
            messages = [{"role": "user", "content": body["prompt"]}]
            self.answer(body, "response", str, self.write("/v1/chat/completions", {"messages": messages}, options))

    def chat(self, body):
        self.answer(body, "message", lambda text: {"role": "assistant", "content": text},
                    self.write("/v1/chat/completions", {"messages": body["messages"]}, body.get("options") or {}))

    def openai_chat(self, body):
        options = {"num_predict": body.get("max_tokens", 64)}
        for name, theirs in OPTIONS.items():
            if body.get(theirs) is not None:
                options[name] = body[theirs]
        pieces = self.write("/v1/chat/completions", {"messages": body["messages"]}, options)
        base = {"id": "chatcmpl-1", "created": 1767225600, "model": body["model"], "system_fingerprint": "fp_ollama"}
        if not body.get("stream"):
            total, finish, usage = "", "stop", {}
            for text, why, counts in pieces:
                total, finish, usage = total + text, why or finish, counts or usage
            self.send(200, dict(base, object="chat.completion", usage=usage, choices=[
                {"index": 0, "message": {"role": "assistant", "content": total}, "finish_reason": finish}]))
            return
        base["object"] = "chat.completion.chunk"
        usage, open_ = None, False
        for text, why, counts in pieces:
            usage = counts or usage
            if not open_:
                self.start_stream("text/event-stream")
                open_ = True
            if text or why:
                self.event(dict(base, choices=[{"index": 0, "delta": {"role": "assistant", "content": text},
                                                "finish_reason": why}]))
        if (body.get("stream_options") or {}).get("include_usage"):
            self.event(dict(base, choices=[], usage=usage))
        self.chunk(b"data: [DONE]\n\n")
        self.chunk(b"")

    def event(self, value):
        self.chunk(b"data: " + json.dumps(value).encode() + b"\n\n")


def now():
    return datetime.datetime.now(datetime.timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        pass


class FakeOllama:
    """model: its name with the tag.  requests: (path, body) of all so far."""
    backend = "ollama"

    def __init__(self, upstream=None, model="tiny:latest", version="0.9.0", port=0, host="127.0.0.1"):
        self.upstream, self.model, self.version, self.requests = upstream, model, version, []
        self.server = Server((host, port), Handler)
        self.server.fake = self
        self.port = self.server.server_address[1]
        self.url = "http://%s:%d" % (host, self.port)
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        self.thread.start()

    def __enter__(self):
        return self

    def __exit__(self, *args):
        self.close()

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("--port", type=int, default=0)
    p.add_argument("--host", default="127.0.0.1")
    p.add_argument("--model", default="tiny:latest")
    p.add_argument("--upstream")
    a = p.parse_args()
    fake = FakeOllama(a.upstream, a.model, port=a.port, host=a.host)
    print("listening on %s" % fake.url, flush=True)
    fake.thread.join()


if __name__ == "__main__":
    main()

"""What broken and hostile clients send."""

USER = [{"role": "user", "content": "Hi"}]

TEXTS = {
    "nothing": b"", "not JSON": b"hello", "half an object": b'{"messages": [{"role": "us', "a list": b"[]", "a number": b"5",
    "a string": b'"x"', "null": b"null", "two objects": b'{"messages":[]}{"messages":[]}',
    "trailing garbage": b'{"messages":[{"role":"user","content":"a"}]}x',
    "10,000 brackets": b"[" * 10000, "10,000 brackets in a key": b'{"messages":' + b"[" * 10000 + b"]" * 10000 + b"}",
    "10,000 objects deep": b'{"a":' * 10000 + b"1" + b"}" * 10000,
    "bad UTF-8": b'{"messages":[{"role":"user","content":"\xff\xfe"}]}', "cut UTF-8": b'{"messages":[{"role":"user","content":"\xe2\x82"}]}',
    "overlong UTF-8": b'{"messages":[{"role":"user","content":"\xc0\xaf"}]}',
    "a UTF-8 surrogate": b'{"messages":[{"role":"user","content":"\xed\xa0\x80"}]}',
    "half an escaped surrogate": b'{"messages":[{"role":"user","content":"\\ud800"}]}',
    "a NUL": b'{"messages":[{"role":"user","content":"a\\u0000b"}]}', "a raw NUL": b'{"messages":\x00[]}',
    "a doubled key": b'{"messages":[{"role":"user","content":"a"}],"seed":1,"seed":2}',
    "NaN": b'{"messages":[{"role":"user","content":"a"}],"temperature":NaN}',
    "1e999": b'{"messages":[{"role":"user","content":"a"}],"temperature":1e999}',
    "a number of 5,000 digits": b'{"messages":[{"role":"user","content":"a"}],"seed":' + b"9" * 5000 + b"}",
}

BODIES = {
    "messages": [{}, {"messages": None}, {"messages": "x"}, {"messages": []}, {"messages": [5]}, {"messages": [{}]},
                 {"messages": {"role": "user"}}, {"messages": [{"role": "user"}]},
                 {"messages": [{"role": 5, "content": "x"}]}, {"messages": [{"role": "user", "content": 5}]},
                 {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]}],
    "temperature": [-1, 2.5, 1e300, "hot", [], True, -0.001],
    "top_p": [-1, 1.5, "x", {}], "top_k": [-5, "x", 1.5, 1 << 40], "min_p": [-1, 2, "x"],
    "max_tokens": [-1, "x", 1.5, 1 << 62, {}], "max_completion_tokens": [-1, "many", 1 << 62],
    "seed": ["x", 1.5, {}], "n": [0, 2, -1, "x", 1.5], "stream": ["yes", 1, {}],
    "stop": [5, [5], "", [""], ["x"] * 500, {"a": 1}], "frequency_penalty": [-3, 3, "x"], "presence_penalty": [-3, 3, []],
    "logit_bias": [5, "x", [], {"x": 1}, {"5": "x"}, {"5": 1000}, {"-1": 1}, {"99999999": 1}],
    "logprobs": [5, "x"], "top_logprobs": [-1, 50, "x"], "stream_options": [5, "x", {"include_usage": "x"}],
    "tools": [[{"type": "function", "function": {"name": "f"}}]], "response_format": [{"type": "json_object"}],
    "model": [5, {}, []],
}


def head(*lines, path=b"/v1/chat/completions"):
    return b"POST " + path + b" HTTP/1.1\r\n" + b"".join(line + b"\r\n" for line in (b"Host: x",) + lines) + b"\r\n"


BODY = b'{"messages":[{"role":"user","content":"Hi"}],"max_tokens":3}'
LENGTH = b"Content-Length: %d" % len(BODY)
RAW = {
    "two different Content-Lengths": head(LENGTH, b"Content-Length: 5") + BODY,
    "two equal Content-Lengths": head(LENGTH, LENGTH) + BODY,
    "a negative Content-Length": head(b"Content-Length: -5") + BODY,
    "a Content-Length that is no number": head(b"Content-Length: 0x40") + BODY,
    "an endless Content-Length": head(b"Content-Length: 99999999999999999999999") + BODY,
    "Content-Length and chunks": head(LENGTH, b"Transfer-Encoding: chunked") + b"0\r\n\r\n",
    "chunks of hex with 0x": head(b"Transfer-Encoding: chunked") + b"0x%x\r\n" % len(BODY) + BODY + b"\r\n0\r\n\r\n",
    "chunks of negative size": head(b"Transfer-Encoding: chunked") + b"-5\r\n" + BODY + b"\r\n0\r\n\r\n",
    "a header of 1 MB": head(b"X: " + b"a" * 1000000, LENGTH) + BODY,
    "50,000 headers": head(*([b"X-%d: y" % i for i in range(50000)] + [LENGTH])) + BODY,
    "a request line of 1 MB": head(LENGTH, path=b"/" + b"a" * 1000000) + BODY,
    "no HTTP": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(256)) * 4,
    "HTTP/9.9": b"GET /health HTTP/9.9\r\nHost: x\r\n\r\n",
    "a header without a colon": head(b"nonsense", LENGTH) + BODY,
}

#!/usr/bin/env python3
"""Writes models with random weights and the demo vocabulary: what a recurrent or a hybrid architecture does to rollback
can only be tested on one, and the demo's own have no tensor that is large enough for the cache of an RPC worker.

make_gguf.py KIND OUT.gguf [--seed N] [--layers N] [--ffn N] [--vocab-from MODEL.gguf]
KIND: transformer, recurrent (mamba), hybrid (jamba), large (a transformer with six tensors of 12 MiB, rows fit for K-quants)
"""
import argparse
import os
import random
import struct

HERE = os.path.dirname(os.path.abspath(__file__))
DEMO = os.path.join(HERE, "..", "..", "subprojects", "demo-models", "target.gguf")
SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}  # bytes of GGUF's fixed types
U32, F32, STRING, ARRAY = 4, 6, 8, 9
ALIGNMENT = 32
WIDTH, STATE, CONV, RANK, HEADS, CONTEXT = 64, 8, 4, 4, 4, 1024
LARGE_WIDTH, LARGE_FFN, TILE = 256, 12288, 1 << 16


class Reader:
    """Walks over the key-value part of a GGUF file."""

    def __init__(self, data):
        self.data, self.at = data, 0

    def take(self, fmt):
        values = struct.unpack_from("<" + fmt, self.data, self.at)
        self.at += struct.calcsize("<" + fmt)
        return values[0]

    def string(self):
        n = self.take("Q")
        self.at += n
        return self.data[self.at - n:self.at]

    def skip(self, kind):
        if kind == STRING:
            self.string()
        elif kind == ARRAY:
            item, n = self.take("I"), self.take("Q")
            if item in SIZES:
                self.at += n * SIZES[item]
            else:
                for _ in range(n):
                    self.skip(item)
        else:
            self.at += SIZES[kind]


def tokenizer_of(path):
    """The raw key-value pairs of the tokenizer, how many they are, and the size of the vocabulary."""
    with open(path, "rb") as f:
        r = Reader(f.read())
    assert r.take("4s") == b"GGUF"
    r.take("I")
    r.take("Q")
    raw, count, vocab = b"", 0, 0
    for _ in range(r.take("Q")):
        start = r.at
        key, kind = r.string(), r.take("I")
        if key == b"tokenizer.ggml.tokens":
            vocab = struct.unpack_from("<Q", r.data, r.at + 4)[0]
        r.skip(kind)
        if key.startswith(b"tokenizer."):
            raw += r.data[start:r.at]
            count += 1
    return raw, count, vocab


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", STRING) + text(value)
    if isinstance(value, float):
        return text(key) + struct.pack("<If", F32, value)
    if isinstance(value, list):
        return text(key) + struct.pack("<IIQ", ARRAY, U32, len(value)) + struct.pack("<%dI" % len(value), *value)
    return text(key) + struct.pack("<II", U32, value)


class Weights:
    """Random tensors, F32; shapes as GGUF has them (the fastest dimension first)."""

    def __init__(self, seed):
        self.random, self.list = random.Random(seed), []

    def add(self, name, shape, scale=None, values=None):
        n = 1
        for d in shape:
            n *= d
        if values is None:
            sigma = scale if scale is not None else shape[0] ** -0.5
            values = [self.random.gauss(0, sigma) for _ in range(min(n, TILE))]
        data = struct.pack("<%df" % len(values), *values)
        self.list.append((name, shape, (data * -(-n // len(values)))[:4 * n]))

    def ones(self, name, n):
        self.add(name, [n], values=[self.random.uniform(0.8, 1.2) for _ in range(n)])


def add_attention(w, b, width):
    for name in ("attn_q", "attn_k", "attn_v", "attn_output"):
        w.add(b + name + ".weight", [width, width])


def add_ffn(w, b, width, ffn):
    w.ones(b + "ffn_norm.weight", width)
    w.add(b + "ffn_gate.weight", [width, ffn])
    w.add(b + "ffn_up.weight", [width, ffn])
    w.add(b + "ffn_down.weight", [ffn, width])


def add_mamba(w, b, norms):
    inner = 2 * WIDTH
    w.add(b + "ssm_in.weight", [WIDTH, 2 * inner])
    w.add(b + "ssm_conv1d.weight", [CONV, inner])
    w.add(b + "ssm_conv1d.bias", [inner], 0.1)
    w.add(b + "ssm_x.weight", [inner, RANK + 2 * STATE])
    if norms:
        w.ones(b + "ssm_dt_norm.weight", RANK)
        w.ones(b + "ssm_b_norm.weight", STATE)
        w.ones(b + "ssm_c_norm.weight", STATE)
    w.add(b + "ssm_dt.weight", [RANK, inner])
    # softplus(-2) is a step of 0.13: the state then remembers some tens of tokens
    w.add(b + "ssm_dt.bias", [inner], values=[w.random.uniform(-3, -1) for _ in range(inner)])
    w.add(b + "ssm_a", [STATE, inner], values=[-w.random.uniform(0.2, 1.5) for _ in range(STATE * inner)])
    w.ones(b + "ssm_d", inner)
    w.add(b + "ssm_out.weight", [inner, WIDTH])


def model(kind, vocab, seed, layers=None, ffn=None):
    """Key-value pairs and tensors."""
    arch = {"transformer": "llama", "large": "llama", "recurrent": "mamba", "hybrid": "jamba"}[kind]
    layers = layers or (4 if kind == "hybrid" else 2)
    width, usual = (LARGE_WIDTH, LARGE_FFN) if kind == "large" else (WIDTH, 2 * WIDTH)
    ffn = ffn or usual
    attends = [arch == "llama" or (kind == "hybrid" and i % 2 == 1) for i in range(layers)]
    kv = {"general.architecture": arch, "general.name": "Random " + kind, arch + ".context_length": CONTEXT,
          arch + ".embedding_length": width, arch + ".block_count": layers, arch + ".vocab_size": vocab,
          arch + ".attention.layer_norm_rms_epsilon": 1e-5,
          arch + ".feed_forward_length": 0 if kind == "recurrent" else ffn,
          arch + ".attention.head_count": 0 if kind == "recurrent" else HEADS}
    if kind == "hybrid":
        kv[arch + ".attention.head_count_kv"] = [HEADS if a else 0 for a in attends]
    if arch == "llama":
        kv[arch + ".rope.dimension_count"] = width // HEADS
    else:
        kv.update({arch + ".ssm.conv_kernel": CONV, arch + ".ssm.inner_size": 2 * WIDTH,
                   arch + ".ssm.state_size": STATE, arch + ".ssm.time_step_rank": RANK})
    w = Weights(seed)
    w.add("token_embd.weight", [width, vocab], 1.0)
    w.ones("output_norm.weight", width)
    w.add("output.weight", [width, vocab], 0.4)
    for i, attention in enumerate(attends):
        b = "blk.%d." % i
        w.ones(b + "attn_norm.weight", width)
        if attention:
            add_attention(w, b, width)
        else:
            add_mamba(w, b, kind == "hybrid")
        if kind != "recurrent":
            add_ffn(w, b, width, ffn)
    return kv, w.list


def write(kind, out, seed=1, vocab_from=DEMO, layers=None, ffn=None):
    """layers, ffn: how many and how wide, where the usual ones are not meant."""
    raw, n_raw, vocab = tokenizer_of(vocab_from)
    kv, tensors = model(kind, vocab, seed, layers, ffn)
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(kv) + n_raw)
    head += b"".join(pair(k, v) for k, v in kv.items()) + raw
    offset = 0
    for name, shape, data in tensors:
        head += text(name) + struct.pack("<I", len(shape)) + struct.pack("<%dQ" % len(shape), *shape)
        head += struct.pack("<IQ", 0, offset)
        offset += -(-len(data) // ALIGNMENT) * ALIGNMENT
    body = b"".join(data + b"\0" * (-len(data) % ALIGNMENT) for _, _, data in tensors)
    with open(out + ".part", "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT) + body)
    os.replace(out + ".part", out)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("kind", choices=["transformer", "recurrent", "hybrid", "large"])
    p.add_argument("out")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--layers", type=int, help="how many (default: 2, hybrid 4)")
    p.add_argument("--ffn", type=int, help="width of the feed-forward part")
    p.add_argument("--vocab-from", default=DEMO)
    a = p.parse_args()
    write(a.kind, a.out, a.seed, a.vocab_from, a.layers, a.ffn)


if __name__ == "__main__":
    main()

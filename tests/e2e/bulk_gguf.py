#!/usr/bin/env python3
"""Writes a model file of any size, fast: a sound GGUF with the layers and tensors of a real one and random bytes in them,
for whatever moves or hashes files.  Nothing can load it.

bulk_gguf.py OUT.gguf SIZE [--layers N] [--seed N] [--template TEXT]   SIZE: bytes, or with K, M, G behind it
"""
import argparse
import os
import random
import struct

ALIGNMENT, WIDTH, BLOCK = 32, 1024, 1 << 20
F16 = 1
SHARES = {"attn_q": 2, "attn_k": 1, "attn_v": 1, "attn_output": 2, "ffn_gate": 6, "ffn_up": 6, "ffn_down": 6}  # of a layer


def text(s):
    return struct.pack("<Q", len(s.encode())) + s.encode()


def pair(key, value):
    if isinstance(value, str):
        return text(key) + struct.pack("<I", 8) + text(value)
    return text(key) + struct.pack("<II", 4, value)


def tensors(size, layers):
    """Names and rows of WIDTH two-byte numbers, of about `size` bytes together."""
    rows = size // (2 * WIDTH)
    table = rows // 16
    layer = (rows - 2 * table) // layers
    yield "token_embd.weight", max(table, 1)
    for i in range(layers):
        for name, share in SHARES.items():
            yield "blk.%d.%s.weight" % (i, name), max(layer * share // sum(SHARES.values()), 1)
    yield "output_norm.weight", 1
    yield "output.weight", max(table, 1)


def write(out, size, layers=16, seed=1, template="{{ messages }}", name=None, kv=None):
    """The file's size comes within a few rows of `size`.  kv: other metadata than a model's.  Returns the size."""
    kv = kv or {"general.architecture": "llama", "general.name": name or "Bulk %d" % seed, "general.file_type": 1,
          "llama.block_count": layers, "llama.context_length": 4096, "llama.embedding_length": WIDTH,
          "tokenizer.chat_template": template}
    listed = list(tensors(size, layers))
    head = struct.pack("<4sIQQ", b"GGUF", 3, len(listed), len(kv)) + b"".join(pair(k, v) for k, v in kv.items())
    offset = 0
    for tensor, rows in listed:
        head += text(tensor) + struct.pack("<IQQIQ", 2, WIDTH, rows, F16, offset)
        offset += 2 * WIDTH * rows
    # One random block again and again, each with its own number in it: no two pieces are the same.
    block = random.Random(seed).randbytes(BLOCK)
    with open(out + ".part", "wb") as f:
        f.write(head + b"\0" * (-len(head) % ALIGNMENT))
        for at in range(0, offset, BLOCK):
            f.write((struct.pack("<QQ", seed, at) + block[16:])[:offset - at])
    os.replace(out + ".part", out)
    return os.path.getsize(out)


def bytes_of(word):
    return int(word.rstrip("KMG")) << {"K": 10, "M": 20, "G": 30}.get(word[-1], 0)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("out")
    p.add_argument("size", type=bytes_of)
    p.add_argument("--layers", type=int, default=16)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--template", default="{{ messages }}")
    a = p.parse_args()
    write(a.out, a.size, a.layers, a.seed, a.template)


if __name__ == "__main__":
    main()

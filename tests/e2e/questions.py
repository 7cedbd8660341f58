"""Questions with one right answer each, for the demo models: sums, capitals, days and months, spelling and counting.
`questions()` gives them; run by hand it writes subprojects/demo-models/questions.tsv, which is shipped."""
import hashlib
import os
import sys

from common import MODELS

sys.path.insert(0, MODELS)
import corpus  # noqa: E402

FILE = os.path.join(MODELS, "questions.tsv")


def _sums():
    ways = ["What is {}?", "{}", "{} = ?", "Calculate {}.", "How much is {}?"]
    pairs = [("+", a, b, a + b) for a in range(51) for b in range(51)]
    pairs += [("-", a, b, a - b) for a in range(51) for b in range(a + 1)]
    pairs += [("*", a, b, a * b) for a in range(13) for b in range(13)]
    # One way of asking each, and every operator alike.
    few = {op: _few([p for p in pairs if p[0] == op], 100) for op in "+-*"}
    return [(ways[i % len(ways)].format("%d %s %d" % (a, op, b)), "%d %s %d = %d." % (a, op, b, c))
            for op in few for i, (_, a, b, c) in enumerate(few[op])]


def _capitals():
    return [(way.format(country), "The capital of %s is %s." % (country, city)) for country, city in corpus.CAPITALS.items()
            for way in ("What is the capital of {}?", "Name the capital of {}.", "Capital of {}?")]


def _days():
    out = []
    for names, kind in ((corpus.DAYS, "day"), (corpus.MONTHS, "month")):
        for i, name in enumerate(names):
            out.append(("What %s comes after %s?" % (kind, name), "%s comes after %s." % (names[(i + 1) % len(names)], name)))
            out.append(("What %s comes before %s?" % (kind, name), "%s comes before %s." % (names[i - 1], name)))
    return out


def _spelling():
    return [(way.format(w), "%s is spelled %s." % (w, "-".join(w))) for w in corpus.WORDS
            for way in ("Spell {}.", "How do you spell {}?")]


def _counting():
    return [(way.format(a, b), ", ".join(map(str, range(a, b + 1))) + ".") for a in range(31) for b in range(a + 3, a + 21)
            for way in ("Count from {} to {}.", "Count {} to {}")]


def _few(items, n):
    """n of them, spread without a random generator, whose ways may change."""
    return sorted(items, key=lambda item: hashlib.sha256(repr(item).encode()).digest())[:n]


KINDS = [("sums", _sums, 90), ("capitals", _capitals, 60), ("days", _days, 38), ("spelling", _spelling, 52), ("counting", _counting, 60)]


def questions(n=300):
    """[(question, answer)], all different, the kinds mixed; the first n of 300."""
    return _few([item for _, make, count in KINDS for item in _few(make(), count)], n)


def load(path=FILE):
    """[(question, answer)] of a file."""
    with open(path, encoding="utf-8") as f:
        return [tuple(line.rstrip("\n").split("\t")) for line in f if line.strip() and not line.startswith("#")]


if __name__ == "__main__":
    with open(FILE, "w", encoding="utf-8") as f:
        f.write("# Question, a tab, its answer.  Written by tests/e2e/questions.py; the demo target was trained on their like.\n")
        f.writelines("%s\t%s\n" % pair for pair in questions())

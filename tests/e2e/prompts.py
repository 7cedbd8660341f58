"""Prompts for the demo models, none of which is a line of the training corpus's fixed list of questions: its
generators with seeds of our own, and free text that it has never seen."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.environ.get("TIGHTWAD_SOURCE") or
                                os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))),
                                "subprojects", "demo-models"))
import corpus  # noqa: E402
from web import post  # noqa: E402

_FIXED = {q for questions, _ in corpus.FACTS for q in questions}
_MADE = [corpus.sums, corpus.capital, corpus.order, corpus.count, corpus.spell, corpus.opposite, corpus.sound,
         corpus.story, corpus.repeat]
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_ODD = ["naïve café", "Größe", "日本語のテスト", "🙂🚀", "a\tb\nc", "\"quoted\" \\ back", "x = {'y': [1, 2]}", "Привет, мир", "   "]


def free_text(r):
    """Something that no one has trained on: made-up words, other scripts, punctuation."""
    words = []
    for _ in range(r.randint(2, 14)):
        k = r.random()
        if k < .15:
            words.append(r.choice(_ODD))
        elif k < .5:
            words.append("".join(r.choice(_LETTERS) for _ in range(r.randint(1, 9))))
        else:
            words.append(r.choice(corpus.WORDS))
    return r.choice(["", "Please ", "Why ", "Write about "]) + " ".join(words) + r.choice(["", "?", ".", "!"])


def prompts(n, seed):
    """n different single prompts; a third of them free text."""
    r, out = random.Random("tightwad %s" % seed), []
    while len(out) < n:
        p = free_text(r) if r.random() < .33 else r.choice(_MADE)(r)[0]
        if p not in _FIXED and p not in out:
            out.append(p)
    return out


def story_prompts(n, seed):
    """Prompts with long answers (about 140 tokens)."""
    r = random.Random("story %s" % seed)
    return [corpus.story(r)[0] for _ in range(n)]


def long_chat(seed, characters):
    """A conversation of at least so many characters that ends with a question: context to fill."""
    r, messages, size = random.Random("long %s" % seed), [], 0
    while size < characters:
        messages += _turn(r)
        size += sum(len(m["content"]) for m in messages[-2:])
    return messages + [{"role": "user", "content": corpus.story(r)[0]}]


def _turn(r):
    q, a = r.choice(_MADE)(r)
    return [{"role": "user", "content": q}, {"role": "assistant", "content": a}]


def sized_chat(node, seed, most):
    """A conversation of nearly so many tokens, as the node at url `node` counts them, that ends with a question; and that
    number.  Turns that would not fit are left out."""
    r, turns, n = random.Random("sized %s" % seed), [], 0
    last = [{"role": "user", "content": corpus.story(r)[0]}]
    for _ in range(40):
        longer = turns + _turn(r)
        size = len(post(node + "/v1/node/template", {"messages": longer + last}).json()["tokens"])
        if size <= most:
            turns, n = longer, size
        if n > most - 25:
            break
    return turns + last, n

#!/usr/bin/python3
"""The rules of the house that a machine can check: layers, sizes, words, names.  One TAP case a rule; each finding is a
line FILE:LINE: what is wrong."""
import os
import re
import shutil
import subprocess
import sys

SOURCE = os.environ.get("TIGHTWAD_SOURCE") or os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))

# A layer includes only itself and those before it.
LAYERS = ["base", "http", "probe", "advise", "config", "swarm", "agent", "backends", "engines", "api", "ui", "cmd", "node"]
# Libraries that have one home.
HOMES = {"llama.h": ["node"], "ggml": ["node"], "curl/": ["http"], "ncurses": ["ui"], "hwloc": ["probe", "node"],
         "yaml.h": ["config"], "event2/http.h": ["http"]}
TOP = {"meson.build", "meson_options.txt", "src", "ui", "configs", "subprojects", "tests", "doc", "README.md", "LICENSE",
       "bootstrap"}
MAX_LINES, MAX_FUNCTION = 800, 80
CODE = (".c", ".h")
TEXT = CODE + (".py", ".sh", ".md", ".build", ".txt", ".yaml", ".yml", ".json", ".js", ".mjs", ".1", ".5", ".in")
# Put together from parts, so that this file does not contain what it looks for.
MARKERS = re.compile(r"\b(%s)\b" % "|".join(["TO" + "DO", "FIX" + "ME", "XX" + "X", "HA" + "CK"]))
FORBIDDEN = re.compile(r"(?<!\w)(?:%s)" % "|".join(map(re.escape, [
    "/wo" + "rk/", "/fa" + "rm/", "/ro" + "ot/", "/tmp/te" + "am", "deb.deb" + "ian.org", "registry.np" + "mjs",
    "pypi" + ".org", "files.python" + "hosted", "crates" + ".io", "localho" + "st:4873"])))


def tracked():
    """The project's files: what git has or would add; without git, everything that is not made."""
    if shutil.which("git"):
        r = subprocess.run(["git", "-c", "safe.directory=*", "-C", SOURCE, "ls-files", "--cached", "--others",
                            "--exclude-standard"], capture_output=True, text=True)
        if r.returncode == 0:
            return [f for f in r.stdout.splitlines() if os.path.isfile(os.path.join(SOURCE, f))]
    out = []
    for folder, dirs, files in os.walk(SOURCE):
        dirs[:] = [d for d in dirs if not d.startswith(("build", ".git", "prefix", "node_modules", "__pycache__"))]
        out += [os.path.relpath(os.path.join(folder, f), SOURCE) for f in files]
    return out


FILES = sorted(tracked())
_read = {}


def lines(path):
    if path not in _read:
        with open(os.path.join(SOURCE, path), encoding="utf-8", errors="replace") as f:
            _read[path] = f.read().split("\n")
    return _read[path]


def is_text(path):
    return path.endswith(TEXT) or path in ("bootstrap", ".ci/run") or path.endswith("/fetch")


def sources(*ends):
    return [f for f in FILES if f.startswith(("src/", "ui/")) and f.endswith(ends)]


def layer_of(path):
    parts = path.split("/")
    return "ui" if parts[0] == "ui" else parts[1] if len(parts) > 2 else None


def includes(path):
    for i, line in enumerate(lines(path), 1):
        m = re.match(r'\s*#\s*include\s+([<"])([^>"]+)[>"]', line)
        if m:
            yield i, m.group(1) == '"', m.group(2)


def check_layers():
    for f in sources(*CODE):
        mine = layer_of(f)
        if mine is None:
            if f != "src/main.c":
                yield f, 1, "stands in no layer"
            continue
        if mine not in LAYERS:
            yield f, 1, "%s is no layer (%s)" % (mine, ", ".join(LAYERS))
            continue
        for i, quoted, name in includes(f):
            theirs = name.split("/")[0]
            if quoted and "/" not in name:
                yield f, i, '"%s": name the layer as well, "layer/file.h"' % name
            elif quoted and theirs not in LAYERS:
                yield f, i, "%s is in no layer" % name
            elif quoted and LAYERS.index(theirs) > LAYERS.index(mine):
                yield f, i, "%s must not include %s: it stands above %s" % (mine, name, theirs)
            elif not quoted:
                for part, homes in HOMES.items():
                    if name.startswith(part) and mine not in homes:
                        yield f, i, "<%s> belongs to %s" % (name, " and ".join(homes))


def check_main():
    f = "src/main.c"
    functions = [line for line in lines(f) if re.match(r"[a-z].*\)$", line)]
    if functions != ["int main(int argc, char **argv)"] or len(lines(f)) > 60:
        yield f, 1, "wires and nothing else: one function, main"


def check_own_header_first():
    for f in sources(".c"):
        own = f[:-2] + ".h"
        if own in FILES:
            first = next(includes(f), (1, True, ""))
            if own not in (os.path.join("src", first[2]), first[2]):
                yield f, first[0], "includes its own header first"


def check_sizes():
    for f in FILES:
        if is_text(f) and not f.endswith((".json", ".md")) and len(lines(f)) - 1 > MAX_LINES:
            yield f, MAX_LINES, "%d lines; %d are the most" % (len(lines(f)) - 1, MAX_LINES)


def check_functions():
    for f in sources(".c"):
        begun = None
        for i, line in enumerate(lines(f), 1):
            if line == "{":
                begun = i
            elif line == "}" and begun is not None:
                if i - begun >= MAX_FUNCTION:
                    yield f, begun, "a function of %d lines; under %d" % (i - begun + 1, MAX_FUNCTION)
                begun = None


def check_markers():
    for f in FILES:
        if is_text(f):
            for i, line in enumerate(lines(f), 1):
                if MARKERS.search(line):
                    yield f, i, "left over: " + line.strip()[:80]


def check_machine():
    for f in FILES:
        if is_text(f):
            for i, line in enumerate(lines(f), 1):
                m = FORBIDDEN.search(line)
                if m:
                    yield f, i, "a path or host of one machine: %s" % m.group(0)


def check_headers():
    for f in sources(".h"):
        text = lines(f)
        if not text[0].startswith("/*"):
            yield f, 1, "a header begins with a comment: what it is for"
        guard = "TIGHTWAD_" + re.sub(r"[^A-Z0-9]", "_", re.sub(r"^src/", "", f).upper())
        if not any(line == "#ifndef " + guard for line in text):
            yield f, 1, "include guard %s" % guard
        paragraph, begun = [], 1
        for i, line in enumerate(text + [""], 1):
            if line.strip():
                paragraph.append(line)
                continue
            body = "\n".join(paragraph)
            if re.search(r"^[a-z][\w *]*\**\w+\([^;{]*\)[^;{]*;", body, re.M) and "/*" not in body:
                yield f, begun, "functions without a comment: " + paragraph[0].strip()[:60]
            paragraph, begun = [], i + 1


def check_top():
    for name in sorted({f.split("/")[0] for f in FILES}):
        if name not in TOP and not name.startswith("."):
            yield name, 1, "does not belong at the top level (%s)" % ", ".join(sorted(TOP))


def check_tests():
    registered = "\n".join(lines("tests/e2e/meson.build"))
    for f in FILES:
        m = re.match(r"tests/e2e/test_(\w+)\.py$", f)
        if m:
            if "'%s'" % m.group(1) not in registered:
                yield f, 1, "is not listed in tests/e2e/meson.build"
            if not lines(f)[0].startswith('"""'):
                yield f, 1, "the first line says why the test exists"


def check_links():
    for f in FILES:
        if not f.endswith(".md"):
            continue
        for i, line in enumerate(lines(f), 1):
            for target in re.findall(r"\]\(([^)#: ]+)(?:#[^)]*)?\)", line):
                if not os.path.exists(os.path.join(SOURCE, os.path.dirname(f), target)):
                    yield f, i, "links to %s, which is not there" % target


def check_format():
    """Only by the version of Debian 12: others lay out differently."""
    tool = shutil.which("clang-format-14")
    if not tool:
        return
    names = [f for f in FILES if f.endswith(CODE)]
    r = subprocess.run([tool, "--dry-run", "-Werror", "--ferror-limit=1"] + names, cwd=SOURCE, capture_output=True,
                       text=True)
    for m in re.finditer(r"^(\S+?):(\d+):\d+: error: ", r.stderr, re.M):
        yield m.group(1), int(m.group(2)), "clang-format -i this file"


RULES = [
    ("a layer includes only those above it", check_layers),
    ("main.c wires and nothing else", check_main),
    ("a source includes its own header first", check_own_header_first),
    ("no file is too long", check_sizes),
    ("no function is too long", check_functions),
    ("nothing is left over", check_markers),
    ("no path or host of a machine", check_machine),
    ("public functions have comments", check_headers),
    ("the top level holds what it should", check_top),
    ("every end-to-end test is run and says why", check_tests),
    ("links in the documentation lead somewhere", check_links),
    ("the code is laid out by .clang-format", check_format),
]


def main():
    print("1..%d" % len(RULES))
    failed = 0
    for n, (name, rule) in enumerate(RULES, 1):
        found = list(rule())
        failed += bool(found)
        print("%s %d - %s" % ("not ok" if found else "ok", n, name))
        for f, line, text in found:
            print("# %s:%d: %s" % (f, line, text))
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

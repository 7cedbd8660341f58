#!/usr/bin/python3
"""Counts the test cases of the last `meson test` in the build folders given: `N passed, N failed`.

A TAP line is a case; a program that writes no TAP is one.  A program that ended badly without naming a failed case
(crashed, ran out of time, fell short of its plan) counts as one failure more.  Exit status 1 when anything failed or
nothing was run."""
import json
import os
import re
import sys

LINE = re.compile(r"^(not )?ok\b(.*)$", re.M)
SKIP = re.compile(r"#\s*skip", re.I)


def count(test):
    """(passed, failed, skipped) of one entry of meson's log."""
    good = test["result"] in ("OK", "EXPECTEDFAIL", "SKIP")
    passed = failed = skipped = 0
    for bad, rest in LINE.findall(test.get("stdout") or ""):
        if SKIP.search(rest):
            skipped += 1
        elif bad:
            failed += 1
        else:
            passed += 1
    if passed + failed + skipped == 0:
        return int(test["result"] in ("OK", "EXPECTEDFAIL")), int(not good), int(test["result"] == "SKIP")
    return passed, failed + int(not good and failed == 0), skipped


def main(folders):
    total, bad = [0, 0, 0], []
    for folder in folders:
        log = os.path.join(folder, "meson-logs", "testlog.json")
        if not os.path.exists(log):
            bad.append("%s: no test was run" % folder)
            total[1] += 1
            continue
        with open(log, encoding="utf-8", errors="replace") as f:
            for line in f:
                test = json.loads(line)
                counts = count(test)
                total = [a + b for a, b in zip(total, counts)]
                if counts[1]:
                    bad.append("%s: %s: %s" % (folder, test["name"], test["result"]))
    for b in bad:
        print("failed: " + b)
    print("%d passed, %d failed%s" % (total[0], total[1], ", %d skipped" % total[2] if total[2] else ""))
    return 0 if total[1] == 0 and total[0] > 0 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

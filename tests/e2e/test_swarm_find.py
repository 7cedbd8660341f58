"""Peers on the local network must find each other by multicast, only where they can be reached and want to be found, and whatever
else is said there."""
import subprocess

from harness import *


@test("a model is found and pulled without a word of where it is; forged announcements by the thousand hinder nothing")
def _(t):
    r = subprocess.run(["unshare", "-r", "-n", sys.executable, os.path.join(HERE, "swarm_network.py"), t.folder],
                       capture_output=True, text=True, timeout=200 * SLOWER)
    t.note(r.stdout.strip())
    t.equal(r.returncode, 0, r.stdout + r.stderr)


main()

"""Runs in a network namespace of its own, on a terminal: far_terminal.py FOLDER INTERFACE ADDRESS WORD…  Tells its process
number in FOLDER/pid, waits for the interface that is laid to it, gives it the address, and becomes the program of the words."""
import os
import sys
import time

from public_peer_address import set_address

folder, interface, address = sys.argv[1:4]
with open(os.path.join(folder, "pid.new"), "w") as f:
    f.write(str(os.getpid()))
os.rename(os.path.join(folder, "pid.new"), os.path.join(folder, "pid"))
until = time.monotonic() + 30
while not os.path.exists(os.path.join(folder, "laid")):
    if time.monotonic() > until:
        sys.exit("no cable was laid")
    time.sleep(0.02)
set_address("lo", "127.0.0.1")
set_address(interface, address)
os.execvp(sys.argv[4], sys.argv[4:])

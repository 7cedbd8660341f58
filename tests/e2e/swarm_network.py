"""Runs in a network namespace of its own: swarm_network.py FOLDER.  Lays a cable to another namespace, where models are given out,
and lets `tightwad swarm pull` find them without being told of any peer.  `swarm_network.py FOLDER far` is the other end."""
import hashlib
import socket
import struct
import subprocess
import threading

from harness import *
from public_peer_address import set_address
import bulk_gguf
import veth

NEAR, FAR = "192.168.78.1", "192.168.78.2"
GROUP, PORT = "239.192.84.87", 9192
OPEN, HIDDEN, LOOPBACK = 9200, 9201, 9202  # where the seeders serve over there
SELF = "5e1f" * 8
TIGHTWAD = os.path.join(BUILD, "tightwad")


def sha256_of(path):
    with open(path, "rb") as f:
        return hashlib.file_digest(f, "sha256").hexdigest()


def home(folder, name):
    own = os.path.join(folder, name)
    os.makedirs(os.path.join(own, "run"), mode=0o700, exist_ok=True)
    return {"HOME": own, "XDG_RUNTIME_DIR": os.path.join(own, "run"), "XDG_CACHE_HOME": os.path.join(own, "cache"),
            "XDG_CONFIG_HOME": os.path.join(own, "config"), "XDG_DATA_HOME": os.path.join(own, "data")}


def seed(t, folder, number, *args):
    model = os.path.join(folder, "bulk-%d.gguf" % number)
    bulk_gguf.write(model, 6 << 20, layers=8, seed=number)
    s = t.process([TIGHTWAD, "swarm", "seed", model, "--json"] + list(args), env=home(folder, "far%d" % number))
    said = json.loads(s.wait_line(r'^\{"event":"shared".*\}$', 60).group(0))
    return dict(said, sha256=sha256_of(model))


def far_end(t, folder):
    print("namespace", flush=True)
    sys.stdin.readline()
    set_address("lo", "127.0.0.1")
    set_address("v1", FAR)
    print(json.dumps([seed(t, folder, 1, "--listen", "0.0.0.0:%d" % OPEN),
                      seed(t, folder, 2, "--listen", "0.0.0.0:%d" % HIDDEN, "--no-discovery"),
                      seed(t, folder, 3, "--listen", "127.0.0.1:%d" % LOOPBACK)]), flush=True)
    sys.stdin.readline()


def group_socket():
    s = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    s.setsockopt(socket.IPPROTO_IP, 12, 1)  # IP_RECVTTL
    s.setsockopt(socket.IPPROTO_IP, socket.IP_MULTICAST_IF, socket.inet_aton(NEAR))
    s.setsockopt(socket.IPPROTO_IP, socket.IP_ADD_MEMBERSHIP, socket.inet_aton(GROUP) + socket.inet_aton(NEAR))
    s.bind((GROUP, PORT))
    s.settimeout(0.5)
    return s


def say(s, what):
    s.sendto(what if isinstance(what, bytes) else json.dumps(what).encode(), (GROUP, PORT))


def announced(s, wanted, rounds=40):
    """Asks until so many answers of others have come: [(address, time to live, message)]."""
    heard = []
    for _ in range(rounds):
        say(s, {"tightwad": 1, "peer": SELF, "port": 0, "ask": True, "ids": []})
        try:
            while len(heard) < wanted:
                data, anc, _, (host, _) = s.recvmsg(2048, 100)
                m = json.loads(data)
                if m["peer"] != SELF:
                    heard.append((host, struct.unpack("=i", anc[0][2][:4])[0], m))
        except socket.timeout:
            continue
        return heard
    raise AssertionError("nobody answers: %r" % heard)


def pull(t, folder, name, what, *args):
    return t.process([TIGHTWAD, "swarm", "pull", what, "--json", "--dest", os.path.join(folder, name)] + list(args),
                     env=home(folder, name))


def pulled(p, said, ends=True):
    done = json.loads(p.wait_line(r'^\{"event":"done".*\}$', 60).group(0))
    assert done["id"] == said["id"] and sha256_of(done["path"]) == said["sha256"], (done, said)
    if ends:
        p.expected_end = True
        assert p.wait() == 0, p.tail()


def flood(s, over, sent):
    """Garbage, and peers that are not there or are somebody else, as fast as it goes."""
    nobody = {"tightwad": 1, "port": 1, "ids": ["0" * 16] * 64}
    n = 0
    while not over.is_set():
        n += 1
        try:
            say(s, dict(nobody, peer="%032x" % n, port=1 + n % 60000, ask=True))
            say(s, b"[" * 1400)
            say(s, os.urandom(1400))
            say(s, dict(nobody, peer="%032x" % n, ids=["../" * 5 + "x"]))
            say(s, b'{"tightwad":1,"peer":' + b'"' * 1300)
        except OSError:
            pass  # its queue is full
    sent.append(5 * n)


def near_end(t, folder):
    set_address("lo", "127.0.0.1")
    far = subprocess.Popen(["unshare", "-n", sys.executable, __file__, folder, "far"], stdin=subprocess.PIPE,
                           stdout=subprocess.PIPE, text=True)
    try:
        assert far.stdout.readline() == "namespace\n"
        veth.lay("v0", "v1", far.pid)
        set_address("v0", NEAR)
        print("go", file=far.stdin, flush=True)
        line = far.stdout.readline()
        seeds = json.loads(line)

        # Only who can be reached and wants to be found answers; the time to live keeps it in the network.
        s = group_socket()
        for host, ttl, m in announced(s, 3):
            assert (host, ttl, m["port"], m["ids"]) == (FAR, 1, OPEN, [seeds[0]["id"][:16]]), (host, ttl, m)

        pulled(pull(t, folder, "by-id", seeds[0]["id"]), seeds[0])
        pulled(pull(t, folder, "by-name", os.path.basename(seeds[0]["path"])), seeds[0])

        # What is not announced is there for who knows where.
        pulled(pull(t, folder, "by-peer", seeds[1]["id"], "--peer", "%s:%d" % (FAR, HIDDEN), "--no-discovery"), seeds[1])

        # Who announces itself from a network that is not served is not asked.
        p = pull(t, folder, "not-allowed", seeds[0]["id"], "--allow", "10.0.0.0/8")
        p.expected_end = True
        assert p.wait() == 1 and "nobody can be asked" in p.output, p.tail()

        over, sent = threading.Event(), []
        th = threading.Thread(target=flood, args=(s, over, sent), daemon=True)
        th.start()
        p = pull(t, folder, "flooded", seeds[0]["id"], "--seed")
        pulled(p, seeds[0], ends=False)
        memory = p.memory()
        over.set()
        th.join()
        print("%d forged datagrams while it pulled; it had %.0f MiB" % (sent[0], memory / 2**20))
        assert memory < 64 * 2**20 or SANITIZED, memory
    finally:
        far.stdin.close()
        far.stdout.read()
        assert far.wait(60) == 0


if __name__ == "__main__":
    scope, folder = Test(), sys.argv[1]
    try:
        (far_end if len(sys.argv) > 2 else near_end)(scope, folder)
    finally:
        wrong = scope.close()
    assert not wrong, wrong

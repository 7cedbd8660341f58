"""A cable between two network namespaces."""
import os
import socket
import struct

RTM_NEWLINK, NLMSG_ERROR = 16, 2
REQUEST, ACK, EXCL, CREATE = 1, 4, 0x200, 0x400
IFNAME, LINKINFO, NET_NS_PID, INFO_KIND, INFO_DATA, PEER = 3, 18, 19, 1, 2, 1


def _attribute(kind, data):
    return struct.pack("=HH", 4 + len(data), kind) + data + bytes(-len(data) % 4)


def _named(name):
    return struct.pack("=BBHiII", 0, 0, 0, 0, 0, 0), _attribute(IFNAME, name.encode() + b"\0")


def lay(name, peer, pid):
    """name here, and peer in the network namespace of the process pid, which must be ours."""
    head, attributes = _named(name)
    peer_head, peer_attributes = _named(peer)
    far = _attribute(PEER, peer_head + peer_attributes + _attribute(NET_NS_PID, struct.pack("=I", pid)))
    info = _attribute(INFO_KIND, b"veth\0") + _attribute(INFO_DATA, far)
    body = head + attributes + _attribute(LINKINFO, info)
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as s:
        s.bind((0, 0))
        s.send(struct.pack("=IHHII", 16 + len(body), RTM_NEWLINK, REQUEST | ACK | EXCL | CREATE, 1, 0) + body)
        answer = s.recv(4096)
    kind, error = struct.unpack_from("=H", answer, 4)[0], struct.unpack_from("=i", answer, 16)[0]
    if kind == NLMSG_ERROR and error != 0:
        raise OSError(-error, os.strerror(-error))

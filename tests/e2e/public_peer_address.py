"""Addresses of the loopback in a network namespace."""
import fcntl
import socket
import struct

SIOCSIFADDR, SIOCGIFFLAGS, SIOCSIFFLAGS, IFF_UP, IFF_RUNNING = 0x8916, 0x8913, 0x8914, 1, 0x40
PUBLIC = "203.0.113.5"


def set_address(name, address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        sa = struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address))
        fcntl.ioctl(s, SIOCSIFADDR, struct.pack("16s16s8x", name.encode(), sa))
        had, = struct.unpack_from("=H", fcntl.ioctl(s, SIOCGIFFLAGS, struct.pack("16s24x", name.encode())), 16)
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sH22x", name.encode(), had | IFF_UP | IFF_RUNNING))


def drop_address(name):
    """Takes an alias such as lo:1 away: what is sent to it is lost."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        fcntl.ioctl(s, SIOCSIFFLAGS, struct.pack("16sh22x", name.encode(), 0))

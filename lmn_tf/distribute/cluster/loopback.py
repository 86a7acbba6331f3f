"""Listening sockets of this process, kept to the loopback interface."""

import contextlib
import ctypes
import ipaddress
import os
import re
import socket
import struct
import sys
import time
from collections.abc import Collection

_ATTACH_FILTER = 26  # `SO_ATTACH_FILTER`, which Python's `socket` does not name.
_INTERFACE = 0xFFFFF008  # Where a filter reads the index of the interface of a packet.
_OPEN_STATES = ("01", "08")  # Established, and closed by the other side with data left to read.
_PATIENCE = 2.0  # Seconds for a server to accept the connections that it is to lose.


def is_loopback(address: str) -> bool:
    """Returns whether an address is one that only this machine can reach.

    Args:
        address: String, `"host:port"`.

    Example:

    >>> is_loopback("127.0.0.1:2222"), is_loopback("localhost:2222"), is_loopback("10.0.0.1:2222")
    (True, True, False)
    """
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or _is_own(host)
    except ValueError:  # a name
        return False


def _is_own(host):
    address = ipaddress.ip_address(host)
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback


def listening_sockets() -> dict:
    """Maps the name of each TCP socket on which this process listens to its port.

    Empty where the system has no `/proc`.
    """
    return {name: listener.getsockname()[1] for name, listener in _listening()}


def keep_to_loopback(names: Collection[str]) -> bool:
    """Restricts listening sockets to connections from this machine.

    TensorFlow's servers listen on every interface, whatever address they are given. A listening
    socket that is bound to the loopback device later accepts no connections from elsewhere.
    Connections that were made, or begun, before that are closed.

    Args:
        names: Names of sockets, as returned by `listening_sockets`.

    Returns:
        Whether there were such sockets, and all of them are restricted. It is `False` on systems
        other than Linux, on Linux before 5.7 without the right to bind to a device, and if a
        foreign connection is never accepted.
    """
    kept = {}
    try:
        for name, listener in _listening():
            if name in names:
                listener.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
                _drop_others(listener)
                kept[name] = listener.getsockname()[1]
        is_kept = bool(kept) and kept.keys() == set(names)
        return is_kept and _cut_off_others(set(kept.values()))
    except OSError:
        return False


def _drop_others(listener):
    """Drops a socket's packets from other interfaces, so that handshakes there do not complete."""
    program = (
        (0x20, 0, 0, _INTERFACE),  # load it
        (0x15, 0, 1, socket.if_nametoindex("lo")),  # where it is another, skip the next line
        (0x06, 0, 0, 0xFFFFFFFF),  # take the packet
        (0x06, 0, 0, 0),  # drop it
    )
    code = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in program))
    header = struct.pack("HP", len(program), ctypes.addressof(code))
    listener.setsockopt(socket.SOL_SOCKET, _ATTACH_FILTER, header)


def _cut_off_others(ports) -> bool:
    """Closes foreign connections to ports of this process; returns whether none is left."""
    end = time.monotonic() + _PATIENCE
    while any(port in ports and not is_own for port, is_own in _open_connections()):
        if time.monotonic() > end:  # One that waits to be accepted is out of reach.
            return False
        for _, connection in _sockets():
            with contextlib.suppress(OSError):  # The socket has no peer, or no longer.
                if connection.getsockname()[1] in ports and not _is_own(
                    connection.getpeername()[0]
                ):
                    connection.shutdown(socket.SHUT_RDWR)
        time.sleep(0.001)
    return True


def _open_connections():
    """Yields (port, whether the other side is a loopback address) of the system's connections."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(FileNotFoundError), open(f"/proc/net/{table}") as file:
            for line in file:
                _, local, remote, state, *_ = line.split()
                if state in _OPEN_STATES:
                    yield int(local.partition(":")[2], 16), _is_own(_host(remote))


def _host(text):
    """Converts an address of `/proc/net/tcp` to bytes: words in the machine's byte order."""
    words = (int(word, 16) for word in re.findall("[0-9A-F]{8}", text))
    return b"".join(word.to_bytes(4, sys.byteorder) for word in words)


def _listening():
    """Yields (name, socket) of each listening TCP socket; the sockets are copies, closed after."""
    for name, copy in _sockets():
        if copy.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
            yield name, copy


def _sockets():
    """Yields (name, socket) of each TCP socket of this process; they are copies, closed after."""
    try:
        entries = os.listdir("/proc/self/fd")
    except OSError:  # Not Linux.
        return
    for entry in entries:
        try:
            name = os.readlink(f"/proc/self/fd/{entry}")
            if not name.startswith("socket:"):
                continue
            copy = socket.socket(fileno=os.dup(int(entry)))
        except OSError:  # Closed meanwhile.
            continue
        with copy:
            if copy.family in (socket.AF_INET, socket.AF_INET6) and copy.type == socket.SOCK_STREAM:
                yield name, copy

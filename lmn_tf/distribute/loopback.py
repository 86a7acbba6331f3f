"""Listening sockets of this process, kept to the loopback interface."""

import ipaddress
import os
import socket


def is_loopback(address: str) -> bool:
    """Says whether an address is one of this machine that no other can reach.

    Args:
        address: String, `"host:port"`.

    Example:

    >>> is_loopback("127.0.0.1:2222"), is_loopback("localhost:2222"), is_loopback("10.0.0.1:2222")
    (True, True, False)
    """
    host = address.rpartition(":")[0].strip("[]")
    try:
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:  # a name
        return False


def listening_sockets() -> dict:
    """Maps the name of each TCP socket on which this process listens to its port.

    Empty where the system has no `/proc`.
    """
    return {name: one.getsockname()[1] for name, one in _listening()}


def keep_to_loopback(names) -> bool:
    """Has listening sockets take connections from this machine alone.

    TensorFlow's servers listen on every interface, whatever address they are given. A listening
    socket that is bound to the loopback device afterwards takes none of the others' connections.

    Args:
        names: Names of sockets, as `listening_sockets` gives them.

    Returns:
        Whether there were such sockets, and all of them are kept. They are not where the system is
        not Linux, or older than 5.7 and this process has no right to do it.
    """
    kept = set()
    for name, one in _listening():
        if name in names:
            try:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, b"lo\0")
            except OSError:
                return False
            kept.add(name)
    return bool(kept) and kept == set(names)


def _listening():
    """Yields (name, socket) of each listening TCP socket; the sockets are copies, closed after."""
    try:
        entries = os.listdir("/proc/self/fd")
    except OSError:  # Not Linux.
        return
    for entry in entries:
        try:
            name = os.readlink(f"/proc/self/fd/{entry}")
            if not name.startswith("socket:"):
                continue
            one = socket.socket(fileno=os.dup(int(entry)))
        except OSError:  # Closed meanwhile.
            continue
        with one:
            if one.family in (socket.AF_INET, socket.AF_INET6) and one.getsockopt(
                socket.SOL_SOCKET, socket.SO_ACCEPTCONN
            ):
                yield name, one

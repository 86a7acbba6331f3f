import contextlib
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest

from lmn_tf.distribute.cluster import loopback
from lmn_tf.distribute.cluster.loopback import is_loopback, keep_to_loopback, listening_sockets


def test_tells_loopback_from_other_addresses():
    assert all(
        map(
            is_loopback,
            ("127.0.0.1:1", "127.8.0.1:1", "localhost:1", "[::1]:1", "[::ffff:127.0.0.1]:1"),
        )
    )
    assert not any(map(is_loopback, ("0.0.0.0:1", "[::]:1", "10.0.0.1:1", "host0:1", ":1", "")))


def test_a_kept_socket_takes_connections_of_this_machine_alone():
    before = listening_sockets()
    with socket.create_server(("", 0)) as one, socket.create_server(("", 0)) as other:
        new = {name: port for name, port in listening_sockets().items() if name not in before}
        assert set(new.values()) == {one.getsockname()[1], other.getsockname()[1]}
        name = next(name for name, port in new.items() if port == one.getsockname()[1])
        assert keep_to_loopback([name])
        device = one.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        assert device.rstrip(b"\0") == b"lo"
        assert not other.getsockopt(socket.SOL_SOCKET, socket.SO_BINDTODEVICE, 16)
        socket.create_connection(("127.0.0.1", one.getsockname()[1]), timeout=10).close()
    assert not keep_to_loopback([name])  # it is gone
    assert not keep_to_loopback([])


def test_what_may_not_be_kept_is_told(monkeypatch):
    class Refusing:
        def setsockopt(self, *option):
            raise PermissionError

    monkeypatch.setattr(loopback, "_listening", lambda: iter([("socket:[1]", Refusing())]))
    assert not keep_to_loopback(["socket:[1]"])


def test_without_proc_there_are_none(monkeypatch):
    def absent(path):
        raise FileNotFoundError(path)

    monkeypatch.setattr(loopback.os, "listdir", absent)
    assert listening_sockets() == {}


def listening():
    """A server on all addresses, and its name."""
    before = listening_sockets()
    server = socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True)
    (name,) = listening_sockets().keys() - before.keys()
    return server, name, server.getsockname()[1]


@pytest.mark.parametrize("is_accepted", [True, False])
def test_who_connected_before_is_cut_off(own_address, is_accepted):
    server, name, port = listening()
    with (
        server,
        socket.create_connection((own_address, port), timeout=10) as other,
        socket.create_connection(("127.0.0.1", port), timeout=10) as own,
        ThreadPoolExecutor(1) as pool,
    ):
        other.sendall(b"hello")
        accepted = pool.submit(lambda: [server.accept()[0] for _ in range(2)])
        if is_accepted:
            accepted.result()
        assert keep_to_loopback([name])
        ours, theirs = accepted.result()
        with ours, theirs:
            with contextlib.suppress(ConnectionError):
                assert other.recv(1) == b""
            with pytest.raises(OSError, match="Broken pipe|not connected"):
                ours.sendall(b"answer")
            theirs.sendall(b"answer")
            assert own.recv(6) == b"answer"


def test_one_that_waits_to_be_accepted_is_told(own_address, monkeypatch):
    monkeypatch.setattr(loopback, "_PATIENCE", 0.01)
    server, name, port = listening()
    with server, socket.create_connection((own_address, port), timeout=10):
        assert not keep_to_loopback([name])


def test_packets_of_other_interfaces_are_dropped(monkeypatch):
    monkeypatch.setattr(loopback.socket, "if_nametoindex", lambda name: 10**6)
    server, name, port = listening()
    with server:
        assert keep_to_loopback([name])
        with pytest.raises(TimeoutError, match="timed out"):
            socket.create_connection(("127.0.0.1", port), timeout=0.2)

import socket

from lmn_tf.distribute import loopback
from lmn_tf.distribute.loopback import is_loopback, keep_to_loopback, listening_sockets


def test_tells_loopback_from_other_addresses():
    assert all(map(is_loopback, ("127.0.0.1:1", "127.8.0.1:1", "localhost:1", "[::1]:1")))
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

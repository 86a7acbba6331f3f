import gc
import socket
import weakref

import pytest

from lmn_tf.serving.server import run
from lmn_tf.serving.server.run import bound_socket, load_for_good
from lmn_tf.specs.errors import UserError


def test_a_free_port_is_taken_and_given_back():
    with bound_socket("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        assert port > 0
        with socket.socket() as client, pytest.raises(ConnectionRefusedError, match="refused"):
            client.connect(("127.0.0.1", port))  # it does not listen yet
    with bound_socket("127.0.0.1", port) as listener:
        listener.listen()


@pytest.mark.parametrize("host", ["127.0.0.1", "203.0.113.7", "no.such.host.invalid"])
def test_an_address_that_cannot_be_had_is_named(host):
    with bound_socket("127.0.0.1", 0) as taken:
        taken.listen()
        port = taken.getsockname()[1]
        match = f"`--host` and `--port` must be a free address.* Received: {host}:{port} "
        with pytest.raises(UserError, match=match), bound_socket(host, port):
            pass


class Export:
    """Stands for a loaded export, which refers to itself as those of TensorFlow do."""

    def __init__(self, folder, options):
        self.itself = self


def test_the_collector_skips_an_export_until_the_next_one_is_loaded(monkeypatch):
    monkeypatch.setattr(run, "ServedExport", Export)
    frozen = gc.get_freeze_count()
    try:
        before = weakref.ref(load_for_good("1", None))
        assert gc.get_freeze_count() > 0
        gc.collect()
        assert before() is not None
        export = load_for_good("2", None)
        assert before() is None
        assert export.itself is export
    finally:
        gc.unfreeze()
        if frozen:
            gc.freeze()

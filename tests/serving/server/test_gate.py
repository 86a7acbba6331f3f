import pytest

from lmn_tf.serving.server.gate import Gate, Overloaded


def test_places_are_free_again():
    gate = Gate(max_requests=1, max_bytes=10)
    with gate.place() as first:
        first.hold(4)
        first.admit()
        with gate.place() as second, pytest.raises(Overloaded):
            second.hold(6)
            assert gate.num_bytes == 10
            second.admit()
        assert (gate.num_requests, gate.num_bytes) == (1, 4)
    assert (gate.num_requests, gate.num_bytes) == (0, 0)


def test_bodies_are_limited_together():
    gate = Gate(max_requests=9, max_bytes=10)
    with gate.place() as first, gate.place() as second:
        first.hold(6)
        with pytest.raises(Overloaded):
            second.hold(5)
        second.hold(4)
    assert gate.num_bytes == 0

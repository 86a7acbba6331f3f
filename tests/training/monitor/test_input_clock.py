"""The clock's time is the tests' own: how fast the machine is changes nothing."""

import types

import numpy as np
import pytest
import tensorflow as tf
from awaited_count import AwaitedCount

from lmn_tf.training.monitor import input_clock
from lmn_tf.training.monitor.input_clock import InputClock

COUNT = 5


class Moments:
    """A time that moves when told to, and knows how often the clock has read it.

    Each batch is read twice: when it is asked for, and when it is ready.
    """

    def __init__(self):
        self.now = 0.0
        self._read = AwaitedCount()
        self.wait_until_read = self._read.wait_until

    def perf_counter(self):
        now = self.now
        self._read.add()
        return now


@pytest.fixture
def moments(monkeypatch):
    moments = Moments()
    monkeypatch.setattr(
        input_clock, "time", types.SimpleNamespace(perf_counter=moments.perf_counter)
    )
    return moments


def batches(before=lambda index: None):
    """A dataset that calls `before` before it makes each batch, ahead of who asks."""

    def make():
        for index in range(COUNT):
            before(index)
            yield {"x": np.full(3, index)}, np.float32(index)

    signature = ({"x": tf.TensorSpec([3], tf.int64)}, tf.TensorSpec([], tf.float32))
    return tf.data.Dataset.from_generator(make, output_signature=signature).prefetch(2)


def test_elements_stay_as_they_are():
    dataset = batches().apply(tf.data.experimental.assert_cardinality(COUNT))
    wrapped = InputClock().wrap(dataset)
    assert wrapped.element_spec == dataset.element_spec
    assert int(wrapped.cardinality()) == COUNT
    for (x, y), (want_x, want_y) in zip(wrapped, dataset, strict=True):
        np.testing.assert_array_equal(x["x"], want_x["x"])
        assert float(y) == float(want_y)


def test_a_slow_producer_is_waited_for(moments):
    clock = InputClock()

    def make_it_wait(index):
        moments.wait_until_read(2 * index + 1)  # It is asked for.
        moments.now += 5.0

    for _ in clock.wrap(batches(make_it_wait)):
        pass
    assert clock.waited == 5.0 * COUNT
    assert clock.take() == 5.0 * COUNT and clock.waited == 0.0


def test_what_prefetching_hides_is_no_wait(moments):
    clock = InputClock()
    iterator = iter(clock.wrap(batches()))
    next(iterator)
    for index in range(1, COUNT):
        moments.wait_until_read(2 * index + 1)  # It is ready.
        moments.now += 5.0
        next(iterator)
    assert clock.waited == 0.0


def test_building_a_graph_is_no_wait(moments):
    clock = InputClock()

    @tf.function
    def step(iterator):
        moments.now += 5.0  # Runs while the function is traced.
        return iterator.get_next()

    step(iter(clock.wrap(batches())))
    assert moments.now == 5.0 and clock.waited == 0.0

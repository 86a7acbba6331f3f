import time

import numpy as np
import tensorflow as tf

from lmn_tf.training.input_clock import InputClock


def slow(seconds, count=5):
    def batches():
        for index in range(count):
            time.sleep(seconds)
            yield {"x": np.full(3, index)}, np.float32(index)

    signature = ({"x": tf.TensorSpec([3], tf.int64)}, tf.TensorSpec([], tf.float32))
    return tf.data.Dataset.from_generator(batches, output_signature=signature).prefetch(2)


def test_elements_stay_as_they_are():
    dataset = slow(0.0).apply(tf.data.experimental.assert_cardinality(5))
    wrapped = InputClock().wrap(dataset)
    assert wrapped.element_spec == dataset.element_spec
    assert int(wrapped.cardinality()) == 5
    for (x, y), (want_x, want_y) in zip(wrapped, dataset, strict=True):
        np.testing.assert_array_equal(x["x"], want_x["x"])
        assert float(y) == float(want_y)


def test_a_slow_producer_is_waited_for():
    clock = InputClock()
    for _ in clock.wrap(slow(0.05)):
        pass
    assert 0.2 <= clock.waited < 2.0
    assert clock.take() >= 0.2 and clock.waited == 0.0


def test_what_prefetching_hides_is_no_wait():
    clock = InputClock()
    iterator = iter(clock.wrap(slow(0.02)))
    next(iterator)
    clock.take()
    for _ in range(4):
        time.sleep(0.1)
        next(iterator)
    assert clock.waited < 0.05


def test_building_a_graph_is_no_wait():
    clock = InputClock()

    @tf.function
    def step(iterator):
        time.sleep(0.3)  # Runs while the function is traced.
        return iterator.get_next()

    step(iter(clock.wrap(slow(0.0))))
    assert clock.waited < 0.25

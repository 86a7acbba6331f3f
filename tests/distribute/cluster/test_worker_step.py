import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import slim_spec
from window_batch import random_windows

from lmn_tf.distribute.cluster.worker_step import (
    WorkerScope,
    can_be_packed,
    counters,
    keep_here,
    local_variable,
    pack,
    unpack,
)
from lmn_tf.models.fitting.window_batches import WindowBatches


def test_metrics_are_collected_and_all_else_is_written():
    mean = keras.metrics.Mean()
    mean.update_state([1.0, 2.0])
    layer = keras.layers.BatchNormalization(momentum=0.5)
    layer.build((None, 1))
    with WorkerScope(mean.variables, []) as scope:
        mean.update_state([5.0])
        layer(np.array([[2.0], [4.0]], "float32"), training=True)
    assert [float(one) for one in scope.added()] == [5.0, 1.0]
    assert float(mean.result()) == 1.5
    assert layer.moving_mean.numpy().tolist() == [1.5]


def test_losses_of_layers_are_kept():
    class Adds(keras.layers.Layer):
        def call(self, x):
            self.add_loss(tf.reduce_sum(x))
            return x

    model = keras.Sequential([Adds(), keras.layers.Dense(1, kernel_regularizer="l2")])
    model.build((None, 3))
    with WorkerScope([], []):
        for _ in range(2):  # the second call forgets the losses of the first
            model(tf.ones((2, 3)))
        assert len(model.losses) == 2
        assert float(model.losses[0]) == 6.0


def test_counters_are_incremented_in_place():
    optimizer = keras.optimizers.Adam()
    kernel = keras.Variable([1.0])
    optimizer.build([kernel])
    assert counters(optimizer) == [optimizer.iterations]
    with WorkerScope([], counters(optimizer)):
        optimizer.apply([tf.ones(1)])
        # As another worker would meanwhile:
        optimizer.iterations.value.assign_add(5)
        optimizer.apply([tf.ones(1)])
    assert int(optimizer.iterations.numpy()) == 7
    assert kernel.numpy()[0] < 1.0


def test_variables_of_the_coordinator_pass_by_the_strategy():
    strategy = tf.distribute.OneDeviceStrategy("/cpu:0")
    with strategy.scope():
        variable = local_variable(np.ones(2))
    assert type(variable).__name__ == "ResourceVariable" and not variable.trainable
    total = keras.Variable(3.0)
    before = total._value
    keep_here([total])
    assert total._value is before  # it is here already


SPEC = (
    {
        "ids": tf.TensorSpec((None, None), tf.int32),
        "group": tf.TensorSpec((None,), tf.int64),
        "mask": tf.TensorSpec((None, None), tf.bool),
        "half": tf.TensorSpec((None,), tf.float16),
        "bytes": tf.TensorSpec((None,), tf.uint8),
        "scalar": tf.TensorSpec((), tf.float64),
    },
    tf.TensorSpec((None, 1), tf.float32),
)


@pytest.mark.parametrize("rows", [0, 1, 7])
def test_a_batch_comes_out_as_it_went_in(rows):
    random = np.random.default_rng(rows)

    def draw(spec):
        shape = [(rows, 3)[axis] if size is None else size for axis, size in enumerate(spec.shape)]
        return tf.constant(random.integers(-3, 100, shape).astype(spec.dtype.as_numpy_dtype))

    batch = tf.nest.map_structure(draw, SPEC)
    unpacked = tf.function(lambda packed: unpack(packed, SPEC))(pack(batch))
    tf.nest.assert_same_structure(unpacked, batch)
    for one, other in zip(tf.nest.flatten(unpacked), tf.nest.flatten(batch), strict=True):
        assert one.dtype == other.dtype
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("rows", [0, 3])
def test_windows_are_packed_with_events_of_their_own_number(rows):
    spec = slim_spec()
    features = {key: tf.constant(cells[:rows]) for key, cells in random_windows(spec).items()}
    columns = WindowBatches.from_spec(spec).sequences[0]
    for key in (*columns.events, *columns.pairs):
        features[key] = tf.repeat(features[key], 2, axis=0)
    specs = {key: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for key, v in features.items()}
    assert can_be_packed(specs)
    unpacked = unpack(pack(features), specs)
    assert unpacked.keys() == features.keys()
    for key, cells in features.items():
        np.testing.assert_array_equal(unpacked[key], cells)


def test_what_can_be_packed():
    assert can_be_packed(SPEC)
    assert not can_be_packed(tf.TensorSpec((None,), tf.string))
    assert not can_be_packed(tf.TensorSpec(None, tf.float32))
    assert not can_be_packed(tf.SparseTensorSpec((None, 2)))

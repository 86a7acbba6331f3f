import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.distribute.packed_batch import can_be_packed, pack, unpack

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


def test_what_can_be_packed():
    assert can_be_packed(SPEC)
    assert not can_be_packed(tf.TensorSpec((None,), tf.string))
    assert not can_be_packed(tf.TensorSpec(None, tf.float32))
    assert not can_be_packed(tf.SparseTensorSpec((None, 2)))

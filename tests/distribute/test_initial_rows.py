import keras
import numpy as np
import pytest

from lmn_tf.distribute.initial_rows import initial_rows


@pytest.mark.parametrize(
    ("initializer", "largest"),
    [
        (keras.initializers.RandomNormal(mean=0.5, stddev=0.2, seed=7), 8),
        (keras.initializers.RandomUniform(-0.05, 0.1, seed=2**31), 8),
        (keras.initializers.Constant(0.1), 8),
        (keras.initializers.Zeros(), 8),
        (keras.initializers.TruncatedNormal(seed=3), 21),
    ],
)
@pytest.mark.parametrize("shape", [(21, 3), (21,)])
def test_pieces_make_up_the_whole(initializer, largest, shape):
    pieces = list(initial_rows(initializer, shape, rows_at_a_time=10))
    assert [start for start, _ in pieces] == list(range(0, 21, largest))
    assert max(len(rows) for _, rows in pieces) == largest
    whole = np.concatenate([rows.numpy() for _, rows in pieces])
    np.testing.assert_array_equal(whole, initializer(shape))

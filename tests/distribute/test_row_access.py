import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute import row_access
from lmn_tf.distribute.row_access import (
    copy_rows,
    get_rows,
    read_run,
    row_chunks,
    set_rows,
    write_run,
)

ROWS = np.arange(30, dtype="f").reshape(10, 3)


def variables():
    yield keras.Variable(ROWS)
    yield tf.Variable(ROWS)
    with replicas(2).scope():
        yield keras.Variable(ROWS)


@pytest.mark.parametrize("index", range(3))
def test_some_rows(index):
    variable = list(variables())[index]
    np.testing.assert_array_equal(get_rows(variable, 2, 5), ROWS[2:5])
    set_rows(variable, 8, -ROWS[8:])
    np.testing.assert_array_equal(get_rows(variable, 7, 10), np.r_[ROWS[7:8], -ROWS[8:]])
    copies = getattr(getattr(variable, "value", None), "values", [variable])
    for copy in copies:
        np.testing.assert_array_equal(np.asarray(copy)[8:], -ROWS[8:])


def test_nothing_but_the_rows_is_read_or_written(monkeypatch):
    variable = tf.Variable(ROWS)

    def whole(*args, **kwargs):
        raise AssertionError("read as a whole")

    for name in ("value", "read_value", "_dense_var_to_tensor"):
        monkeypatch.setattr(type(variable), name, whole)
    np.testing.assert_array_equal(read_run(variable, 2, 5), ROWS[2:5])
    write_run(variable, 3, tf.constant(-ROWS[3:5]))
    np.testing.assert_array_equal(read_run(variable, 2, 5), np.r_[ROWS[2:3], -ROWS[3:5]])


def test_integers_and_sums_of_replicas_are_read_too():
    numbers = np.arange(10) * 10**12
    np.testing.assert_array_equal(
        get_rows(keras.Variable(numbers, dtype="int64"), 2, 4), numbers[2:4]
    )
    with replicas(2).scope():
        options = {"synchronization": tf.VariableSynchronization.ON_READ}
        shared = tf.Variable(ROWS, aggregation=tf.VariableAggregation.SUM, **options)
    for copy in shared.values:
        copy.assign(ROWS)
    np.testing.assert_array_equal(get_rows(shared, 2, 5), 2 * ROWS[2:5])


def test_chunks_are_bounded():
    assert row_chunks((), 4) == [(0, 1)]
    assert row_chunks((0, 7), 4) == [(0, 0)]
    assert row_chunks((3, 100), 4, chunk_bytes=10) == [(0, 1), (1, 2), (2, 3)]
    assert row_chunks((3, 0), 4, chunk_bytes=10) == [(0, 3)]
    assert row_chunks((10**6, 32), 4)[0] == (0, row_access.CHUNK_BYTES // 128)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "int64"])
def test_a_large_source_is_copied_in_pieces(dtype, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 40)
    variable = keras.Variable(np.zeros((10, 3)), dtype=dtype)

    class Source:
        shape = ROWS.shape

        def __getitem__(self, rows):
            assert rows.stop - rows.start <= 3
            return ROWS[rows]

    copy_rows(Source(), variable)
    np.testing.assert_array_equal(np.asarray(variable, "f"), ROWS)

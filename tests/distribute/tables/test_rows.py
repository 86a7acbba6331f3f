import keras
import numpy as np
import pytest
import tensorflow as tf
from replicas import replicas

from lmn_tf.distribute.tables import rows as row_access
from lmn_tf.distribute.tables import rows as row_storage
from lmn_tf.distribute.tables.placement import add_table
from lmn_tf.distribute.tables.rows import (
    ChunkedStorageMixin,
    RowSplit,
    copy_rows,
    get_rows,
    initial_rows,
    part_sizes,
    read_run,
    row_chunks,
    row_pieces,
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


def split(rows, count):
    return RowSplit([tf.Variable(rows[index::count]) for index in range(count)])


@pytest.mark.parametrize("count", [1, 2, 3, 4])
@pytest.mark.parametrize("shape", [(11, 2), (11,)])
def test_rows_are_those_of_the_table(count, shape):
    whole = np.random.default_rng(0).normal(size=shape).astype("f")
    table = split(whole, count)
    assert table.shape == shape
    assert table.dtype == "float32"
    assert [int(part.shape[0]) for part in table.parts] == part_sizes(11, count)
    for start, stop in ((0, 11), (0, 1), (3, 7), (10, 11), (4, 4)):
        np.testing.assert_array_equal(table.get_rows(start, stop), whole[start:stop])
    whole[2:9] = np.random.default_rng(1).normal(size=(7, *shape[1:]))
    table.set_rows(2, whole[2:9])
    np.testing.assert_array_equal(table.get_rows(0, 11), whole)


def test_lookup_and_its_gradient():
    whole = np.arange(14, dtype="f").reshape(7, 2)
    table, ids = split(whole, 3), tf.constant([6, 1, 6, 0])
    with tf.GradientTape() as tape:
        rows = table.lookup(ids)
        loss = tf.reduce_sum(rows * [[1.0], [2.0], [3.0], [4.0]])
    np.testing.assert_array_equal(rows, whole[ids])
    gradients = [tf.convert_to_tensor(one).numpy() for one in tape.gradient(loss, table.parts)]
    assert [one[:, 0].tolist() for one in gradients] == [[4, 0, 4], [2, 0], [0, 0]]


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Tables(ChunkedStorageMixin, keras.layers.Layer):
    def build(self, input_shape=None):
        normal = keras.initializers.RandomNormal()
        self.table = add_table(self, "embeddings", (50, 3), normal, "row_wise")
        self.half = self.add_weight(shape=(50, 3), dtype="bfloat16", name="half")
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs):
        return inputs


def make(count):
    strategy = replicas(count) if count > 1 else None
    with strategy.scope() if strategy else keras.name_scope("alone"):
        model = keras.Sequential([keras.Input((1,)), Tables()])
    return model


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 3), (3, 2)])
def test_a_model_is_saved_and_loaded_in_pieces_on_any_number_of_devices(
    before, after, tmp_path, monkeypatch
):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 60)  # 5 rows
    model, other = make(before), make(after)
    largest = []
    for module, name in ((row_storage, "get_rows"), (row_access, "set_rows")):
        original = getattr(module, name)

        def spy(variable, start, last, original=original):
            rows = last - start if isinstance(last, int) else len(last)
            largest.append(rows)
            return original(variable, start, last)

        monkeypatch.setattr(module, name, spy)
    want = [np.asarray(one, "f") for one in model.weights]
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for one, two in zip(want, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(two, "f"), one)
    assert max(largest) <= 5
    assert sum(largest) >= 100  # The table went this way, out and in.
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again.weights[0]), want[0])


def test_other_stores_take_whole_variables():
    model, store = make(1), {}
    layer = model.layers[0]
    layer.save_own_variables(store)
    assert [value.shape for value in store.values()] == [(50, 3), (50, 3), ()]
    layer.load_own_variables(store)
    store["0"] = np.zeros((4, 3))
    with pytest.raises(ValueError, match="must match"):
        layer.load_own_variables(store)


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


def test_pieces_are_together_the_whole(monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 24)
    for variable in (*variables(), ROWS, np.float32(3), np.zeros((0, 4)), keras.Variable(2.0)):
        pieces = list(row_pieces(variable))
        assert len(pieces) == (5 if tuple(variable.shape) == ROWS.shape else 1)
        whole = pieces[0] if len(pieces) == 1 else np.concatenate(pieces)
        np.testing.assert_array_equal(whole, np.asarray(variable))

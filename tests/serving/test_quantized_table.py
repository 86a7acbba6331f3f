import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import slim_spec
from request_model import slim_lmn

from lmn_tf.distribute.tables.placement import standing_in
from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.models import registry
from lmn_tf.serving import quantized_table as module
from lmn_tf.serving.quantized_table import QuantizedTable, quantized_rows, quantized_tables
from lmn_tf.specs.errors import UserError

ROWS = np.random.default_rng(3).normal(size=(50, 8)).astype(np.float32) * np.logspace(-3, 2, 50)[
    :, None
].astype(np.float32)


def table_of(rows=ROWS):
    return keras.Variable(rows, name="memory_values")


def test_int8_is_off_by_at_most_half_a_step(monkeypatch):
    monkeypatch.setattr(module, "_ROWS_AT_A_TIME", 7)
    quantized, scales = quantized_rows(ROWS)
    assert quantized.dtype == np.int8 and scales.dtype == np.float32
    np.testing.assert_allclose(scales, np.abs(ROWS).max(axis=1) / 127, rtol=1e-6)
    error = np.abs(quantized * scales[:, None] - ROWS)
    assert np.all(error <= scales[:, None] * 0.5001)
    assert np.all(np.abs(quantized).max(axis=1) == 127)


@pytest.mark.parametrize("largest", [0.0, 1e-45, 5e-43, 1e-39, 3e38])
def test_rows_of_zeros_and_of_extreme_numbers(largest):
    rows = np.array([[largest, -largest, 0.0]], np.float32)
    quantized, scales = quantized_rows(rows)
    read = quantized * scales[:, None]
    np.testing.assert_allclose(read, rows, rtol=1e-2, atol=1e-42)
    assert quantized.min() >= -127


@pytest.mark.parametrize(("dtype", "error"), [("int8", 0.004), ("bfloat16", 0.004)])
@pytest.mark.parametrize("traced", [False, True])
def test_rows_and_sums_are_near_those_of_the_table(dtype, error, traced):
    table = QuantizedTable(table_of(), dtype)
    draw = np.random.default_rng(1)
    ids, weights = draw.integers(50, size=(4, 3, 5)), draw.normal(size=(4, 3, 5)).astype("f4")
    run = tf.function if traced else lambda function: function
    rows = run(table.lookup)(tf.constant(ids)).numpy()
    largest = np.abs(ROWS).max(axis=1)
    assert rows.dtype == np.float32 and rows.shape == (4, 3, 5, 8)
    assert np.all(np.abs(rows - ROWS[ids]) <= error * largest[ids][..., None])
    sums = run(table.weighted_sum)(tf.constant(ids), tf.constant(weights)).numpy()
    np.testing.assert_allclose(sums, (rows * weights[..., None]).sum(2), rtol=1e-4, atol=1e-4)


def test_a_long_batch_is_summed_in_chunks():
    table = QuantizedTable(table_of(), "int8")
    draw = np.random.default_rng(1)
    ids = draw.integers(50, size=(20_000, 8))
    weights = draw.normal(size=ids.shape).astype("f4")
    sums = tf.function(table.weighted_sum)(tf.constant(ids), tf.constant(weights)).numpy()
    rows = table.lookup(np.arange(50)).numpy()
    want = np.einsum("nk,nkd->nd", weights, rows[ids])
    np.testing.assert_allclose(sums, want, rtol=1e-3, atol=1e-3)


def test_bytes_of_a_table():
    sizes = {
        dtype: [
            (one.dtype.name, tuple(one.shape))
            for one in QuantizedTable(table_of(), dtype).variables
        ]
        for dtype in ("int8", "bfloat16")
    }
    assert sizes == {
        "int8": [("int8", (50, 8)), ("float32", (50,))],
        "bfloat16": [("bfloat16", (50, 8))],
    }


def test_tables_of_a_model():
    model, _ = slim_lmn()
    memory = next(one for one in model.variables if one.name == "memory_values")
    tables = quantized_tables(model, values="int8")
    assert list(tables) == [id(memory)]
    # Its embedding tables have few rows, which are read as a whole.
    message = "`embeddings` must be float32 for a model without an embedding table of more than 128"
    with pytest.raises(UserError, match=message):
        quantized_tables(model, embeddings="bfloat16")
    assert quantized_tables(model) == {}


def test_a_model_reads_what_stands_in_for_its_tables():
    model, _ = slim_lmn()
    features = {
        key: tf.zeros([2 if size is None else size for size in one.shape], one.dtype)
        for key, one in model.encoder.signature(padded=False).items()
    }
    length = next(key for key in features if key.endswith("/length"))
    features[length] = tf.constant([1, 1])
    want = model(features, training=False).numpy()
    memory = next(one for one in model.variables if one.name == "memory_values")
    other = QuantizedTable(keras.Variable(memory.numpy() + 1), "int8")
    with standing_in({id(memory): other}):
        found = model(features, training=False).numpy()
    assert np.abs(found - want).max() > 1e-3
    np.testing.assert_array_equal(model(features, training=False), want)


def test_embedding_tables_are_read_row_by_row():
    table = EmbeddingTable(vocabulary_size=200, embedding_dim=4)
    table.build()
    ids = np.array([[0, 5], [199, 1]])
    want = table(ids).numpy()
    with standing_in({id(table.embeddings): QuantizedTable(table.embeddings, "int8")}):
        found, combined = table(ids).numpy(), table(ids, combine=True).numpy()
    assert 0 < np.abs(found - want).max() < 0.002
    np.testing.assert_allclose(combined[1], found[1].mean(axis=0), rtol=1e-5)
    assert not found[0, 0].any()


def test_what_can_not_be_quantized():
    model, _ = slim_lmn()
    with pytest.raises(UserError, match="`values` must be one of float32, bfloat16, int8. .*int4"):
        quantized_tables(model, values="int4")
    plain = registry.build("dnn", slim_spec(), {"hidden_units": (4,)})
    plain.build()
    with pytest.raises(UserError, match="`values` must be float32 for a model without a memory"):
        quantized_tables(plain, values="int8")

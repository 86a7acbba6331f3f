import keras
import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.features import EmbeddingTable


def make(rows=7, **kwargs):
    table = EmbeddingTable(rows, 3, **kwargs)
    table.build()
    weights = np.random.default_rng(0).normal(size=(rows, 3)).astype("float32")
    table.set_weights([weights])
    return table, weights


def slow_combine(weights, ids, shares, combiner):
    """One list at a time."""
    combined = []
    for row, share in zip(ids, shares, strict=True):
        pairs = [(weights[i], s) for i, s in zip(row, share, strict=True) if i != 0]
        total = sum((s * w for w, s in pairs), np.zeros(weights.shape[1]))
        norm = {
            "sum": 1.0,
            "mean": sum(s for _, s in pairs),
            "sqrtn": sum(s * s for _, s in pairs) ** 0.5,
        }[combiner]
        combined.append(total / norm if norm else total)
    return np.array(combined)


@pytest.mark.parametrize("rows", [7, 500])
def test_id_zero_embeds_to_zero_and_has_no_gradient(rows):
    table, weights = make(rows=rows)
    with tf.GradientTape() as tape:
        rows = table(np.array([[0, 2], [3, 0]]))
        loss = tf.reduce_sum(rows + rows**2)
    np.testing.assert_array_equal(rows[0, 0], np.zeros(3))
    np.testing.assert_array_equal(rows[0, 1], weights[2])
    gradient = tf.convert_to_tensor(tape.gradient(loss, table.trainable_weights)[0])
    np.testing.assert_array_equal(gradient[0], np.zeros(3))
    np.testing.assert_allclose(gradient[2], 1 + 2 * weights[2], rtol=1e-6)


@pytest.mark.parametrize(("rows", "kind"), [(7, tf.Tensor), (500, tf.IndexedSlices)])
def test_the_gradient_is_sparse_but_for_few_rows(rows, kind):
    table, _ = make(rows=rows)
    for arguments in ({}, {"combine": True}):
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(np.array([[0, 2], [3, 0]]), **arguments))
        assert isinstance(tape.gradient(loss, table.trainable_weights)[0], kind)


@pytest.mark.parametrize("rows", [7, 500])
@pytest.mark.parametrize("combiner", ["mean", "sum", "sqrtn"])
@pytest.mark.parametrize("weighted", [False, True])
def test_lists_are_combined_as_by_hand(run_mode, rows, combiner, weighted):
    table, weights = make(rows=rows, combiner=combiner)
    ids = np.array([[1, 0, 3], [0, 0, 0], [5, 5, 2]], "int32")
    shares = np.array([[0.5, 9.0, 2.0], [1.0, 1.0, 1.0], [1.0, 3.0, 0.25]], "float32")
    call = run_mode(lambda i, s: table(i, weights=s if weighted else None, combine=True))
    want = slow_combine(weights, ids, shares if weighted else np.ones_like(shares), combiner)
    np.testing.assert_allclose(call(ids, shares), want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [7, 500])
@pytest.mark.parametrize("combiner", ["mean", "sum", "sqrtn"])
def test_an_empty_list_is_zero_with_a_finite_gradient(rows, combiner):
    table, _ = make(rows=rows, combiner=combiner)
    with tf.GradientTape() as tape:
        out = table(np.zeros((2, 3), "int32"), combine=True)
        loss = tf.reduce_sum(out)
    np.testing.assert_array_equal(out, np.zeros((2, 3)))
    gradient = tf.convert_to_tensor(tape.gradient(loss, table.trainable_weights)[0])
    np.testing.assert_array_equal(gradient, np.zeros((rows, 3)))


@pytest.mark.parametrize("combine", [False, True])
def test_few_and_many_rows_have_the_same_gradient(combine):
    ids = np.random.default_rng(3).integers(0, 7, (4, 5, 3)).astype("int32")
    gradients = []
    for rows in (7, 500):
        table, _ = make(rows=rows)
        weights = np.zeros((rows, 3), "float32")
        weights[:7] = np.random.default_rng(1).normal(size=(7, 3))
        table.set_weights([weights])
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(table(ids, combine=combine) ** 2)
        gradients.append(tf.convert_to_tensor(tape.gradient(loss, table.trainable_weights)[0])[:7])
    np.testing.assert_allclose(gradients[0], gradients[1], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rows", [7, 500])
def test_the_regularizer_counts_rows_as_often_as_they_are_read(rows):
    table, weights = make(rows=rows, regularizer=0.1)
    squares = (weights**2).sum(axis=1)
    table(np.array([[0, 2, 2], [3, 0, 0]]))
    np.testing.assert_allclose(table.losses[0], 0.1 * (2 * squares[2] + squares[3]) / 2, rtol=1e-5)
    table, weights = make(rows=rows, regularizer=0.1)
    table(np.array([[0, 2, 2], [3, 0, 0]]), combine=True)
    np.testing.assert_allclose(table.losses[0], 0.1 * (2 * squares[2] + squares[3]) / 2, rtol=1e-5)


@pytest.mark.parametrize("combine", [False, True])
@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_the_regularizer_counts_exactly_in_mixed_precision(policy, combine):
    table = EmbeddingTable(7, 3, regularizer=0.5, dtype=policy)
    table.build()
    table.set_weights([np.ones((7, 3), "float32")])
    ids, counts = (np.int32([[2], [3]]), np.float32([2051, 1003]))  # not of half precision
    weights = np.ones((2, 1), "float32") if combine else None
    ids = ids if combine else ids[:, 0]
    rows = table(ids, weights=weights, combine=combine, counts=counts, batch=tf.constant(4))
    assert rows.dtype == table.compute_dtype
    np.testing.assert_allclose(table.losses[0], 0.5 * 3 * 3054 / 4, rtol=1e-6)


def test_no_regularizer_adds_no_loss():
    table, _ = make()
    table(np.array([[2]]))
    assert table.losses == []


def test_half_precision_casts_the_rows_and_not_the_table():
    table = EmbeddingTable(500, 3, dtype="mixed_float16")
    with tf.GradientTape() as tape:
        rows = table(np.array([2, 3]))
        loss = tf.reduce_sum(rows)
    assert rows.dtype == tf.float16
    gradient = tape.gradient(loss, table.trainable_weights)[0]
    assert isinstance(gradient, tf.IndexedSlices)
    assert gradient.dtype == tf.float32


def test_config_round_trip():
    table = EmbeddingTable(9, 3, "sum", "zeros", 0.5, "row_wise", name="item")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(table))
    assert again.get_config() == table.get_config()
    again.build()
    assert again.weights[0].path == "item/embeddings"
    np.testing.assert_array_equal(again.weights[0], np.zeros((9, 3)))


@pytest.mark.parametrize(("initializer", "spread"), [("normal", 0.5), ("uniform", 0.2887)])
def test_rows_start_as_wide_as_told(initializer, spread):
    keras.utils.set_random_seed(1)
    table = EmbeddingTable(400, 32, initializer=initializer, initializer_scale=0.5)
    table.build()
    values = table.weights[0].numpy()
    assert values.std() == pytest.approx(spread, rel=0.03)
    assert EmbeddingTable.from_config(table.get_config()).initializer_scale == 0.5


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((0, 3), "`vocabulary_size` must be a positive integer. Received: vocabulary_size=0"),
        ((3, -1), "`embedding_dim` must be a positive integer. Received: embedding_dim=-1"),
        ((3, 3, "max"), "`combiner` must be one of mean, sum, sqrtn. Received: combiner=max"),
        ((3, 3, "sum", "ones"), "`initializer` must be one of uniform, normal, zeros"),
        (
            (3, 3, "sum", "normal", 0.0),
            "`initializer_scale` must be a finite number above 0. Received: initializer_scale=0.0",
        ),
        (
            (3, 3, "sum", "normal", 1.0, 0.0, "row-wise"),
            "`placement` must be one of 'replicated', 'row_wise'. Received: placement='row-wise'",
        ),
    ],
)
def test_mistakes_are_told(arguments, message):
    with pytest.raises(ValueError, match=message):
        EmbeddingTable(*arguments)

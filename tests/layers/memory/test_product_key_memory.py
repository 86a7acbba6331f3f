import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import ProductKeyMemory
from lmn_tf.layers.core.masked_batch_normalization import MaskedBatchNormalization
from lmn_tf.layers.memory.memory_reading import balance_of


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


def softmax(x):
    e = np.exp(x - x.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


@pytest.mark.parametrize(
    "arguments",
    [
        {"query_norm": "batch", "key_norm": True, "key_balance_weight": 0.1},
        {"query_norm": "layer", "num_heads": 2, "head_merge": "concat", "value_dim": 3},
    ],
)
def test_is_a_good_layer(arguments):
    # Some slots are so close that rounding decides: the memory is small and read widely.
    arguments = {"num_keys": 3, "top_k": 9, **arguments}
    mask = np.arange(6) < np.array([[0], [1], [4], [6]])
    check_layer(ProductKeyMemory, arguments, {"inputs": example(4, 6, 4)}, mask)


def test_normed_keys_are_not_selected_for_their_length():
    keras.utils.set_random_seed(1)
    layer, inputs = ProductKeyMemory(num_keys=5, top_k=3, key_norm=True), example(7, 4)
    layer.build((None, 4))
    layer.row_keys.assign(10 * layer.row_keys)  # so that the norm's epsilon is nothing beside them
    before = layer.read(layer_inputs(layer, inputs))
    layer.row_keys.assign(10 * layer.row_keys)
    after = layer.read(layer_inputs(layer, inputs))
    np.testing.assert_array_equal(after.slots, before.slots)
    np.testing.assert_allclose(after.weights, before.weights, rtol=1e-4)
    np.testing.assert_allclose(
        layer.read_again(after), after.read_out, rtol=1e-4, atol=1e-6
    )  # by the same keys


@pytest.mark.parametrize("arguments", [{}, {"key_norm": True, "num_heads": 2}])
def test_closed_keys_are_not_read_until_they_are_opened(arguments):
    layer = ProductKeyMemory(num_keys=6, top_k=4, open_keys=2, key_balance_weight=1.0, **arguments)
    inputs = tf.constant(example(20, 4))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(layer(inputs, training=True) ** 2) + sum(layer.losses)
    assert set(layer.read(inputs).slots.numpy().ravel()) == {0, 1, 6, 7}
    for gradient in tape.gradient(loss, [layer.row_keys, layer.column_keys]):
        assert np.abs(gradient[:, :2]).sum() > 0 and not np.any(gradient[:, 2:])
    layer.open_up_to(3)
    assert layer.read(inputs).slots.numpy().max() == 14
    layer.open_up_to(1)
    layer.open_up_to(9)
    assert layer.open_count.numpy() == 6
    again = ProductKeyMemory.from_config(layer.get_config())
    assert again.open_keys == 2
    plain = ProductKeyMemory(num_keys=6, top_k=4)
    plain.open_up_to(3)
    with pytest.raises(
        ValueError, match="`open_keys` must be at most `num_keys`, 6. .*open_keys=7"
    ):
        ProductKeyMemory(num_keys=6, open_keys=7)


def layer_inputs(layer, inputs):
    layer(inputs)
    return tf.constant(inputs)


def test_the_balance_of_the_keys_is_a_loss_in_training():
    layer = ProductKeyMemory(num_keys=5, top_k=3, key_balance_weight=0.5)
    layer(example(7, 4))
    assert layer.losses == []
    layer(example(7, 4), training=True)
    (loss,) = layer.losses
    assert 0.0 < float(loss) < 2.5
    with pytest.raises(ValueError, match="`key_balance_weight` must be zero or more. .*=-1.0"):
        ProductKeyMemory(key_balance_weight=-1.0)


def test_the_balance_of_the_keys_is_that_of_valid_inputs():
    layer = ProductKeyMemory(num_keys=5, top_k=3, key_balance_weight=0.5, temperature=2.0)
    inputs, mask = example(7, 4), np.array([True, False, True, True, False, True, True])
    layer(inputs[mask], training=True)
    want = [float(loss) for loss in layer.losses]
    reading = layer.read(tf.constant(inputs[mask]), training=True)
    balance = balance_of(reading, layer.scored_keys(), None, temperature=2.0)
    np.testing.assert_allclose(want, [0.5 * balance], rtol=1e-5)
    layer(np.where(mask[:, None], inputs, 9.0), mask=mask, training=True)
    np.testing.assert_allclose(layer.losses, want, rtol=1e-5)
    layer(inputs, training=True)
    assert abs(layer.losses[0] - want[0]) > 1e-3


def normed(keys, layer):
    """Keys of a head, layer-normalized where the layer does so."""
    if not layer.key_norm:
        return keys
    centered = keys - keys.mean(-1, keepdims=True)
    gamma = layer.key_normalization.gamma.numpy()
    return gamma * centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-6)


def flat_attention(layer, inputs):
    """Plain attention over all slots with concatenated keys, restricted to the best."""
    heads = []
    for head in range(layer.num_heads):
        width = layer.row_keys.shape[-1]
        here = slice(head * width, (head + 1) * width)
        queries = np.concatenate(
            [layer.row_query(inputs).numpy()[:, here], layer.column_query(inputs).numpy()[:, here]],
            axis=1,
        )
        rows, columns = (
            normed(keys.numpy()[head], layer) for keys in (layer.row_keys, layer.column_keys)
        )
        m = layer.num_keys
        keys = np.stack([np.concatenate([rows[s // m], columns[s % m]]) for s in range(m * m)])
        scores = queries @ keys.T / layer.temperature
        kept = min(layer.top_k, m * m)
        threshold = np.sort(scores, axis=1)[:, -kept][:, None]
        weights = softmax(np.where(scores >= threshold, scores, -np.inf))
        heads.append(weights @ layer.memory_values.numpy())
    return heads


@pytest.mark.parametrize(("top_k", "num_heads"), [(2, 1), (5, 3), (49, 1), (49, 3), (100, 3)])
def test_equals_attention_on_concatenated_keys(run_mode, top_k, num_heads):
    layer = ProductKeyMemory(
        num_keys=7,
        top_k=top_k,
        num_heads=num_heads,
        query_norm="none",
        key_norm=num_heads == 3,
        temperature=0.5,
    )
    inputs = example(10, 4)
    output = run_mode(layer)(inputs)
    np.testing.assert_allclose(output, sum(flat_attention(layer, inputs)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("head_merge", ["sum", "mean", "concat"])
def test_head_merge(head_merge):
    layer = ProductKeyMemory(
        num_keys=5, top_k=3, num_heads=2, query_norm="none", head_merge=head_merge
    )
    inputs = example(6, 4)
    output = layer(inputs)
    heads = flat_attention(layer, inputs)
    if head_merge == "concat":
        kernel, bias = (weight.numpy() for weight in layer.head_projection.weights)
        want = np.concatenate(heads, axis=1) @ kernel + bias
    else:
        want = getattr(np, head_merge)(heads, axis=0)
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)


def test_permuting_row_keys_with_their_values_changes_nothing():
    layer = ProductKeyMemory(num_keys=6, top_k=4)
    inputs = example(5, 4)
    before = layer(inputs)
    order = np.random.default_rng(1).permutation(6)
    values = layer.memory_values.numpy().reshape(6, 6, 4)[order]
    layer.row_keys.assign(layer.row_keys.numpy()[:, order])
    layer.memory_values.assign(values.reshape(36, 4))
    np.testing.assert_allclose(layer(inputs), before, rtol=1e-5, atol=1e-6)


def test_reading_tells_slots_and_weights(run_mode):
    layer = ProductKeyMemory(num_keys=6, top_k=4, num_heads=2)
    layer.build((None, 4))
    reading = run_mode(lambda x: layer.read(x)._asdict())(example(5, 4))
    assert reading["slots"].shape == reading["weights"].shape == (5, 2, 4)
    assert reading["queries"].shape == (5, 2, 2, 4)
    np.testing.assert_allclose(tf.reduce_sum(reading["weights"], -1), 1.0, rtol=1e-6)
    rows = layer.memory_values.numpy()[reading["slots"].numpy()]
    want = np.einsum("nhk,nhkd->nd", reading["weights"], rows)
    np.testing.assert_allclose(reading["read_out"], want, rtol=1e-5, atol=1e-6)


def test_reads_are_told_with_their_mask():
    memory = ProductKeyMemory(num_keys=4, top_k=2)
    x, mask = np.ones((1, 2, 3), "float32"), np.array([[True, False]])
    told = []
    with memory.watched(lambda reading, mask: told.append((reading.slots, mask))):
        memory(x)
        memory(x, mask=mask)
    [(_, none), (slots, of_queries)] = told
    assert none is None and slots.shape == (2, 1, 2)
    np.testing.assert_array_equal(of_queries, [True, False])


def test_only_values_that_were_read_receive_a_gradient():
    layer = ProductKeyMemory(num_keys=6, top_k=4)
    layer.build((None, 4))
    with tf.GradientTape() as tape:
        reading = layer.read(tf.constant(example(5, 4)))
        loss = tf.reduce_sum(reading.read_out)
    gradient = tape.gradient(loss, layer.memory_values.value)
    assert isinstance(gradient, tf.IndexedSlices)
    want = np.zeros((36, 4))
    np.add.at(want, reading.slots.numpy().ravel(), reading.weights.numpy().reshape(-1, 1))
    np.testing.assert_allclose(tf.convert_to_tensor(gradient), want, rtol=1e-5, atol=1e-6)


def test_reading_again_gives_the_same_and_trains_keys_and_values_only(run_mode):
    layer = ProductKeyMemory(num_keys=6, top_k=4, num_heads=2, temperature=0.5)
    layer.build((None, 4))
    names = [weight.path for weight in layer.trainable_weights]

    def run(x):
        with tf.GradientTape() as tape:
            reading = layer.read(x, training=True)
            again = layer.read_again(reading)
            loss = tf.reduce_sum(tf.square(again))
        gradients = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
        return reading.read_out, again, [g is not None for g in gradients]

    first, again, trained = run_mode(run)(tf.constant(example(5, 4)))
    np.testing.assert_allclose(again, first, rtol=1e-5, atol=1e-6)
    for name, is_trained in zip(names, trained, strict=True):
        assert bool(is_trained) == (
            "key_normalization" in name
            or name.split("/")[-1] in ("row_keys", "column_keys", "memory_values")
        )


def test_closed_slots_are_not_read_again():
    layer = ProductKeyMemory(num_keys=6, top_k=8, open_keys=2)  # 4 open slots for 8 reads
    layer.build((None, 4))
    reading = layer.read(tf.constant(example(5, 4)))
    np.testing.assert_allclose(layer.read_again(reading), reading.read_out, rtol=1e-5, atol=1e-6)


def test_query_norms():
    inputs = example(50, 4) * 10 + 3
    for query_norm, axis in (("batch", 0), ("layer", -1)):
        layer = ProductKeyMemory(num_keys=6, top_k=4, query_norm=query_norm)
        layer.build((None, 4))
        queries = layer.read(inputs, training=True).queries.numpy()
        np.testing.assert_allclose(queries.mean(axis), 0, atol=1e-4)
        np.testing.assert_allclose(queries.std(axis), 1, atol=1e-2)


def test_query_statistics_skip_padding():
    layer = ProductKeyMemory(num_keys=6, top_k=4)
    layer.build((None, 4))
    assert isinstance(layer.query_normalization, MaskedBatchNormalization)
    inputs, mask = example(6, 4), np.array([True, True, False, True, True, False])
    dirty = np.where(mask[:, None], inputs, np.float32(np.nan))
    output = layer(dirty, mask=mask, training=True).numpy()
    want = layer(inputs[mask], training=True).numpy()
    np.testing.assert_allclose(output[mask], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(output[~mask], 0)


def test_top_k_is_clipped_to_the_memory():
    layer = ProductKeyMemory(num_keys=2, top_k=32)
    layer.build((None, 4))
    assert layer.read(example(3, 4)).slots.shape == (3, 1, 4)
    assert layer.memory_size == 4


def test_initial_values():
    layer = ProductKeyMemory(num_keys=40, key_dim=16, value_dim=4)
    layer.build((None, 8))
    assert abs(layer.memory_values.numpy().std() - 0.5) < 0.02
    assert np.abs(layer.row_keys.numpy()).max() <= 0.25
    assert (layer.row_keys.numpy() != layer.column_keys.numpy()).any()
    layer = ProductKeyMemory(num_keys=4, value_initializer="zeros")
    layer.build((None, 8))
    np.testing.assert_array_equal(layer.memory_values, 0)


def test_lengths_of_keys_are_those_before_normalization():
    layer = ProductKeyMemory(num_keys=5, top_k=2, num_heads=2, key_dim=3)
    layer.build((None, 4))
    layer.row_keys.assign(2.0 * layer.row_keys)
    lengths = layer.key_lengths()
    assert lengths.shape == (2, 2, 5)
    wanted = [np.linalg.norm(keys.numpy(), axis=-1) for keys in (layer.row_keys, layer.column_keys)]
    np.testing.assert_allclose(lengths, wanted, rtol=1e-5)


def test_table_is_named_memory_values():
    layer = ProductKeyMemory(num_keys=4)
    layer.build((None, 8))
    assert layer.memory_values.path.endswith("memory_values")


@pytest.mark.parametrize("name", ["num_keys", "top_k"])
def test_one_key_or_one_slot_cannot_be_trained(name):
    with pytest.raises(ValueError, match=f"`{name}` must be at least 2. Received: {name}=1"):
        ProductKeyMemory(**{name: 1})


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"num_heads": 0}, "`num_heads` must be a positive integer"),
        ({"key_dim": 0}, "`key_dim` must be a positive integer"),
        ({"value_dim": -1}, "`value_dim` must be a positive integer"),
        ({"query_norm": "bach"}, "`query_norm` must be one of .* Did you mean `batch`"),
        ({"head_merge": "max"}, "`head_merge` must be one of"),
        ({"num_keys": 46341}, "`num_keys` must be at most 46340, .*Received: num_keys=46341"),
        ({"key_balance_weight": np.nan}, "`key_balance_weight` must be zero or more"),
        ({"temperature": np.nan}, "`temperature` must be a positive number"),
        ({"temperature": 0}, "`temperature` must be a positive number. Received: temperature=0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        ProductKeyMemory(**arguments)

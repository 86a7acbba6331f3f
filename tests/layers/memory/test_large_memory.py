import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import LargeMemory

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "user": example(4, 2), "target": example(4, 3, seed=1)}


def built(**arguments):
    keras.utils.set_random_seed(2)
    layer = LargeMemory(**{"num_keys": 7, "top_k": 4, **arguments})
    layer(**INPUTS, mask=MASK)
    return layer


def read_out_of(layer, inputs=INPUTS, mask=MASK):
    return layer.read(inputs["history"], inputs["user"], mask)[0].numpy()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
@pytest.mark.parametrize("user", [INPUTS["user"], None])
def test_reads_in_mixed_precision(policy, user):
    readings = []
    for dtype in ("float32", policy):
        layer = LargeMemory(num_keys=3, top_k=9, query_norm="layer", dtype=dtype)
        layer(INPUTS["history"], user=user)
        layer.set_weights([example(*weight.shape, seed=3) for weight in layer.weights])
        readings.append(layer.read(INPUTS["history"], user, MASK))
    assert readings[1][0].dtype == layer.compute_dtype
    read_out = tf.cast(readings[1][0], tf.float32)
    np.testing.assert_allclose(read_out, readings[0][0], rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    "arguments",
    [
        {},
        {"pooling": "none", "query_norm": "layer", "stop_gradient": "memory_only"},
        {"pooling": "target_attention", "num_heads": 2, "head_merge": "mean"},
        {"pooling": "sum", "query_target": True, "query_norm": "none", "stop_gradient": "none"},
    ],
)
def test_is_a_good_layer(arguments):
    # All slots are read, so that rounding cannot decide which; others test the search.
    arguments = {"num_keys": 3, "top_k": 9, "hidden_units": (5,), **arguments}
    is_zero = not arguments.get("query_target", False)
    check_layer(LargeMemory, arguments, INPUTS, MASK, zero_when_empty=is_zero)


def test_oracle_of_the_equations():
    layer = LargeMemory(
        num_keys=2,
        top_k=2,
        key_dim=1,
        query_norm="none",
        key_norm=False,
        hidden_units=(),
        memory_loss_weight=1.0,
    )
    layer.build((None, None, 2))
    assign = {
        # M_Q is always (0, 2), the row query 2 and the column query 1.
        "user_aware_query/kernel": np.zeros((2, 2)),
        "user_aware_query/bias": [0.0, 2.0],
        "memory/row_query/kernel": [[0.0], [1.0]],
        "memory/row_query/bias": [0.0],
        "memory/column_query/kernel": [[0.0], [0.5]],
        "memory/column_query/bias": [0.0],
        "memory/row_keys": [[[1.0], [0.0]]],
        "memory/column_keys": [[[1.0], [0.0]]],
        "memory/memory_values": [[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [0.0, 0.0]],
    }
    for weight in layer.weights:
        weight.assign(np.reshape(assign[weight.path.split("/", 1)[1]], weight.shape))
    output = layer(example(1, 3, 2), mask=np.array([[True, True, False]]))
    np.testing.assert_allclose(output, [[0.731059, 0.268941]], atol=1e-6)
    np.testing.assert_allclose(layer.losses, [0.749141], atol=1e-6)
    _, slots, weights = layer.read(example(1, 1, 2))
    np.testing.assert_array_equal(slots, [[[[0, 1]]]])
    np.testing.assert_allclose(weights, [[[[0.731059, 0.268941]]]], atol=1e-6)


@pytest.mark.parametrize("pooling", ["mean", "sum", "sqrtn", "none"])
def test_pooling(run_mode, pooling):
    layer = built(pooling=pooling)
    output = run_mode(lambda: layer(**INPUTS, mask=MASK))().numpy()
    sequence = read_out_of(layer)
    np.testing.assert_array_equal(sequence[~MASK], 0)
    want = sequence
    if pooling != "none":
        want = sequence.sum(1)
    power = {"mean": 1, "sqrtn": 0.5}.get(pooling, 0)
    if power:
        want = want / np.maximum(MASK.sum(1, keepdims=True), 1) ** power
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    np.testing.assert_array_equal(output[0], 0)


def test_pooling_by_target_attention():
    layer = built(pooling="target_attention")
    want = layer.attention(read_out_of(layer), INPUTS["target"], mask=MASK)
    np.testing.assert_allclose(layer(**INPUTS, mask=MASK), want, rtol=1e-4, atol=1e-5)


def test_query_target_appends_the_read_out_of_the_candidate():
    layer = built(query_target=True)
    output = layer(**INPUTS, mask=MASK).numpy()
    assert output.shape == (4, 6)
    as_history = {"history": INPUTS["target"][:, None], "user": INPUTS["user"]}
    want = read_out_of(layer, as_history, None)[:, 0]
    np.testing.assert_allclose(output[:, 3:], want, rtol=1e-4, atol=1e-5)
    other = layer(**{**INPUTS, "target": INPUTS["target"] + 1}, mask=MASK)
    np.testing.assert_allclose(other[:, :3], output[:, :3], rtol=1e-5, atol=1e-6)


def test_query_statistics_are_those_of_valid_positions_and_candidates(run_mode):
    layer = built(query_target=True)
    run_mode(lambda: layer(**INPUTS, mask=MASK, training=True))()
    make = layer.user_aware_query
    rows = [
        make(INPUTS["history"], INPUTS["user"]).numpy()[MASK],
        make(INPUTS["target"][:, None], INPUTS["user"]).numpy()[:, 0],
    ]
    memory = layer.memory
    queries = np.concatenate(
        [dense(np.concatenate(rows)) for dense in (memory.row_query, memory.column_query)], axis=1
    )
    norm = memory.query_normalization  # whose averages keep 0.9 of what they start from
    np.testing.assert_allclose(norm.moving_mean, 0.1 * queries.mean(0), rtol=1e-4, atol=1e-6)
    want = 0.9 + 0.1 * queries.var(0)
    np.testing.assert_allclose(norm.moving_variance, want, rtol=1e-5)


def test_memory_loss_is_a_mean_over_valid_positions(run_mode):
    layer = built(memory_loss_weight=0.5, smooth_l1_beta=0.7)

    def losses():
        layer(**INPUTS, mask=MASK)
        return layer.losses[-1]

    got = run_mode(losses)()
    queries = layer.user_aware_query(INPUTS["history"], INPUTS["user"]).numpy()[MASK]
    error = np.abs(read_out_of(layer)[MASK] - queries)
    distance = np.where(error < 0.7, 0.5 * error**2 / 0.7, error - 0.35)
    np.testing.assert_allclose(got, 0.5 * distance.mean(), rtol=1e-4)


def gradients_of_memory_loss(layer):
    with tf.GradientTape() as tape:
        layer(**INPUTS, mask=MASK, training=True)
        loss = layer.losses[0]
    values = tape.gradient(loss, [weight.value for weight in layer.trainable_weights])
    return {
        weight.path.split("/", 1)[1]: np.zeros(weight.shape)
        if g is None
        else tf.convert_to_tensor(g)
        for weight, g in zip(layer.trainable_weights, values, strict=True)
    }


def test_stop_gradient_target_trains_the_query_through_the_read_out_only():
    layer = built(query_norm="none", num_keys=2, top_k=4, num_heads=1)
    got = gradients_of_memory_loss(layer)["user_aware_query/dense_0/bias"]
    goal = layer.user_aware_query(INPUTS["history"], INPUTS["user"]).numpy()[MASK]
    bias = layer.user_aware_query.dense_layers[0].bias
    start, step = bias.numpy(), 1e-2

    def loss_at(value):  # the goal stays where it was
        bias.assign(value)
        error = np.abs(read_out_of(layer)[MASK] - goal)
        bias.assign(start)
        return 0.1 * np.where(error < 1, 0.5 * error**2, error - 0.5).mean()

    for i in range(3):
        nudge = step * np.eye(3)[i]
        slope = (loss_at(start + nudge) - loss_at(start - nudge)) / (2 * step)
        np.testing.assert_allclose(got[i], slope, rtol=0.05, atol=2e-5)


def test_stop_gradient_memory_only_trains_keys_and_values_only():
    gradients = gradients_of_memory_loss(built(stop_gradient="memory_only"))
    for name, gradient in gradients.items():
        is_memory = name.endswith(("row_keys", "column_keys", "memory_values"))
        assert np.any(gradient) == (is_memory or "key_normalization" in name), name


def test_stop_gradient_changes_no_number():
    losses = []
    for stop_gradient in ("target", "none", "memory_only"):
        layer = built(stop_gradient=stop_gradient)
        layer(**INPUTS, mask=MASK)
        losses.append(float(layer.losses[0]))
    np.testing.assert_allclose(losses, losses[0], rtol=1e-5)
    none, target = (
        gradients_of_memory_loss(built(stop_gradient=name))["user_aware_query/bias"]
        for name in ("none", "target")
    )
    assert np.abs(none - target).max() > 1e-4


def test_no_weight_no_memory_loss():
    layer = built(memory_loss_weight=0.0)
    layer(**INPUTS, mask=MASK, training=True)
    assert layer.losses == []
    assert float(layer.memory_loss_tracker.result()) > 0


def test_an_empty_batch_has_a_loss_of_zero(run_mode):
    layer = built()

    def run():
        output = layer(**INPUTS, mask=np.zeros_like(MASK), training=True)
        return output, layer.losses[-1]

    output, loss = run_mode(run)()
    np.testing.assert_array_equal(output, 0)
    assert float(loss) == 0.0


def test_padding_changes_neither_loss_nor_statistics(run_mode):
    results, layer = [], built()
    before = layer.get_weights()

    def step(history):
        output = layer(history, INPUTS["user"], mask=MASK, training=True)
        return output, layer.losses[-1]

    run = run_mode(step)
    for filling in (0.0, 9.0, np.nan):
        history = np.where(MASK[..., None], INPUTS["history"], np.float32(filling))
        layer.set_weights(before)
        results.append([*run(tf.constant(history)), *layer.get_weights()])
    for other in results[1:]:
        for a, b in zip(results[0], other, strict=True):
            np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


def test_users_with_the_same_history_read_differently():
    layer = built()
    history = np.repeat(INPUTS["history"][:1], 4, axis=0)
    output = layer(history, INPUTS["user"]).numpy()
    assert np.abs(output[0] - output[1]).max() > 1e-4
    output = layer(history, np.zeros_like(INPUTS["user"])).numpy()
    np.testing.assert_allclose(output[0], output[1], rtol=1e-6)


def test_works_without_a_user_and_with_added_users():
    assert LargeMemory(num_keys=5)(INPUTS["history"]).shape == (4, 3)
    layer = LargeMemory(num_keys=5, user_merge="add")
    assert layer(INPUTS["history"], INPUTS["target"], mask=MASK).shape == (4, 3)


def test_read_marks_padding(run_mode):
    layer = built(num_heads=2)
    _, slots, weights = run_mode(lambda: layer.read(INPUTS["history"], INPUTS["user"], MASK))()
    assert slots.shape == weights.shape == (4, 6, 2, 4)
    np.testing.assert_array_equal(slots.numpy()[~MASK], -1)
    np.testing.assert_array_equal(weights.numpy()[~MASK], 0)
    assert slots.numpy()[MASK].min() >= 0 and slots.numpy()[MASK].max() < layer.memory_size
    np.testing.assert_allclose(weights.numpy()[MASK].sum(-1), 1, rtol=1e-5)


def test_drops_into_a_functional_model_and_logs_what_it_measures():
    history = keras.Input((None,), dtype="int32")
    user = keras.Input((2,))
    embedded = keras.layers.Embedding(20, 3, mask_zero=True)(history)
    read_out = LargeMemory(num_keys=5, top_k=4)(embedded, user=user)
    assert read_out.shape == (None, 3)
    model = keras.Model([history, user], keras.layers.Dense(1)(read_out))
    model.compile("adam", "mse", run_eagerly=True)
    ids = np.random.default_rng(0).integers(1, 20, (8, 5)) * (np.arange(5) < 3)
    logs = model.fit([ids, example(8, 2)], np.ones(8), epochs=2, verbose=0).history
    assert {"memory_loss", "query_norm", "read_out_norm"} <= set(logs)
    assert all(value > 0 for name in ("memory_loss", "query_norm") for value in logs[name])
    wide = np.concatenate([ids, np.zeros((8, 4), ids.dtype)], axis=1)
    users = example(8, 2)
    np.testing.assert_allclose(
        model.predict([wide, users], verbose=0),
        model.predict([ids, users], verbose=0),
        rtol=1e-5,
        atol=1e-6,
    )


def test_keras_does_not_compile_it_by_itself():
    assert not LargeMemory().supports_jit


@pytest.mark.slow
def test_constant_queries_are_memorised():
    layer = LargeMemory(num_keys=10, top_k=4, memory_loss_weight=1.0)
    history = keras.Input((None, 4))
    model = keras.Model(history, layer(history))
    model.compile(keras.optimizers.Adam(0.05), lambda y, p: 0.0 * keras.ops.sum(p))
    layer.user_aware_query.trainable = False
    x = np.repeat(np.repeat(example(1, 1, 4), 5, axis=1), 32, axis=0)
    logs = model.fit(x, np.zeros((32, 4)), batch_size=4, epochs=30, verbose=0).history[
        "memory_loss"
    ]
    assert logs[-1] < 1e-3 * logs[0]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"pooling": "max"}, "`pooling` must be one of"),
        ({"user_merge": "sum"}, "`user_merge` must be one of"),
        ({"stop_gradient": "targets"}, "`stop_gradient` must be one of .* Did you mean `target`"),
        ({"memory_loss_weight": -1}, "`memory_loss_weight` must be zero or more. Received: memor"),
        ({"memory_loss_weight": np.nan}, "`memory_loss_weight` must be zero or more"),
        ({"smooth_l1_beta": np.nan}, "`smooth_l1_beta` must be a positive number"),
        ({"smooth_l1_beta": 0}, "`smooth_l1_beta` must be a positive number. Received: smooth_l1"),
        ({"query_target": True, "pooling": "none"}, "`query_target` must be False with"),
        ({"num_keys": 1}, "`num_keys` must be at least 2"),
        ({"head_merge": "max"}, "`head_merge` must be one of"),
        ({"query_norm": "max"}, "`query_norm` must be one of"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        LargeMemory(**arguments)


@pytest.mark.parametrize("arguments", [{"query_target": True}, {"pooling": "target_attention"}])
def test_target_is_required(arguments):
    with pytest.raises(ValueError, match="`target` must be given for"):
        LargeMemory(num_keys=5, **arguments)(INPUTS["history"])
    with pytest.raises(ValueError, match="Received: target width=2, history width=3"):
        LargeMemory(num_keys=5, **arguments)(INPUTS["history"], target=INPUTS["user"])


def test_arguments_of_the_memory_are_handed_on():
    given = {
        "num_keys": 6,
        "top_k": 3,
        "num_heads": 2,
        "key_dim": 5,
        "query_norm": "layer",
        "key_norm": False,
        "key_balance_weight": 0.5,
        "head_merge": "mean",
        "temperature": 2.0,
        "memory_placement": "row_wise",
        "open_keys": 4,
    }
    layer = LargeMemory(**given, value_initializer="zeros")
    config = layer.get_config()
    assert given.items() <= config.items() and given.items() <= layer.memory.get_config().items()
    assert {key: getattr(layer, key) for key in given} == given
    again = LargeMemory.from_config(config)
    assert again.get_config() == config
    assert isinstance(again.value_initializer, keras.initializers.Zeros)


def test_unknown_arguments_and_attributes():
    with pytest.raises(ValueError, match="Unrecognized keyword arguments.*value_dim"):
        LargeMemory(value_dim=3)
    with pytest.raises(AttributeError, match="'LargeMemory' object has no attribute 'num_key'"):
        _ = LargeMemory().num_key

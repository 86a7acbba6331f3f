import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import UserInterestMemory
from lmn_tf.ops import Windows, plain_kernels

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 3, seed=1)}
OPTIONS = [
    {},
    {"utilization": "released", "num_write_heads": 2, "num_read_heads": 2, "induction_top_k": 2},
    {"utilization": "none", "induction_top_k": 0, "static_keys": True},
]


def built(**arguments):
    keras.utils.set_random_seed(2)
    layer = UserInterestMemory(**{"units": 5, "attention_units": (4,), **arguments})
    layer.build((None, None, 3), (None, 3))
    for seed, weight in enumerate(layer.weights):
        weight.assign(0.7 * example(*weight.shape, seed=seed))
    return layer


@pytest.mark.parametrize(
    "arguments",
    [
        {"units": 5, "attention_units": (4,), "auxiliary_units": (), "auxiliary_weight": 0.1},
        pytest.param(
            {"utilization": "released", "induction_top_k": 0, "num_write_heads": 2},
            marks=pytest.mark.slow,
        ),
    ],
)
@pytest.mark.slow
def test_is_a_good_layer(arguments):
    with plain_kernels():  # compiled, short histories take long; tests of the op compile long ones
        check_layer(UserInterestMemory, arguments, INPUTS, MASK, zero_when_empty=True)


@pytest.mark.parametrize("arguments", OPTIONS)
def test_one_by_one_in_chunks_and_at_once_are_the_same(arguments):
    layer = built(**arguments)
    history, target = INPUTS.values()
    start = layer.initial_state(4)
    at_once = layer.advance(start, history, MASK)
    one_by_one = start
    for time in range(6):
        one_by_one = layer.step(one_by_one, history[:, time], MASK[:, time])
    chunks = layer.advance(start, history[:, :2], MASK[:, :2])
    chunks = layer.advance(chunks, history[:, 2:], MASK[:, 2:])
    for other in (one_by_one, chunks):
        assert set(other) == set(at_once) == set(start)
        for name, one in at_once.items():
            np.testing.assert_allclose(other[name], one, rtol=1e-5, atol=1e-6, err_msg=name)
    output = layer(history, target, mask=MASK)
    np.testing.assert_allclose(layer.read(one_by_one, target), output, rtol=1e-4, atol=1e-5)


def test_what_a_state_holds():
    layer = built()
    history = INPUTS["history"]
    state = layer.advance(layer.initial_state(4), history, MASK)
    total = np.where(MASK[..., None], history, 0).sum(1)
    np.testing.assert_allclose(state["behaviors"], total, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(state["count"][:, 0], MASK.sum(1))
    np.testing.assert_allclose(np.sum(state["writes"], axis=1), MASK.sum(1), rtol=1e-5)
    tf.nest.map_structure(
        lambda one, first: np.testing.assert_array_equal(one[0], first[0]),
        state,
        layer.initial_state(4),
    )


def test_the_controller_is_keras_unit():
    # With nothing read (a memory of zeros that nothing is added to), it sees behaviors alone.
    layer = built(induction_top_k=0, utilization="none")
    for weight in (layer.initial_memory, layer.head_kernel):
        weight.assign(tf.zeros_like(weight))
    layer.head_bias.assign(tf.zeros_like(layer.head_bias))
    unit = keras.layers.GRU(5)
    unit.build((None, None, 3))
    kernel, recurrent_kernel, bias = (
        getattr(layer, f"controller_{name}").numpy()
        for name in ("kernel", "recurrent_kernel", "bias")
    )
    unit.set_weights([kernel[:3], recurrent_kernel, bias])
    state = layer.advance(layer.initial_state(4), INPUTS["history"], MASK)
    want = unit(INPUTS["history"], mask=tf.constant(MASK))
    np.testing.assert_allclose(state["controller"], want, rtol=1e-5, atol=1e-6)
    # A unit on [behavior; read], where something is read.
    layer.initial_memory.assign(example(4, 3))
    state = layer.step(layer.initial_state(4), INPUTS["history"][:, 0])
    after = layer.step(state, INPUTS["history"][:, 1])["controller"]
    cell = keras.layers.GRUCell(5)
    cell.build((None, 6))
    cell.set_weights([kernel, recurrent_kernel, bias])
    seen = tf.concat([INPUTS["history"][:, 1], state["read"]], axis=-1)
    want, _ = cell(seen, [state["controller"]])
    np.testing.assert_allclose(after, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("arguments", OPTIONS)
def test_parts_of_what_is_read(arguments):
    layer, (history, target) = built(**arguments), INPUTS.values()
    layer.output_bias.assign([30.0, -30.0, 0.1])  # outputs are cut off at 20
    state = layer.advance(layer.initial_state(4), history, MASK)
    seen = layer.step(state, target)
    kernel, bias = layer.output_kernel.numpy(), layer.output_bias.numpy()
    output = np.concatenate([seen["controller"], seen["read"]], axis=1) @ kernel + bias
    output = np.where(MASK.any(1, keepdims=True), np.clip(output, -20, 20), 0)
    parts = [state["behaviors"], output, state["added"] * target]
    if layer.induction_top_k:
        parts.append(layer.attention(state["channels"], target))
    np.testing.assert_allclose(
        layer.read(state, target), np.concatenate(parts, axis=1), rtol=1e-4, atol=1e-5
    )


def test_writes_stay_where_they_are_told_after_a_while():
    layer = UserInterestMemory(num_slots=3, induction_top_k=0)
    layer.build((None, None, 3))
    for writes, kept in ((0.0, 1 / 3), (100.0, 1.0)):
        transfer = np.full((1, 3), writes / 3, "float32") @ layer.transfer_kernel.numpy()
        shares = keras.ops.softmax(transfer.reshape(3, 3)).numpy()
        np.testing.assert_allclose(np.diag(shares), kept, atol=1e-3)


def test_only_the_most_read_channels_move():
    layer, start = built(induction_top_k=2), None
    start = layer.initial_state(4)
    moved = np.abs(layer.step(start, INPUTS["history"][:, 0])["channels"]).max(axis=-1) > 0
    np.testing.assert_array_equal(moved.sum(1), 2)


@pytest.mark.parametrize(("utilization", "spread"), [("paper", 6.0), ("released", 0.375)])
def test_oracle_of_the_utilization_loss(utilization, spread):
    layer = built(utilization=utilization, utilization_weight=0.5)
    states = {"writes": tf.constant([[3.0, 1.0, 0.0, 0.0]] * 2)}
    layer._add_losses(states, None, None, None, None, training=True)
    np.testing.assert_allclose(layer.losses, [0.5 * spread])
    np.testing.assert_allclose(layer.utilization_loss_tracker.result(), spread)


@pytest.mark.parametrize("utilization", ["paper", pytest.param("released", marks=pytest.mark.slow)])
def test_the_loss_evens_the_writes_out(utilization):
    keras.utils.set_random_seed(1)
    layer = UserInterestMemory(utilization=utilization, induction_top_k=0, utilization_weight=1.0)
    history, target = example(8, 10, 3), example(8, 3)
    layer(history, target)
    layer.initial_memory.assign(3 * layer.initial_memory)
    optimizer = keras.optimizers.Adam(0.03)

    @tf.function
    def step():
        with tf.GradientTape() as tape:
            layer(history, target)
            loss = layer.losses[0]
        gradients = tape.gradient(loss, layer.trainable_variables)
        pairs = zip(gradients, layer.trainable_variables, strict=True)
        optimizer.apply_gradients([(g, v) for g, v in pairs if g is not None])
        return loss

    losses = [float(step()) for _ in range(30)]
    assert losses[-1] < 0.5 * losses[0]


def test_gradient_agrees_with_finite_differences():
    layer = built(induction_top_k=0, num_slots=2)
    history, target, mask = INPUTS["history"][1:3, :3], INPUTS["target"][1:3], MASK[1:3, :3]
    check_gradient(lambda h, t: layer(h, t, mask=mask), [history, target], rtol=1e-2, atol=1e-2)


def test_auxiliary_loss_in_training_only():
    layer = built(auxiliary_weight=1.0, auxiliary_units=(), utilization_weight=0.0)
    layer(**INPUTS, mask=MASK)
    assert layer.losses == []
    layer(**INPUTS, mask=MASK, training=True)
    assert len(layer.losses) == 1 and layer.losses[0] > 0


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_auxiliary_loss_of_shared_windows_in_mixed_precision(policy):
    arguments = {"windows": Windows([0, 0, 0, 4], [1, 3, 4, 2], num_events=6), "training": True}
    losses = []
    with plain_kernels():
        for dtype in ("float32", policy):
            options = {"utilization": "none", "auxiliary_units": (), "auxiliary_weight": 1.0}
            layer = built(**options, dtype=dtype)
            layer.auxiliary_loss.seed_generator.state.assign([1, 2])
            layer(INPUTS["history"][3], INPUTS["target"], **arguments)
            losses += layer.losses
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.02)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`num_slots` must be a positive integer"):
        UserInterestMemory(num_slots=0)
    with pytest.raises(ValueError, match="`utilization` must be one of 'paper', 'released'"):
        UserInterestMemory(utilization="mur")
    for count in (5, -1, 1.5):
        message = f"`induction_top_k` must be an integer from 0 to `num_slots`, 4.*={count}"
        with pytest.raises(ValueError, match=message):
            UserInterestMemory(induction_top_k=count)
    for name in ("utilization_weight", "auxiliary_weight"):
        for value in (-1, np.nan):
            with pytest.raises(ValueError, match=f"`{name}` must be zero or more. Received"):
                UserInterestMemory(**{name: value})

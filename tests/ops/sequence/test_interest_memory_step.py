import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops.sequence.interest_memory_step import (
    InterestMemorySettings,
    content_weights,
    interest_memory_step,
    sharpened,
    shifted,
    written,
)


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


MEMORY = example(2, 4, 3)
WEIGHTS = np.exp(example(2, 2, 4, seed=1)) / np.exp(example(2, 2, 4, seed=1)).sum(-1, keepdims=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def softplus(x):
    return np.log1p(np.exp(x))


def softmax(x):
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def test_oracle_of_writing(run_mode):
    memory = tf.constant([[[1.0, 2.0], [3.0, 4.0]]])
    weights, erase, add = (tf.constant([[one]]) for one in ([0.25, 0.75], [1.0, 0.0], [0.5, -0.5]))
    after, added = run_mode(written)(memory, weights, erase, add)
    np.testing.assert_allclose(after, [[[0.875, 1.875], [1.125, 3.625]]], rtol=1e-6)
    np.testing.assert_allclose(added, [[[0.125, -0.125], [0.375, -0.375]]], rtol=1e-6)


def test_a_one_hot_weight_replaces_one_slot_and_a_weight_of_0_none():
    add = example(2, 1, 3, seed=2)
    one_hot = np.zeros((2, 1, 4), "float32")
    one_hot[:, 0, 2] = 1
    after, _ = written(MEMORY, one_hot, np.ones((2, 1, 3), "float32"), add)
    np.testing.assert_allclose(after[:, 2], add[:, 0], rtol=1e-6)
    np.testing.assert_array_equal(np.delete(after, 2, 1), np.delete(MEMORY, 2, 1))
    after, _ = written(MEMORY, 0 * one_hot, np.ones((2, 1, 3), "float32"), add)
    np.testing.assert_array_equal(after, MEMORY)


def test_all_heads_erase_before_any_adds():
    erase, add = np.random.default_rng(3).random((2, 2, 2, 3)).astype("float32")
    kept = MEMORY.copy()
    for head in range(2):
        kept *= 1 - WEIGHTS[:, head, :, None] * erase[:, head, None]
    want = kept + np.einsum("bhm,bhd->bmd", WEIGHTS, add)
    np.testing.assert_allclose(written(MEMORY, WEIGHTS, erase, add)[0], want, rtol=1e-5)


def test_addressing(run_mode):
    keys, sharpness, static = example(2, 2, 3, seed=4), np.float32([[1, 2], [3, 4]]), example(4, 3)
    weights = run_mode(content_weights)(MEMORY, keys, sharpness)

    def cosine(slots):
        dots = np.einsum("bhd,bmd->bhm", keys, slots)
        lengths = np.linalg.norm(slots, axis=-1)[:, None]
        return dots / np.linalg.norm(keys, axis=-1)[..., None] / lengths

    want = softmax(sharpness[..., None] * cosine(MEMORY))
    np.testing.assert_allclose(weights, want, rtol=1e-5)
    again = content_weights(MEMORY, 7 * keys, sharpness)
    np.testing.assert_allclose(again, weights, rtol=1e-5)  # whatever the key's length
    both = (cosine(MEMORY) + cosine(np.stack([static] * 2))) / 2
    weights = run_mode(content_weights)(MEMORY, keys, sharpness, static)
    np.testing.assert_allclose(weights, softmax(sharpness[..., None] * both), rtol=1e-5)


def test_addressing_an_empty_memory_has_finite_gradients():
    memory, keys = tf.zeros([1, 2, 3]), tf.ones([1, 1, 3])
    with tf.GradientTape() as tape:
        tape.watch([memory, keys])
        loss = content_weights(memory, keys, tf.ones([1, 1]))[0, 0, 0]
    assert all(np.isfinite(one).all() for one in tape.gradient(loss, [memory, keys]))


@pytest.mark.parametrize(("kernel", "places"), [([1, 0, 0], 0), ([0, 1, 0], 1), ([0, 0, 1], -1)])
def test_shifts(kernel, places):
    kernel = np.broadcast_to(np.float32(kernel), (2, 2, 3))
    np.testing.assert_array_equal(shifted(WEIGHTS, kernel), np.roll(WEIGHTS, places, axis=-1))


def test_sharpening():
    powers = np.float32([[1, 2], [3, 4]])
    want = WEIGHTS ** powers[..., None]
    want /= want.sum(-1, keepdims=True)
    np.testing.assert_allclose(sharpened(WEIGHTS, powers), want, rtol=1e-4)
    assert np.isfinite(sharpened(np.zeros((1, 1, 4), "float32"), np.float32([[9]]))).all()


def random_step(settings, rows=2, width=3, units=5):
    """A state, projected inputs and parameters of random numbers, and the raw pieces of them."""
    slots, seed = settings.num_slots, iter(range(100))
    state = {
        "memory": example(rows, slots, width, seed=next(seed)),
        "controller": example(rows, units, seed=next(seed)),
        "read": example(rows, settings.num_read_heads * width, seed=next(seed)),
        "writes": np.abs(example(rows, slots, seed=next(seed))) * 100,
        "added": example(rows, width, seed=next(seed)),
    }
    seen = units + (slots if settings.utilization == "released" else 0)
    said = sum(settings.head_widths(width))
    parameters = {
        "controller": example(settings.num_read_heads * width + units, 4 * units, seed=next(seed)),
        "controller_bias": example(4 * units, seed=next(seed)),
        "heads": example(seen, said, seed=next(seed)),
        "heads_bias": example(said, seed=next(seed)),
        "transfer": example(slots, slots**2, seed=next(seed)) / 100,
    }
    inputs = example(rows, 3 * units, seed=next(seed))
    if settings.induction_top_k:
        state["channels"] = example(rows, slots, width, seed=next(seed))
        parameters["channel"] = example(2 * width, 4 * width, seed=next(seed))
        parameters["channel_bias"] = example(4 * width, seed=next(seed))
        inputs = np.concatenate([inputs, example(rows, 3 * width, seed=next(seed))], axis=-1)
    return state, inputs, parameters


def literal_unit(before, other, x, kernel, bias):
    """A unit that multiplies `[other; before]` with the four blocks of a kernel."""
    x_z, x_r, x_c = np.split(x, 3)
    p_z, p_r, p_c, p_s = np.split(np.concatenate([other, before]) @ kernel + bias, 4)
    keep, reset = sigmoid(x_z + p_z), sigmoid(x_r + p_r)
    return keep * before + (1 - keep) * np.tanh(x_c + p_c + reset * p_s)


def literal_step(settings, state, inputs, parameters):
    """One row, head by head."""
    slots, width = state["memory"].shape
    units, readers = len(state["controller"]), settings.num_read_heads
    memory = state["memory"].copy()
    controller = literal_unit(
        state["controller"],
        state["read"],
        inputs[: 3 * units],
        parameters["controller"],
        parameters["controller_bias"],
    )
    seen = controller
    if settings.utilization == "released":
        seen = np.concatenate([controller, state["writes"] / 400])
    said = np.clip(seen @ parameters["heads"] + parameters["heads_bias"], -20, 20)
    parts = np.split(said, np.cumsum(settings.head_widths(width))[:-1])
    keys = np.tanh(parts[0]).reshape(-1, width)
    reading, reads, writes = [], [], state["writes"].copy()
    kept, added = memory.copy(), np.zeros_like(memory)
    for head, key in enumerate(keys):
        cosine = memory @ key / np.linalg.norm(memory, axis=1) / np.linalg.norm(key)
        weights = softmax(2 * (softplus(parts[1][head]) + 1) * cosine)
        if head < readers:
            reading.append(weights)
            reads.append(weights @ memory)
            continue
        writer = head - readers
        if settings.utilization == "paper":
            transfer = softmax((state["writes"] @ parameters["transfer"]).reshape(slots, slots))
            weights = weights @ transfer
        if settings.utilization == "released":
            stay, up, down = softmax(parts[4].reshape(-1, 3)[writer])
            weights = stay * weights + up * np.roll(weights, 1) + down * np.roll(weights, -1)
            weights = weights ** (4 * (softplus(parts[5][writer]) + 1))
            weights /= weights.sum()
        writes += weights
        erase = sigmoid(parts[2].reshape(-1, width)[writer])
        kept *= 1 - np.outer(weights, erase)
        added += np.outer(weights, np.tanh(parts[3].reshape(-1, width)[writer]))
    new = {
        "memory": kept + added,
        "controller": controller,
        "read": np.concatenate(reads),
        "writes": writes,
        "added": state["added"] + added.mean(0),
    }
    if settings.induction_top_k:
        new["channels"] = state["channels"].copy()
        for slot in np.argsort(-np.mean(reading, axis=0))[: settings.induction_top_k]:
            new["channels"][slot] = literal_unit(
                state["channels"][slot],
                new["memory"][slot],
                inputs[3 * units :],
                parameters["channel"],
                parameters["channel_bias"],
            )
    return new


@pytest.mark.parametrize(
    "settings",
    [
        InterestMemorySettings(4, 1, 1, "paper", 1),
        InterestMemorySettings(3, 2, 2, "released", 2),
        InterestMemorySettings(3, 1, 2, "none", 0),
    ],
)
def test_equals_the_literal_form(run_mode, settings):
    state, inputs, parameters = random_step(settings)
    new = run_mode(interest_memory_step(settings))(
        tf.nest.map_structure(tf.constant, state), tf.constant(inputs), parameters
    )
    for row in range(2):
        one = {name: value[row] for name, value in state.items()}
        want = literal_step(settings, one, inputs[row], parameters)
        assert set(new) == set(want)
        for name, value in want.items():
            np.testing.assert_allclose(new[name][row], value, rtol=1e-3, atol=1e-4, err_msg=name)


def test_rounding_does_not_choose_a_channel():
    settings = InterestMemorySettings(4, 1, 1, "none", 1)
    state, inputs, parameters = random_step(settings)
    # Slots that are the same but for rounding are read alike: the first is chosen.
    alike = np.repeat(state["memory"][:, :1], 4, axis=1)
    alike *= 1 + 1e-7 * np.arange(4, dtype="float32")[:, None]
    new = interest_memory_step(settings)({**state, "memory": alike}, inputs, parameters)
    moved = np.abs(new["channels"] - state["channels"]).max(axis=-1) > 0
    np.testing.assert_array_equal(moved, [[True, False, False, False]] * 2)


def test_the_released_count_does_not_train_the_content():
    settings = InterestMemorySettings(3, 1, 1, "released", 0)
    state, inputs, parameters = random_step(settings)
    memory = tf.constant(state["memory"])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(memory)
        new = interest_memory_step(settings)({**state, "memory": memory}, inputs, parameters)
    assert tape.gradient(new["writes"], memory) is None
    assert np.abs(tape.gradient(new["memory"], memory)).max() > 0


def test_the_released_controller_sees_the_count_and_does_not_train_it():
    settings = InterestMemorySettings(3, 1, 1, "released", 0)
    state, inputs, parameters = random_step(settings)
    writes = tf.constant(state["writes"])
    with tf.GradientTape(persistent=True) as tape:
        tape.watch(writes)
        new = interest_memory_step(settings)({**state, "writes": writes}, inputs, parameters)
    assert tape.gradient(new["memory"], writes) is None
    np.testing.assert_array_equal(tape.gradient(new["writes"], writes), np.ones((2, 3)))


@pytest.mark.parametrize("sign", [-1, 1])
def test_what_the_controller_says_is_cut_off_at_20(sign):
    settings = InterestMemorySettings(3, 1, 1, "none", 0)
    state, inputs, parameters = random_step(settings)
    parameters["heads"] *= 0
    after = []
    for said in (20, 90):
        parameters["heads_bias"] = sign * said * np.ones_like(parameters["heads_bias"])
        after.append(interest_memory_step(settings)(state, inputs, parameters))
    for name, one in after[0].items():
        np.testing.assert_array_equal(after[1][name], one, err_msg=name)
    assert np.abs(after[0]["memory"] - state["memory"]).max() > 0.1

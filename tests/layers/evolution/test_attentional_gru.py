import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer
from finite_differences import check_gradient

from lmn_tf.layers import AttentionalGRU
from lmn_tf.ops import Windows

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])
VARIANTS = ("augru", "released", "agru", "aigru")


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


HISTORY = example(4, 6, 3)
WEIGHTS = np.random.default_rng(1).random((4, 6)).astype("float32")


def built(variant="augru", **arguments):
    keras.utils.set_random_seed(2)
    layer = AttentionalGRU(5, variant, **arguments)
    layer(HISTORY)
    layer.set_weights([example(*weight.shape, seed=3) for weight in layer.weights])
    return layer


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("weights", [WEIGHTS, None])
def test_windows_are_worth_padded_histories(variant, weights):
    # Row 1 sees events that row 0 sees, too; row 2 sees none.
    events, windows = example(7, 3), Windows([0, 1, 6, 6], [4, 5, 0, 1], 7)
    history, mask = windows.put(windows.pairs(events)), windows.mask
    listed = None
    if weights is not None:
        weights = weights[:, : history.shape[1]]
        listed = windows.take(weights[..., None])[:, 0]
    for returns in (False, True):
        layer = built(variant, return_sequences=returns)
        got = layer(events, weights=listed, windows=windows)
        want = layer(history, weights=weights, mask=mask)
        want = windows.take(want) if returns else want
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize(
    "arguments",
    [{"units": 5}, {"units": 3, "variant": "released", "return_sequences": True}],
)
@pytest.mark.slow
def test_is_a_good_layer(arguments):
    check_layer(AttentionalGRU, arguments, {"history": HISTORY}, MASK, zero_when_empty=True)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


def literal(layer, history, weights, mask):
    """The equations as they are published, row by row and step by step."""
    kernel, recurrent_kernel, bias = (weight.numpy() for weight in layer.weights)
    last = np.zeros((len(history), 5))
    for row in range(len(history)):
        state = last[row]
        for x, a, valid in zip(history[row], weights[row], mask[row], strict=True):
            if not valid:
                continue
            if layer.variant == "aigru":
                x = a * x
            i_z, i_r, i_c = np.split(x @ kernel + bias[0], 3)
            h_z, h_r, h_c = np.split(state @ recurrent_kernel + bias[1], 3)
            keep, reset = sigmoid(i_z + h_z), sigmoid(i_r + h_r)
            candidate = np.tanh(i_c + reset * h_c)
            update = 1 - keep
            if layer.variant == "augru":
                update = a * update
            elif layer.variant == "released":
                update = 1 - (1 - a) * keep
            elif layer.variant == "agru":
                update = a
            state = (1 - update) * state + update * candidate
        last[row] = state
    return last


@pytest.mark.parametrize("variant", VARIANTS)
def test_equals_the_literal_form(run_mode, variant):
    layer = built(variant)
    output = run_mode(lambda h, w: layer(h, weights=w, mask=MASK))(HISTORY, WEIGHTS)
    np.testing.assert_allclose(output, literal(layer, HISTORY, WEIGHTS, MASK), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("variant", "states"),
    [
        ("augru", (1.0, 0.85, 0.7)),
        ("released", (0.7, 0.35, 0.0)),
        ("agru", (1.0, 0.5, 0.0)),
    ],
)
def test_oracle_of_the_forms(variant, states):
    # The first step, x = 1, sets the state to 1; the second, x = 0, has keep gate 0.7, candidate 0.
    layer = AttentionalGRU(1, variant)
    layer.build((None, None, 1))
    keep = np.log(0.7 / 0.3)
    for weight, value in zip(
        layer.weights,
        ([[-40.0, 0.0, 40.0]], [[0.0] * 3], [[keep, 0.0, 0.0], [0.0] * 3]),
        strict=True,
    ):
        weight.assign(value)
    history = np.float32([[[1.0], [0.0]]])
    for weight, state in zip((0.0, 0.5, 1.0), states, strict=True):
        output = layer(history, weights=np.float32([[1.0, weight]]))
        np.testing.assert_allclose(output, [[state]], atol=1e-6)


@pytest.mark.parametrize("variant", ["augru", "aigru"])
def test_weights_of_1_give_keras_unit(variant):
    layer = built(variant, return_sequences=True)
    plain = keras.layers.GRU(5, return_sequences=True)
    plain.build(HISTORY.shape)
    plain.set_weights(layer.get_weights())
    want = plain(HISTORY)
    np.testing.assert_allclose(layer(HISTORY), want, rtol=1e-5, atol=1e-6)
    ones = np.ones((4, 6), "float32")
    np.testing.assert_allclose(layer(HISTORY, weights=ones), want, rtol=1e-5, atol=1e-6)
    # At masked steps, Keras' unit carries the state as well.
    want = plain(HISTORY, mask=tf.constant(MASK))
    np.testing.assert_allclose(layer(HISTORY, mask=MASK)[MASK], want[MASK], rtol=1e-5, atol=1e-6)


def test_a_weight_of_0_skips_the_step():
    layer, weights = built(), WEIGHTS.copy()
    np.testing.assert_array_equal(layer(HISTORY, weights=0 * WEIGHTS), np.zeros((4, 5)))
    weights[:, 3] = 0
    without = np.delete(HISTORY, 3, axis=1), np.delete(weights, 3, axis=1)
    np.testing.assert_allclose(
        layer(HISTORY, weights=weights), layer(without[0], weights=without[1]), rtol=1e-5, atol=1e-6
    )


@pytest.mark.parametrize("variant", VARIANTS)
def test_masked_steps_carry_the_state_wherever_they_stand(variant):
    layer = built(variant)
    history, weights = np.full((4, 9, 3), np.nan, "float32"), np.full((4, 9), np.nan, "float32")
    places = [0, 2, 3, 5, 6, 7]
    history[:, places], weights[:, places] = HISTORY, WEIGHTS
    mask = np.isin(np.arange(9), places) & np.ones((4, 1), bool)
    np.testing.assert_allclose(
        layer(history, weights=weights, mask=mask),
        layer(HISTORY, weights=WEIGHTS),
        rtol=1e-5,
        atol=1e-6,
    )


def test_gradient_agrees_with_finite_differences():
    layer = AttentionalGRU(2)
    history, weights = HISTORY[:2, :3], WEIGHTS[:2, :3]
    layer(history)

    def run(h, w):
        return layer(h, weights=w, mask=MASK[1:3, :3])

    check_gradient(run, [history, weights], atol=2e-3)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units=0"):
        AttentionalGRU(0)
    with pytest.raises(ValueError, match="Did you mean `augru`"):
        AttentionalGRU(2, "augrru")

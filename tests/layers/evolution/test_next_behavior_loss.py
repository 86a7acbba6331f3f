import keras
import numpy as np
import pytest
import tensorflow as tf
from check_layer import check_layer

from lmn_tf.layers import NextBehaviorLoss

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


STATES, HISTORY = example(4, 6, 3), example(4, 6, 3, seed=1)


def built(hidden_units=(5,), **arguments):
    keras.utils.set_random_seed(2)
    layer = NextBehaviorLoss(hidden_units, seed=7, **arguments)
    layer(STATES, HISTORY)
    return layer


@pytest.mark.parametrize("hidden_units", [(5, 4), ()])
def test_is_a_good_layer(hidden_units):
    arguments = {"hidden_units": hidden_units}
    check_layer(NextBehaviorLoss, arguments, {"states": STATES, "history": HISTORY}, MASK)


def softplus(x):
    return np.log1p(np.exp(x))


def test_equals_the_literal_form(run_mode):
    layer = built(hidden_units=())
    state = layer.seed_generator.state.numpy()
    drawn = run_mode(lambda m: layer._draw(m)[0])(tf.constant(MASK)).numpy()
    layer.seed_generator.state.assign(state)
    terms, flat = [], HISTORY.reshape(-1, 3)
    for row, time in np.argwhere(MASK[:, 1:] & MASK[:, :-1]):
        state, positive = STATES[row, time], HISTORY[row, time + 1]
        negative = flat[drawn[row, time + 1]]
        terms.append(softplus(-state @ positive) + softplus(state @ negative))
    assert len(terms) == 8
    loss = run_mode(lambda s, h: layer.loss(s, h, MASK))(STATES, HISTORY)
    np.testing.assert_allclose(loss, np.mean(terms), rtol=1e-5)


def test_the_loss_that_is_added_is_weighted_and_the_mean_that_is_logged_is_not():
    layer = built(weight=0.25)
    state = layer.seed_generator.state.numpy()
    want = layer.loss(STATES, HISTORY, MASK)
    layer.seed_generator.state.assign(state)
    layer(STATES, HISTORY, mask=MASK, training=True)
    np.testing.assert_allclose(layer.losses, [0.25 * want], rtol=1e-6)
    np.testing.assert_allclose(layer.loss_tracker.result(), want, rtol=1e-6)


def test_negatives_are_behaviors_of_other_rows():
    layer = built()
    mask = MASK[:, ::-1] | np.array([[0] * 6] * 3 + [[1] * 6], bool)
    for _ in range(20):
        drawn, is_drawn = layer._draw(tf.constant(mask))
        assert is_drawn.numpy().all()
        rows, times = np.divmod(drawn.numpy()[mask], 6)
        assert mask[rows, times].all()
        assert (rows != np.argwhere(mask)[:, 0]).all()


def test_each_other_behavior_is_drawn_as_often():
    layer, counts = built(), np.zeros(24)
    draw = tf.function(layer._draw)
    for _ in range(1500):
        counts += np.bincount(draw(tf.constant(MASK))[0].numpy()[2, :4], minlength=24)
    seen = counts.reshape(4, 6)
    assert seen[2].sum() == 0 and seen[~MASK].sum() == 0
    expected = 1500 * 4 / 7
    assert np.abs(seen[MASK & (np.arange(4) != 2)[:, None]] - expected).max() < 0.15 * expected


# Chains that rows share: two rows of 2 and 6 events, one of 1, three of 4, 4 and 3.
COUNTS = np.float32([[2, 2, 1, 1, 1, 1], [1, 0, 0, 0, 0, 0], [3, 3, 3, 2, 0, 0]])
ROWS = [(0, 2), (0, 6), (1, 1), (2, 3), (2, 4), (2, 4)]  # of each row its chain and length


def test_counted_steps_are_worth_the_rows_that_share_them(run_mode, monkeypatch):
    chains, lengths = (np.array(part) for part in zip(*ROWS, strict=True))
    mask = np.arange(6) < lengths[:, None]
    np.testing.assert_array_equal([mask[chains == chain].sum(0) for chain in range(3)], COUNTS)
    layer = built()

    def loss(states, history, negatives, *arguments):
        drawn = tf.constant(negatives), tf.ones([len(negatives)], bool)
        monkeypatch.setattr(layer, "_draw", lambda *_: drawn)
        with tf.GradientTape() as tape:
            value, pairs = layer._loss_and_pairs(states, history, *arguments)
        return value, pairs, *tape.gradient(value, layer.trainable_variables)

    # Each step has its own negative, the same for all rows that share it.
    negatives = np.random.default_rng(0).integers(0, 6, (3, 6))
    got = run_mode(lambda s, h: loss(s, h, negatives, COUNTS > 0, COUNTS))(STATES[:3], HISTORY[:3])
    # In the padded form they are in row 1, which has all events of its chain.
    negatives = 6 + negatives[chains]
    want = run_mode(lambda s, h: loss(s, h, negatives, mask, None))(STATES[chains], HISTORY[chains])
    for one, other in zip(got, want, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_negatives_are_drawn_as_often_as_rows_see_them():
    layer, counts = built(), np.zeros(18)
    draw = tf.function(layer._draw)
    for _ in range(1500):
        drawn, is_drawn = draw(tf.constant(COUNTS > 0), tf.constant(COUNTS))
        assert is_drawn.numpy().all()
        counts += np.bincount(drawn.numpy()[2, :4], minlength=18)
    seen, others = counts.reshape(3, 6), np.where(np.arange(3)[:, None] < 2, COUNTS, 0)
    expected = 1500 * 4 * others / others.sum()
    np.testing.assert_array_equal(seen > 0, others > 0)
    assert (np.abs(seen - expected) <= 0.15 * expected).all()


@pytest.mark.parametrize("policy", ["mixed_float16", "mixed_bfloat16"])
def test_counts_are_exact_in_mixed_precision(policy, monkeypatch):
    counts, losses = 1001 * COUNTS, []  # half precision has only some of these
    for dtype in ("float32", policy):
        layer, drawn = built(dtype=dtype), []
        draw = layer._draw
        monkeypatch.setattr(layer, "_draw", lambda m, c, d=draw, s=drawn: s.append(c) or d(m, c))
        output = layer(STATES[:3], HISTORY[:3], mask=COUNTS > 0, training=True, counts=counts)
        assert output.dtype == layer.compute_dtype
        np.testing.assert_array_equal(drawn[0], counts)
        losses += layer.losses
    np.testing.assert_allclose(losses[1], losses[0], rtol=0.01)


def test_padding_changes_nothing(run_mode):
    states, history = np.full((2, 4, 9, 3), np.nan, "float32")
    mask = np.zeros((4, 9), bool)
    for row, count in enumerate(MASK.sum(1)):
        start = (9 - count) // (row + 1)
        mask[row, start : start + count] = True
    states[mask], history[mask] = STATES[MASK], HISTORY[MASK]
    losses = []
    for s, h, m in ((states, history, mask), (STATES, HISTORY, MASK)):
        losses.append(run_mode(built().loss)(s, h, m))
    np.testing.assert_allclose(losses[0], losses[1], rtol=1e-5)


def test_gaps_break_pairs():
    mask = np.array([[1, 1, 0, 1, 1, 1]] * 2, bool)
    layer, taken = built(hidden_units=()), []
    states, history = STATES[:2].copy(), HISTORY[:2]
    loss = layer.loss(states, history, mask)
    states[:, [1, 2, 5]] = 9.0  # the last step, and those before and in the gap
    layer = built(hidden_units=())
    taken = layer.loss(states, history, mask)
    np.testing.assert_allclose(taken, loss, rtol=1e-6)


def test_exchanging_positives_and_negatives_turns_the_sign():
    layer = built(hidden_units=())
    # Two rows of equal behaviors each: whatever is drawn, it is the other row's.
    history = np.repeat(np.float32([[[1, 0, 0]], [[0, 1, 0]]]), 3, axis=1)
    states = 3 * history
    mask = np.ones((2, 3), bool)
    good, bad = layer.loss(states, history, mask), layer.loss(states[::-1], history, mask)
    np.testing.assert_allclose(good, softplus(-3) + softplus(0), rtol=1e-5)
    np.testing.assert_allclose(bad - good, 3, rtol=1e-5)  # softplus(x) - softplus(-x) = x


@pytest.mark.parametrize("mask", [MASK[:1], MASK[3:], MASK[[0, 0, 3]], MASK[[1, 1, 1]]])
def test_without_pairs_or_negatives_the_loss_is_0(mask):
    rows = len(mask)
    assert built().loss(STATES[:rows], HISTORY[:rows], mask) == 0


def test_draws_move_on_in_training_only_and_are_saved(tmp_path):
    inputs = keras.Input((None, 3)), keras.Input((None, 3))
    layer = NextBehaviorLoss((4,))
    model = keras.Model(inputs, keras.layers.Dense(1)(layer(*inputs)[:, -1]))
    model.compile("sgd", "mse")
    before = layer.seed_generator.state.numpy()
    model.predict([STATES, HISTORY], verbose=0)
    model.evaluate([STATES, HISTORY], np.ones(4), verbose=0)
    np.testing.assert_array_equal(layer.seed_generator.state, before)
    model.train_on_batch([STATES, HISTORY], np.ones(4))
    assert (layer.seed_generator.state.numpy() != before).any()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    losses = [m.train_on_batch([STATES, HISTORY], np.ones(4)) for m in (model, again)]
    np.testing.assert_allclose(losses[1], losses[0], rtol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`weight` must be a positive number. Received: weight=0"):
        NextBehaviorLoss(weight=0)
    with pytest.raises(ValueError, match="`weight` must be a positive number. Received: weight=n"):
        NextBehaviorLoss(weight=np.nan)
    with pytest.raises(ValueError, match="Received: history width=2, states width=3"):
        NextBehaviorLoss(())(STATES, HISTORY[..., :2])

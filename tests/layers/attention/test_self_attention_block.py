import keras
import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import SelfAttentionBlock

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


HISTORY = example(4, 6, 4)


@pytest.mark.parametrize(
    ("arguments", "mask"),
    [
        # Turned round, as the check does it, a history is another one to a causal block.
        ({"causal": False, "num_heads": 2}, MASK),
        ({"causal": True, "pre_norm": True}, None),
    ],
)
def test_is_a_good_layer(arguments, mask):
    check_layer(SelfAttentionBlock, arguments, {"history": HISTORY}, mask, zero_when_empty=True)


def normalized(x, gamma, beta):
    centered = x - x.mean(-1, keepdims=True)
    return centered / np.sqrt((centered**2).mean(-1, keepdims=True) + 1e-8) * gamma + beta


def loop(block, events, causal=True, pre_norm=False):
    """One row without padding, event by event."""
    weight = {w.path.split("/", 1)[-1]: w.numpy() for w in block.weights}

    def dense(name, x):
        return x @ weight[f"{name}/kernel"] + weight[f"{name}/bias"]

    def norm(name, x):
        return normalized(x, weight[f"{name}/gamma"], weight[f"{name}/beta"])

    rows = []
    for t, event in enumerate(events):
        n = norm("attention_norm", event)
        others = events[: t + 1] if causal else events
        if pre_norm:
            others = norm("attention_norm", others)
        width = len(event) // block.num_heads
        query, key, value = dense("query", n), dense("key", others), dense("value", others)
        read = []
        for head in range(block.num_heads):
            columns = slice(head * width, (head + 1) * width)
            weights = np.exp(key[:, columns] @ query[columns] / np.sqrt(width))
            read.append(weights / weights.sum() @ value[:, columns])
        y = (event if pre_norm else n) + np.concatenate(read)
        z = norm("ffn_norm", y)
        rows.append((y if pre_norm else z) + dense("output", np.maximum(dense("hidden", z), 0)))
    return np.array(rows)


@pytest.mark.parametrize("pre_norm", [False, True])
@pytest.mark.parametrize("num_heads", [1, 2])
@pytest.mark.parametrize("causal", [False, True])
def test_equals_a_loop(pre_norm, num_heads, causal):
    block = SelfAttentionBlock(num_heads, causal=causal, pre_norm=pre_norm)
    output = block(HISTORY, mask=MASK).numpy()
    assert (output[~MASK] == 0).all()
    for row, events, valid in zip(output, HISTORY, MASK, strict=True):
        if valid.any():
            want = loop(block, events[valid], causal, pre_norm)
            np.testing.assert_allclose(row[valid], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("pre_norm", [False, True])
def test_the_last_position_alone(run_mode, pre_norm):
    block = SelfAttentionBlock(num_heads=2, pre_norm=pre_norm)
    block.build((None, None, 4))
    left = MASK[:, ::-1]
    last = run_mode(lambda h: block(h, mask=left, last_only=True))(HISTORY)
    np.testing.assert_allclose(last, block(HISTORY, mask=left)[:, -1:], rtol=1e-5, atol=1e-6)


def test_causality(run_mode):
    changed = HISTORY.copy()
    changed[:, 3] += 1.0
    for causal in (True, False):
        block = SelfAttentionBlock(causal=causal)
        block.build((None, None, 4))
        before, after = (run_mode(block)(one).numpy() for one in (HISTORY, changed))
        np.testing.assert_allclose(
            (before != after).any(axis=(0, 2)), [not causal] * 3 + [True] * 3
        )


def test_the_side_of_the_padding_does_not_matter():
    block = SelfAttentionBlock()
    left, shifted = MASK[:, ::-1], np.full_like(HISTORY, np.nan)
    shifted[left] = HISTORY[MASK]
    output = block(shifted, mask=left).numpy()
    np.testing.assert_allclose(
        output[left], block(HISTORY, mask=MASK).numpy()[MASK], rtol=1e-5, atol=1e-6
    )
    assert (output[~left] == 0).all()


def test_dropout_is_of_training_only():
    keras.utils.set_random_seed(1)
    block = SelfAttentionBlock(dropout=0.5)
    np.testing.assert_array_equal(block(HISTORY), block(HISTORY, training=False))
    assert np.abs(block(HISTORY, training=True) - block(HISTORY)).max() > 0.1


def test_dropout_is_of_the_attention_weights():
    block = SelfAttentionBlock(dropout=0.5, causal=False, pre_norm=True)
    history = example(8, 4, 9)  # wider than long: the product with the values can be undone
    block.build(history.shape)
    for name in ("hidden", "output_layer"):  # what is left is `x + drop(weights) @ value`
        getattr(block, name).kernel.assign(np.zeros((9, 9)))
    value = block.value(block.attention_norm(history)).numpy()

    def weights(training):
        read = block(history, training=training).numpy() - history
        return read @ np.linalg.pinv(value)

    dropped = weights(True) / weights(False)
    kept = np.round(dropped, 1) == 2
    np.testing.assert_allclose(dropped[~kept], 0, atol=0.05)
    assert 0.3 < kept.mean() < 0.7


@pytest.mark.parametrize("pre_norm", [False, True])
def test_dropout_is_of_both_layers_of_the_ffn(pre_norm):
    block = SelfAttentionBlock(dropout=0.5, pre_norm=pre_norm)
    history = 100 * np.abs(example(50, 1, 4))
    block.build(history.shape)
    for name, kernel, bias in (("value", 0, 0), ("hidden", 0, 1), ("output_layer", 1, 0)):
        getattr(block, name).kernel.assign(kernel * np.eye(4))
        getattr(block, name).bias.assign(bias * np.ones(4))
    # What the FFN adds is 1 in each channel: doubled twice, or dropped by either of two.
    added = block(history, training=True) - block(history) + 1.0
    values, counts = np.unique(np.round(added, 2), return_counts=True)
    assert values.tolist() == [0.0, 4.0]
    assert 0.15 < counts[1] / counts.sum() < 0.35


def test_bad_arguments():
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        SelfAttentionBlock(0)
    with pytest.raises(ValueError, match="`dropout` must be at least 0 and below 1"):
        SelfAttentionBlock(dropout=1.0)
    with pytest.raises(ValueError, match="Received: num_heads=3, width=4"):
        SelfAttentionBlock(3)(HISTORY)

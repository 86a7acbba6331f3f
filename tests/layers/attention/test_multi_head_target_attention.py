import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import MultiHeadTargetAttention

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])


def example(*shape):
    return np.random.default_rng(0).normal(size=shape).astype("float32")


INPUTS = {"history": example(4, 6, 3), "target": example(4, 5)}


@pytest.mark.parametrize("arguments", [{"units": 4, "num_heads": 1}, {"units": 6, "num_heads": 3}])
def test_is_a_good_layer(arguments):
    check_layer(MultiHeadTargetAttention, arguments, INPUTS, MASK, zero_when_empty=True)


def literal(layer, history, target, mask):
    """The published form, event by event and head by head."""
    query, key, value, output = (weight.numpy() for weight in layer.weights)
    width = layer.units // layer.num_heads
    rows = []
    for events, candidate, valid in zip(history, target, mask, strict=True):
        heads = []
        for head in range(layer.num_heads):
            columns = slice(head * width, (head + 1) * width)
            found = np.zeros(width)
            if valid.any():
                scores = [
                    (z @ key[:, columns]) @ (candidate @ query[:, columns]) / np.sqrt(width)
                    for z in events[valid]
                ]
                weights = np.exp(scores - np.max(scores))
                weights /= weights.sum()
                for weight, z in zip(weights, events[valid], strict=True):
                    found += weight * (z @ value[:, columns])
            heads.append(found)
        rows.append(np.concatenate(heads) @ output)
    return np.array(rows)


def test_equals_the_literal_form(run_mode):
    layer = MultiHeadTargetAttention(units=6, num_heads=2)
    layer.build((None, 6, 3), (None, 5))
    output = run_mode(lambda h, t: layer(h, t, mask=MASK))(*INPUTS.values())
    np.testing.assert_allclose(output, literal(layer, *INPUTS.values(), MASK), atol=1e-5)


def test_order_does_not_matter():
    history, target = INPUTS.values()
    layer = MultiHeadTargetAttention(units=4)
    order = np.random.default_rng(1).permutation(6)
    shuffled = layer(history[:, order], target, mask=MASK[:, order])
    np.testing.assert_allclose(shuffled, layer(history, target, mask=MASK), atol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units=0"):
        MultiHeadTargetAttention(0)
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        MultiHeadTargetAttention(4, num_heads=0)
    with pytest.raises(
        ValueError, match="divisible by `num_heads`. Received: units=4, num_heads=3"
    ):
        MultiHeadTargetAttention(4, num_heads=3)

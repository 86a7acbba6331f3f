import numpy as np
import pytest
from check_layer import check_layer

from lmn_tf.layers import SelfAttentionSelector

MASK = np.arange(6) < np.array([[0], [1], [4], [6]])
HISTORY = np.random.default_rng(0).normal(size=(4, 6, 3)).astype("float32")
SMALL = {"units": 4, "num_heads": 2}


def test_is_a_good_layer():
    check_layer(SelfAttentionSelector, SMALL, {"history": HISTORY}, MASK, zero_when_empty=True)


def literal(layer, history, mask):
    """The scores event by event, head by head."""
    query, key = layer.query_kernel.numpy(), layer.key_kernel.numpy()
    width = layer.units // layer.num_heads
    scores = np.zeros((*mask.shape, layer.num_heads))
    for row, valid in enumerate(mask):
        events = history[row, valid]
        for head in range(layer.num_heads):
            part = slice(head * width, (head + 1) * width)
            paid = []
            for one in events:
                weights = [
                    np.exp((one @ query[:, part]) @ (other @ key[:, part]) / np.sqrt(width))
                    for other in events
                ]
                paid.append(np.array(weights) / np.sum(weights))
            if len(events):
                scores[row, valid, head] = np.mean(paid, axis=0)
    return scores


def test_equals_the_literal_form(run_mode):
    layer = SelfAttentionSelector(**SMALL)
    layer.build((None, None, 3))
    layer.set_weights([3 * weight for weight in layer.get_weights()])  # far from uniform
    mask = np.random.default_rng(1).random(MASK.shape) < 0.6
    mask[0] = False
    dirty = np.where(mask[..., None], HISTORY, np.float32(np.nan))
    scores = run_mode(lambda history: layer(history, mask=mask))(dirty).numpy()
    np.testing.assert_allclose(scores, literal(layer, HISTORY, mask), rtol=1e-4, atol=1e-6)
    np.testing.assert_allclose(scores.sum(axis=1)[1:], 1.0, rtol=1e-5)
    assert (scores[~mask] == 0).all() and scores[mask].std() > 0.1
    whole = literal(layer, HISTORY, np.ones_like(mask))
    np.testing.assert_allclose(layer(HISTORY), whole, rtol=1e-4, atol=1e-6)


def test_bad_arguments():
    with pytest.raises(ValueError, match="`units` must be a positive integer. Received: units=0"):
        SelfAttentionSelector(0)
    with pytest.raises(ValueError, match="`num_heads` must be a positive integer"):
        SelfAttentionSelector(num_heads=0)
    with pytest.raises(
        ValueError, match="divisible by `num_heads`. Received: units=4, num_heads=3"
    ):
        SelfAttentionSelector(4, 3)

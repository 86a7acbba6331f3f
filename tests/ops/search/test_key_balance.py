import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import key_balance


def twin(scores, ids, mask=None, temperature=1.0):
    """Key by key, with loops."""
    mask = np.ones(len(scores), bool) if mask is None else mask
    scores, ids = scores[mask] / temperature, ids[mask]
    heads, num_keys = scores.shape[1:]
    total = 0.0
    for head in range(heads):
        e = np.exp(scores[:, head] - scores[:, head].max(-1, keepdims=True))
        p = (e / e.sum(-1, keepdims=True)).mean(0)
        f = [(ids[:, head] == key).mean() for key in range(num_keys)]
        total += num_keys * (p * f).sum()
    return total / heads


def example():
    rng = np.random.default_rng(0)
    scores = rng.normal(size=(7, 2, 5)).astype("float32") * 3
    return scores, np.argsort(-scores)[..., :2].astype("int32")


@pytest.mark.parametrize("temperature", [1.0, 2.0])
def test_equals_its_numpy_twin(run_mode, temperature):
    scores, ids = example()
    loss = run_mode(lambda s, i: key_balance(s, i, temperature=temperature))(scores, ids)
    assert float(loss) == pytest.approx(twin(scores, ids, temperature=temperature), rel=1e-5)


def test_even_use_gives_one_and_collapse_the_number_of_keys():
    even = key_balance(np.zeros((4, 1, 4), "float32"), np.arange(4).reshape(4, 1, 1))
    assert float(even) == pytest.approx(1.0)
    scores = np.tile(np.float32([50, 0, 0, 0]), (4, 1, 1))
    assert float(key_balance(scores, np.zeros((4, 1, 1), int))) == pytest.approx(4.0)


def test_padding_does_not_count(run_mode):
    scores, ids = example()
    mask = np.array([True, False, True, True, False, True, False])
    dirty = np.where(mask[:, None, None], scores, np.float32(np.nan))
    loss = run_mode(lambda s: key_balance(s, ids, mask))(dirty)
    assert float(loss) == pytest.approx(twin(scores, ids, mask), rel=1e-5)
    assert float(key_balance(scores, ids, np.zeros(7, bool))) == 0.0


def test_gradient_pushes_down_what_is_hit_most():
    scores = tf.zeros((3, 1, 4))
    with tf.GradientTape() as tape:
        tape.watch(scores)
        loss = key_balance(scores, tf.constant([[[0]], [[0]], [[1]]]))
    gradient = tf.reduce_sum(tape.gradient(loss, scores), [0, 1]).numpy()
    assert gradient[0] > gradient[1] > 0 > gradient[2] == pytest.approx(gradient[3])


def test_parts_of_a_batch_add_up_to_its_loss():
    scores, ids = example()
    seen = [[], []]

    def total_of(part):
        def first(tensor):
            seen[part].append(tensor)
            return tensor

        return first

    parts = (slice(0, 2), slice(2, None))
    for index, part in enumerate(parts):
        key_balance(scores[part], ids[part], total=total_of(index))
    sums = [one + other for one, other in zip(*seen, strict=True)]
    losses = []
    for part in parts:
        answers = iter(sums)
        losses.append(key_balance(scores[part], ids[part], total=lambda _, a=answers: next(a)))
    assert float(sum(losses)) == pytest.approx(float(key_balance(scores, ids)), rel=1e-6)

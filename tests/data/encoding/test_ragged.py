import numpy as np
import pytest

from lmn_tf.data.encoding.ragged import (
    Ragged,
    equal_items,
    equal_lists,
    flat_index,
    item_codes,
    join,
    starts_of,
)


def lists(*items):
    lengths = np.array([len(item) for item in items], np.int32)
    return Ragged(np.array([x for item in items for x in item], int), starts_of(lengths), lengths)


def test_flat_index_visits_each_list_in_turn():
    assert flat_index(np.array([7, 0, 3]), np.array([2, 0, 1])).tolist() == [7, 8, 3]
    assert flat_index(np.array([], int), np.array([], int)).tolist() == []


def test_padded_lists_are_as_wide_as_the_longest_of_them():
    ragged = lists([1, 2, 3], [], [4], [5, 6])
    ragged.weights = np.arange(6, dtype=np.float32)
    values, weights = ragged.padded(np.array([3, 1, 2]))
    assert values.tolist() == [[5, 6], [0, 0], [4, 0]]
    assert weights.tolist() == [[4, 5], [0, 0], [3, 0]] and weights.dtype == np.float32
    values, weights = lists([], [1]).padded(np.array([0, 0]))
    assert values.tolist() == [[0], [0]] and weights is None
    assert lists([], []).padded(np.array([], int))[0].shape == (0, 1)


def test_join_of_lists():
    joined = join([lists([1, 2], []), lists([3])])
    assert joined.values.tolist() == [1, 2, 3]
    assert joined.starts.tolist() == [0, 2, 2] and joined.lengths.tolist() == [2, 0, 1]
    assert joined.weights is None


def test_join_keeps_weights_beside_the_values():
    one, two = lists([1, 2]), lists([3])
    one.weights, two.weights = np.array([0.5, 0.25], np.float32), np.array([1], np.float32)
    assert join([one, two]).weights.tolist() == [0.5, 0.25, 1.0]


def test_join_of_arrays():
    assert join([np.zeros((2, 2)), np.ones((1, 2))]).tolist() == [[0, 0], [0, 0], [1, 1]]


def plain(items, index):
    """An item as a list, in plain Python."""
    if not isinstance(items, Ragged):
        return items[index].tolist()
    part = slice(items.starts[index], items.starts[index] + items.lengths[index])
    weights = [] if items.weights is None else items.weights[part].tolist()
    return items.values[part].tolist(), weights


def drawn(kind, rng):
    """Items that repeat often: 60 numbers, vectors, lists or lists with weights."""
    if kind == "numbers":
        return rng.integers(0, 2, 60)
    if kind == "vectors":
        return rng.integers(0, 2, (60, 2))
    ragged = lists(*[rng.integers(0, 2, rng.integers(0, 3)).tolist() for _ in range(60)])
    if kind == "weighted lists":
        ragged.weights = rng.integers(0, 2, len(ragged.values)).astype(np.float32)
    return ragged


@pytest.mark.parametrize("kind", ["numbers", "vectors", "lists", "weighted lists"])
def test_equality_agrees_with_plain_python(kind):
    rng = np.random.default_rng(3)
    items = drawn(kind, rng)
    left, right = rng.integers(0, 60, (2, 300))
    wanted = [plain(items, a) == plain(items, b) for a, b in zip(left, right, strict=True)]
    assert equal_items(items, left, right).tolist() == wanted and 0 < sum(wanted) < 300
    left, right = rng.integers(0, 57, (2, 300))
    lengths = rng.integers(0, 4, 300)
    wanted = [
        all(plain(items, a + step) == plain(items, b + step) for step in range(length))
        for a, b, length in zip(left, right, lengths, strict=True)
    ]
    assert equal_lists(items, left, right, lengths).tolist() == wanted
    assert sum(lengths == 0) < sum(wanted) < 300
    nothing = np.array([], int)
    assert equal_items(items, nothing, nothing).shape == (0,)
    assert equal_lists(items, nothing, nothing, nothing).shape == (0,)


@pytest.mark.parametrize("kind", ["numbers", "vectors", "lists", "weighted lists"])
def test_codes_are_equal_where_items_are(kind):
    items = drawn(kind, np.random.default_rng(4))
    codes = item_codes(items)
    assert codes.shape == (60,)
    for left in range(60):
        for right in range(left):
            assert (codes[left] == codes[right]) == (plain(items, left) == plain(items, right))

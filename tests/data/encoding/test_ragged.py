import numpy as np

from lmn_tf.data.encoding.ragged import Ragged, flat_index, join, padded_index, starts_of


def lists(*items):
    lengths = np.array([len(item) for item in items], np.int32)
    return Ragged(np.array([x for item in items for x in item]), starts_of(lengths), lengths)


def test_flat_index_visits_each_list_in_turn():
    assert flat_index(np.array([7, 0, 3]), np.array([2, 0, 1])).tolist() == [7, 8, 3]
    assert flat_index(np.array([], int), np.array([], int)).tolist() == []


def test_padded_index():
    index, mask = padded_index(np.array([4, 0]), np.array([2, 0]), 3, 99)
    assert index.tolist() == [[4, 5, 99], [99, 99, 99]]
    assert mask.tolist() == [[True, True, False], [False, False, False]]


def test_join_of_lists_ends_with_an_empty_list_and_a_zero():
    joined = join([lists([1, 2], []), lists([3])])
    assert joined.values.tolist() == [1, 2, 3, 0]
    assert joined.starts.tolist() == [0, 2, 2, 3] and joined.lengths.tolist() == [2, 0, 1, 0]


def test_join_keeps_weights_beside_the_values():
    one, two = lists([1, 2]), lists([3])
    one.weights, two.weights = np.array([0.5, 0.25], np.float32), np.array([1], np.float32)
    assert join([one, two]).weights.tolist() == [0.5, 0.25, 1.0, 0.0]


def test_join_of_arrays_ends_with_zeros():
    assert join([np.ones((2, 3)), np.ones((1, 3))]).tolist()[-2:] == [[1, 1, 1], [0, 0, 0]]

import numpy as np
import pytest

from lmn_tf.data.encoding.arrow_values import MISSING_TIME
from lmn_tf.data.encoding.ragged import Ragged, join, starts_of
from lmn_tf.data.encoding.row_block import RowBlock, SequenceRows, Times, length_buckets, round_up


def lists(*items):
    lengths = np.array([len(item) for item in items], np.int32)
    values = np.array([x for item in items for x in item], np.int32)
    return Ragged(values, starts_of(lengths), lengths)


def block(first):
    lengths = np.array([2, 0], np.int32)
    fields = {
        "item": np.array([first, first + 1], np.int32),
        "tags": lists([first], [first, 9]),
        "look": np.full((2, 3), first, np.float32),
    }
    history = SequenceRows(20, starts_of(lengths), lengths, fields)
    features = {"x": np.array([first, 0], np.int32), "m": lists([], [first])}
    return RowBlock(features, {"h": history}, np.ones((2, 1), np.float32), np.ones(2, np.float32))


def test_a_batch_is_gathered_from_joined_blocks():
    joined = RowBlock.join([block(5), block(7)])
    features, labels, weights = joined.batch(np.array([2, 1, 0]))
    assert features["x"].tolist() == [7, 0, 5]
    assert features["m"].tolist() == [[0], [5], [0]]
    assert features["h/mask"].sum(1).tolist() == [2, 0, 2]
    assert features["h/item"][:, :3].tolist() == [[7, 8, 0], [0, 0, 0], [5, 6, 0]]
    assert features["h/tags"][0, :3].tolist() == [[7, 0], [7, 9], [0, 0]]
    assert features["h/look"][0, :3, 0].tolist() == [7, 7, 0]
    assert labels.shape == (3, 1) and weights.shape == (3,)
    assert features["h/item"].shape == (3, 8) and features["h/tags"].shape == (3, 8, 2)


def test_rows_without_any_value_still_have_a_width():
    features, _, _ = RowBlock.join([block(5)]).batch(np.array([1]))
    assert features["h/item"].shape == (1, 8) and features["h/tags"].shape == (1, 8, 1)
    assert not features["h/mask"].any() and not features["h/tags"].any()


def test_shared_events_get_their_elapsed_time_from_the_request():
    times = np.array([1, 2, 3, MISSING_TIME, 0]) * np.int64(1)
    times[:3] *= 1_000_000
    fields = {"item": np.array([11, 12, 13, 14, 0], np.int32), "t": Times(times, "second", 8)}

    def rows(start, length, request):
        return SequenceRows(
            4, np.array([start]), np.array([length]), fields, np.array([request * 1_000_000]), True
        )

    joined = SequenceRows.join([rows(0, 3, 5), rows(2, 2, 3)])
    batch = joined.batch(np.array([1, 0]))
    assert batch["item"].tolist() == [[13, 14, 0, 0], [11, 12, 13, 0]]
    assert batch["t"].tolist() == [[2, 1, 0, 0], [5, 4, 4, 0]]
    assert joined.fields["item"] is fields["item"]


def test_shared_events_without_times_need_no_request():
    fields = {"tags": join([lists([1], [2, 3])])}
    rows = SequenceRows(4, np.array([0]), np.array([2]), fields, shared=True)
    batch = SequenceRows.join([rows, rows]).batch(np.array([1]))
    assert batch["tags"].tolist() == [[[1, 0], [2, 3], [0, 0], [0, 0]]]


def test_powers_of_two_and_one_and_a_half_times_them():
    assert length_buckets(200) == (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 200)
    assert length_buckets(24) == (8, 12, 16, 24)
    assert length_buckets(13) == (8, 12, 13)
    assert length_buckets(8) == (8,)
    assert length_buckets(5) == (5,)


@pytest.mark.parametrize("max_length", [1, 7, 8, 9, 100, 1000])
def test_rounding_up_wastes_at_most_a_half(max_length):
    for length in range(max_length + 1):
        width = round_up(length, max_length)
        assert length <= width <= max_length
        assert width <= max(8, 1.5 * length)

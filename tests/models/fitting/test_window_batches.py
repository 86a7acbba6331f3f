import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import kitchen_sink_spec, random_features, random_labels
from padded_batch import padded
from replicas import replicas
from window_batch import random_windows

from lmn_tf.models.fitting.window_batches import (
    WindowBatches,
    WindowColumns,
    length_buckets,
    mapped,
)

SPEC = kitchen_sink_spec()
BATCHES = WindowBatches.from_spec(SPEC)
ROWS = 10


def tensors(features):
    return {key: tf.constant(cells) for key, cells in features.items()}


def check_rows(features, whole, rows):
    """Features have the chosen rows of others, each with its own history."""
    found, wanted = (padded(one, SPEC.sequences, width=5) for one in (features, whole))
    assert found.keys() == wanted.keys()
    for key, cells in wanted.items():
        np.testing.assert_array_equal(found[key], cells[rows], err_msg=key)


def check_self_contained(features):
    """Windows lie within the events, begin with the first one, and never go back."""
    first, length = features["clicks/first"].numpy(), features["clicks/length"].numpy()
    events = len(features["clicks/item"])
    assert (np.diff(first) >= 0).all() and (first[:1] == 0).all()
    assert (first + length <= events).all()
    assert len(features["clicks/elapsed"]) == length.sum()
    for key in BATCHES.sequences[0].events:
        assert len(features[key]) == events


def test_columns_come_from_the_spec():
    history = {
        "name": "clicks",
        "max_length": 20,
        "fields": [
            {"name": "tags", "column": "c_tags", "like": "tags", "weights": "c_weights"},
            {"name": "elapsed", "column": "c_time", "kind": "elapsed_time"},
            {"name": "dwell", "column": "c_dwell", "kind": "numeric"},
        ],
    }
    (columns,) = WindowBatches.from_spec(kitchen_sink_spec(sequences=[history])).sequences
    assert (columns.name, columns.max_length) == ("clicks", 20)
    assert columns.events == ("clicks/tags", "clicks/tags/weights", "clicks/dwell")
    assert columns.pairs == ("clicks/elapsed",)


def test_rows_are_counted_by_their_windows():
    features = random_windows(SPEC, rows=7)
    assert int(BATCHES.rows(features)) == 7
    histories = {key: cells for key, cells in features.items() if key.startswith("clicks/")}
    assert len(tf.nest.flatten(histories)[0]) != 7
    assert int(BATCHES.rows(histories)) == 7


@pytest.mark.parametrize("x", [np.zeros((4, 2)), {"a": np.zeros(4)}, [np.zeros(4), np.zeros(4)]])
def test_rows_of_other_data_are_those_of_the_first_array(x):
    assert int(BATCHES.rows(x)) == 4 and BATCHES.found(x) == ()


def test_padded_features_hold_no_windows():
    assert BATCHES.found(random_features(SPEC)) == ()
    assert BATCHES.found(random_windows(SPEC)) == BATCHES.sequences


@pytest.mark.parametrize(
    "keep",
    [
        [True, False] * 5,
        [False] * 3 + [True] * 7,
        [False] * 9 + [True],
        [True] + [False] * 9,
        [False] * 10,
        [True] * 10,
    ],
)
def test_kept_rows_keep_their_windows(keep):
    features = random_windows(SPEC, rows=ROWS)
    found = BATCHES.kept(tensors(features), tf.constant(keep))
    check_self_contained(found)
    check_rows(found, features, np.array(keep))
    first, length = found["clicks/first"].numpy(), found["clicks/length"].numpy()
    seen = {
        event
        for start, count in zip(first, length, strict=True)
        for event in range(start, start + count)
    }
    assert len(seen) == len(found["clicks/item"])


@pytest.mark.parametrize("count", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("rows", [1, 2, 5, ROWS])
def test_shares_are_those_of_a_slow_twin(rows, count):
    features, labels = random_windows(SPEC, rows=rows, seed=rows), random_labels(ROWS)[:rows]
    batch = tensors(features), tf.constant(labels), None
    size = -(-rows // count)
    for replica in range(count):
        found, found_labels, nothing = BATCHES.share(batch, replica, count)
        check_self_contained(found)
        part = slice(replica * size, (replica + 1) * size)
        check_rows(found, features, part)
        np.testing.assert_array_equal(found_labels, labels[part])
        assert nothing is None


@pytest.mark.parametrize("rows", [1, 2, 4, 5, 7])
def test_replicas_get_as_many_rows_as_tensorflow_gives_them(rows):
    strategy = replicas(3)
    dataset = (
        tf.data.Dataset.range(rows).batch(rows).map(lambda part: tf.ensure_shape(part, [None]))
    )
    dataset = dataset.concatenate(dataset)  # whose size of batches TensorFlow does not look up
    for batch in strategy.experimental_distribute_dataset(dataset):
        parts = strategy.experimental_local_results(batch)
        wanted = [BATCHES.share(tf.range(rows), index, 3) for index in range(3)]
        assert [part.numpy().tolist() for part in parts] == [
            part.numpy().tolist() for part in wanted
        ]


def test_features_alone_are_a_batch():
    features = random_windows(SPEC, rows=4)
    found = BATCHES.share(tensors(features), 1, 2)
    check_rows(found, features, slice(2, 4))


@pytest.mark.parametrize("rows", [1, ROWS])
def test_padding_is_that_of_a_slow_twin(rows):
    features = random_windows(SPEC, rows=rows)
    found = BATCHES.padded(tensors(features))
    assert BATCHES.found(found) == ()
    wanted = padded(features, SPEC.sequences, width=8)
    assert found.keys() == wanted.keys()
    for key, cells in wanted.items():
        np.testing.assert_array_equal(found[key], cells, err_msg=key)


def test_padded_lengths_are_rounded_up_to_few():
    assert length_buckets(20) == (8, 12, 16, 20)
    assert length_buckets(5) == (5,)
    columns = WindowColumns("h", 20, events=("h/a",), pairs=())
    widths = {}
    for length in (0, 8, 9, 13, 17, 20, 23):
        features = {"h/first": [0], "h/length": [length], "h/a": np.arange(1, 24)}
        found = WindowBatches((columns,)).padded(features)["h/a"].numpy()
        assert found[0].tolist()[:length] == list(range(1, length + 1))
        widths[length] = found.shape[1]
    # A dataset of one's own may hold more than the spec keeps.
    assert widths == {0: 8, 8: 8, 9: 12, 13: 16, 17: 20, 20: 20, 23: 23}


def test_no_row_and_no_event_are_padded():
    columns = WindowColumns("h", 4, events=("h/a",), pairs=("h/t",))
    none = {"h/first": np.zeros(0, "i"), "h/length": np.zeros(0, "i"), "h/a": [], "h/t": []}
    assert WindowBatches((columns,)).padded(none)["h/a"].shape == (0, 4)
    empty = {"h/first": np.zeros(2, "i"), "h/length": np.zeros(2, "i"), "h/a": [], "h/t": []}
    found = WindowBatches((columns,)).padded(empty)
    assert found["h/t"].numpy().tolist() == [[0.0] * 4] * 2 and not found["h/mask"].numpy().any()


def test_graphs_know_all_but_rows_events_and_pairs():
    features = random_windows(SPEC, rows=5)
    specs = {key: tf.TensorSpec([None, *v.shape[1:]], v.dtype) for key, v in features.items()}
    dataset = tf.data.Dataset.from_generator(lambda: [features], output_signature=specs)
    shares = dataset.map(lambda batch: BATCHES.share(batch, 0, 2))
    assert shares.element_spec == specs
    kept = dataset.map(lambda batch: BATCHES.kept(batch, tf.ones(5, tf.bool)))
    assert kept.element_spec == specs
    wide = mapped(dataset, BATCHES.padded).element_spec
    assert wide["clicks/sound"] == tf.TensorSpec([None, None, 3])
    assert wide["clicks/mask"] == tf.TensorSpec([None, None], tf.bool)


def test_a_function_of_features_leaves_labels():
    dataset = tf.data.Dataset.from_tensors((1, 2, 3))
    assert mapped(dataset, lambda x: -x).get_single_element()[0].numpy() == -1
    assert [int(one) for one in mapped(dataset, lambda x: -x).get_single_element()] == [-1, 2, 3]
    alone = tf.data.Dataset.from_tensors({"a": 1})
    assert mapped(alone, lambda x: x["a"]).get_single_element().numpy() == 1

"""The click log of the benchmarks."""

import numpy as np
import pytest
from padded_batch import padded
from workload import spec_of, write_log

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader


def batch(folder, inline, **options):
    write_log(folder, 40, 6, inline=inline, **options)
    spec = spec_of(6, inline)
    files = str(folder / "train-*.parquet")
    learn(spec, files)
    [(features, labels, _)] = BatchReader(spec, files, batch_size=40).read()
    return features, labels


def test_rows_of_a_user_share_all_but_the_newest_events(tmp_path):
    features, _ = batch(tmp_path, inline=False, rows_per_user=4)
    assert features["history/length"].tolist() == [3, 4, 5, 6] * 10
    assert features["history/first"].tolist() == np.repeat(np.arange(0, 60, 6), 4).tolist()
    assert features["history/item_id"].shape == (60,)


@pytest.mark.parametrize("shortest, lengths", [(None, {6}), (0, {0, 1, 2, 3, 4, 5, 6})])
def test_histories_by_reference_and_inline_are_the_same(tmp_path, shortest, lengths):
    found = []
    for inline in (False, True):
        folder = tmp_path / str(inline)
        folder.mkdir()
        found.append(batch(folder, inline, shortest=shortest))
    (by_reference, labels), (inline, inline_labels) = found
    counts = by_reference["history/length"]
    by_reference, inline = (padded(one, spec_of(6).sequences) for one in (by_reference, inline))
    assert set(by_reference) == set(inline)
    for name in by_reference:
        np.testing.assert_array_equal(by_reference[name], inline[name], err_msg=name)
    np.testing.assert_array_equal(labels, inline_labels)
    assert set(counts.tolist()) == lengths
    if shortest is not None:
        assert (np.diff(counts) >= 0).all()

import gc
import os

import numpy as np
from sklearn.metrics import roc_auc_score

from lmn_tf.metrics.grouped_rows import GroupedRows, group_aucs


def make_rows(count, groups, seed=0):
    rng = np.random.default_rng(seed)
    return (
        rng.integers(-groups, groups, count),
        (rng.integers(0, 8, count) / 8).astype("float32"),
        rng.integers(0, 2, count).astype("float32"),
        rng.integers(1, 4, count).astype("float32"),
    )


def filled(count=1_000, groups=20, **kwargs):
    rows = GroupedRows(**kwargs)
    columns = make_rows(count, groups)
    for start in range(0, count, 70):
        rows.append(*(column[start : start + 70] for column in columns))
    return rows, columns


def test_parts_hold_all_rows_and_share_no_group(tmp_path):
    rows, columns = filled(spill_rows=150, folder=tmp_path)
    parts = list(rows.parts())
    assert len(parts) > 5
    groups = [set(part["group"]) for part in parts]
    assert sum(map(len, groups)) == len(set.union(*groups)) == len(set(columns[0]))
    together = np.concatenate(parts)
    assert sorted(together.tolist()) == sorted(zip(*(c.tolist() for c in columns), strict=True))
    assert rows.num_rows == 1_000
    assert len(list(rows.parts())) == len(parts)


def test_holds_no_more_rows_than_told(tmp_path):
    rows, _ = filled(spill_rows=150, folder=tmp_path)
    assert rows._in_memory <= 150
    on_disk = sum(path.stat().st_size for path in tmp_path.rglob("*.rows"))
    assert on_disk == 20 * (1_000 - rows._in_memory)


def test_small_data_touch_no_disk(tmp_path):
    rows, _ = filled(spill_rows=10_000, folder=tmp_path)
    assert len(list(rows.parts())) == 1
    assert os.listdir(tmp_path) == []


def test_files_vanish_with_clear_and_with_the_object(tmp_path):
    rows, _ = filled(spill_rows=150, folder=tmp_path)
    rows.clear()
    assert os.listdir(tmp_path) == []
    assert rows.num_rows == 0 and sum(map(len, rows.parts())) == 0

    rows, _ = filled(spill_rows=150, folder=tmp_path)
    assert len(os.listdir(tmp_path)) == 1
    del rows
    gc.collect()
    assert os.listdir(tmp_path) == []


def test_partitions_are_even_for_counted_and_strided_ids():
    from lmn_tf.metrics.grouped_rows import _partition

    for ids in (np.arange(6_400), np.arange(6_400) * 1_000, -np.arange(6_400)):
        assert np.bincount(_partition(ids), minlength=64).max() < 200


def test_each_group_s_auc_is_the_weighted_rank_auc():
    groups, scores, labels, weights = make_rows(400, 30, seed=3)
    rows, _ = GroupedRows(1_000), None
    rows.append(groups, scores, labels, weights)
    [part] = rows.parts()
    aucs, impressions, clicks = group_aucs(part)
    for index, group in enumerate(np.unique(groups)):
        own = groups == group
        assert impressions[index] == weights[own].sum()
        assert clicks[index] == weights[own & (labels == 1)].sum()
        if len(set(labels[own])) == 1:
            assert np.isnan(aucs[index])
        else:
            want = roc_auc_score(labels[own], scores[own], sample_weight=weights[own])
            np.testing.assert_allclose(aucs[index], want, rtol=1e-12)


def test_no_rows_have_no_groups():
    [part] = GroupedRows(10).parts()
    assert all(len(column) == 0 for column in group_aucs(part))

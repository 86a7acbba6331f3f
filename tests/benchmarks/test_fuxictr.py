"""Models against FuxiCTR's at tiny sizes: that it runs is shown, what it finds means nothing."""

import importlib.util

import numpy as np
import pytest
from workload import auc, movielens_spec, write_for_fuxictr, write_tiny_movielens

import lmn_tf


@pytest.fixture(scope="module")
def movielens(tmp_path_factory):
    folder = tmp_path_factory.mktemp("movielens") / "prepared"
    write_tiny_movielens(folder)
    return folder


def test_auc_counts_pairs_in_order():
    assert auc([0, 0, 1, 1], [0.1, 0.4, 0.35, 0.8]) == 0.75
    assert auc([0, 1, 0, 1], [0.5, 0.5, 0.5, 0.5]) == 0.5
    assert auc([1, 0], [0.2, 0.9]) == 0.0


def test_both_read_the_same_rows(movielens, tmp_path):
    from pyarrow import parquet

    write_for_fuxictr(movielens, tmp_path, length=8, dim=4)
    rows, users = (
        parquet.read_table(tmp_path / f"{name}.parquet").to_pydict() for name in ("train", "users")
    )
    spec = movielens_spec(length=8, dim=4)
    files = str(movielens / "train-*.parquet")
    [(features, labels)] = lmn_tf.make_dataset(spec, files, batch_size=10_000, learn=True)
    assert len(labels) == len(rows["like"]) > 500
    np.testing.assert_array_equal(labels[:, 0], rows["like"])
    np.testing.assert_array_equal(features["movie_id"], rows["item_index"])
    np.testing.assert_array_equal(features["user_id"], rows["user_id"])
    width = features["genres"].shape[1]
    np.testing.assert_array_equal(features["genres"], np.array(rows["genres"])[:, :width])
    # The newest 8 of the user's events before the row, as FuxiCTR's loader cuts them.
    pairs = zip(rows["user_index"], rows["seq_len"], strict=True)
    kept = [users["full_item_seq"][user][:count][-8:] for user, count in pairs]
    windows = zip(features["history/first"], features["history/length"], strict=True)
    for one, (first, length) in zip(kept, windows, strict=True):
        assert features["history/movie_id"][first : first + length].numpy().tolist() == one


def test_limited_rows(movielens, tmp_path):
    from pyarrow import parquet

    write_for_fuxictr(movielens, tmp_path, length=8, dim=4, rows=50)
    assert [parquet.read_table(tmp_path / f"{name}.parquet").num_rows for name in
            ("train", "test")] == [50, 50]  # fmt: skip


@pytest.mark.slow
def test_ours_trains_and_scores(run_quick):
    result = run_quick("din_fuxictr", "--only", "as FuxiCTR sets it up", "--seeds", "2")
    ours = [row for case in result["cases"] for row in case["contenders"][1:]]
    assert [row["contender"] for row in ours] == ["lmn_tf DIN", "lmn_tf DIN, 16 rows a user"] * 2
    assert all(row["seconds"]["median"] > 0 for row in ours)
    assert [len(row["facts"]["AUC by seed"].split()) for row in ours[:2]] == [2, 2]
    assert result["notes"] == []


@pytest.mark.skipif(
    importlib.util.find_spec("fuxictr") is None, reason="fuxictr is not installed: extra `bench`"
)
@pytest.mark.parametrize(
    "script, setting",
    [
        ("din_fuxictr", "as lmn_tf sets it up"),
        ("dien_fuxictr", "as FuxiCTR sets it up"),
    ],
)
def test_theirs_trains_and_scores(script, setting, run_quick):
    result = run_quick(script, "--only", setting, "--seeds", "1")
    for case in result["cases"]:
        theirs, *ours = case["contenders"]
        assert theirs["examples_per_second"] > 0
        assert all(row["ratio"]["median"] > 0 for row in ours)
        targets = [row["target"]["at_least"] for row in ours if "target" in row]
        assert targets == [2.0, 4.0][: len(targets)]


@pytest.mark.slow
@pytest.mark.parametrize("script", ["dien_fuxictr", "sim_fuxictr"])
def test_other_models_train_and_score(script, run_quick):
    result = run_quick(script, "--only", "alone", "--seeds", "1")
    [ours] = [case["contenders"][1:] for case in result["cases"]]
    assert len(ours) == 2 and all(row["seconds"]["median"] > 0 for row in ours)

"""Models against FuxiCTR's at tiny sizes: that it runs is shown, what it finds means nothing."""

import importlib.util
import json
import runpy
import types

import numpy as np
import pytest
from workload import auc, movielens_spec, write_for_fuxictr, write_tiny_movielens
from workload.fuxictr_training import Batches
from workload.quality import quality
from workload.row_arrays import write_row_arrays

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


def test_quality_is_that_of_the_metrics():
    random = np.random.default_rng(1)
    groups = np.repeat(np.arange(20), 5)
    scores, labels = random.random(100), random.integers(0, 2, 100)
    labels[:5] = 1  # one class: no AUC
    metric = lmn_tf.metrics.GroupedAUC(from_logits=False)
    metric.update_state(labels, scores, groups=groups)
    loss = lmn_tf.metrics.LogLoss(from_logits=False)
    loss.update_state(labels[:, None], scores[:, None])
    order = random.permutation(100)
    found = quality(labels[order], scores[order], groups[order])
    assert found["gauc"] == pytest.approx(float(metric.result()), abs=1e-6)
    assert found["logloss"] == pytest.approx(float(loss.result()), abs=1e-6)
    assert found["auc"] == auc(labels, scores)


@pytest.fixture(scope="module")
def row_arrays(movielens, tmp_path_factory, root):
    """Arrays of the tiny rows, and the columns."""
    folder = tmp_path_factory.mktemp("arrays")
    spec = lmn_tf.FeatureSpec.load(root / "feature_specs" / "movielens_1m_crossed.yaml")
    write_row_arrays(spec, "history", movielens, folder)
    return folder, json.loads((folder / "columns.json").read_text())


def test_arrays_have_the_rows_of_the_reader(row_arrays, movielens, root):
    folder, columns = row_arrays
    sources = {column["name"]: column["source"] for column in columns}
    assert sources == {
        **dict.fromkeys(("user_id", "age", "gender", "occupation"), "user"),
        **{"movie_id": "item", "genres": "context", "liked": "event", "rated_movie": "event"},
    }
    spec = lmn_tf.FeatureSpec.load(root / "feature_specs" / "movielens_1m_crossed.yaml")
    files = str(movielens / "train-*.parquet")
    lmn_tf.make_dataset(spec, files, learn=True)
    [(features, labels)] = lmn_tf.make_dataset(spec, files, batch_size=10_000)
    with np.load(folder / "train.npz") as arrays:
        np.testing.assert_array_equal(arrays["label"], labels[:, 0])
        for name in ("user_id", "movie_id", "genres", "group"):
            np.testing.assert_array_equal(arrays[name], features[name], err_msg=name)
        for name in ("movie_id", "liked"):
            np.testing.assert_array_equal(arrays[f"events/{name}"], features[f"history/{name}"])
        np.testing.assert_array_equal(arrays["first"], features["history/first"])
        np.testing.assert_array_equal(arrays["count"], features["history/length"])


def test_batches_have_the_newest_events_before_the_candidate(row_arrays):
    folder, columns = row_arrays
    batches = Batches(folder / "train.npz", columns, length=4, batch_size=64)
    batch, items, mask = batches.arrays(np.arange(64))
    movies, liked, rated = (
        items[name].reshape(64, 5) for name in ("movie_id", "liked", "rated_movie")
    )
    np.testing.assert_array_equal(batch["label"], batches["label"][:64])
    assert set(batch) == {"label", "user_id", "age", "gender", "occupation", "genres"}
    np.testing.assert_array_equal(movies[:, -1], batches["movie_id"][:64])
    sizes = {column["name"]: column.get("size") for column in columns}
    assert set(liked[:, -1]) == {sizes["liked"]}  # an id that no event has
    np.testing.assert_array_equal(rated, movies * (sizes["liked"] + 1) + liked)
    for row in range(64):
        first, count = batches["first"][row], batches["count"][row]
        want = batches["events/movie_id"][first : first + count][-4:]
        np.testing.assert_array_equal(movies[row, :-1], np.pad(want, (4 - len(want), 0)))
        np.testing.assert_array_equal(mask[row], [0.0] * (4 - len(want)) + [1.0] * len(want))
    assert mask.min() == 0.0 and mask.max() == 1.0


class FakeBenchmark:
    """Reports the validation AUC of the title of each contender, and notes the titles."""

    quick = True

    def __init__(self, aucs, epochs):
        self.aucs, self.trained = aucs, []
        self.options = types.SimpleNamespace(python=None, seeds=2, trials=3, epochs=epochs)

    def figures_of(self, contender):
        self.trained.append(contender.label)
        valid = self.aucs[contender.label.split(", ", 2)[2]]
        if not isinstance(valid, float):
            return valid
        facts = {"auc": 0.7 + valid / 100, "gauc": 0.6, "logloss": 0.5}
        return {"facts": {**facts, "valid_auc": valid, "parameters": 9}}


@pytest.fixture
def trainings(root, movielens, tmp_path):
    script = runpy.run_path(str(root / "pipelines" / "benchmarks" / "quality_fuxictr.py"))

    def start(aucs, kept, epochs=3):
        benchmark = FakeBenchmark(aucs, epochs)
        data, path = script["TINY"]["tiny"], tmp_path / "kept.json"
        name, parent = movielens.name, movielens.parent
        return benchmark, script["Trainings"](benchmark, name, data, parent, tmp_path, kept, path)

    return start


AUCS = {
    "rate 0.001, seed 1": 0.71,
    "rate 0.0005, seed 1": 0.73,
    "rate 0.001, L2 0.005, seed 1": 0.72,
    "rate 0.0005, seed 2": 0.53,
}


def test_the_validation_set_chooses_and_no_training_is_repeated(trainings, tmp_path):
    kept = []
    benchmark, first = trainings(AUCS, kept)
    assert first.train("DIN") is None
    assert benchmark.trained == [f"prepared, DIN, {title}" for title in AUCS]
    [(label, facts)] = first.rows("DIN")
    assert label == "FuxiCTR DIN"
    assert facts["AUC"] == "0.7063 ± 0.0014" and facts["valid AUC"] == "0.7300"
    assert facts["chosen"] == "rate 0.0005" and facts["of settings"] == 3 and facts["seeds"] == 2
    stored = json.loads((tmp_path / "kept.json").read_text())
    assert stored == kept and len(stored) == 4
    benchmark, again = trainings(AUCS, stored[:3])
    again.train("DIN")
    assert benchmark.trained == ["prepared, DIN, rate 0.0005, seed 2"]
    assert list(again.rows("SIM")) == []


def test_trainings_of_other_epochs_are_apart(trainings):
    kept = []
    _, three = trainings(AUCS, kept)
    three.train("DIN")
    [(_, before)] = three.rows("DIN")
    aucs = {title: auc + 0.1 for title, auc in AUCS.items()}
    benchmark, two = trainings(aucs, kept, epochs=2)
    two.train("DIN")
    assert len(benchmark.trained) == 4 and len(kept) == 8
    (first, facts), (second, unchanged) = two.rows("DIN")
    assert (first, second) == ("FuxiCTR DIN, 2 epochs", "FuxiCTR DIN, 3 epochs")
    assert unchanged == before and facts["valid AUC"] == "0.8300" and facts["seeds"] == 2


def test_trainings_that_fail_or_are_left_out(trainings):
    benchmark, failing = trainings({"rate 0.001, seed 1": {"failed": "no luck"}}, [])
    with pytest.raises(RuntimeError, match="prepared, DIN, rate 0.001, seed 1: no luck"):
        failing.train("DIN")
    benchmark, missing = trainings({"rate 0.001, seed 1": {"skipped": "needs torch"}}, [])
    assert missing.train("DIN") == "needs torch" and len(benchmark.trained) == 1


def test_quality_beside_ours(run_quick, root):
    result = run_quick("quality_fuxictr", "--only", "FinalMLP", "--trials", "2", "--seeds", "2")
    [row] = [row for case in result["cases"] for row in case["contenders"]]
    if importlib.util.find_spec("fuxictr") is None:
        assert row["skipped"].startswith("needs torch and fuxictr")
    else:
        assert row["facts"]["of settings"] == 2 and row["facts"]["seeds"] == 2
    script = runpy.run_path(str(root / "pipelines" / "benchmarks" / "quality_fuxictr.py"))
    for data in script["DATA_SETS"].values():
        ours = dict(script["our_rows"](data.comparison))
        assert len(ours) == 2 and "lmn_tf control" in ours
        assert all(0.7 < float(facts["AUC"].split()[0]) < 0.9 for facts in ours.values())

import collections
import os

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import (
    MAX_LENGTH,
    shop_dict,
    shop_rows,
    shop_spec,
    write_csv,
    write_events,
    write_parquet,
)

from lmn_tf.data.learning.vocabulary import find_learned, is_learned, learn
from lmn_tf.specs.feature_spec import FeatureSpec

ROWS, EVENTS = shop_rows()


@pytest.fixture
def files(tmp_path):
    write_events(tmp_path, EVENTS)
    return write_parquet(tmp_path, ROWS)


def spec_with(features=(), sequences=(), tables=None, **more):
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "tiny",
            "labels": [{"name": "click"}],
            "tables": tables or {},
            "features": list(features),
            "sequences": list(sequences),
            **more,
        }
    )


def ranked(counts, min_count=1):
    order = sorted(counts.items(), key=lambda pair: (-pair[1], pair[0]))
    return [value for value, count in order if count >= min_count]


@pytest.mark.parametrize("keep", ["newest", "oldest"])
@pytest.mark.parametrize("by_reference", [False, True])
def test_values_count_as_often_as_training_reads_them(files, keep, by_reference):
    spec = shop_spec(by_reference=by_reference, keep=keep)
    assert not is_learned(spec)
    learn(spec, files)
    assert is_learned(spec)
    counts = collections.Counter(row["item"] for row in ROWS)
    for row in ROWS:
        history = row["h_item"]
        counts.update(history[-MAX_LENGTH:] if keep == "newest" else history[:MAX_LENGTH])
    assert spec.assets.vocabularies["item"] == ranked(counts, 2)
    assert spec.assets.vocabularies["user"] == ranked(collections.Counter(r["user"] for r in ROWS))


def test_events_after_the_rows_stay_unseen(tmp_path):
    write_events(tmp_path, {"a": [event(1), event(2), event(3)], "b": [event(4)]})
    rows = [{"user": "a", "count": 2, "click": 0, "item": 9}] * 3
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "train.parquet")
    spec = spec_with(
        [categorical("item", table="item")],
        [
            {
                "name": "history",
                "max_length": 5,
                "events": {"file": "events.arrow", "user": "user", "count": "count"},
                "fields": [{"name": "item", "column": "h_item", "like": "item"}],
            }
        ],
        {"item": {"dim": 2}},
    )
    learn(spec, str(tmp_path / "train.parquet"))
    assert spec.assets.vocabularies == {"item": [1, 2, 9]}


def event(item):
    return {"h_item": item}


HISTORY = {"name": "history", "max_length": 5}
HISTORY_ITEM = {"name": "item", "column": "h_item", "like": "item"}


@pytest.mark.parametrize("by_reference", [False, True])
def test_rows_of_weight_0_do_not_count(by_reference, tmp_path):
    history = {**HISTORY, "fields": [HISTORY_ITEM]}
    if by_reference:
        history["events"] = {"file": "events.arrow", "user": "user", "count": "count"}
    features = [categorical("item", table="item"), numeric("price", ["standardize"])]
    spec = spec_with(features, [history], {"item": {"dim": 2}}, weight="weight")
    write_events(tmp_path, {"u": [event("c")], "v": [event("only_in_weight_0")]})
    rows = {
        "click": [0, 1, 0],
        "weight": [1, 1, 0],
        "item": ["a", "b", "only_in_weight_0"],
        "price": [1, 2, 1000],
        "user": ["u", "u", "v"],
        "count": [1, 0, 1],
        "h_item": [["c"], [], ["only_in_weight_0"]],
    }
    pq.write_table(pa.table(rows), tmp_path / "train.parquet")
    learn(spec, str(tmp_path / "train.parquet"))
    assert spec.assets.vocabularies == {"item": ["a", "b", "c"]}
    price = spec.assets.statistics["price"]
    assert (price["count"], price["mean"], price["max"]) == (2, 1.5, 2.0)
    spec.assets.save(tmp_path)
    again = spec_with(features, [history], {"item": {"dim": 2}})  # without weights, all count
    find_learned(again, str(tmp_path / "train.parquet"))
    assert not again.assets.vocabularies and not again.assets.statistics


def categorical(name, rule=None, **options):
    return {
        "name": name,
        "role": "item",
        "kind": "categorical",
        "lookup": {"learn": rule or {}},
        **options,
    }


def test_columns_of_one_table_share_a_vocabulary(tmp_path):
    table = pa.table(
        {"click": [0, 1, 0], "x": [5, 5, 7], "y": [7, 7, None], "z": [[1, 7], [], None]}
    )
    pq.write_table(table, tmp_path / "a.parquet")
    spec = spec_with(
        [categorical("x", table="t"), categorical("y", table="t")],
        [
            {
                "name": "z",
                "max_length": 3,
                "fields": [
                    {
                        "name": "own",
                        "column": "z",
                        "kind": "categorical",
                        "lookup": {"learn": {}},
                        "table": "t",
                    }
                ],
            }
        ],
        {"t": {"dim": 2}},
    )
    learn(spec, str(tmp_path / "a.parquet"))
    assert spec.assets.vocabularies == {"t": [7, 5, 1]}


@pytest.mark.parametrize(
    ("rule", "wanted"),
    [
        ({}, ["c", "a", "b", "d"]),
        ({"min_count": 2}, ["c", "a", "b"]),
        ({"max_size": 2}, ["c", "a"]),
        ({"min_count": 9}, []),
    ],
)
def test_rules_and_ties(tmp_path, rule, wanted):
    values = ["b", "d", "a", "c", "b", "a", "c", "c"]
    pq.write_table(pa.table({"click": [0] * 8, "x": values}), tmp_path / "a.parquet")
    spec = spec_with([categorical("x", rule)])
    learn(spec, str(tmp_path / "a.parquet"))
    assert spec.assets.vocabularies["x"] == wanted
    assert spec.input_size(spec.feature("x")) == len(wanted) + 2


def numeric(name, transform):
    return {"name": name, "role": "item", "kind": "numeric", "transform": transform}


def test_statistics_are_of_what_the_first_learned_step_meets(tmp_path):
    numbers = np.random.default_rng(1).exponential(size=1000)
    column = pa.array(numbers, mask=np.arange(1000) % 10 == 0)
    kept = numbers[np.arange(1000) % 10 > 0]
    pq.write_table(
        pa.table({"click": [0] * 1000, "x": column}), tmp_path / "a.parquet", row_group_size=90
    )
    spec = spec_with(
        [
            {**numeric("plain", "standardize"), "column": "x"},
            {**numeric("logged", ["log1p", "standardize"]), "column": "x"},
            {**numeric("cut", {"bucketize": {"quantiles": 4}}), "column": "x"},
            {**numeric("given", {"bucketize": [1, 2]}), "column": "x"},
        ]
    )
    learn(spec, str(tmp_path / "*.parquet"))
    assert set(spec.assets.statistics) == {"plain", "logged", "cut"}
    plain, logged = spec.assets.statistics["plain"], spec.assets.statistics["logged"]
    assert plain["count"] == 900
    assert [plain["mean"], plain["std"]] == pytest.approx([kept.mean(), kept.std()])
    assert logged["mean"] == pytest.approx(np.log1p(kept).mean())
    assert (plain["min"], plain["max"]) == (kept.min(), kept.max())
    quartiles = np.quantile(kept, [0.25, 0.5, 0.75])
    assert spec.assets.statistics["cut"]["quantiles"] == pytest.approx(quartiles.tolist())


def test_numbers_of_histories_are_the_same_in_both_forms(files):
    def figures(by_reference):
        plain = shop_dict(by_reference=by_reference)
        plain["sequences"][0]["fields"][1]["transform"] = ["standardize"]
        spec = FeatureSpec.from_dict(plain)
        learn(spec, files, reuse=False)
        return {
            key: value
            for key, value in spec.assets.statistics["history.dwell"].items()
            if key not in ("learned", "quantiles")
        }

    assert figures(True) == pytest.approx(figures(False))


def test_learned_files_beside_the_data_are_used(files, tmp_path, monkeypatch):
    spec = shop_spec()
    learn(spec, files)
    spec.assets.save(tmp_path)
    monkeypatch.setattr("lmn_tf.data.learning.vocabulary.UnitOrder", None)  # no pass over the data
    again = shop_spec()
    learn(again, files)
    assert again.assets == spec.assets


@pytest.mark.parametrize("change", ["rule", "length", "column", "newer data", "limit", "reuse"])
def test_learned_files_of_other_rules_are_not_used(files, tmp_path, monkeypatch, change):
    spec = shop_spec()
    learn(spec, files)
    spec.assets.save(tmp_path)
    plain, options = shop_dict(), {}
    if change == "rule":
        plain["features"][2]["lookup"]["learn"]["min_count"] = 3
    elif change == "length":
        plain["sequences"][0]["max_length"] = 5
    elif change == "column":
        plain["sequences"][0]["fields"][0]["column"] = "h_other"
    elif change == "newer data":
        later = os.path.getmtime(tmp_path / "statistics.json") + 10
        os.utime(tmp_path / "train-1.parquet", (later, later))
    else:
        options = {"limit": 10} if change == "limit" else {"reuse": False}
    monkeypatch.setattr("lmn_tf.data.learning.vocabulary.UnitOrder", None)
    with pytest.raises(TypeError, match="'NoneType' object is not callable"):
        learn(FeatureSpec.from_dict(plain), files, **options)


def learned_beside(paths):
    """Learns from the first of the paths, saves it there, and returns what all are said to hold."""
    spec = spec_with([categorical("x")])
    learn(spec, paths[0])
    spec.assets.save(os.path.dirname(paths[0]))
    again = spec_with([categorical("x")])
    learn(again, paths)
    return spec, again.assets.vocabularies["x"]


def write_values(path, *values, age=100):
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table({"click": [0] * len(values), "x": values}), path)
    then = os.path.getmtime(path) - age
    os.utime(path, (then, then))
    return str(path)


@pytest.mark.parametrize("other", ["b/train.parquet", "a/train-2.parquet"])
def test_what_was_learned_from_other_files_is_not_used(other, tmp_path):
    paths = [write_values(tmp_path / "a/train.parquet", "x")]
    paths.append(write_values(tmp_path / other, "z", "w"))
    assert learned_beside(paths)[1] == ["w", "x", "z"]


def test_what_was_learned_from_the_first_rows_is_not_used_for_all(tmp_path):
    path = write_values(tmp_path / "a.parquet", "x", "y")
    spec, again = spec_with([categorical("x")]), spec_with([categorical("x")])
    learn(spec, path, limit=1)
    spec.assets.save(tmp_path)
    learn(again, path)
    assert again.assets.vocabularies["x"] == ["x", "y"]


@pytest.mark.parametrize(("other", "anew"), [("b/train.parquet", True), ("a/new.parquet", False)])
def test_what_earlier_versions_learned_is_used_for_its_folder_alone(other, anew, tmp_path):
    paths = [write_values(tmp_path / "a/train.parquet", "x")]
    paths.append(write_values(tmp_path / other, "z"))
    spec, _ = learned_beside(paths)
    del spec.assets.statistics["vocabulary/x"]["learned"]["files"]
    spec.assets.save(tmp_path / "a")
    again = spec_with([categorical("x")])
    learn(again, sorted(paths))
    assert again.assets.vocabularies["x"] == (["x", "z"] if anew else ["x"])


def test_limit(files):
    spec = shop_spec()
    learn(spec, files, limit=10)
    assert set(spec.assets.vocabularies["user"]) == {row["user"] for row in ROWS[:10]}


def test_a_wrong_seed(tmp_path):
    pq.write_table(pa.table({"click": [0], "x": [1.0]}), tmp_path / "a.parquet")
    with pytest.raises(ValueError, match=r"`seed` must be in \[0, 2\*\*64\). Received: seed=-1"):
        learn(spec_with([numeric("x", "standardize")]), str(tmp_path / "a.parquet"), seed=-1)


def test_csv_gives_the_same(files, tmp_path):
    spec, other = shop_spec(nested=False), shop_spec(nested=False)
    learn(spec, files)
    learn(other, write_csv(tmp_path, ROWS))
    assert other.assets.vocabularies == spec.assets.vocabularies


def test_ids_learned_by_the_rule_of_before_are_learned_anew_for_csv(tmp_path):
    feature = {"name": "x", "role": "item", "kind": "categorical", "lookup": {"learn": {}}}
    (tmp_path / "a.csv").write_text("x,click\n007,0\n7,1\n")
    pq.write_table(pa.table({"x": [7, 8], "click": [0, 1]}), tmp_path / "a.parquet")
    for name, anew in (("a.csv", ["007", "7"]), ("a.parquet", [7, 8])):
        old = spec_with([feature])
        learn(old, str(tmp_path / name))
        old.assets.vocabularies["x"] = ["as before"]
        for text_ids, wanted in ((True, ["as before"]), (False, anew)):
            old.assets.text_ids = text_ids
            old.assets.save(tmp_path)
            spec = spec_with([feature])
            learn(spec, str(tmp_path / name))
            reused = name == "a.parquet"
            assert spec.assets.vocabularies["x"] == (["as before"] if reused else wanted)
            assert spec.assets.text_ids


def test_nothing_to_learn_from(tmp_path):
    table = pa.table({"click": [0], "x": pa.array([None], pa.float64())})
    pq.write_table(table, tmp_path / "a.parquet")
    message = "column `x` must hold at least one number for the statistics of `x`.*Received: none"
    with pytest.raises(ValueError, match=message):
        learn(spec_with([numeric("x", "standardize")]), str(tmp_path / "a.parquet"))


def test_rows_count_where_all_have_weight_0(tmp_path):
    pq.write_table(pa.table({"w": [0.0, 0.0], "x": [1.0, 3.0]}), tmp_path / "a.parquet")
    spec = spec_with([numeric("x", ["standardize"])], weight="w")
    learn(spec, str(tmp_path / "a.parquet"))
    assert spec.assets.statistics["x"]["mean"] == 2.0


def test_rows_keep_their_numbers_behind_one_of_weight_0(tmp_path):
    table = pa.table({"w": [1, 0, 1], "x": [1.0, -9.0, -2.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    spec = spec_with([numeric("x", ["log1p", "standardize"])], weight="w")
    with pytest.raises(ValueError, match="column `x`, row 3: a number must be above -1"):
        learn(spec, str(tmp_path / "a.parquet"))


def test_numbers_that_log1p_refuses(tmp_path):
    pq.write_table(pa.table({"click": [0, 0], "x": [None, -2.0]}), tmp_path / "a.parquet")
    message = "column `x`, row 2: a number must be above -1 for log1p. Received: -2.0"
    with pytest.raises(ValueError, match=message):
        learn(spec_with([numeric("x", ["log1p", "standardize"])]), str(tmp_path / "a.parquet"))


def test_numbers_too_large_to_have_a_deviation(tmp_path):
    spec = spec_with(features=[numeric("a", ["standardize"])])
    pq.write_table(pa.table({"a": [1.0, 2.0, -1e200]}), tmp_path / "a.parquet")
    message = r"column `a`, row 3: a number that statistics are learned from must be within"
    with pytest.raises(ValueError, match=message):
        learn(spec, str(tmp_path / "a.parquet"))


def test_what_lies_learned_beside_the_files_is_found(files, tmp_path):
    spec, learned = shop_spec(), shop_spec()
    find_learned(spec, files)
    assert not spec.assets.vocabularies
    learn(learned, files)
    learned.assets.save(tmp_path)
    find_learned(spec, files)
    assert is_learned(spec) and spec.assets == learned.assets

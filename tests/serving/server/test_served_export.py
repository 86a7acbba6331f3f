import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import shop_rows, shop_spec, write_events, write_parquet
from tiny_run import exported, market

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.reading.event_store import EventStore
from lmn_tf.serving.scorer import Scorer, Scores
from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.serving.server.request import ScoreRequest
from lmn_tf.serving.server.served_export import ServedExport, columns_of, example_row, read_info
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import load_spec, write_spec

OF_ITEM = ("item_id", "category", "price")
INFO = {"model": "lmn", "model_version": "5f3a", "run_id": "run-1", "data_fingerprint": "d\né"}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """An export that tells of what it is."""
    folder = shutil.copytree(exported(), tmp_path_factory.mktemp("exports") / "3")
    (folder / "export.json").write_text(json.dumps({**INFO, "more": 1}))
    return folder


@pytest.fixture(scope="module")
def export(folder):
    return ServedExport(folder, ServerOptions(batch_rows=16, cache_mib=1))


@pytest.fixture(scope="module")
def rows():
    path = sorted(market().glob("test-*.parquet"))[0]
    return pq.read_table(path).slice(0, 60).drop_columns(["click"]).to_pylist()


def rows_request(rows):
    return ScoreRequest(len(rows), rows=rows)


def test_scores_are_those_of_the_scorer(export, folder, rows):
    want = Scorer(folder).score(rows)["click"]
    parts = [rows[:7], rows[7:8], [], rows[8:]]
    found = export.score([rows_request(part) for part in parts])
    joined = [one["scores"]["click"] for one in found]
    assert [len(one) for one in joined] == [7, 1, 0, 52]
    joined = np.concatenate(joined)
    np.testing.assert_allclose(joined, want, atol=1e-6)


def test_candidates_score_as_rows(export, rows):
    user = {key: value for key, value in rows[0].items() if key not in OF_ITEM}
    candidates = [{key: row[key] for key in OF_ITEM} for row in rows]
    request = ScoreRequest(len(candidates), user=user, candidates=candidates)
    (want,) = export.score([rows_request([{**user, **one} for one in candidates])])
    for _ in range(2):  # the second time, the user is known
        (found,) = export.score([request])
        assert found.keys() == {"scores"}
        np.testing.assert_allclose(found["scores"]["click"], want["scores"]["click"], atol=1e-6)


def test_what_the_model_does_not_know_or_read_is_told(export, rows):
    row = next(row for row in rows if len(row["history_item_id"]) > 1)
    odd = [{**row, "item_id": 10**9, "color": "red"}, {**row, "item_id": None}]
    (found,) = export.score([rows_request(odd)])
    assert found["unknown_ids"] == {"item_id": 1} and found["unread_columns"] == ["color"]
    user = {key: value for key, value in odd[0].items() if key not in OF_ITEM}
    user |= {"segment": "?", "hour": 99, "history_item_id": [-1, *row["history_item_id"][1:]]}
    candidates = [{key: row[key] for key in OF_ITEM} | {"click": 1} for row in odd]
    request = ScoreRequest(2, user=user, candidates=candidates)
    for _ in range(2):  # the second time, the user is known
        (found,) = export.score([request])
        unknown = {"segment": 1, "hour": 1, "history_item_id": 1, "item_id": 1}
        assert found["unknown_ids"] == unknown and found["unread_columns"] == ["click", "color"]


def test_few_names_of_columns_are_repeated(export, rows):
    more = {f"{name:03}" + 300 * "x": 1 for name in range(1000)}
    (found,) = export.score([rows_request([{**rows[0], **more}])])
    names = found["unread_columns"]
    assert len(names) == 20 and {len(name) for name in names} == {200} and names == sorted(names)


def test_a_mistake_in_one_request_leaves_the_others(export, rows):
    wrong = [{**rows[0]}, {**rows[1], "price": "cheap"}]
    first, second, third = export.score(
        [rows_request(rows[:2]), rows_request(wrong), rows_request(rows[2:3])]
    )
    assert len(first["scores"]["click"]) == 2 and len(third["scores"]["click"]) == 1
    assert isinstance(second, UserError) and "column `price`" in str(second)
    (found,) = export.score([ScoreRequest(1, user=rows[0], candidates=[{"item_id": 3}])])
    assert "column `item_id` must be given in `user` or in `candidates`" in str(found)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_scores_that_are_no_numbers_are_an_error_of_their_request(export, rows, monkeypatch, bad):
    scores = [Scores({"click": np.array([0.5, last], np.float32)}) for last in (bad, 0.25)]
    monkeypatch.setattr(export._scorer, "score_requests", lambda requests: scores)
    first, second = export.score([rows_request(rows[:2]), rows_request(rows[2:4])])
    assert isinstance(first, FloatingPointError)
    assert str(first) == "the probabilities of `click` must be finite"
    assert second["scores"]["click"] == [0.5, 0.25]


def test_headers_name_the_export(export):
    assert dict(export.headers) == {
        b"model-export": b"3",
        b"model-version": b"5f3a",
        b"model-run-id": b"run-1",
        b"model-data-fingerprint": b"d-",
    }


@pytest.mark.parametrize("text", [None, "", "[]", "{", '{"run_id": 7}'])
def test_an_export_need_not_tell_what_it_is(tmp_path, text):
    if text is not None:
        (tmp_path / "export.json").write_text(text)
    info = read_info(tmp_path)
    assert set(info.values()) == {None} and {"model", "run_id", "created"} <= set(info)


def test_description_for_clients(export):
    found = export.describe()
    assert json.loads(json.dumps(found)) == found
    assert (found["export"], found["model"], found["labels"]) == ("3", "lmn", ["click"])
    columns = found["columns"]
    assert {name for name, one in columns.items() if one["role"] == "item"} == set(OF_ITEM)
    assert columns["price"] == {"kind": "numeric", "role": "item"}
    assert columns["time"] == {"kind": "time", "role": "user"}
    history = {"role": "user", "sequence": "history", "max_length": 20}
    assert columns["history_time"] == {"kind": "list of elapsed_time", **history}


@pytest.mark.parametrize("by_reference", [False, True])
def test_columns_of_every_kind(by_reference):
    spec = shop_spec(by_reference=by_reference)
    assert tuple(columns_of(spec)) == spec.columns(labels=False)
    assert tuple(columns_of(spec, False)) == spec.columns(labels=False, histories=False)
    counts = [name for name, one in columns_of(spec).items() if one["kind"] == "count"]
    assert counts == (["count"] if by_reference else [])


@pytest.mark.parametrize("by_reference", [False, True])
def test_an_example_row_keeps_all_rules(tmp_path, by_reference):
    rows, events = shop_rows(40)
    write_events(tmp_path, events)
    spec = shop_spec(by_reference=by_reference)
    next(iter(make_dataset(spec, write_parquet(tmp_path, rows), batch_size=40, learn=True)))
    stores = {
        sequence.name: EventStore(spec, sequence, str(tmp_path))
        for sequence in spec.sequences
        if by_reference
    }
    table = pa.Table.from_pylist([example_row(spec)])
    block = TableEncoder(spec, stores, labels=False).encode(table, "rows", 0)
    assert {int(sequence.lengths[0]) for sequence in block.sequences.values()} == {0}


def test_an_example_row_has_what_must_be_given():
    plain = shop_spec().to_dict()
    plain["features"] = [
        {"name": "old", "role": "item", "kind": "categorical"},
        {"name": "size", "role": "item", "kind": "categorical"},
        {"name": "price", "role": "item", "kind": "numeric"},
        {"name": "age", "role": "user", "kind": "numeric", "transform": ["log1p"], "default": -1},
    ]
    plain["features"][0]["lookup"] = {"vocabulary": ["a", "b"], "unknown": "error"}
    plain["features"][1]["lookup"] = {"identity": 3, "unknown": "error"}
    plain["features"][2]["transform"] = [{"min_max": [10, 20]}, "log1p"]
    plain |= {"sequences": [], "tables": {}, "request_time": None, "group": None}
    spec = FeatureSpec.from_dict(plain)
    row = example_row(spec)
    assert row == {"old": "a", "size": 0, "price": 10.0, "age": 0.0}
    TableEncoder(spec, {}, labels=False).encode(pa.Table.from_pylist([row]), "rows", 0)


@pytest.mark.parametrize("unknown", ["own_id", "error"])
@pytest.mark.parametrize("transform", [["standardize"], ["log1p", "standardize"]])
def test_a_number_of_an_example_row_that_is_an_id_is_whole(unknown, transform):
    plain = shop_spec().to_dict()
    as_id = {"kind": "categorical", "lookup": {"vocabulary": [7, 8], "unknown": unknown}}
    plain["features"] = [
        {"name": "age_id", "role": "user", "column": "age", **as_id},
        {"name": "age", "role": "user", "kind": "numeric", "transform": transform},
    ]
    plain |= {"sequences": [], "tables": {}, "request_time": None, "group": None}
    spec = FeatureSpec.from_dict(plain)
    spec.assets.statistics["age"] = {"mean": -0.7, "std": 1.0, "min": -0.9, "max": 9.0}
    row = example_row(spec)
    assert row == {"age": 7 if unknown == "error" else 0}
    TableEncoder(spec, {}, labels=False).encode(pa.Table.from_pylist([row]), "rows", 0)


def test_histories_by_reference_are_columns_of_requests(tmp_path, rows, export):
    folder = shutil.copytree(exported(), tmp_path / "export")
    spec = load_spec(folder)
    document = spec.to_dict()
    document["sequences"][0]["events"] = {"file": "e.arrow", "user": "user_id", "count": "count"}
    changed = FeatureSpec.from_dict(document)
    vars(changed.assets).update(vars(spec.assets))
    write_spec(changed, folder)
    served = ServedExport(folder, ServerOptions())
    assert served.describe()["columns"]["history__history_time"]["sequence"] == "history"
    renamed = [
        {name.replace("history_", "history__history_"): value for name, value in row.items()}
        for row in rows
    ]
    (found,), (want,) = served.score([rows_request(renamed)]), export.score([rows_request(rows)])
    np.testing.assert_allclose(found["scores"]["click"], want["scores"]["click"], atol=1e-6)

import glob
import pathlib
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from small_shop import shop_rows, shop_spec, write_events, write_parquet
from tiny_run import exported, market, trained_run

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import registry
from lmn_tf.serving import scorer as module
from lmn_tf.serving.saved_model import MODEL_FOLDER, save
from lmn_tf.serving.scorer import Scorer
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import write_spec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving.run_directory import RunDirectory

FILES = f"{market()}/test-*.parquet"
OF_ITEM = ("item", "tags", "tag_weights", "price", "look")  # of the shop


@pytest.fixture(scope="module")
def scorer():
    return Scorer(exported(), batch_size=64)


@pytest.fixture(scope="module")
def table():
    return pq.read_table(glob.glob(FILES)[0])


@pytest.fixture(scope="module")
def want():
    directory = RunDirectory.open(trained_run())
    data = make_dataset(directory.load_spec(), FILES, batch_size=500)
    return np.concatenate(list(Evaluator(directory.load_model()).predict(data)))[:, 0]


def as_rows(table):
    return table.to_pylist()


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize("form", [lambda t: FILES, lambda t: t, as_rows, lambda t: t.to_pydict()])
def test_raw_rows_score_as_in_training(scorer, table, want, form):
    found = scorer.score(form(table))
    assert list(found) == ["click"] and found["click"].dtype == np.float32
    np.testing.assert_allclose(found["click"], want, atol=1e-5)


def test_labels_are_not_needed(scorer, table, want):
    rows = table.slice(3, 2).drop_columns(["click"]).to_pylist()
    np.testing.assert_allclose(scorer.score(rows)["click"], want[3:5], atol=1e-5)


def test_no_rows_give_no_scores(scorer, table):
    assert scorer.score(table.slice(0, 0))["click"].shape == (0,)


def test_unknown_items_are_scored(scorer, table):
    row = {**table.slice(0, 1).to_pylist()[0], "item_id": 10**9, "history_item_id": [10**9]}
    row |= {"history_category": [1], "history_time": [row["time"] - 60]}
    assert 0 < scorer.score([row])["click"][0] < 1


def _recast(table, kind, lists):
    for name in ("user_id", "item_id", "history_item_id"):
        inner = pa.list_(kind) if name == "history_item_id" else kind
        if lists or name != "history_item_id":
            place = table.schema.get_field_index(name)
            table = table.set_column(place, name, table[name].cast(inner))
    return table


@pytest.mark.parametrize("kind", [pa.string(), pa.uint64(), pa.float64(), pa.int32()], ids=str)
def test_an_id_is_its_text_in_requests(scorer, table, want, kind):
    rows = _recast(table.slice(0, 5), kind, lists=True)
    for form in (rows, rows.to_pylist(), rows.to_pydict()):
        np.testing.assert_allclose(scorer.score(form)["click"], want[:5], atol=1e-5)


def test_ids_of_several_types_in_one_request(scorer, table, want):
    rows = table.slice(0, 3).to_pylist()
    rows[0]["user_id"] = str(rows[0]["user_id"])
    rows[1]["user_id"] = float(rows[1]["user_id"])
    rows[2]["history_item_id"] = [str(value) for value in rows[2]["history_item_id"]]
    np.testing.assert_allclose(scorer.score(rows)["click"], want[:3], atol=1e-5)
    unknown = [{**rows[0], "user_id": user} for user in ("nobody", 2**64 - 1, 10**30, "007")]
    scores = scorer.score(unknown)["click"]
    assert np.ptp(scores) == 0
    columns = {name: [row[name] for row in unknown] for name in unknown[0]}
    np.testing.assert_array_equal(scorer.score(columns)["click"], scores)


@pytest.mark.parametrize(
    ("name", "wrong"), [("item_id", "itemid"), ("history_item_id", "history_itemid")]
)
@pytest.mark.parametrize("at", [0, 2])
def test_a_key_that_any_row_lacks_is_named_with_its_row(scorer, table, name, wrong, at):
    rows = table.slice(0, 3).to_pylist()
    rows[at][wrong] = rows[at].pop(name)
    match = f"column `{name}` in each row, .* row {at + 1} without it. Did you mean `{wrong}`"
    with pytest.raises(UserError, match=match):
        scorer.score(rows)


def test_no_rows_need_no_columns(scorer):
    assert scorer.score([])["click"].shape == (0,)


def test_what_nothing_reads_may_be_anything(scorer, table, want):
    rows = table.slice(0, 2).to_pylist()
    rows = [{**rows[0], "note": 1, "mark": [2]}, {**rows[1], "note": "x"}]
    np.testing.assert_allclose(scorer.score(rows)["click"], want[:2], atol=1e-5)


def test_a_broken_value_is_told_with_its_row(scorer, table):
    rows = table.slice(0, 3).to_pylist()
    rows[1]["price"] = None
    with pytest.raises(UserError, match="price"):
        scorer.score(rows)


def test_only_an_export_is_loaded(tmp_path):
    with pytest.raises(UserError, match="must be a folder that `lmn-tf export` wrote"):
        Scorer(tmp_path)


def test_an_export_without_windows_scores_padded_histories(table, want, monkeypatch):
    for name in ("WINDOWS", "CANDIDATES"):
        monkeypatch.setattr(module, name, "serving_elsewhere")  # as before there were any
    scorer = Scorer(exported())
    np.testing.assert_allclose(scorer.score(table)["click"], want, atol=1e-5)
    user, candidates = sides(table.slice(4, 1).to_pylist()[0], table.slice(0, 9).to_pylist())
    found = scorer.score_candidates(user, candidates)["click"]
    np.testing.assert_allclose(found, scorer.score(joined(user, candidates))["click"], atol=1e-6)
    for call in (scorer.encode_user, lambda user: scorer.score_encoded(None, candidates)):
        with pytest.raises(UserError, match="export without the signature `serving_elsewhere`"):
            call(user)


def sides(row, rows, of_item=("item_id", "category", "price")):
    """The columns of the user of a row, and those of the items of many."""
    user = {name: row[name] for name in row if name not in of_item}
    return user, [{name: other[name] for name in of_item if name in other} for other in rows]


def computed_events(scorer):
    """A list that gets the number of events of each call that computes what is kept of them."""
    users, counts = scorer._users, []
    call = type(users)._call

    def counting(name, columns, tensors=None):
        if name == "encode_events":
            counts.append(next(len(v) for key, v in columns.items() if key.startswith("history/")))
        return call(users, name, columns, tensors)

    users._call = counting
    return counts


def joined(user, candidates):
    return [{**user, **candidate} for candidate in candidates]


def test_candidates_score_as_rows_that_repeat_the_user(scorer, table):
    for at in (0, 7):
        row, rows = table.slice(at, 1).to_pylist()[0], table.slice(0, 150).to_pylist()
        user, candidates = sides(row, rows)
        want = scorer.score(joined(user, candidates))["click"]
        found = scorer.score_candidates(user, candidates)
        assert list(found) == ["click"] and found["click"].dtype == np.float32
        np.testing.assert_allclose(found["click"], want, atol=1e-6)
        columns = {name: [one[name] for one in candidates] for name in candidates[0]}
        found = scorer.score_candidates(user, columns)
        np.testing.assert_allclose(found["click"], want, atol=1e-6)


def test_no_candidates_give_no_scores(scorer, table):
    user, _ = sides(table.slice(0, 1).to_pylist()[0], [])
    for none in ([], {"item_id": [], "category": [], "price": []}):
        assert scorer.score_candidates(user, none)["click"].shape == (0,)


def test_a_broken_value_is_told_with_its_side(scorer, table):
    user, candidates = sides(table.slice(0, 1).to_pylist()[0], table.slice(0, 3).to_pylist())
    wrong = [*candidates[:2], {**candidates[2], "price": "dear"}]
    with pytest.raises(UserError, match="candidates: column `price`"):
        scorer.score_candidates(user, wrong)
    user["history_time"] = [user["time"] + 60] * len(user["history_time"])
    with pytest.raises(UserError, match="user: column `history_time`, row 1: an event must not be"):
        scorer.score_candidates(user, candidates)


@pytest.mark.parametrize("wrong", [[None], {"a": 1}, 1.5])
def test_a_user_must_have_an_id(scorer, table, wrong):
    user, candidates = sides(table.slice(0, 1).to_pylist()[0], table.slice(0, 3).to_pylist())
    with pytest.raises(UserError, match="column `user_id`"):
        scorer.score_candidates({**user, "user_id": wrong}, candidates)


@pytest.fixture(
    scope="module",
    # The histories of the market are inline.
    params=[
        pytest.param(False, marks=pytest.mark.slow, id="inline"),
        pytest.param(True, id="by reference"),
    ],
)
def shop(request, tmp_path_factory):
    """A scorer of an untrained model of the shop, and its rows."""
    folder = tmp_path_factory.mktemp("shop")
    rows, events = shop_rows()
    write_events(folder, events)
    spec = shop_spec(by_reference=request.param)
    make_dataset(spec, write_parquet(folder, rows), batch_size=10, learn=True)
    model = registry.build("din", spec, {"hidden_units": (4,), "attention_units": (4,)})
    model.build()
    write_spec(spec, folder / "export")
    save(model, folder / "export" / MODEL_FOLDER)
    return Scorer(folder / "export", events_dir=folder), rows


def test_histories_of_every_kind_are_shared_by_candidates(shop):
    scorer, rows = shop
    for row in rows[:3]:
        user, candidates = sides(row, rows[:20], OF_ITEM)
        want = scorer.score(joined(user, candidates))
        events = computed_events(scorer)
        found = scorer.score_candidates(user, candidates)
        assert events == [min(row["count"], 12)]
        for label in ("click", "buy"):
            np.testing.assert_allclose(found[label], want[label], atol=1e-6)


def test_rows_may_have_histories_that_are_by_reference_in_files(shop):
    scorer, rows = shop
    scorer = Scorer(pathlib.Path(scorer.events_dir) / "export")
    names = {f"history__{name}": name for name in rows[0] if name.startswith("h_")}
    rows = rows[:20]
    given = [{new: row[old] for new, old in names.items()} | row for row in rows]
    want = shop[0].score(rows)
    found = scorer.score(given)
    user, candidates = sides(given[0], given, OF_ITEM)
    candidate = scorer.score_candidates(user, candidates)
    for label in ("click", "buy"):
        np.testing.assert_allclose(found[label], want[label], atol=1e-6)
        np.testing.assert_allclose(candidate[label][0], want[label][0], atol=1e-6)


def test_requests_are_scored_together(shop):
    scorer, rows = shop
    wrong = [{**rows[0], "look": [0.5]}]
    first, none, error, last = scorer.score_requests([rows[:3], [], wrong, rows[3:40]])
    want = scorer.score(rows[:40])
    for label in ("click", "buy"):
        assert none[label].shape == (0,)
        together = np.concatenate([first[label], last[label]])
        np.testing.assert_allclose(together, want[label], atol=1e-6)
    assert isinstance(error, UserError) and "column `look`, row 1" in str(error)
    assert isinstance(scorer.score_requests([wrong])[0], UserError)
    assert scorer.score_requests([]) == []


def test_each_request_tells_its_unknown_ids(shop):
    scorer, rows = shop
    missing = {"item": None, "tags": [], "tag_weights": []}
    rows = [
        {
            **row,
            **missing,
            "h_item": [None] * len(row["h_item"]),
            "h_tags": [[]] * len(row["h_tags"]),
        }
        for row in rows[:3]
    ]
    odd = [{**rows[0], "hour": 99}, {**rows[1], "hour": 77}]
    first, second, wrong = scorer.score_requests([odd, rows, [{**odd[0], "look": []}]])
    assert (first.unknown, second.unknown) == ({"hour": 2}, {}) and isinstance(wrong, UserError)
    user, candidates = sides(odd[0], [{**row, "item": "?"} for row in rows], OF_ITEM)
    assert scorer.score_candidates(user, candidates).unknown == {"hour": 1, "item": 3}


def test_rows_of_a_user_share_events(shop):
    scorer, rows = shop
    rows = sorted(rows, key=lambda row: (row["user"], row["age"] or 0, row["time"]))
    single = [scorer.score([row])["click"][0] for row in rows[:12]]
    np.testing.assert_allclose(scorer.score(rows[:12])["click"], single, atol=1e-6)


@pytest.fixture(scope="module")
def cached():
    return Scorer(exported(), batch_size=64, cache_bytes=1_000_000)


def test_a_user_may_be_encoded_before_the_candidates_are_known(scorer, table):
    user, candidates = sides(table.slice(7, 1).to_pylist()[0], table.slice(0, 150).to_pylist())
    want = scorer.score(joined(user, candidates))["click"]
    encoded = scorer.encode_user(user)
    for part in (slice(0, 1), slice(0, 150)):
        found = scorer.score_encoded(encoded, candidates[part])["click"]
        np.testing.assert_allclose(found, want[part], atol=1e-6)
    assert scorer.score_encoded(encoded, [])["click"].shape == (0,)
    assert len(scorer._cache) == 0


def test_a_session_has_no_columns_but_those_of_the_history(tmp_path):
    document = shop_spec(nested=False).to_dict()
    item = next(feature for feature in document["features"] if feature["name"] == "item")
    item["lookup"] = {"identity": 40}
    history = document["sequences"][0]
    fields = [field for field in history["fields"] if field["name"] == "item"]
    document |= {"features": [item], "sequences": [{**history, "fields": fields}]}
    spec = FeatureSpec.from_dict({**document, "group": None, "request_time": None})
    model = registry.build("pooling", spec, {"hidden_units": (4,)})
    model.build()
    write_spec(spec, tmp_path)
    save(model, tmp_path / MODEL_FOLDER)
    scorer, user, candidates = Scorer(tmp_path), {"h_item": [3, 5]}, [{"item": 7}, {"item": 9}]
    want = scorer.score(joined(user, candidates))["click"]
    for found in (
        scorer.score_candidates(user, candidates),
        scorer.score_encoded(scorer.encode_user(user), candidates),
    ):
        np.testing.assert_allclose(found["click"], want, atol=1e-6)


def test_a_user_to_encode_has_all_columns_of_users(scorer, table):
    user, _ = sides(table.slice(7, 1).to_pylist()[0], [])
    user["history_itm"] = user.pop("history_item_id")
    with pytest.raises(UserError, match="`user` must have the column `history_item_id`. Did you"):
        scorer.encode_user(user)
    with pytest.raises(UserError, match="`user` must be a dict of columns. Received: list"):
        scorer.encode_user([user])


def grown(user, rows):
    """The same user later, after the clicks of some rows; the oldest events are dropped."""
    later = {**user, "time": max(row["time"] for row in [user, *rows]) + 60}
    length = max(len(user["history_item_id"]), 1)
    for name, column in (("item_id", "item_id"), ("category", "category"), ("time", "time")):
        events = [*user[f"history_{name}"], *(row[column] for row in rows)]
        if name == "time":
            events = sorted(events)
        later[f"history_{name}"] = events[-length:]
    return later


def test_what_is_kept_of_a_user_is_used_again(cached, scorer, table):
    rows = table.slice(0, 9).to_pylist()
    row = max(table.to_pylist(), key=lambda row: len(row["history_item_id"]))
    user, candidates = sides(row, rows)
    events = computed_events(cached)

    def check(user, computed):
        events.clear()
        found = cached.score_candidates(user, candidates)["click"]
        np.testing.assert_allclose(
            found, scorer.score_candidates(user, candidates)["click"], atol=1e-6
        )
        assert events == computed

    length = len(user["history_item_id"])
    check(user, [length])
    check(user, [])
    check({**user, "time": user["time"] + 10**6}, [])
    check(grown(user, rows[:1]), [1])
    check({**user, "history_item_id": [1] * length}, [length])
    assert len(cached._cache) == 1


def test_a_cache_keeps_within_its_limit(table):
    requests = [sides(row, [row]) for row in table.slice(0, 12).to_pylist()]
    scorer = Scorer(exported())
    scorer._cache.max_bytes = 3 * scorer.encode_user(requests[0][0]).num_bytes
    for user, candidates in requests:
        scorer.score_candidates(user, candidates)
        assert 0 < scorer._cache.num_bytes <= scorer._cache.max_bytes
    with pytest.raises(UserError, match="`cache_bytes` must be 0 or more. Received: cache_bytes=-"):
        Scorer(exported(), cache_bytes=-1)


def test_threads_may_share_a_cache(cached, scorer, table):
    requests = [sides(row, table.slice(0, 5).to_pylist()) for row in table.slice(0, 8).to_pylist()]
    want = [scorer.score_candidates(*one)["click"] for one in requests]

    def work(seed):
        order = np.random.default_rng(seed).permutation(len(requests) * 2) % len(requests)
        return [(at, cached.score_candidates(*requests[at])["click"]) for at in order]

    with ThreadPoolExecutor(4) as pool:
        for results in pool.map(work, range(4)):
            for at, found in results:
                np.testing.assert_allclose(found, want[at], atol=1e-6)

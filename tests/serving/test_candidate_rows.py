import numpy as np
import pyarrow as pa
import pytest
from small_shop import shop_rows, shop_spec

from lmn_tf.serving.candidate_rows import candidate_tables
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

OF_ITEM = ("item", "tags", "tag_weights", "price", "look")


def request(spec, count=3):
    """A user and candidates: the columns of one row, and those of the items of several."""
    rows, _ = shop_rows()
    columns = spec.columns(labels=False)
    user = {name: rows[0][name] for name in columns if name not in OF_ITEM}
    return user, [{name: row[name] for name in OF_ITEM} for row in rows[:count]]


@pytest.mark.parametrize("by_reference", [False, True])
def test_each_row_has_the_columns_of_the_user(by_reference):
    spec = shop_spec(by_reference=by_reference)
    user, candidates = request(spec)
    rows, one = candidate_tables(user, candidates, spec)
    assert set(rows.column_names) == set(spec.columns(labels=False, histories=False))
    for row, candidate in zip(rows.to_pylist(), candidates, strict=True):
        expected = {**user, **candidate}
        assert row == {name: expected[name] for name in rows.column_names}
    assert one.num_rows == 1 and set(one.column_names) == set(user)


def as_columns(candidates):
    return {name: [row[name] for row in candidates] for name in candidates[0]}


@pytest.mark.parametrize("form", [as_columns, pa.Table.from_pylist])
def test_forms_of_candidates(form):
    spec = shop_spec()
    user, candidates = request(spec)
    want, _ = candidate_tables(user, candidates, spec)
    found, _ = candidate_tables(user, form(candidates), spec)
    assert found.to_pylist() == want.to_pylist()


def test_what_candidates_have_in_common_may_be_on_either_side():
    spec = shop_spec()
    user, candidates = request(spec)
    hour = user.pop("hour")
    candidates = [
        {**row, "hour": (hour + at) % 24, "note": at} for at, row in enumerate(candidates)
    ]
    for row in candidates:
        user["price"] = row.pop("price")
    rows, _ = candidate_tables({**user, "note": 1}, candidates, spec)
    assert rows["hour"].to_pylist() == [(hour + at) % 24 for at in range(3)]
    assert rows["price"].to_pylist() == [user["price"]] * 3


def test_histories_are_not_needed_where_none_are_read():
    spec = shop_spec()
    user, candidates = request(spec)
    user = {name: user[name] for name in user if not name.startswith("h_")}
    rows, _ = candidate_tables(user, candidates, spec, histories=False)
    assert rows.num_rows == 3


def edited(change, by_reference=False):
    spec = shop_spec(by_reference=by_reference)
    user, candidates = request(spec)
    change(user, candidates)
    return user, candidates, spec


def rename(values, name, other):
    values[other] = values.pop(name)


def on_both(user, candidates):
    user["price"] = 1.0


def history_beside_items(user, candidates):
    for row in candidates:
        row["h_item"] = user["h_item"]
    del user["h_item"]


def age_beside_items(user, candidates):
    candidates[1]["age"] = user.pop("age")


@pytest.mark.parametrize(
    ("change", "match"),
    [
        (on_both, "`price` must be given in `user` or in `candidates`. Received: both"),
        (history_beside_items, "`h_item` must be given in `user`: all candidates share it"),
        (age_beside_items, "`age` must be given in `user`: .* Received: it in `candidates`"),
        (
            lambda user, _: rename(user, "h_item", "h_itme"),
            "`user` must have the column `h_item`. Did you mean `h_itme`",
        ),
        (
            lambda _, candidates: [rename(row, "price", "prize") for row in candidates],
            "`candidates` must have the column `price`. Did you mean `prize`",
        ),
        (
            lambda _, candidates: rename(candidates[1], "price", "prize"),
            "`candidates` must have the column `price` in each row, .* row 2 .* mean `prize`",
        ),
        (lambda user, _: user.pop("hour"), "`user` must have the column `hour`."),
        (
            lambda _, candidates: candidates.__setitem__(1, 7),
            "`candidates` must be a list of dicts, a dict of columns or a pyarrow.Table. "
            "Received: list: row 2 is 7",
        ),
    ],
)
def test_a_column_on_no_side_or_a_wrong_one(change, match):
    with pytest.raises(UserError, match=match):
        candidate_tables(*edited(change))


def test_something_must_tell_candidates_apart():
    spec = shop_spec()
    user, candidates = request(spec)
    with pytest.raises(UserError, match="`candidates` must have a column that the model reads"):
        candidate_tables({**user, **candidates[0]}, [{"note": 1}], spec)


@pytest.mark.parametrize("user", [None, [{"user": "u1"}]])
def test_a_user_is_a_dict(user):
    with pytest.raises(UserError, match="`user` must be a dict of columns. Received: "):
        candidate_tables(user, [{"item": 3}], shop_spec())


def test_arrays_of_a_user_are_lists():
    spec = shop_spec()
    user, candidates = request(spec)
    found, one = candidate_tables(
        {**user, "h_item": np.array(user["h_item"]), "h_time": tuple(user["h_time"])},
        candidates,
        spec,
    )
    assert one["h_item"].to_pylist() == [user["h_item"]]
    assert one["h_time"].to_pylist() == [user["h_time"]] and found.num_rows == 3


def test_a_user_without_columns_is_one_row():
    document = shop_spec().to_dict()
    features = [feature for feature in document["features"] if feature["name"] == "item"]
    document |= {"features": features, "sequences": [], "group": None, "request_time": None}
    spec = FeatureSpec.from_dict(document)
    rows, one = candidate_tables({}, [{"item": 3}, {"item": 4}], spec, histories=False)
    assert rows.to_pydict() == {"item": [3, 4]}
    assert one.num_rows == 1 and one.column_names == []

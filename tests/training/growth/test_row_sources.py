import copy

import numpy as np
import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.growth.row_sources import (
    check_same_columns,
    merge_assets,
    merge_values,
    row_sources,
)

LEARN = {"learn": {}}
DOCUMENT = {
    "spec_version": 1,
    "name": "shop",
    "labels": [{"name": "click"}],
    "tables": {"item": {"dim": 2}},
    "features": [
        {"name": "item", "role": "item", "kind": "categorical", "lookup": LEARN, "table": "item"},
        {"name": "user", "role": "user", "kind": "categorical", "lookup": {"hash": 5}},
        {"name": "day", "role": "context", "kind": "categorical", "lookup": {"identity": 7}},
        {"name": "price", "role": "item", "kind": "numeric", "transform": ["standardize"]},
    ],
}


def shop(items, mean=0.0, **changes):
    document = copy.deepcopy(DOCUMENT)
    for place, value in changes.items():
        number, key = place.split("_", 1)
        document["features"]["abcd".index(number)][key] = value
    spec = FeatureSpec.from_dict(document)
    spec.assets.vocabularies["item"] = list(items)
    spec.assets.statistics["price"] = {"mean": mean}
    spec.assets.statistics["vocabulary/item"] = {"count": len(items), "learned": {}}
    return spec


def test_old_values_keep_their_ids():
    old, new = shop("abc", mean=1.0), shop("dbe", mean=2.0)
    merge_assets(old, new)
    assert new.assets.vocabularies["item"] == list("abcde")
    assert new.assets.statistics["price"] == {"mean": 1.0}
    assert new.assets.statistics["vocabulary/item"] == {"count": 5, "learned": {}}


def test_a_full_vocabulary_gives_up_rare_values_that_are_gone():
    assert merge_values(list("abc"), list("bd"), max_size=3) == list("abd")
    assert merge_values([1, 2], [2, 3], max_size=4) == [1, 2, 3]
    assert merge_values(list("ab"), list("cd"), max_size=2) == list("cd")


def test_rows_follow_their_values():
    found = row_sources(shop("abc"), shop("cxa", c_lookup={"identity": 8}))
    # Padding, unknown, then c, x (which was unknown) and a.
    np.testing.assert_array_equal(found["item"].values, [0, 1, 4, 1, 2])
    np.testing.assert_array_equal(found["item"].state, [0, 1, 4, -1, 2])
    np.testing.assert_array_equal(found["user"].values, np.arange(7))
    np.testing.assert_array_equal(found["day"].values, [*range(9), 1])
    np.testing.assert_array_equal(found["day"].state, [*range(9), -1])
    assert "price" not in found


def test_what_was_padding_starts_anew():
    lookup = {"learn": {}, "unknown": "padding"}
    found = row_sources(shop("ab", a_lookup=lookup), shop("abx", a_lookup=lookup))
    np.testing.assert_array_equal(found["item"].values, [0, 1, 2, 3, -1])


def with_history(spec, of=("item", "liked"), **lookup):
    """The spec with a history of items, crossed with another field."""
    liked = {"name": "liked", "kind": "categorical", "lookup": lookup or {"identity": 1}}
    history = {
        "name": "seen",
        "max_length": 3,
        "fields": [{"name": "item", "like": "item"}, liked],
        "crosses": [{"name": "item_liked", "of": list(of)}],
    }
    new = FeatureSpec.from_dict({**spec.to_dict(), "sequences": [history]})
    vars(new.assets).update(vars(spec.assets))
    return new


def test_rows_of_combinations_follow_both_values():
    old, new = with_history(shop("ab")), with_history(shop("bxa"), identity=2)
    found = row_sources(old, new)["seen.item_liked"]
    # Of items: padding, unknown, b, x (which was unknown) and a; of likes: 0, 1, 2 and a new one.
    items, likes = (0, 1, 3, 1, 2), (0, 1, 2, 1)
    assert found.values.tolist() == [item * 3 + like for item in items for like in likes]
    items, likes = (0, 1, 3, -1, 2), (0, 1, 2, -1)
    want = [-1 if -1 in (i, j) else i * 3 + j for i in items for j in likes]
    assert found.state.tolist() == want


def test_other_crosses_are_refused():
    old, new = with_history(shop("a")), with_history(shop("a"), of=("liked", "item"))
    with pytest.raises(UserError, match=r"the crosses of .*: seen.item_liked of \['liked"):
        check_same_columns(old, new, "RUN")
    check_same_columns(old, with_history(shop("b")), "RUN")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"b_lookup": {"hash": 9}}, "`lookup.hash` of `user` must stay as in RUN .*, 5. .*hash=9"),
        ({"a_lookup": {"hash": 9}}, "`lookup` of `item` must stay .*, 'learn'. .*lookup='hash'"),
        ({"d_transform": ["log1p"]}, "`transform` of `price` must stay"),
        ({"d_name": "cost"}, "`cost` is in one of them only. Received: item, user, day, cost"),
    ],
)
def test_other_columns_are_refused(changes, message):
    check_same_columns(shop("a"), shop("b", c_lookup={"identity": 9}), "RUN")
    with pytest.raises(UserError, match=message):
        check_same_columns(shop("a"), shop("a", **changes), "RUN")

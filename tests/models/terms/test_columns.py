import pytest
from rated_items import rated_dict, rated_spec

from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns, check_pair_outcome, pair_cross, pair_items
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.yaml.section import Problem


def found(spec, **options):
    columns = Columns.of(spec, RatesOptions(**options))
    user = columns.user and columns.user.name
    sequence = columns.sequence and columns.sequence.name
    return columns.item.name, user, sequence, columns.events, columns.outcome


def test_the_item_is_what_events_are_like():
    assert found(rated_spec()) == ("item", None, "history", "item", None)
    spec = rated_dict()
    spec["features"].insert(1, {**spec["features"][1], "name": "shop"})
    assert found(FeatureSpec.from_dict(spec))[0] == "item"
    assert found(FeatureSpec.from_dict(spec), item="shop") == ("shop", None, None, None, None)


def test_of_several_that_events_are_like_it_is_the_first_of_the_fields():
    spec = rated_dict()
    category = {**spec["features"][1], "name": "category"}
    spec["features"].insert(0, category)
    spec["sequences"][0]["fields"].append({"name": "category", "like": "category"})
    assert found(FeatureSpec.from_dict(spec))[0] == "item"
    spec["sequences"][0]["fields"] = spec["sequences"][0]["fields"][::-1]
    assert found(FeatureSpec.from_dict(spec))[0] == "category"


def test_named_columns():
    assert found(rated_spec(), user="user", outcome="liked") == (
        *("item", "user", "history", "item", "liked"),
    )


def test_a_spec_without_histories_has_its_first_item_feature():
    assert found(rated_spec(sequences=[])) == ("item", None, None, None, None)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"item": "itm"}, "`item` must be a categorical feature of role item. Rec.* Did.*`item`"),
        ({"item": "hour"}, "`item` must be a categorical feature of role item. Rec.*Known: `item`"),
        ({"user": "usr"}, "`user` must be a categorical feature. .*usr'. Did you mean `user`"),
        (
            {"outcome": "like"},
            r"`outcome` must be a categorical field of `history` of the numbers 0 and 1 \(lookup: "
            r"\{identity: 2\}\). Received: outcome='like'. Did you mean `liked`\?",
        ),
        ({"outcome": "item"}, "`outcome` must be .*outcome='item'. Known: `liked`"),
    ],
)
def test_mistakes_are_told(options, message):
    with pytest.raises(UserError, match=message):
        found(rated_spec(), **options)


def test_a_spec_without_items_is_refused():
    with pytest.raises(UserError, match="`rated` must have a categorical feature of role item"):
        found(rated_spec(features=rated_dict()["features"][2:], sequences=[]))


def with_more(fields=(), crosses=()):
    """The spec with a second item feature `brand` and more fields of the history."""
    plain = rated_dict()
    brand = {"name": "brand", "role": "item", "kind": "categorical", "lookup": {"identity": 4}}
    price = {"name": "price", "role": "item", "kind": "numeric"}
    plain["features"] += [brand, price]
    plain["sequences"][0]["fields"] += fields
    plain["sequences"][0]["crosses"] = [{"name": "_".join(of), "of": of} for of in crosses]
    return FeatureSpec.from_dict(plain)


BRAND = {"name": "brand", "like": "brand"}
FLAGS = [
    {"name": name, "kind": "categorical", "lookup": {"identity": size}}
    for name, size in (("bought", 2), ("stars", 5))
]
BOTH = [["brand", "bought"], ["item", "liked"], ["item", "stars"]]


def test_items_are_categorical():
    assert pair_items(with_more([{"name": "price", "like": "price"}])) == {"history": ("item",)}
    assert pair_items(with_more([{"name": "hour", "like": "hour"}, BRAND])) == {
        "history": ("item", "brand")
    }
    plain = rated_dict()
    del plain["sequences"]
    with pytest.raises(
        Problem, match="`sequences` of the feature spec must have a field .*'rated'"
    ):
        pair_items(FeatureSpec.from_dict(plain))


def test_the_cross_is_the_first_one_of_the_item():
    crossed = with_more([BRAND, *FLAGS], BOTH)
    assert pair_cross(crossed, "history", "item").of == ("item", "liked")
    assert pair_cross(crossed, "history", "brand").of == ("brand", "bought")
    assert pair_cross(with_more(), "history", "item") is None


@pytest.mark.parametrize(
    ("items", "outcome", "message"),
    [
        (["item"], None, None),
        (["item"], "liked", None),
        (["brand"], "bought", None),
        (["item", "brand"], "bought", None),
        (
            ["item"],
            "bought",
            r"crossed with the items of `history`\. Received: .*='bought'\. Known: `liked`\.$",
        ),
        (["item"], "stars", "`outcome` must be a field of the numbers 0 and 1"),
        (["item"], "item", r"\(lookup: \{identity: 2\}\) that is crossed"),
        (["item"], "like", r"Received: outcome='like'. Did you mean `liked`\?"),
    ],
)
def test_the_outcome_is_crossed_with_the_items(items, outcome, message):
    crossed = with_more([BRAND, *FLAGS], BOTH)
    if message is None:
        check_pair_outcome(crossed, "history", items, outcome)
        return
    with pytest.raises(Problem, match=message) as caught:
        check_pair_outcome(crossed, "history", items, outcome)
    assert caught.value.path == ("outcome",)


def test_without_a_cross_nothing_is_an_outcome():
    with pytest.raises(Problem, match=r"Received: outcome='liked'"):
        check_pair_outcome(with_more(), "history", ["item"], "liked")

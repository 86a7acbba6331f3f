import pytest
from rated_items import rated_dict, rated_spec

from lmn_tf.models.base.columns import Columns
from lmn_tf.models.options import RatesOptions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec


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

import pytest
from kitchen_sink import slim_spec
from rated_items import rated_dict
from small_shop import shop_rows, shop_spec, write_csv, write_parquet

from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.inspection.named_rows import NamedRows, item_feature, user_column

ROWS, _ = shop_rows(120)


@pytest.mark.parametrize("write", [write_parquet, write_csv])
def test_names_are_those_of_the_files_in_order(tmp_path, write):
    spec = shop_spec(nested=False)
    names = NamedRows(spec, write(tmp_path, ROWS), limit=100)
    assert names.users.tolist() == [row["user"] for row in ROWS[:100]]
    assert names.items.tolist() == [str(row["item"]) for row in ROWS[:100]]
    one = ROWS[7]
    assert names.of_user(one["user"]).tolist() == [row["user"] == one["user"] for row in ROWS[:100]]
    both = [
        n
        for n, row in enumerate(ROWS[:100])
        if row["user"] == one["user"] and row["item"] == one["item"]
    ]
    assert names.of_pair(one["user"], str(one["item"])).tolist() == both


def test_unknown_names_are_refused_with_the_most_similar_one(tmp_path):
    files = write_parquet(tmp_path, ROWS)
    names = NamedRows(shop_spec(), files, limit=100)
    message = (
        r"`--user` must name a user of the first 100 rows of the data\. Received: u55\. "
        r"Did you mean `u5`\? --rows reads more of them\."
    )
    with pytest.raises(UserError, match=message):
        names.of_user("u55")
    whole = NamedRows(shop_spec(), files, limit=500)
    message = r"`--item` must name an item of the data\. Received: 777\.( Did you mean `77?`\?)?$"
    with pytest.raises(UserError, match=message):
        whole.of_pair("u5", "777")
    items = {str(row["item"]) for row in ROWS if row["user"] == "u5"}
    other = next(str(row["item"]) for row in ROWS if str(row["item"]) not in items)
    message = (
        r"`--item` must be the item of a row of the user `u5`\. Received: "
        rf"{other}\. In the data this user has `\d+`, "
    )
    with pytest.raises(UserError, match=message):
        whole.of_pair("u5", other)


def test_columns_of_users_and_items():
    assert user_column(shop_spec()) == "user"
    assert user_column(shop_spec(by_reference=True)) == "user"
    spec = slim_spec()
    assert user_column(spec) == spec.group
    assert item_feature(spec).name == "item"
    features = [feature for feature in spec.to_dict()["features"] if feature["role"] == "item"]
    document = spec.to_dict() | {"features": features, "group": None}
    with pytest.raises(UserError, match="must have a categorical feature of role user for what"):
        user_column(FeatureSpec.from_dict(document))
    user = spec.to_dict()["features"][0]
    assert user["role"] == "user"
    document |= {"features": [user], "sequences": [], "tables": {}}
    assert user_column(FeatureSpec.from_dict(document)) == user["name"]
    with pytest.raises(UserError, match="must have a categorical feature of role item for what"):
        item_feature(FeatureSpec.from_dict(document))


def test_the_item_is_that_of_the_baselines():
    """Also where features and the fields of events are in another order."""
    document = rated_dict()
    fields, item = document["sequences"][0]["fields"], document["features"][1]
    document["features"].insert(0, {**item, "name": "category"})
    fields.append({"name": "category", "like": "category"})
    for want in ("item", "category"):
        spec = FeatureSpec.from_dict(document)
        assert item_feature(spec).name == Columns.of(spec, RatesOptions()).item.name == want
        fields.reverse()


def test_a_spec_without_items_names_none():
    document = rated_dict(features=rated_dict()["features"][2:], sequences=[])
    with pytest.raises(UserError, match="must have a categorical feature of role item for what"):
        item_feature(FeatureSpec.from_dict(document))

import pytest
from kitchen_sink import kitchen_sink_spec

from lmn_tf.features.encoded_column import EncodedColumn

SPEC = kitchen_sink_spec()


@pytest.mark.parametrize(
    ("name", "width", "table", "rank", "weights"),
    [
        ("user", 4, "user", 0, None),
        ("age", 4, "age", 0, None),
        ("income", 1, None, 0, None),
        ("item", 6, "item", 0, None),
        ("tags", 3, "tag", 1, "tags/weights"),
        ("topics", 2, "topic", 1, None),
        ("picture", 5, None, 1, None),
        ("since", 4, "since", 0, None),
        ("age_x_tags", 4, "age_x_tags", 1, None),
    ],
)
def test_every_kind_of_feature(name, width, table, rank, weights):
    column = EncodedColumn.from_column(SPEC, SPEC.feature(name), name)
    assert column == EncodedColumn(name, width, table, rank, weights)


def test_a_field_like_a_feature_shares_its_table():
    column = EncodedColumn.from_column(SPEC, SPEC.resolved_field("clicks", "item"), "clicks/item")
    assert column == EncodedColumn("clicks/item", 6, "item")


def test_a_field_of_its_own_has_a_table_of_its_own():
    column = SPEC.resolved_field("clicks", "elapsed")
    assert EncodedColumn.from_column(SPEC, column, "clicks/elapsed").table == "clicks.elapsed"


def test_a_field_without_a_column_of_weights_is_not_weighted():
    column = SPEC.resolved_field("clicks", "tags")
    assert EncodedColumn.from_column(SPEC, column, "clicks/tags").weights is None

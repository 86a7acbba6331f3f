import pytest

from lmn_tf.models.options import EASEOptions, ItemKNNOptions, RatesOptions, SVDOptions
from lmn_tf.specs.errors import UserError


def test_every_row_names_the_same_columns():
    for record in (RatesOptions, SVDOptions, EASEOptions, ItemKNNOptions):
        assert {"item", "user", "outcome", "recent"} <= set(record.described())


@pytest.mark.parametrize(
    ("record", "values", "message"),
    [
        (RatesOptions, {"shrinkage": 0}, "`shrinkage` must be a number above 0"),
        (RatesOptions, {"rank": 3}, "`rank` must be an option. Received: rank=3"),
        (SVDOptions, {"rank": 0}, "`rank` must be an integer of at least 1"),
        (EASEOptions, {"l2": -1.0}, "`l2` must be a number above 0"),
        (EASEOptions, {"max_items": 1.5}, "`max_items` must be an integer of at least 1"),
        (ItemKNNOptions, {"neighbors": 0}, "`neighbors` must be an integer of at least 1 or null"),
        (ItemKNNOptions, {"outcome": 1}, "`outcome` must be a string or null"),
    ],
)
def test_mistakes_are_told(record, values, message):
    with pytest.raises(UserError, match=message):
        record.make(values)

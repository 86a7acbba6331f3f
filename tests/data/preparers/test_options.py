import pytest

from lmn_tf.data.preparers import PrepareOptions
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"history": "lists"}, "`history` must be one of .*Received: history='lists'"),
        ({"negatives": "hard"}, "`negatives` must be one of"),
        ({"split": "random"}, "`split` must be one of"),
        ({"max_history": 0}, "`max_history` must be at least 1"),
        ({"min_history": -1}, "`min_history` must be at least 0"),
        ({"negatives_per_positive": 0}, "`negatives_per_positive` must be at least 1"),
        ({"threads": 0}, "`threads` must be at least 1"),
        ({"rows_per_file": 0}, "`rows_per_file` must be at least 1"),
        ({"valid_share": -0.1}, "`valid_share` must be from 0 up to 1"),
        ({"test_share": 1.0}, "`test_share` must be from 0 up to 1"),
        ({"max_malformed": 2}, "`max_malformed` must be from 0 up to 1"),
        ({"valid_share": 0.5, "test_share": 0.5}, "must leave rows to train on"),
    ],
)
def test_mistakes(options, message):
    with pytest.raises(UserError, match=message):
        PrepareOptions(**options)


def test_train_share_is_exact():
    assert str(PrepareOptions().train_share) == "0.8"

import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.columns import Field


def test_relevant_keys():
    assert Field(name="a", like="b").relevant_keys() == ("name", "column", "like", "weights")
    assert "transform" in Field(name="a", kind="numeric").relevant_keys()


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "{name: item, like: item}",
            "{name: item}",
            "a field must have `like` or `kind`. Received: neither",
        ),
        ("like: item}", "like: item, table: tag}", "`table` must not be given with `like`"),
        ("like: item}", "like: item, kind: numeric}", "`kind` must not be given with `like`"),
        ("kind: vector, size: 2", "kind: vector", "`size` must be given for kind vector"),
        (
            "kind: vector, size: 2",
            "kind: cross",
            "`sequences[0].fields[5].kind` must be one of 'categorical', 'numeric', "
            "'multi_value', 'elapsed_time' or 'vector'.",
        ),
        (
            "kind: vector, size: 2",
            "kind: vector, size: 2, like: item",
            "`kind` must not be given with `like`, which sets it.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)

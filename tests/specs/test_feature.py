import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.columns import Feature
from lmn_tf.specs.lookup import Lookup


def test_key_is_the_name():
    assert Feature(name="a", role="user", kind="numeric").key == "a"


def test_relevant_keys_are_those_of_the_kind():
    feature = Feature(name="a", role="user", kind="categorical", lookup=Lookup(hash=3))
    assert "max_values" not in feature.relevant_keys()
    assert "lookup" in feature.relevant_keys()


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "name: score, role: user",
            "name: score",
            "`role` must be given in `features[5]` (`score`).",
        ),
        ("name: score, role: user", "name: score, role: usr", "Did you mean `user`?"),
        (
            "name: score",
            "name: my score",
            "`features[5].name` must be letters, digits and underscores, with a letter first.",
        ),
        ("max_values: 5", "max_values: 0", "`features[9].max_values` must be at least 1"),
        ("size: 3", "size: -3", "`features[10].size` must be at least 1. Received: size=-3"),
        (
            "unit: day",
            "unit: week",
            "`features[12].unit` must be one of 'second', 'minute', 'hour' or 'day'.",
        ),
        (
            'separator: ";"',
            'separator: ""',
            "`features[9].separator` must be text of 1 character or more.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)

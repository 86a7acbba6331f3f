import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.feature_spec import FeatureSpec


def test_finds_fields():
    sequence = FeatureSpec.load(FEATURES).sequence("clicks")
    assert sequence.field("price").kind == "numeric"
    with pytest.raises(KeyError, match="`prise` must be a field of `clicks`. Did you mean `price`"):
        sequence.field("prise")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: action", "name: item", "names of fields must differ. Received: 'item' twice"),
        ("name: item_action", "name: tags", "names of fields must differ. Received: 'tags' twice"),
        ("name: item_action", "name: mask", "`name` must not be 'mask'"),
        ("[item, action]", "[item, item]", "`of` must not repeat. Received: 'item' twice"),
        ("[item, action]", "[item]", "`sequences[0].crosses[0].of` must"),
        ("name: action", "name: mask", "`name` must not be 'mask'"),
        ("name: action", "name: first", "`name` must not be 'first'"),
        ("name: action", "name: length", "`name` must not be 'length'"),
        (
            "max_length: 50",
            "max_length: 0",
            "`sequences[0].max_length` must be at least 1. Received: max_length=0",
        ),
        ("max_length: 50", "max_length: .inf", "`sequences[0].max_length` must be an integer."),
        ("keep: oldest", "keep: old", "`sequences[0].keep` must be one of 'newest' or 'oldest'."),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)

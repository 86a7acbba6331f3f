import pytest

from lmn_tf.models.options import IMNOptions, MIMNOptions, SIMOptions, UBR4CTROptions
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize(
    ("record", "values", "key", "message"),
    [
        (MIMNOptions, {"num_slots": 2, "induction_top_k": 3}, "induction_top_k", "`num_slots`, 2"),
        (SIMOptions, {"found_heads": 3}, "found_units", "divisible by `found_heads`. .*=64, .*=3"),
        (
            SIMOptions,
            {"search_field": "tags"},
            "search_field",
            "must be left alone for `search='soft'`, which compares no ids. .*='tags'",
        ),
        (
            UBR4CTROptions,
            {"retrieval": "self_attention", "field_selection": "all"},
            "field_selection",
            "left alone for `retrieval='self_attention'`",
        ),
        (UBR4CTROptions, {"selector_units": 5}, "selector_units", "at least 2, a multiple of 2"),
        (
            IMNOptions,
            {"normalize": "length", "attention_weights": "softmax"},
            "normalize",
            "must be 'none' with softmax weights",
        ),
    ],
)
def test_options_that_do_not_go_together(record, values, key, message):
    [(found, text)] = record.problems(values)
    assert found == key
    with pytest.raises(UserError, match=message):
        record.make(values)
    assert text.startswith(f"`{key}` must")

import pytest

from lmn_tf.models.options.rules import rule_text, type_text


@pytest.mark.parametrize(
    ("schema", "rule", "kind"),
    [
        ({"type": "integer", "minimum": 1}, "an integer of at least 1", "int ≥ 1"),
        ({"type": "integer", "maximum": 2**63 - 1}, "an integer", "int"),
        ({"type": "number", "exclusiveMinimum": 0}, "a number above 0", "float > 0"),
        (
            {"type": "number", "minimum": 0, "exclusiveMaximum": 1},
            "a number of at least 0 and below 1",
            "float ≥ 0, < 1",
        ),
        (
            {"type": "integer", "maximum": 9, "multipleOf": 3},
            "an integer of at most 9, a multiple of 3",
            "int ≤ 9, a multiple of 3",
        ),
        ({"type": "boolean"}, "true or false", "bool"),
        ({"enum": ["a", "b"], "type": "string"}, "one of a, b", "a, b"),
        (
            {"anyOf": [{"type": "string"}, {"type": "null"}]},
            "a string or null",
            "str or null",
        ),
        (
            {"type": "array", "minItems": 1, "items": {"type": "integer"}},
            "a list of 1 or more, each item an integer",
            "list of int",
        ),
    ],
)
def test_texts(schema, rule, kind):
    assert (rule_text(schema), type_text(schema)) == (rule, kind)

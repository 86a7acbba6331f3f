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


@pytest.mark.parametrize(
    ("schema", "kind"),
    [
        ({"type": "integer", "maximum": 2**31 - 3}, "int ≤ 2147483645"),
        ({"type": "integer", "minimum": -(2**63)}, "int"),
        ({"const": 1, "type": "integer"}, "1"),
        ({"$ref": "#/$defs/Train"}, "Train"),
        ({"oneOf": [{"enum": ["a"]}, {"$ref": "#/$defs/B"}]}, "a or B"),
        ({"type": "array", "items": {}}, "list"),
        ({"type": "array", "prefixItems": [{"type": "number"}] * 2}, "list of float"),
        ({"type": "object", "patternProperties": {"^a": {"$ref": "T"}}}, "mapping of names to T"),
        ({"type": "object", "additionalProperties": {"type": "number"}}, "mapping"),
    ],
)
def test_types_in_yaml_files(schema, kind):
    assert type_text(schema) == kind

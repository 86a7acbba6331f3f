"""Texts for the JSON Schema of one value: rules of messages and types of tables."""

from typing import Any

_NOUNS = {
    "integer": "an integer",
    "number": "a number",
    "string": "a string",
    "boolean": "true or false",
    "null": "null",
}
_TYPES = {"integer": "int", "number": "float", "string": "str", "boolean": "bool", "null": "null"}
_LIMITS = (-(2**63), 2**63 - 1)


def rule_text(schema: dict[str, Any]) -> str:
    """Returns the rule of a value, as the text after "must be" in a message.

    Args:
        schema: Dictionary. JSON Schema of the value.

    Example:

    >>> rule_text({"anyOf": [{"type": "integer", "minimum": 2}, {"type": "null"}]})
    'an integer of at least 2 or null'
    >>> rule_text({"enum": ["mean", "sum"], "type": "string"})
    'one of mean, sum'
    """
    if "anyOf" in schema:
        return " or ".join(map(rule_text, schema["anyOf"]))
    if "enum" in schema:
        return "one of " + ", ".join(schema["enum"])
    if schema["type"] == "array":
        length = f" of {schema['minItems']} or more" if "minItems" in schema else ""
        return f"a list{length}, each item {rule_text(schema['items'])}"
    words = [
        ("exclusiveMinimum", "above"),
        ("minimum", "of at least"),
        ("exclusiveMaximum", "below"),
        ("maximum", "of at most"),
    ]
    limits = [f"{word} {_number(schema[key])}" for key, word in words if _is_rule(schema, key)]
    text = " ".join([_NOUNS[schema["type"]], *" and ".join(limits).split()])
    return text + (f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else "")


def type_text(schema: dict[str, Any]) -> str:
    """Returns the type of a value in YAML.

    Args:
        schema: Dictionary. JSON Schema of the value.

    Example:

    >>> type_text({"type": "array", "items": {"type": "integer", "minimum": 1}})
    'list of int ≥ 1'
    >>> type_text({"enum": ["mean", "sum"], "type": "string"})
    'mean, sum'
    >>> type_text({"anyOf": [{"$ref": "#/$defs/Schedule"}, {"type": "null"}]})
    'Schedule or null'
    >>> type_text({"allOf": [{"$ref": "#/$defs/Schedule"}], "default": {}})
    'Schedule'
    """
    # Older versions of Pydantic write a section with a default as `allOf`.
    parts = schema.get("anyOf") or schema.get("oneOf") or schema.get("allOf")
    if parts:
        return " or ".join(dict.fromkeys(map(type_text, parts)))
    if "$ref" in schema:
        return schema["$ref"].rpartition("/")[2]
    if "enum" in schema:
        return ", ".join(schema["enum"])
    if "const" in schema:
        return str(schema["const"])
    if schema["type"] in ("array", "object"):
        return _container_text(schema)
    signs = [
        ("exclusiveMinimum", ">"),
        ("minimum", "≥"),
        ("exclusiveMaximum", "<"),
        ("maximum", "≤"),
    ]
    limits = [f"{sign} {_number(schema[key])}" for key, sign in signs if _is_rule(schema, key)]
    text = " ".join([_TYPES[schema["type"]], *", ".join(limits).split()])
    return text + (f", a multiple of {schema['multipleOf']}" if "multipleOf" in schema else "")


def _container_text(schema):
    if schema["type"] == "array":
        items = schema.get("items") or {"anyOf": schema.get("prefixItems")}
        return f"list of {type_text(items)}" if any(items.values()) else "list"
    values = next(iter(schema.get("patternProperties", {}).values()), {})
    return f"mapping of names to {type_text(values)}" if values else "mapping"


def _is_rule(schema, key):
    # The smallest and the largest 64-bit integer are limits of the type, not rules.
    return key in schema and schema[key] not in _LIMITS


def _number(value):
    return f"{value:g}" if isinstance(value, float) else str(value)

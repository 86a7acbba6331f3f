"""Plain data into sections; what pydantic finds wrong becomes one `UserError` with its line."""

import re

import pydantic

from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.known_keys import known_keys
from lmn_tf.specs.section import Problem
from lmn_tf.specs.strict_yaml import Marks

_RULES = {
    "bool_type": "true or false",
    "int_type": "an integer",
    "int_from_float": "an integer",
    "float_type": "a number",
    "finite_number": "a finite number",
    "string_type": "text",
    "string_too_short": "text of {min_length} character or more",
    "string_too_long": "text of at most {max_length} characters",
    "string_pattern_mismatch": "letters, digits and underscores, with a letter first",
    "tuple_type": "a list",
    "list_type": "a list",
    "dict_type": "a mapping",
    "mapping_type": "a mapping",
    "dataclass_type": "a mapping",
    "greater_than_equal": "at least {ge}",
    "less_than_equal": "at most {le}",
    "greater_than": "greater than {gt}",
    "less_than": "less than {lt}",
    "literal_error": "{expected}",
    "too_short": "a list of {min_length} or more",
    "too_long": "a list of at most {max_length}",
}
_UNKNOWN = ("unexpected_keyword_argument", "extra_forbidden")
_MISSING = ("missing", "missing_argument", "missing_keyword_only_argument")
_WRONG_SHAPE = ("string_type", "tuple_type", "dataclass_type", "dict_type", "int_type")


def parse(cls, data, file=None, marks=None):
    """Returns `cls` made from plain `data`.

    Args:
        cls: A section, such as `FeatureSpec`.
        data: Mapping read from YAML.
        file: Path to name in errors. Defaults to `None`.
        marks: `Marks` of the data. Defaults to `None`: errors name no line.

    Raises:
        UserError: naming the first mistake of the file, with the others in `others`.
    """
    marks = marks if marks is not None else Marks()
    if data is None:
        raise UserError("file must not be empty.", file=file)
    if not isinstance(data, dict):
        raise UserError(
            f"file must hold a mapping. Received: {_shape(data)}", file=file, line=marks.line(())
        )
    try:
        return cls(**{_require_text(key): value for key, value in data.items()})
    except pydantic.ValidationError as error:
        problems = _explain(cls, error, data)
    except RecursionError:
        problems = [((), "nesting must be less deep.")]
    errors = [UserError(message, file, marks.line(path)) for path, message in problems]
    raise UserError(errors[0].message, file, errors[0].line, others=errors[1:])


def _require_text(key):
    if not isinstance(key, str):
        raise UserError(f"a key must be text. Received: {short(key)}")
    return key


def _shape(value):
    names = {list: "a list", str: "text", bool: "true or false", int: "a number", float: "a number"}
    return names.get(type(value), type(value).__name__)


def _explain(cls, error, data):
    """Returns `(path, message)` of each mistake: misspelt keys first, then in the file's order."""
    found = [(_path(item, data), item) for item in error.errors(include_url=False)]
    groups = {}
    for path, item in found:
        groups.setdefault(path, []).append(item)
    problems = []
    for path, items in groups.items():
        # Of a union's branches, the one that got furthest is the one that was meant.
        deeper = any(len(other) > len(path) and other[: len(path)] == path for other in groups)
        if deeper and all(item["type"] in _WRONG_SHAPE for item in items):
            continue
        rank = 0 if items[0]["type"] in _UNKNOWN else 1
        problems.append((rank, *_message(cls, path, items, data)))
    order = sorted(problems, key=lambda problem: (problem[0], _order(problem[1])))
    return [(path, message) for _, path, message in order]


def _order(path):
    return tuple((0, part, "") if isinstance(part, int) else (1, 0, part) for part in path)


def _path(item, data):
    """Returns the error's place in `data`: pydantic's, without its marks of union branches."""
    path, value = [], data
    location = list(item["loc"])
    last = location.pop() if location and item["type"] in (*_UNKNOWN, *_MISSING) else None
    for part in location:
        if isinstance(value, dict) and part in value and isinstance(part, str):
            path.append(part)
            value = value[part]
        elif isinstance(value, (list, tuple)) and isinstance(part, int) and part < len(value):
            path.append(part)
            value = value[part]
    if last is not None:
        path.append(last)
    return tuple(path)


def _message(cls, path, items, data):
    item = items[0]
    cause = item.get("ctx", {}).get("error")
    if isinstance(cause, Problem):
        path = path + cause.path
        message = cause.message
        if message.startswith(("must ", "needs ")):
            message = f"`{dotted(path)}` {message}"
        return path, message + _inside(path, data)
    if item["type"] in _UNKNOWN:
        keys = known_keys(cls, path[:-1])
        message = (
            f"unknown key `{path[-1]}`{_owner(path[:-1], data)}.{did_you_mean(path[-1], keys)}"
        )
        return path, message
    if item["type"] in _MISSING:
        present = _get(data, path[:-1])
        keys = f" Received: {', '.join(present)}" if isinstance(present, dict) and present else ""
        return path[:-1], f"`{path[-1]}` must be given{_owner(path[:-1], data)}.{keys}"
    rules = list(dict.fromkeys(_rule(item) for item in items))
    value = _get(data, path)
    name = dotted(path) or "value"
    text = f"`{name}` must be {' or '.join(rules)}. Received: {name}={short(value)}"
    if item["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        hint = did_you_mean(value, choices)
        text += "." + hint if "Did you mean" in hint else ""
    return path, text + _inside(path, data)


def _rule(item):
    rule = _RULES.get(item["type"])
    if rule is None:
        return item["msg"][:1].lower() + item["msg"][1:]
    text = rule.format(**item.get("ctx", {}))
    return f"one of {text}" if item["type"] == "literal_error" and "or" in text else text


def dotted(path):
    """Returns a path as text: `features[2].lookup`."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}"
    return text.removeprefix(".")


def _get(data, path):
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def _name_at(path, data):
    """Returns the name that the nearest named section around `path` bears, or `None`."""
    for length in range(len(path), 0, -1):
        value = _get(data, path[:length])
        if isinstance(value, dict) and isinstance(value.get("name"), str):
            return value["name"] if isinstance(path[length - 1], int) else None
    return None


def _inside(path, data):
    name = _name_at(path[:-1], data)
    return "" if name is None else f" (in `{name}`)"


def _owner(path, data):
    if not path:
        return ""
    name = _name_at(path, data)
    return f" in `{dotted(path)}`" + ("" if name is None else f" (`{name}`)")

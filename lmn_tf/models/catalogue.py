"""What the models' sources say of them: the manual page of each, without importing TensorFlow."""

import ast
import functools
import pathlib
import re

from lmn_tf.models import registry
from lmn_tf.specs import strict_yaml
from lmn_tf.specs.pipeline_base import inherited

_SECTION = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)?):\n", re.M)
_ENTRY = re.compile(r"^(?=\*{0,2}\w+: )", re.M)
_DEFAULT = re.compile(r"\s*Defaults\s+to\s+`[^`]*`(?::\s*([^.]*))?\.")
_TYPE_WORDS = re.compile(r"^(?:Integer|Float|Boolean|String|Tuple of integers)\.\s*")
_CHOICES = re.compile(r"^(?:`[^`]*`(?:,? or |, )?)+\.?$")
_FORMULA = re.compile(r"`(logits? = [^`]+)`")
_EQUATION = re.compile(r"`(\w+ = [^`]+)`")
_CHECKOUT = ("feature_specs", "pipelines")


def describe(name):
    """Describes a model from its source.

    Args:
        name: String. A registered model name.

    Returns:
        Dictionary of `name`, `class`, `file`, `summary`, `description`, `formula`, `options`,
        `complexity`, `references` and `pipelines`. Each option has its `name`, `type`, `default`,
        `meaning`, and in `of` the class that has it. What the source does not say is `None`.
        A `formula` that the class does not give is that of the class it derives from. `pipelines`
        are files of the checkout that the package, or else the current folder, stands in;
        a model without a pipeline of its own has the first comparison that trains it.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> describe("dnn")["formula"]
    'logit = MLP(concat[user, item, context, cross])'
    """
    classes = registry.classes(name)
    summary, _, description = _opening(classes[0]).partition("\n")
    sections = _sections(classes[0].docstring)
    return {
        "name": name,
        "class": classes[0].name,
        "file": registry.MODELS[name].partition(":")[0].replace(".", "/") + ".py",
        "summary": summary,
        "description": description.strip(),
        "formula": next(filter(None, map(_formula, classes)), None),
        "options": [_option(option, classes) for option in registry.options(name).values()],
        "complexity": _reflowed(sections.get("Complexity", "")) or None,
        "references": _items(sections.get("Reference", "")),
        "pipelines": list(_pipelines(_checkout()).get(name, ())),
    }


def _opening(one):
    """What stands before the sections of a class's docstring."""
    return _SECTION.split(one.docstring, maxsplit=1)[0]


def _formula(one):
    """The formula of the logit, else all equations there are."""
    text = _reflowed(_opening(one))
    found = _FORMULA.findall(text)[:1] or _EQUATION.findall(text)
    return "; ".join(dict.fromkeys(found))


def type_text(annotation):
    """Returns the type of an option as one writes it in YAML.

    Example:

    >>> type_text("tuple[int, ...] | None"), type_text("Literal['mean', 'sum']")
    ('list of int or null', 'mean, sum')
    """
    return _type_text(ast.parse(annotation, mode="eval").body)


def _type_text(rule):
    if isinstance(rule, ast.BinOp):
        return f"{_type_text(rule.left)} or {_type_text(rule.right)}"
    if isinstance(rule, ast.Constant):
        return value_text(rule.value)
    if isinstance(rule, ast.Subscript) and rule.value.id == "Literal":
        parts = rule.slice.elts if isinstance(rule.slice, ast.Tuple) else [rule.slice]
        return ", ".join(str(part.value) for part in parts)
    if isinstance(rule, ast.Subscript):
        return f"list of {_type_text(rule.slice.elts[0])}"
    return rule.id


def value_text(value):
    """Returns a value as one writes it in YAML.

    Example:

    >>> value_text((200, 80)), value_text(None), value_text(True), value_text("mean")
    ('[200, 80]', 'null', 'true', 'mean')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _option(option, classes):
    owner = next(one for one in classes if option in one.options)
    return {
        "name": option.name,
        "type": type_text(option.annotation),
        "default": value_text(option.default),
        "meaning": _meaning(option.name, classes),
        "of": owner.name,
    }


def _meaning(option, classes):
    """What the docstring of the nearest class says of an option, but for type and default."""
    for one in classes:
        for entry in _ENTRY.split(_sections(one.docstring).get("Args", "")):
            name, _, text = entry.partition(": ")
            if name != option:
                continue
            text = _TYPE_WORDS.sub("", _reflowed(text))
            text = _DEFAULT.sub(lambda m: f" By default {m[1]}." if m[1] else "", text).strip()
            return "" if _CHOICES.match(text) else text
    return ""


def _sections(docstring):
    """Maps the title of each section to its text."""
    parts = _SECTION.split(docstring)
    return {title: _undented(text) for title, text in zip(parts[1::2], parts[2::2], strict=True)}


def _reflowed(text):
    return " ".join(text.split())


def _items(text):
    """The items of a list, or the text as the only one."""
    items = re.split(r"^- ", text, flags=re.M)
    return [_reflowed(item) for item in items if item.strip()]


def _undented(text):
    lines = [line.removeprefix("    ") for line in text.strip("\n").split("\n")]
    return "\n".join(lines).strip()


def _checkout():
    """The repository's root, or `None` where there is only the installed package."""
    here = pathlib.Path.cwd()
    places = (pathlib.Path(__file__).resolve().parents[2], here, *here.parents)
    return next((one for one in places if all((one / name).is_dir() for name in _CHECKOUT)), None)


@functools.cache
def _pipelines(checkout):
    """Maps each model to the files of the repository that train it."""
    own, compared = {}, {}
    for path in sorted((checkout / "pipelines").glob("*.yaml")) if checkout else ():
        data, marks = strict_yaml.load(path)
        if "pipeline_version" in data:
            data, _ = inherited(data, path.parent, path, marks)
            own.setdefault(data["model"]["name"], []).append(f"pipelines/{path.name}")
        for entry in data.get("models", ()):
            compared.setdefault(entry["model"]["name"], [f"pipelines/{path.name}"])
    return {**compared, **own}

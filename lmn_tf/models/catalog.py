"""Descriptions of models from their docstrings, without importing TensorFlow."""

import ast
import functools
import importlib.util
import pathlib
import re
import sys
from typing import Any

from lmn_tf.models import registry
from lmn_tf.models.options.rules import type_text
from lmn_tf.specs import docstrings
from lmn_tf.specs.pipeline_base import inherited
from lmn_tf.specs.yaml import strict_yaml

_FORMULA = re.compile(r"`(logits? = [^`]+)`")
_EQUATION = re.compile(r"`(\w+ = [^`]+)`")
_CHECKOUT = ("feature_specs", "pipelines")


def describe(name: str) -> dict[str, Any]:
    """Describes a model by its docstring and its options.

    The module of a model of a user is imported, since its class has its options.

    Args:
        name: String. Name or path of a model.

    Returns:
        Dictionary of `name`, `class`, `file`, `summary`, `description`, `formula`, `options`,
        `complexity`, `references` and `pipelines`. Each option has its `name`, `type`, `default`
        and `meaning`, and in `of` its class. Missing sections of the docstring are `None`.
        `pipelines` are files of the repository that contains the package, or else the current
        folder; a model without a pipeline has the first comparison that trains it.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> describe("dnn")["formula"]
    'logit = MLP(concat[user, item, context, cross])'
    """
    options = registry.options(name)
    module, class_name, file = _place(name)
    docstring = _docstring(module, class_name)
    opening = docstrings.opening(docstring)
    summary, _, description = opening.partition("\n")
    sections = docstrings.sections(docstring)
    return {
        "name": name,
        "class": class_name,
        "file": file,
        "summary": summary,
        "description": description.strip(),
        "formula": _formula(opening),
        "options": [_option(option) for option in options.values()],
        "complexity": _reflowed(sections.get("Complexity", "")) or None,
        "references": _items(sections.get("Reference", "")),
        "pipelines": list(_pipelines(_checkout()).get(name, ())),
    }


def _place(name):
    """Returns the module, the name and the file of the class of a model."""
    if name in registry.PARTS.builtin:
        module, class_name = registry.PARTS.builtin[name].split(":")
        return module, class_name, module.replace(".", "/") + ".py"
    cls = registry.model_class(name)  # its path may be another one than that of its definition
    file, here = pathlib.Path(sys.modules[cls.__module__].__file__), pathlib.Path.cwd()
    file = file.relative_to(here) if file.is_relative_to(here) else file
    return cls.__module__, cls.__name__, str(file)


def _docstring(module, class_name):
    """Docstring of a class, parsed from its file: an import would load TensorFlow."""
    path = pathlib.Path(importlib.util.find_spec(module).origin)
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    classes = [node for node in nodes if isinstance(node, ast.ClassDef)]
    docstrings = [ast.get_docstring(node) for node in classes if node.name == class_name]
    return (docstrings and docstrings[0]) or ""


def _formula(opening):
    """Formula of the logit, otherwise all equations, otherwise `None`."""
    text = _reflowed(opening)
    equations = _FORMULA.findall(text)[:1] or _EQUATION.findall(text)
    return "; ".join(dict.fromkeys(equations)) or None


def value_text(value: Any) -> str:
    """Returns a value as YAML text.

    Example:

    >>> value_text((200, 80)), value_text(None), value_text(True), value_text("mean")
    ('[200, 80]', 'null', 'true', 'mean')
    """
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(value_text, value))}]"
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    return str(value)


def _option(option):
    return {
        "name": option.name,
        "type": type_text(option.schema),
        "default": value_text(option.default),
        "meaning": option.meaning,
        "of": option.owner,
    }


def _reflowed(text):
    return " ".join(text.split())


def _items(text):
    """Items of a list, or the text as a single item."""
    items = re.split(r"^- ", text, flags=re.M)
    return [_reflowed(item) for item in items if item.strip()]


def _checkout():
    """Root of the repository, or `None` for an installed package."""
    here = pathlib.Path.cwd()
    folders = (pathlib.Path(__file__).resolve().parents[2], here, *here.parents)
    return next(
        (folder for folder in folders if all((folder / name).is_dir() for name in _CHECKOUT)), None
    )


@functools.cache
def _pipelines(checkout):
    """Maps each model to the files of the repository that train it."""
    trained, compared = {}, {}
    for path in sorted((checkout / "pipelines").glob("*.yaml")) if checkout else ():
        data, marks = strict_yaml.load(path)
        if "pipeline_version" in data:
            data, _ = inherited(data, path.parent, path, marks)
            if "model" in data:  # a base may leave the model to pipelines that extend it
                trained.setdefault(data["model"]["name"], []).append(f"pipelines/{path.name}")
        for entry in data.get("models", ()):
            compared.setdefault(entry["model"]["name"], [f"pipelines/{path.name}"])
    return {**compared, **trained}

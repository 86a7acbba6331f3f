"""JSON Schema of the YAML files, for validation in editors."""

import copy
import dataclasses
import inspect
import json
import re
import typing
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import TypeAdapter

from lmn_tf.specs.columns import LIKED_KEYS, Feature, Field, Kind, column_options
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.docstrings import arguments
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import LOOKUP_METHODS
from lmn_tf.specs.parts.parts import PATH_PATTERN
from lmn_tf.specs.pipeline_spec import PipelineSpec

_TITLES = {"feature spec": FeatureSpec, "pipeline": PipelineSpec, "comparison": ComparisonSpec}
_GIVEN = {"not": {"type": "null"}}
_ON_BASE = "OnBase"  # suffix of definitions whose missing keys come from a base


def json_schema(
    models: Mapping[str, dict[str, Any]] | None = None, own_models: Sequence[str] = ()
) -> dict[str, Any]:
    """Returns a JSON Schema (Draft 2020-12) that accepts every kind of YAML file.

    It covers keys with their meanings, types, ranges and choices, and the keys of each kind of
    column. Rules that involve several parts of a file (does `like` name a feature?) are checked by
    `lmn-tf check`.

    Args:
        models: Mapping from the name of each model to the JSON Schema of its options. Defaults to
            `None`: any model with any options.
        own_models: Names of models of installed packages, with any options. Defaults to `()`.

    Example:

    >>> json_schema()["$schema"]
    'https://json-schema.org/draft/2020-12/schema'
    """
    definitions, kinds = {}, []
    for title, cls in _TITLES.items():
        schema = TypeAdapter(cls).json_schema(ref_template="#/$defs/{model}")
        definitions.update(schema.pop("$defs", {}))
        definitions[cls.__name__] = schema
        kinds.append({"title": title, "$ref": f"#/$defs/{cls.__name__}"})
    _add_rules(definitions)
    definitions.update(
        {_of_model(name): _with_name(options) for name, options in (models or {}).items()}
    )
    for owner in ("PipelineSpec", "ComparisonModel"):
        definitions[owner]["properties"]["model"] = _model_schema(models, own_models)
    _add_pipelines_on_a_base(definitions)
    kinds.append({"title": "pipeline on a base", "$ref": f"#/$defs/PipelineSpec{_ON_BASE}"})
    classes = sections()
    for name, definition in definitions.items():
        _describe(definition, classes.get(name.removesuffix(_ON_BASE)))
        _shorten(definition)
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "lmn_tf",
        "oneOf": kinds,
        "$defs": definitions,
    }


def sections() -> dict[str, type]:
    """Returns the classes of the sections of YAML files by name, beginning with whole files.

    Example:

    >>> list(sections())[:4]
    ['FeatureSpec', 'PipelineSpec', 'ComparisonSpec', 'Label']
    """
    waiting, found = list(_TITLES.values()), {}
    for cls in waiting:  # which grows
        found[cls.__name__] = cls
        for kind in typing.get_type_hints(cls).values():
            waiting += [below for below in _sections_in(kind) if below not in waiting]
    return found


def _sections_in(kind):
    if dataclasses.is_dataclass(kind):
        return [kind]
    return [below for inner in typing.get_args(kind) for below in _sections_in(inner)]


def _add_pipelines_on_a_base(definitions):
    """Adds definitions of a pipeline with a `base`, in which no other key is required."""
    waiting, copied = ["PipelineSpec"], {}
    while waiting:
        name = waiting.pop()
        if name not in copied:
            text = json.dumps({k: v for k, v in definitions[name].items() if k != "required"})
            copied[name] = json.loads(re.sub(r'"#/\$defs/\w+', rf"\g<0>{_ON_BASE}", text))
            waiting += re.findall(r'"#/\$defs/(\w+)"', text)
    definitions.update({f"{name}{_ON_BASE}": copy for name, copy in copied.items()})
    pipeline = copied["PipelineSpec"]
    pipeline["required"] = ["pipeline_version", "base"]
    pipeline["properties"]["base"] = {"type": "string", "minLength": 1}
    pipeline["properties"]["model"].pop("required")
    definitions["PipelineSpec"]["properties"]["base"] = {"type": "null"}


def _describe(definition, cls):
    """Adds to each key what docstrings say. Required keys come first, others in their order."""
    properties, required = definition["properties"], definition.get("required", ())
    meanings = {}
    for base in reversed(cls.__mro__ if cls else ()):
        meanings |= arguments(inspect.cleandoc(base.__doc__ or ""))
    definition["properties"] = {
        key: {**properties[key], "description": meanings[key]}
        if key in meanings
        else properties[key]
        for key in sorted(
            dict.fromkeys([*meanings, *properties]), key=lambda key: key not in required
        )
        if key in properties
    }


def _shorten(definition):
    """Keeps the first line of a docstring, as editors show it in a small box."""
    if "description" in definition:
        definition["description"] = definition["description"].strip().splitlines()[0]


def _model_schema(models, own_models):
    name = {"type": "string", "minLength": 1}
    schema = {"type": "object", "properties": {"name": name}, "required": ["name"]}
    if models is None:
        return schema
    name["anyOf"] = [{"enum": [*models, *own_models]}, {"pattern": PATH_PATTERN}]
    rules = [
        {
            "if": {"required": ["name"], "properties": {"name": {"const": model}}},
            "then": {"$ref": f"#/$defs/{_of_model(model)}"},
        }
        for model in models
    ]
    return {**schema, "allOf": rules}


def _of_model(name):
    return f"model_{name}"


def _with_name(options):
    return {**options, "properties": {"name": True, **options["properties"]}}


def _add_rules(definitions):
    definitions["Lookup"]["oneOf"] = [
        {"required": [method], "properties": {method: _GIVEN}} for method in LOOKUP_METHODS
    ]
    definitions["FeatureSpec"]["properties"]["tables"]["additionalProperties"] = False
    kinds = typing.get_args(Kind)
    definitions["Feature"]["allOf"] = [_kind_rule(kind, Feature) for kind in kinds]
    field = definitions["Field"]
    field["if"] = {"required": ["like"], "properties": {"like": _GIVEN}}
    field["then"] = {"properties": {key: _unset(getattr(Field, key)) for key in LIKED_KEYS}}
    field["else"] = {
        "required": ["kind"],
        "properties": {"kind": _GIVEN},
        "allOf": [_kind_rule(kind, Field) for kind in kinds if kind != "cross"],
    }


def _kind_rule(kind, cls):
    options = column_options(cls)
    needed = [key for key, option in options.items() if option.is_needed and kind in option.kinds]
    unused = {key: option for key, option in options.items() if kind not in option.kinds}
    return {
        "if": {"required": ["kind"], "properties": {"kind": {"const": kind}}},
        "then": {
            "required": needed,
            "properties": {
                **{key: _unset(option.default) for key, option in unused.items()},
                **{key: copy.copy(_GIVEN) for key in needed},
            },
        },
    }


def _unset(default):
    """Returns the schema of an option that may only have its default value."""
    return {"const": [] if default == () else default}

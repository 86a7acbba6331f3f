"""`lmn-tf schema`: the JSON Schema of the YAML files, and the page of their keys."""

import inspect
import json
import re

import click

_FILES = {"FeatureSpec": "Feature spec", "PipelineSpec": "Pipeline", "ComparisonSpec": "Comparison"}
_IN_YAML = {"`None`": "`null`", "`True`": "`true`", "`False`": "`false`", "`()`": "`[]`"}
_TYPE = re.compile(r"^(?:Integer|Float|Boolean|String|Mapping)(?: or `None`)?\. ")  # has a column


def page() -> str:
    """Returns the page of all keys of the YAML files."""
    from lmn_tf.specs.schema import json_schema, sections

    definitions, classes = json_schema()["$defs"], sections()
    # A pipeline with a base has a definition of its own, in which nothing else is required.
    definitions["PipelineSpec"]["properties"]["base"]["type"] = "string"
    lines = [
        "# Keys of the YAML files",
        "",
        "Written by `lmn-tf schema --markdown` from the docstrings. A file is a feature spec, a",
        "pipeline or a comparison; `lmn-tf check FILE` validates it. `lmn-tf schema` prints the",
        "same keys as a JSON Schema, with which editors complete and check them.",
        "",
    ]
    shown = set()
    for file, title in _FILES.items():
        for name in _below(file, definitions):
            if name not in shown:
                shown.add(name)
                lines += _section(title if name == file else name, classes[name], definitions[name])
    return "\n".join(lines)


def _below(name, definitions):
    """Returns the names of a section and of those in its keys, each after the one that has it."""
    inner = re.findall(r"#/\$defs/(\w+)", json.dumps(definitions[name]["properties"]))
    names = [name, *(below for part in inner for below in _below(part, definitions))]
    return list(dict.fromkeys(names))


def _section(title, cls, definition) -> list[str]:
    """Returns the lines of a section: what it is, and a table of its keys."""
    from lmn_tf.specs import docstrings
    from lmn_tf.training.evaluation.metrics_table import markdown_table

    kinds = _kinds(cls)
    rows = [
        [f"`{key}`", *_cells(key, schema, key in definition.get("required", ())), kinds.get(key)]
        for key, schema in definition["properties"].items()
    ]
    titles = ["key", "type", "default", "meaning", "kinds of columns"]
    if not kinds:
        titles, rows = titles[:-1], [row[:-1] for row in rows]
    text = docstrings.opening(inspect.getdoc(cls))
    level = "##" if title in _FILES.values() else "###"
    table = markdown_table(titles, [[cell or "" for cell in row] for row in rows], padded=False)
    return [f"{level} {title}", "", text, "", *table, ""]


def _kinds(cls) -> dict[str, str]:
    """Returns the kinds of columns that have each option, for features and fields."""
    from lmn_tf.specs.columns import Column, column_options

    if not issubclass(cls, Column):
        return {}
    options = column_options(cls)
    return {
        key: ", ".join(options[key].kinds) if key in options else "all"
        for key in cls.__dataclass_fields__
    }


def _cells(key, schema, required) -> list[str]:
    """Returns type, default and meaning of a key."""
    from lmn_tf.models.catalog import value_text
    from lmn_tf.models.options.rules import type_text

    kind, meaning = type_text(schema), _TYPE.sub("", schema["description"])
    default = re.search(r" *Defaults to (`[^`]*`)\.$", meaning)
    if default:
        meaning = meaning[: default.start()]
    if required:
        default = "required"
    elif "default" in schema and not isinstance(schema["default"], dict):
        default = f"`{value_text(schema['default'])}`"
    else:
        default = default[1] if default else ""
    if key == "model":
        meaning += " See [all models](../lmn_tf/models/README.md)."
    for python, yaml in _IN_YAML.items():
        meaning = meaning.replace(python, yaml)
    return [re.sub(r"\b[A-Z]\w+", _link, kind), default, meaning]


def _link(match) -> str:
    return f"[{match[0]}](#{match[0].lower()})"


@click.command()
@click.option("--markdown", is_flag=True, help="Print a page with all keys in Markdown instead.")
def schema(markdown: bool) -> None:
    """Print the JSON Schema of feature specs, pipelines and comparisons.

    It knows the models of installed packages by name, without their options, and accepts the path
    module:Class of any part.

    Example: lmn-tf schema > lmn_tf.schema.json
    """
    from lmn_tf.models import registry
    from lmn_tf.specs.schema import json_schema

    if markdown:
        click.echo(page(), nl=False)
        return
    names = (*registry.names(), *registry.baselines())
    models = {name: registry.record(name).json_schema() for name in names}
    own = [name for name in registry.PARTS.names() if name not in models]
    click.echo(json.dumps(json_schema(models, own), indent=2))

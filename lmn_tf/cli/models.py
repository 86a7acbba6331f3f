"""`lmn-tf models`."""

import json
import re

import click

from lmn_tf.models import catalog, registry
from lmn_tf.training.evaluation.metrics_table import markdown_table

_BASE = "CTRModel"
_EVERY = "Options of every model"
_NAMES = (*registry.names(), *registry.baselines())


def page() -> str:
    """Returns the page of all models, which is committed as `lmn_tf/models/README.md`."""
    models = [catalog.describe(name) for name in _NAMES]
    lines = [
        "# Models",
        "",
        "Written by `lmn-tf models --markdown` from the docstrings: change those. On the terminal,",
        "`lmn-tf models` lists the models and `lmn-tf models NAME` shows one with all its options.",
        "In a pipeline: `model: {name: NAME, OPTION: VALUE, ...}`.",
        f"{', '.join(f'`{name}`' for name in registry.baselines())} have no network: they are",
        "rows of comparisons (`lmn-tf compare`), to see what counts and linear models reach.",
        "",
        *markdown_table(
            ["name", "class", "what it is"],
            [
                [f"[`{model['name']}`](#{model['name']})", f"`{model['class']}`", model["summary"]]
                for model in models
            ],
            padded=False,
        ),
        "",
    ]
    for model in models:
        lines += [section(model), ""]
    base = [option for option in models[0]["options"] if option["of"] == _BASE]
    return "\n".join([*lines, f"## {_EVERY}", "", *_options(base), ""])


def section(model: dict) -> str:
    """Returns the section of a model on the page.

    Args:
        model: Dictionary returned by `catalog.describe`.
    """
    file = model["file"].removeprefix("lmn_tf/models/")  # beside the page
    lines = [f"## {model['name']}", "", f"`{model['class']}` in [`{file}`]({file}). "]
    lines[-1] += model["summary"]
    lines += ["", _on_the_page(model["description"]), ""]
    elsewhere = _elsewhere(model)
    options = [option for option in model["options"] if option["of"] not in elsewhere]
    if options:
        lines += [*_options(options), ""]
    if elsewhere:
        *others, last = dict.fromkeys(elsewhere.values())
        links = f"{', '.join(others)} and {last}" if others else last
        lines += [f"{'Also the' if options else 'The'} options of {links}.", ""]
    if model["complexity"]:
        lines.append(f"- **Cost**: {model['complexity']}")
    lines += [f"- **Reference**: {reference}" for reference in model["references"]]
    if model["pipelines"]:
        files = [
            f"[`{pipeline.rpartition('/')[2]}`](../../{pipeline})"
            for pipeline in model["pipelines"]
        ]
        lines.append(f"- **Run by**: {', '.join(files)}")
    return "\n".join(lines)


def _elsewhere(model: dict) -> dict:
    """Maps classes whose options are in other sections of the page to links to these."""
    links, records = {}, _records(model["name"])
    for record in records:
        owner = record.__name__.removesuffix("Options")
        if owner == _BASE:
            links[owner] = f"[every model](#{_EVERY.lower().replace(' ', '-')})"
            continue
        name = _home(record)
        # A model that has only some of the options of a section lists them itself.
        if name != model["name"] and all(
            base in records for base in _records(name) if _home(base) == name
        ):
            links[owner] = f"[`{name}`](#{name})"
    return links


def _records(name: str) -> list:
    """Returns the records that declare options of a model, nearest first."""
    owners = {option.owner for option in registry.options(name).values()}
    records = registry.record(name).__mro__
    return [record for record in records if record.__name__.removesuffix("Options") in owners]


def _home(record) -> str:
    """Returns the model whose section lists the options of a record."""
    names = {registry.record(name): name for name in _NAMES}
    return names.get(record) or next(name for name in _NAMES if record in _records(name))


def _options(options: list[dict]) -> list[str]:
    rows = [
        [f"`{option['name']}`", option["type"], f"`{option['default']}`", option["meaning"]]
        for option in options
    ]
    return markdown_table(["option", "type", "default", "meaning"], rows, padded=False)


def _on_the_page(description: str) -> str:
    """Reduces indentation that Markdown would read as code."""
    return re.sub(r"^ {4,}", "  ", description, flags=re.M)


@click.command()
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Print Markdown: without NAME, the models page.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(name: str | None, markdown: bool, as_json: bool) -> None:
    """List the models, or show one with its formula, options, cost and reference.

    NAME is also that of a model of an installed package, or the path module:Class of a class.

    \b
    Example:
      lmn-tf models
      lmn-tf models lmn
      lmn-tf models my_package.towers:TwoTower
    """
    from lmn_tf.cli import models as models_page
    from lmn_tf.models import catalog

    descriptions = [catalog.describe(model_name) for model_name in ([name] if name else _NAMES)]
    if as_json:
        click.echo(
            json.dumps(descriptions[0] if name else descriptions, indent=2, ensure_ascii=False)
        )
    elif markdown:
        click.echo(
            models_page.section(descriptions[0]) if name else models_page.page(), nl=bool(name)
        )
    elif name:
        _show(descriptions[0])
    else:
        _list(descriptions)


def _list(descriptions) -> None:
    table = _table("name", "class", "what it is")
    for model in descriptions:
        table.add_row(model["name"], model["class"], model["summary"])
    for name, points in sorted(registry.PARTS.installed().items()):
        for point in points:  # not imported: only a model that is asked for is
            table.add_row(name, point.value, f"Model of {point.dist.name} {point.dist.version}.")
    _console().print(table)


def _show(model) -> None:
    console = _console()
    console.print(f"{model['name']} ({model['class']}, {model['file']})", style="bold")
    console.print(model["summary"], *_paragraphs(model["description"]), sep="\n\n", end="\n\n")
    table = _table("option", "type", "default", "meaning", "of")
    for option in model["options"]:
        table.add_row(*(option[key] for key in ("name", "type", "default", "meaning", "of")))
    console.print(table)
    if model["complexity"]:
        console.print(f"\ncost: {model['complexity']}")
    for text in model["references"]:
        console.print(f"\nreference: {text}")
    if model["pipelines"]:
        console.print(f"\nrun by: {', '.join(model['pipelines'])}")


def _paragraphs(text) -> list[str]:
    """Returns paragraphs without the line breaks of the source, except before list items."""
    return [re.sub(r"\n(?!- )\s*", " ", paragraph) for paragraph in re.split(r"\n\s*\n", text)]


def _table(*titles):
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    return table


def _console():
    from rich.console import Console

    # Brackets of formulas must not be read as markup.
    return Console(markup=False, highlight=False)

"""`lmn-tf models`."""

import json
import re

import click


@click.command()
@click.argument("name", required=False)
@click.option("--markdown", is_flag=True, help="Print Markdown: without NAME, the models page.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def models(name, markdown, as_json):
    """List the models, or show one with its formula, options, cost and reference.

    \b
    Example:
      lmn-tf models
      lmn-tf models lmn
    """
    from lmn_tf.cli import models_page
    from lmn_tf.models import catalogue, registry

    found = [catalogue.describe(one) for one in ([name] if name else registry.names())]
    if as_json:
        click.echo(json.dumps(found[0] if name else found, indent=2, ensure_ascii=False))
    elif markdown:
        click.echo(models_page.section(found[0]) if name else models_page.page(), nl=bool(name))
    elif name:
        _show(found[0])
    else:
        _list(found)


def _list(found) -> None:
    table = _table("name", "class", "what it is")
    for one in found:
        table.add_row(one["name"], one["class"], one["summary"])
    _console().print(table)


def _show(one) -> None:
    console = _console()
    console.print(f"{one['name']} ({one['class']}, {one['file']})", style="bold")
    console.print(one["summary"], *_paragraphs(one["description"]), sep="\n\n", end="\n\n")
    table = _table("option", "type", "default", "meaning", "of")
    for option in one["options"]:
        table.add_row(*(option[key] for key in ("name", "type", "default", "meaning", "of")))
    console.print(table)
    if one["complexity"]:
        console.print(f"\ncost: {one['complexity']}")
    for text in one["references"]:
        console.print(f"\nreference: {text}")
    if one["pipelines"]:
        console.print(f"\nrun by: {', '.join(one['pipelines'])}")


def _paragraphs(text) -> list[str]:
    """Paragraphs without the line breaks of the source; items of lists keep theirs."""
    return [re.sub(r"\n(?!- )\s*", " ", one) for one in re.split(r"\n\s*\n", text)]


def _table(*titles):
    from rich.table import Table

    table = Table(box=None, header_style="bold", pad_edge=False)
    for number, title in enumerate(titles):
        table.add_column(title, overflow="fold", no_wrap=number == 0)
    return table


def _console():
    from rich.console import Console

    # Brackets of formulas are no markup.
    return Console(markup=False, highlight=False)

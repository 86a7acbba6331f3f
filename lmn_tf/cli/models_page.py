"""The models page, in Markdown."""

import re

from lmn_tf.models import catalogue, registry

_BASE = "CTRModel"
_EVERY = "Options of every model"


def page() -> str:
    """Returns the page of all models, as it is committed in `lmn_tf/models/README.md`."""
    models = [catalogue.describe(name) for name in registry.names()]
    lines = [
        "# Models",
        "",
        "Written by `lmn-tf models --markdown` from the docstrings: change those. On the terminal,",
        "`lmn-tf models` lists the models and `lmn-tf models NAME` shows one with all its options.",
        "In a pipeline: `model: {name: NAME, OPTION: VALUE, ...}`.",
        "",
        *_table(
            ["name", "class", "what it is"],
            [
                [f"[`{one['name']}`](#{one['name']})", f"`{one['class']}`", one["summary"]]
                for one in models
            ],
        ),
        "",
    ]
    for one in models:
        lines += [section(one), ""]
    base = [option for option in models[0]["options"] if option["of"] == _BASE]
    return "\n".join([*lines, f"## {_EVERY}", "", *_options(base), ""])


def section(model: dict) -> str:
    """Returns the part of the page on one model.

    Args:
        model: What `catalogue.describe` gives.
    """
    file = model["file"].rpartition("/")[2]
    lines = [f"## {model['name']}", "", f"`{model['class']}` in [`{file}`]({file}). "]
    lines[-1] += model["summary"]
    lines += ["", _on_the_page(model["description"]), ""]
    elsewhere = _elsewhere(model)
    own = [option for option in model["options"] if option["of"] not in elsewhere]
    if own:
        lines += [*_options(own), ""]
    *others, last = dict.fromkeys(elsewhere.values())
    links = f"{', '.join(others)} and {last}" if others else last
    lines += [f"{'Also the' if own else 'The'} options of {links}.", ""]
    if model["complexity"]:
        lines.append(f"- **Cost**: {model['complexity']}")
    lines += [f"- **Reference**: {one}" for one in model["references"]]
    if model["pipelines"]:
        files = [f"[`{one.rpartition('/')[2]}`](../../{one})" for one in model["pipelines"]]
        lines.append(f"- **Run by**: {', '.join(files)}")
    return "\n".join(lines)


def _elsewhere(model: dict) -> dict:
    """Maps classes whose options stand elsewhere on the page to links to them."""
    links = {}
    for one in registry.classes(model["name"])[1:]:
        if one.name == _BASE:
            links[one.name] = f"[every model](#{_EVERY.lower().replace(' ', '-')})"
            continue
        owner = _owner(one)
        if one.options and owner != model["name"]:
            links[one.name] = f"[`{owner}`](#{owner})"
    return links


def _owner(one) -> str:
    """The model of a class, or the first model that derives from a class which is none."""
    names = {registry.MODELS[name].partition(":")[2]: name for name in registry.names()}
    return names.get(one.name) or next(
        name for name in registry.names() if one in registry.classes(name)
    )


def _options(options: list[dict]) -> list[str]:
    return _table(
        ["option", "type", "default", "meaning"],
        [
            [f"`{one['name']}`", one["type"], f"`{one['default']}`", one["meaning"]]
            for one in options
        ],
    )


def _table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """A table without padding: one changed cell changes one line."""
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    return ["| " + " | ".join(row) + " |" for row in (titles, ["---"] * len(titles), *rows)]


def _on_the_page(description: str) -> str:
    """Takes the indentation from what Markdown would read as code."""
    return re.sub(r"^ {4,}", "  ", description, flags=re.M)

"""`lmn-tf prepare`."""

import contextlib
import dataclasses
import json
import sys
from typing import Any

import click

from lmn_tf.data.preparers.options import CHOICES, PrepareOptions

# Help of the options of `PrepareOptions`; options that are not given keep their defaults.
_COMMON = {
    "history": "By reference (default), or list columns.",
    "max_history": "Longest inline history.",
    "min_history": "Drop rows with fewer earlier events.",
    "negatives": "How negatives are sampled.",
    "negatives_exclude": "The user's items that are no negatives: ever, or at that time.",
    "negatives_per_positive": "Sampled negatives per positive.",
    "split": "Default: time, if there is one.",
    "valid_share": "Share of rows for validation.",
    "test_share": "Share of rows for the test.",
    "seed": "Seed of sampled negatives and row order.",
    "max_malformed": "Largest share of unreadable rows.",
    "rows_per_file": "Rows per Parquet file.",
    "memory_limit": "Memory limit of the SQL engine.",
    "threads": "Threads of the SQL engine.",
}
# Flag, type and help of the options of single data sets.
_OWN = (
    ("--rating-threshold", float, "movielens, interactions: the label is 1 from this rating on."),
    ("--positive-behaviors", "list", "taobao-userbehavior: of pv, fav, cart, buy. Default: pv."),
    ("--user", str, "interactions: column of the user."),
    ("--item", str, "interactions: column of the item."),
    ("--time", str, "interactions: column of the time."),
    ("--order", str, "interactions: column of the position, if there is no time."),
    ("--label", str, "interactions: column of the label. Without it, negatives are sampled."),
    ("--category", "list", "interactions: columns that describe the item."),
    ("--columns", "list", "interactions: columns known at the request."),
    ("--event-columns", "list", "interactions: columns known only afterwards, for histories."),
    ("--time-unit", str, "interactions: second (default), millisecond, microsecond, nanosecond."),
    ("--files", str, "interactions: pattern of the files in the folder, such as 'log-*.csv'."),
    ("--delimiter", str, "interactions: delimiter. Default: a comma in .csv, a tab in .tsv."),
)


def _options(function):
    """Adds the options of the tables above; lists of names are separated by commas."""
    common = map(_common_option, dataclasses.fields(PrepareOptions))
    for flag, kind, text in reversed([*common, *_OWN]):
        if kind == "list":
            text += " Separated by commas."
            decorate = click.option(flag, metavar="NAMES", help=text)
        else:
            decorate = click.option(flag, type=kind, help=text)
        function = decorate(function)
    return function


def _common_option(field):
    flag, text = f"--{field.name.replace('_', '-')}", _COMMON[field.name]
    if field.name in CHOICES:
        return flag, click.Choice(CHOICES[field.name]), text
    return flag, field.type, f"{text} Default: {field.default}."


@click.command()
@click.argument("dataset")
@click.option("--input", "input_dir", metavar="PATH", help="Folder with the files, or one file.")
@click.option("--output", "output_dir", metavar="DIR", required=True, help="Folder to write.")
@click.option("--spec", metavar="FILE", help="Feature spec to learn vocabularies for.")
@click.option("--overwrite", is_flag=True, help="Replace a folder prepared earlier.")
@click.option(
    "--set",
    "settings",
    multiple=True,
    metavar="KEY=VALUE",
    help="Arguments of synthetic, or options of a preparer of your own.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@_options
def prepare(
    dataset: str,
    input_dir: str | None,
    output_dir: str,
    spec: str | None,
    overwrite: bool,
    settings: tuple[str, ...],
    as_json: bool,
    **options: Any,
) -> None:
    """Turn a published data set into rows for training, validation and test.

    DATASET is movielens-1m, movielens-100k, amazon, online-retail, mind, taobao-userbehavior,
    interactions (any table of users, items and times), or synthetic (generated, without input).
    Rows hold only what is known at their request. report.md describes the result. A preparer of
    your own is named by its path module:function, or by an entry point of its package.

    \b
    Example:
      lmn-tf prepare movielens-1m --input ml-1m --output data/movielens_1m
      lmn-tf prepare interactions --input logs --output data/logs --user user_id \\
        --item item_id --time time --category category
      lmn-tf prepare synthetic --output data/market --set rows=20000
    """
    values = {name: value for name, value in options.items() if value is not None}
    if dataset == "synthetic":
        report = _synthetic(output_dir, overwrite, settings, values, input_dir, spec)
        click.echo(json.dumps(report, indent=2))
        return
    from lmn_tf.data import preparers
    from lmn_tf.data.preparers.report import as_markdown

    _check(dataset, preparers.DATASETS, input_dir, settings)
    values |= _read_settings(settings, values)
    for flag, kind, _ in _OWN:
        name = flag[2:].replace("-", "_")
        if kind == "list" and name in values:
            values[name] = tuple(part.strip() for part in values[name].split(",") if part.strip())
    with _progress() as on_step:
        report = preparers.prepare(
            dataset, input_dir, output_dir, spec, overwrite, on_step=on_step, **values
        )
    click.echo(json.dumps(report, indent=2) if as_json else as_markdown(report), nl=as_json)


def _check(dataset, datasets, input_dir, settings):
    from lmn_tf.specs.errors import UserError
    from lmn_tf.specs.parts.parts import Parts

    known = {**datasets.builtin, "synthetic": "lmn_tf.data.synthetic:generate"}
    Parts(datasets.noun, datasets.group, known).path(dataset, "DATASET")
    if input_dir is None:
        raise UserError(f"`--input` must name the folder with the files of {dataset}, or one file")
    if settings and dataset in datasets.builtin:
        raise UserError(
            f"`--set` must come with synthetic or a preparer of your own. Received: {settings[0]!r}"
        )


def _synthetic(output_dir, overwrite, settings, values, input_dir, spec):
    """Generates the synthetic market from `--set` and common options."""
    from lmn_tf.data.preparers.preparation import output_folder
    from lmn_tf.data.synthetic import generate
    from lmn_tf.specs.errors import UserError

    arguments = {name: values.pop(name) for name in ("seed", "history") if name in values}
    refused = [*values, *(["input"] if input_dir else []), *(["spec"] if spec else [])]
    if refused:
        flag = "--" + refused[0].replace("_", "-")
        raise UserError(f"`{flag}` must not come with synthetic: use --set KEY=VALUE")
    arguments |= _read_settings(settings, arguments)
    # Files of an earlier data set would match the same globs.
    with output_folder(output_dir, overwrite) as folder:
        return generate(folder, **arguments)


def _read_settings(settings, given):
    """Returns the values of `--set` by name, none of which is given as an option, too."""
    from lmn_tf.specs.errors import UserError
    from lmn_tf.specs.yaml import strict_yaml

    values = {}
    for setting in settings:
        name, equals, value = setting.partition("=")
        if not equals or not name:
            raise UserError(f"`--set` must be KEY=VALUE. Received: {setting!r}")
        if name in given:
            flag = "--" + name.replace("_", "-")
            raise UserError(f"`{flag}` must not come with `--set` of it. Received: {setting!r}")
        try:
            values[name], _ = strict_yaml.loads(value)
        except UserError as error:
            raise UserError(f"`--set {setting}`: {error.message}") from None
    return values


@contextlib.contextmanager
def _progress():
    """Yields a function that shows the step: in place on a terminal, else one line each."""
    if not sys.stderr.isatty():
        yield lambda step: click.echo(step, err=True)
        return
    from rich.console import Console

    with Console(stderr=True).status("reading") as status:
        yield lambda step: status.update(step)

"""Preparation of a data set: training files from the files of a publisher."""

import contextlib
import dataclasses
import inspect
import os
import pathlib
import shutil
from collections.abc import Callable, Iterator
from typing import Any

from lmn_tf import atomic_files
from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.options import PrepareOptions
from lmn_tf.data.preparers.plan import Plan, plan_steps, quoted
from lmn_tf.data.preparers.report import (
    build_report,
    learn_vocabularies,
    missing_attributes,
    write_report,
)
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.writer import write_events, write_rows
from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.parts.parts import Parts

_FOLDER = "lmn_tf.data.preparers.datasets"
DATASETS = Parts(
    "a data set",
    "lmn_tf.preparers",
    {
        "movielens-1m": f"{_FOLDER}.movielens:read_1m",
        "movielens-100k": f"{_FOLDER}.movielens:read_100k",
        "amazon": f"{_FOLDER}.amazon:read",
        "online-retail": f"{_FOLDER}.online_retail:read",
        "mind": f"{_FOLDER}.mind:read",
        "taobao-userbehavior": f"{_FOLDER}.taobao:read",
        "interactions": f"{_FOLDER}.interactions:read",
    },
)


def prepare(
    dataset: str,
    input_dir: str | os.PathLike,
    output_dir: str | os.PathLike,
    spec: str | os.PathLike | None = None,
    overwrite: bool = False,
    on_step: Callable[[str], None] | None = None,
    **options: Any,
) -> dict[str, Any]:
    """Converts the files of a publisher to rows for training, validation and test.

    Args:
        dataset: String. A name of `DATASETS`, or the path `module:function` of a preparer of a
            user: a function of `(sources, options)`, and of own options with defaults, that creates
            the canonical tables and returns a `Plan`.
        input_dir: Path of the folder with the files of the publisher, or of one file.
        output_dir: Path of the folder to write, which is created completely or not at all.
        spec: Path of a feature spec whose vocabularies are learned. Defaults to `None`: the one
            for the data set in `feature_specs`.
        overwrite: Boolean. Whether an existing prepared folder may be replaced. Defaults to
            `False`.
        on_step: Function that is called with the name of each step. Defaults to `None`.
        **options: Fields of `PrepareOptions`, and options of the data set.

    Returns:
        The report, a dictionary.

    Raises:
        UserError: For an unknown data set or option, a preparer that cannot be imported, missing
            files, too many malformed rows, or an existing output folder.
    """
    read = DATASETS.load(dataset, "dataset")
    own_options = own_options_of(read)
    given = options
    options, own_options = _split_options(dataset, own_options, given)
    if "max_history" in given and options.history == "events":
        raise UserError(
            "`max_history` must come with history='inline', as events are written without a limit. "
            f"Received: max_history={options.max_history}"
        )
    with output_folder(output_dir, overwrite) as folder:
        work = folder / "work"
        work.mkdir()
        with Engine(work, options.memory_limit, options.threads, on_step) as engine:
            sources = Sources(engine, input_dir, options.max_malformed)
            plan = read(sources, options, **own_options)
            _check_plan(plan, dataset)
            _check_negatives(plan, options, given)
            _unique_keys(engine, sources)
            report = _run(engine, sources, plan, options, own_options, folder)
        shutil.rmtree(work)
        if on_step is not None:
            on_step("vocabularies")
        report["vocabularies"] = learn_vocabularies(folder, spec, plan.dataset)
        write_report(report, folder)
    return report


@contextlib.contextmanager
def output_folder(output_dir: str | os.PathLike, overwrite: bool) -> Iterator[pathlib.Path]:
    """Gives a temporary folder that becomes the output when the block ends well.

    Args:
        output_dir: Path of the folder to write, which is created completely or not at all.
        overwrite: Boolean. Whether an existing prepared folder may be replaced.

    Yields:
        The temporary folder to fill.

    Raises:
        UserError: If the output is a file or a folder that may not be replaced.
    """
    output = pathlib.Path(output_dir)
    _check_output(output, overwrite)
    with atomic_files.atomic_folder(output, replace=overwrite) as folder:
        yield folder


def _run(engine, sources, plan, options, own_options, folder):
    for step in plan_steps(plan, options):
        engine.run(step)
        if step.name == "targets" and options.min_history:
            every = engine.value(f"SELECT count(*) FROM {_candidates(plan)}")
            kept = engine.value("SELECT count(*) FROM targets")
            sources.drop("rows with fewer than min_history earlier events", every - kept)
        if step.name == "rows" and not engine.value("SELECT count(*) FROM rows"):
            raise UserError("`input` must hold at least one row to train on. Received: none")
    write_rows(engine, plan, options, folder)
    events = engine.value("SELECT count(*) FROM numbered")
    if options.history == "events":
        write_events(engine, plan, folder)
    report = build_report(engine, sources, plan, options, own_options, events)
    report["rows_without_attributes"] = missing_attributes(engine, plan)
    return report


def _candidates(plan):
    if plan.requests:
        return "requests"
    return f"events WHERE {'_label = 1' if plan.sampled else '_label IS NOT NULL'}"


def own_options_of(read: Callable[..., Plan]) -> dict[str, Any]:
    """Returns the options of a preparer with their defaults.

    Args:
        read: Function of `(sources, options)` and of own options.

    Example:

    >>> own_options_of(DATASETS.load("taobao-userbehavior"))
    {'positive_behaviors': ('pv',)}
    """
    parameters = list(inspect.signature(read).parameters.values())
    own = parameters[2:]
    if len(parameters) < 2 or any(option.default is option.empty for option in own):
        raise UserError(
            "`dataset` must be a function of `sources`, `options` and further options with "
            f"defaults. Received: {read.__module__}:{read.__name__}{inspect.signature(read)}"
        )
    return {option.name: option.default for option in own}


def _check_plan(plan, dataset):
    if not isinstance(plan, Plan):
        raise UserError(
            f"`dataset` must be a function that returns a `lmn_tf.data.preparers.Plan`. "
            f"Received: dataset={dataset!r}, which returns {short(plan)}"
        )


def _check_negatives(plan, options, given):
    """Raises a `UserError` for a given option of negatives that are not sampled."""
    for name in ("negatives", "negatives_exclude", "negatives_per_positive"):
        if name in given and not plan.sampled:
            raise UserError(
                f"`{name}` must come with a log without labels, whose negatives are sampled. "
                f"Received: {name}={getattr(options, name)!r}"
            )


def _split_options(dataset, own_options, options):
    common = {field.name for field in dataclasses.fields(PrepareOptions)}
    for name in options:
        if name not in common and name not in own_options:
            hint = did_you_mean(name, [*common, *own_options])
            raise UserError(f"`{name}` must be an option of {dataset}.{hint}")
    mine = {name: value for name, value in options.items() if name in own_options}
    shared = {name: value for name, value in options.items() if name in common}
    return PrepareOptions(**shared), own_options | mine


def _unique_keys(engine, sources):
    """Keeps the first row for each key of an attribute table, and counts the others.

    Without `_seq`, the first is that of the smallest values.
    """
    for table, key in (("users", "_user"), ("items", "_item")):
        if not engine.has(table):
            continue
        repeated = engine.value(f"SELECT count(*) - count(DISTINCT {key}) FROM {table}")
        if repeated:
            sources.drop(f"repeated rows of {table}", repeated)
            names = engine.columns(table)
            order = "_seq" if "_seq" in names else ", ".join(map(quoted, names))
            engine.table(
                table,
                f"""
SELECT * EXCLUDE (_place) FROM (
  SELECT *, row_number() OVER (PARTITION BY {key} ORDER BY {order}) AS _place FROM {table}
) AS placed WHERE _place = 1""",
            )


def _check_output(output, overwrite):
    if output.exists() and not output.is_dir():
        raise UserError(f"`output` must be a folder. Received: output={str(output)!r}, a file")
    if not output.is_dir() or not any(output.iterdir()):
        return
    if not overwrite:
        raise UserError(
            "`output` must be empty or new, unless `overwrite` is given. "
            f"Received: output={str(output)!r}"
        )
    if not (output / "report.json").is_file():
        raise UserError(
            "`overwrite` must only replace a folder that was prepared before (with report.json). "
            f"Received: output={str(output)!r}"
        )

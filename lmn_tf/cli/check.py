"""`lmn-tf check`: validates a YAML file without TensorFlow, unless parts of users need it."""

from __future__ import annotations

import dataclasses
import glob
import json
import os
from typing import TYPE_CHECKING, Any

import click

from lmn_tf.models import registry
from lmn_tf.models.run_checks import check_run
from lmn_tf.specs import spec_file
from lmn_tf.specs.delimiter import as_delimiter
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.yaml.strict_yaml import Marks, no_file
from lmn_tf.training.comparison.comparison_checks import check_runs
from lmn_tf.training.own_parts import check_own_parts

if TYPE_CHECKING:
    from lmn_tf.data.check import Report
    from lmn_tf.specs.comparison_spec import ComparisonSpec
    from lmn_tf.specs.pipeline_spec import PipelineSpec


@click.command()
@click.argument("file", type=click.Path())
@click.option(
    "--data",
    metavar="GLOB",
    help="Also read the first 1,000 rows of these files, and their events.",
)
@click.option("--delimiter", metavar="C", help="Delimiter of CSV files.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def check(file: str, data: str | None, delimiter: str | None, as_json: bool) -> None:
    """Validate the feature spec, pipeline or comparison in FILE.

    With a pipeline or a comparison, the files that it names are validated too. Of its data, where
    there are any, the names of the columns are, without those of histories.

    \b
    Example:
      lmn-tf check feature_specs/synthetic.yaml --data "data/quickstart/train-*.parquet"
    """
    try:
        summary, report = check_file(file, data, delimiter)
        if not as_json:
            click.echo(sentence(summary))
            _print_notes(summary.get("notes", ()))
        if report is not None:
            summary["data"] = {**dataclasses.asdict(report), "problems": report.problems}
            del summary["data"]["errors"]
            _print_report(report, as_json)
            _raise_problems(report)
    except UserError as error:
        if as_json:
            click.echo(json.dumps(failure(file, error), indent=2))
        raise
    if as_json:
        click.echo(json.dumps(summary, indent=2))


def check_file(
    path: str | os.PathLike, data: str | None = None, delimiter: str | None = None
) -> tuple[dict[str, Any], Report | None]:
    """Checks a YAML file and the files that it names.

    Args:
        path: Path of the file.
        data: Glob of data files whose first rows are read. Defaults to `None`.
        delimiter: Delimiter of CSV files. Defaults to `None`: that of the pipeline.

    Returns:
        Pair of a summary (mapping) and the data's report, or `None` without `data`.

    Raises:
        UserError: For the first mistake, with its file and line.
    """
    if delimiter is not None and data is None:
        raise UserError(f"`--delimiter` must come with `--data`. Received: {delimiter!r}")
    kind, spec, marks = spec_file.load(path)
    summary = {"file": str(path), "kind": kind, "ok": True}
    if kind == "feature spec":
        summary.update(check_feature_spec(spec, path, marks))
        features = FeatureSpec.load(path)  # with the vocabularies of a run or an export
    elif kind == "pipeline":
        features = check_pipeline(spec, path, marks)
        summary.update(_pipeline_summary(spec))
    else:
        features = check_comparison(spec, path, marks)
        summary.update(models=[entry.label for entry in spec.models], seeds=list(spec.seeds))
        if spec.search is not None:
            summary["trials"] = spec.search.trials
        if spec.vary is not None:
            summary["vary"] = {key: list(values) for key, values in spec.vary.items()}
    if data is None:
        return summary, None
    from lmn_tf.data.check import check_files

    if delimiter is not None:
        features.assets.delimiter = as_delimiter(delimiter)
    return summary, check_files(features, data)


def check_feature_spec(
    spec: FeatureSpec, path: str | os.PathLike | None = None, marks: Marks | None = None
) -> dict[str, Any]:
    """Checks that the files of a feature spec can be read, and returns its summary."""
    marks = Marks() if marks is None else marks
    for part, columns in _columns(spec):
        for path_in_file, column in columns:
            lookup = getattr(column, "lookup", None)
            if lookup is None or not isinstance(lookup.vocabulary, str):
                continue
            try:
                spec.vocabulary(column)
            except UserError as error:
                where = marks.line((*part, *path_in_file, "lookup", "vocabulary"))
                text = f"`vocabulary` of `{column.name}`: {error}"
                raise UserError(text, path, where) from None
    return {
        "name": spec.name,
        "labels": [label.name for label in spec.labels],
        "features": [feature.name for feature in spec.features],
        "sequences": [sequence.name for sequence in spec.sequences],
        "tables": list(spec.tables),
        "columns": list(spec.columns()),
    }


def _columns(spec):
    yield ("features",), [((index,), feature) for index, feature in enumerate(spec.features)]
    for number, sequence in enumerate(spec.sequences):
        fields = [
            ((index,), spec.resolved_field(sequence, field))
            for index, field in enumerate(sequence.fields)
            if field.like is None
        ]
        yield ("sequences", number, "fields"), fields


def check_pipeline(
    spec: PipelineSpec, path: str | os.PathLike | None = None, marks: Marks | None = None
) -> FeatureSpec:
    """Checks what a pipeline names: feature spec, parts and data; returns the feature spec."""
    marks = Marks() if marks is None else marks
    registry.check_model(spec.model, (path, marks))
    features = _named_file(spec.feature_spec_path, "feature spec", path, marks, "feature_spec")
    try:
        spec.check_features(features)
    except UserError as error:
        where = marks.location(("train", "early_stopping", "monitor"), path)
        raise UserError(error.message, *where) from None
    check_run(spec, features, (path, marks))
    check_own_parts(spec, features)
    features.assets.delimiter = spec.data.delimiter
    _check_data(spec, features, path, marks)
    return features


def _check_data(spec, features, path, marks):
    """Checks the columns of the data files, where there already are any."""
    for key, files in _data_files(spec):
        if _matches(files):
            from lmn_tf.data.check import check_columns

            try:
                check_columns(features, files)
            except UserError as error:
                raise UserError(
                    f"`{key}` of `data`: {error}", *marks.location(("data", key), path)
                ) from None


def check_comparison(
    spec: ComparisonSpec, path: str | os.PathLike | None = None, marks: Marks | None = None
) -> FeatureSpec:
    """Checks the pipeline and each model of a comparison; returns the feature spec."""
    marks = Marks() if marks is None else marks
    pipeline = _named_file(spec.pipeline_path, "pipeline", path, marks, "pipeline")
    features = pipeline.load_feature_spec()
    check_runs(spec, pipeline, features)
    return features


def _named_file(path, kind, owner, marks, key):
    """Loads and checks the file that is named by `key` of the file `owner`."""
    if not path.is_file():
        raise UserError(
            f"`{key}` must be the path of a {kind}. Received: {key}={str(path)!r}, {no_file(path)}",
            *marks.location((key,), owner),
        )
    actual_kind, spec, own_marks = spec_file.load(path)
    if actual_kind != kind:
        raise UserError(
            f"`{key}` must be the path of a {kind}. Received: {key}={str(path)!r}, a {actual_kind}",
            *marks.location((key,), owner),
        )
    if kind == "feature spec":
        check_feature_spec(spec, path, own_marks)
    else:
        check_pipeline(spec, path, own_marks)
    return spec


def _pipeline_summary(spec):
    days = spec.data.days
    return {
        **({} if days is None else {"days": list(days.paths(spec.data.train))}),
        "feature_spec": str(spec.feature_spec_path),
        "model": spec.model_name,
        "strategy": spec.distribute.strategy,
        "run_dir": spec.run_dir,
        "notes": [
            f"no file matches `{key}` of `data` yet: {files}"
            for key, files in _data_files(spec)
            if spec.data.synthetic is None and not _matches(files)
        ],
    }


def _data_files(spec):
    """Yields each key of `data` with its glob, by day that of the first day."""
    for key in ("train", "valid", "test"):
        files, days = getattr(spec.data, key), spec.data.days
        if files is not None:
            yield key, files if days is None else next(iter(days.paths(files).values()))


def _matches(files):
    # A path may have the characters of a glob, as in `match_files`, which would load PyArrow.
    return os.path.isfile(files) or any(glob.iglob(files, recursive=True))


def sentence(summary: dict[str, Any]) -> str:
    """Returns a summary as the line that `lmn-tf check` prints."""
    start = f"{summary['file']}: valid {summary['kind']}"
    if summary["kind"] == "feature spec":
        counts = [_count(summary[part], part) for part in ("labels", "features", "sequences")]
        return f"{start} `{summary['name']}`: {', '.join(counts)}"
    if summary["kind"] == "pipeline":
        days = summary.get("days")
        daily = f", {days[0]} to {days[-1]} ({_count(days, 'days')})" if days else ""
        return f"{start}: model `{summary['model']}` on {summary['feature_spec']}{daily}"
    parts = [_count(summary["models"], "models"), _count(summary["seeds"], "seeds")]
    parts += [f"{summary['trials']} trials each"] if "trials" in summary else []
    vary = summary.get("vary", {}).items()
    parts += [f"{_count(values, 'values')} of {key}" for key, values in vary]
    return f"{start}: {', '.join(parts)}"


def _count(items, plural):
    return f"{len(items)} {plural if len(items) != 1 else plural.removesuffix('s')}"


def failure(file: str | os.PathLike, error: UserError) -> dict[str, Any]:
    """Returns a `UserError` as the mapping that `--json` prints."""
    errors = (error, *error.others)
    problems = [{"file": e.file, "line": e.line, "message": e.message} for e in errors]
    return {"file": str(file), "ok": False, "problems": problems}


def _raise_problems(report):
    """Raises the first problem of the data, with the others in `others`."""
    if report.errors:
        first, *others = report.errors
        raise UserError(first.message, first.file, first.line, others=others)


def _print_report(report, as_json):
    """Prints the problems of the data, and a decoded batch as a table."""
    if as_json:
        return
    for problem in report.problems[1:]:  # the first one is raised
        click.echo(problem)
    if not report.batch:
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=f"{report.rows:,} rows fit. The first ones, as the model sees them:")
    table.add_column("key", no_wrap=True)
    for number in range(len(report.batch)):
        table.add_column(f"row {number + 1}", overflow="fold")
    for key in report.batch[0]:
        table.add_row(key, *[str(row[key]) for row in report.batch])
    Console().print(table)
    _print_notes(report.notes)


def _print_notes(notes):
    for note in notes:
        click.echo(f"note: {note}")

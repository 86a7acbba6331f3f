"""Report of a preparation, as `report.json` and `report.md`."""

from __future__ import annotations

import dataclasses
import datetime
import json
import os
import pathlib
from typing import TYPE_CHECKING, Any

import duckdb
import pyarrow.ipc
import pyarrow.parquet

from lmn_tf.data.preparers.plan import SPLITS, excludes_log, quoted, splits_by_time
from lmn_tf.data.preparers.writer import EVENTS_FILE
from lmn_tf.specs.errors import UserError, did_you_mean

if TYPE_CHECKING:
    from lmn_tf.data.preparers.engine import Engine
    from lmn_tf.data.preparers.options import PrepareOptions
    from lmn_tf.data.preparers.plan import Plan
    from lmn_tf.data.preparers.sources import Sources
    from lmn_tf.specs.feature_spec import FeatureSpec

_QUANTILES = (0.0, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)


def shipped_spec(name: str) -> pathlib.Path | None:
    """Path of `feature_specs/NAME.yaml` in the current folder or next to the package, or None."""
    for root in (pathlib.Path.cwd(), pathlib.Path(__file__).resolve().parents[3]):
        path = root / "feature_specs" / f"{name}.yaml"
        if path.is_file():
            return path
    return None


def learn_vocabularies(
    folder: pathlib.Path, spec_path: str | os.PathLike | None, dataset: str
) -> str:
    """Learns the vocabularies and statistics of a feature spec from the training rows.

    Args:
        folder: Path of the prepared files.
        spec_path: Path of a given feature spec, or `None` for that of the data set.
        dataset: String. Name of the spec of the data set.

    Returns:
        A sentence for the report.

    Raises:
        UserError: If a given spec has a column that was not written.
    """
    path = spec_path or shipped_spec(dataset)
    if path is None:
        return f"not learned, as there is no feature_specs/{dataset}.yaml; their first use does it."
    from lmn_tf.specs.feature_spec import FeatureSpec

    spec = FeatureSpec.load(path)
    problem = missing_column(spec, folder)
    if problem is not None:
        if spec_path is not None:
            raise UserError(problem, file=path)
        return f"not learned: the shipped {pathlib.Path(path).name} does not fit. {problem}"
    from lmn_tf.data.learning import vocabulary

    vocabulary.learn(spec, sorted(str(file) for file in folder.glob("train-*.parquet")))
    spec.assets.save(folder)
    return f"learned from the training rows for {pathlib.Path(path).name}."


def missing_column(spec: FeatureSpec, folder: pathlib.Path) -> str | None:
    """A sentence about the first column of the spec that is missing in the files, or None."""
    rows = pyarrow.parquet.read_schema(next(folder.glob("train-*.parquet"))).names
    asked = [(column, rows, "the rows") for column in spec.columns()]
    for sequence in spec.sequences:
        if sequence.events is None:
            continue
        if sequence.events.file != EVENTS_FILE or not (folder / EVENTS_FILE).is_file():
            return f"`{sequence.name}` reads {sequence.events.file}, which was not written."
        with pyarrow.memory_map(str(folder / EVENTS_FILE)) as source:
            names = pyarrow.ipc.open_file(source).schema.names
        fields = [field.data_column for field in sequence.fields]
        asked += [(column, names, EVENTS_FILE) for column in (sequence.events.user, *fields)]
    for column, names, where in asked:
        if column not in names:
            return f"column `{column}` must be in {where}.{did_you_mean(column, names)}"
    return None


def build_report(
    engine: Engine,
    sources: Sources,
    plan: Plan,
    options: PrepareOptions,
    dataset_options: dict[str, Any],
    events: int,
) -> dict[str, Any]:
    """The report as a dictionary, equal for equal runs."""
    report = {
        "dataset": plan.dataset,
        "files": [{"name": name, "bytes": size} for name, size in sorted(sources.files.items())],
        "options": {
            name: value
            for name, value in dataclasses.asdict(options).items()
            if name not in ("threads", "memory_limit")
        }
        | {name: _plain(value) for name, value in dataset_options.items()},
        "notes": list(plan.notes),
        "split": _split(engine, plan, options),
        "read": sources.tables,
        "dropped": dict(sorted(sources.dropped.items())),
        "events": events,
        "rows": {},
        "history_length": {},
        "engine": f"duckdb {duckdb.__version__}",
    }
    for split in SPLITS:
        report["rows"][split] = _rows(engine, split)
        report["history_length"][split] = _history(engine, split)
    if plan.sampled:
        report["negatives"] = _negatives(engine, plan, options)
    return report


def write_report(report: dict[str, Any], folder: pathlib.Path) -> None:
    """Writes `report.json` and `report.md`."""
    (folder / "report.json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    (folder / "report.md").write_text(as_markdown(report), encoding="utf-8")


def as_markdown(report: dict[str, Any]) -> str:
    """The report as Markdown.

    Example:

    >>> as_markdown({"dataset": "tiny", "split": {"rule": "All rows train."}}).splitlines()[0]
    '# tiny'
    """
    lines = [f"# {report['dataset']}", "", report["split"]["rule"], ""]
    lines += [f"- {note}" for note in report.get("notes", ())]
    rows = report.get("rows", {})
    if rows:
        lines += ["", "| split | rows | users | items | label rate | history median / p90 / max |"]
        lines += ["|---|---:|---:|---:|---:|---:|"]
    for split, row in rows.items():
        length = report["history_length"][split]
        history = " / ".join(str(length.get(key)) for key in ("0.5", "0.9", "1.0"))
        rate = "-" if row["label_rate"] is None else f"{row['label_rate']:.4f}"
        lines.append(
            f"| {split} | {row['rows']} | {row['users']} | {row['items']} | {rate} | {history} |"
        )
    lines += ["", "| left out | rows |", "|---|---:|"]
    for table, read in report.get("read", {}).items():
        lines.append(f"| malformed rows of {table} (of {read['rows']}) | {read['malformed']} |")
    lines += [f"| {reason} | {count} |" for reason, count in report.get("dropped", {}).items()]
    for table, read in report.get("read", {}).items():
        for row in read["malformed_rows"]:
            lines.append(f"- `{row['file']}:{row['line']}` ({table}): {row['problem']}")
    negatives = report.get("negatives")
    if negatives:
        lines += ["", f"Negatives: {negatives['rule']} Missing: {negatives['missing']}."]
    if report.get("vocabularies"):
        lines += ["", f"Vocabularies: {report['vocabularies']}"]
    return "\n".join(lines) + "\n"


def _split(engine, plan, options):
    if splits_by_time(plan, options):
        train_end, valid_end = engine.rows("SELECT train_end, valid_end FROM cuts")[0]
        first, second = _moment(plan, train_end), _moment(plan, valid_end)
        rule = (
            f"Split by `{plan.time}` over all users: train up to and with {first}, valid up to and "
            f"with {second}, test after it."
        )
        return {"rule": rule, "train_end": train_end, "valid_end": valid_end}
    rule = (
        f"Split by the order of each user's rows: the last {100 * options.test_share:.6g}% "
        f"(rounded up) are the test, the {100 * options.valid_share:.6g}% before them (rounded up) "
        "valid, the rest train; users with fewer than three rows are train."
    )
    return {"rule": rule}


def _moment(plan, value):
    if plan.ordered_by != "time":
        return str(value)
    moment = datetime.datetime.fromtimestamp(value, datetime.UTC)
    return moment.strftime("%Y-%m-%d %H:%M:%S UTC")


def _rows(engine, split):
    rows, users, items, positives, lowest, highest = engine.rows(f"""
SELECT count(*), count(DISTINCT _user), count(DISTINCT _item), coalesce(sum(_label), 0),
  min(_time), max(_time)
FROM rows_{split}""")[0]
    return {
        "rows": rows,
        "users": users,
        "items": items,
        "label_rate": round(int(positives) / rows, 6) if rows else None,
        "first": lowest,
        "last": highest,
    }


def _history(engine, split):
    """Quantiles of history lengths, from counts by length: bounded by the longest history."""
    counts = engine.rows(
        f"SELECT _count, count(*) FROM rows_{split} GROUP BY _count ORDER BY _count"
    )
    total = sum(count for _, count in counts)
    lengths, rows = {}, 0
    wanted = list(_QUANTILES)
    for length, count in counts:
        rows += count
        while wanted and rows >= max(1, wanted[0] * total):
            lengths[str(wanted.pop(0))] = length
    return lengths


def _negatives(engine, plan, options):
    wanted = options.negatives_per_positive
    positives = engine.value("SELECT count(*) FROM split")
    sampled = engine.value("SELECT count(*) FROM negatives")
    pool = "items, each as likely" if options.negatives == "uniform" else "training interactions"
    everywhere = excludes_log(plan, options)
    untouched = "never touched in the whole log" if everywhere else "did not touch at that time"
    rule = (
        f"{wanted} a positive, drawn from {pool}, of items known by the end of the row's split that"
        f" the user {untouched}; time and history are the positive's."
    )
    repeated = engine.value("""
SELECT count(*) FROM split JOIN (
  SELECT _user, _item, min(_time) AS _begin FROM events GROUP BY _user, _item
) AS first_of_pair USING (_user, _item) WHERE split._time > _begin""")
    if everywhere and repeated:
        rule += (
            f" {100 * repeated / positives:.1f} % of the positives are items that their user had"
            " before, and no negative is: see `negatives_exclude`."
        )
    missing = positives * wanted - sampled
    return {"rule": rule, "wanted": positives * wanted, "repeated": repeated, "missing": missing}


def _plain(value):
    return list(value) if isinstance(value, tuple) else value


def missing_attributes(engine: Engine, plan: Plan) -> dict[str, int]:
    """Number of rows without attributes, by table (`users`, `items`)."""
    missing = {}
    for table, key, used in (
        ("users", "_user", plan.user_columns),
        ("items", "_item", plan.item_columns),
    ):
        if used:
            missing[table] = engine.value(f"""
SELECT count(*) FROM rows WHERE NOT EXISTS (
  SELECT 1 FROM {quoted(table)} AS t WHERE t.{key} = rows.{key})""")
    return missing

"""Tables of interactions as CSV, TSV, Parquet or JSON lines, with columns named by the user."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from lmn_tf.data.encoding.arrow_values import LATEST_SECOND, TIME_UNITS
from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import Plan, quoted
from lmn_tf.data.preparers.sources import Sources
from lmn_tf.data.preparers.tables import first_of_item, infer_types, merge_repeats
from lmn_tf.specs.delimiter import as_delimiter
from lmn_tf.specs.errors import UserError

if TYPE_CHECKING:
    from lmn_tf.data.preparers.options import PrepareOptions

_KINDS = (".parquet", ".csv", ".tsv", ".jsonl", ".json")
_TAKEN = ("history_count", "label")


def read(
    sources: Sources,
    options: PrepareOptions,
    *,
    user: str | None = None,
    item: str | None = None,
    time: str | None = None,
    order: str | None = None,
    label: str | None = None,
    rating_threshold: float | None = None,
    category: Sequence[str] = (),
    columns: Sequence[str] = (),
    event_columns: Sequence[str] = (),
    time_unit: str = "second",
    files: str | None = None,
    delimiter: str | None = None,
) -> Plan:
    """Reads the files of a folder, which have the same format."""
    return _plan(sources, dict(locals()))  # the options by name


def _plan(sources, given):
    columns = _columns(given)
    notes = _read_files(sources, given, columns)
    engine = sources.engine
    extra = (*given["category"], *given["columns"], *given["event_columns"])
    ids = ("_user", "_item", *given["category"])
    infer_types(engine, "log", ("_user", "_item", *extra), ids)
    label = "1" if given["label"] is None else "_label_value"
    if given["rating_threshold"] is not None:
        label = f"CAST(_label_value >= {given['rating_threshold']} AS BIGINT)"
    names = "".join(f", {quoted(name)}" for name in extra)
    engine.table(
        "events",
        f"""
SELECT _user, _item, _time, CAST({label} AS BIGINT) AS _label{names}, _seq FROM log""",
    )
    engine.drop("log")
    merge_repeats(sources)
    unlabeled = engine.value("SELECT count(*) FROM events WHERE _label IS NULL")
    sources.drop("rows without a label, which are events of histories only", unlabeled)
    if given["category"]:
        first_of_item(engine, given["category"])
    return Plan(
        dataset="interactions",
        user=given["user"],
        item=given["item"],
        label="label",
        time=given["time"] or given["order"],
        ordered_by="time" if given["time"] else "position",
        sampled=given["label"] is None,
        context=given["columns"],
        history=(*given["category"], *given["columns"], *given["event_columns"]),
        item_columns=given["category"],
        notes=(_note(given), *notes),
    )


def _columns(given):
    """The columns to read, after checks of the given names."""
    for name in ("user", "item"):
        if not given[name]:
            raise UserError(f"`{name}` must name a column. Received: {name}={given[name]!r}")
    if bool(given["time"]) == bool(given["order"]):
        raise UserError(
            "exactly one of `time` and `order` must name a column. "
            f"Received: time={given['time']!r}, order={given['order']!r}"
        )
    if given["rating_threshold"] is not None and given["label"] is None:
        raise UserError("`rating_threshold` must come with `label`, the column of the ratings")
    if given["time_unit"] not in TIME_UNITS:
        raise UserError(
            f"`time_unit` must be one of {tuple(TIME_UNITS)}. "
            f"Received: time_unit={given['time_unit']!r}"
        )
    time = given["time"] or given["order"]
    extra = (*given["category"], *given["columns"], *given["event_columns"])
    _check_names(given, time)
    columns = [
        Column("_user", "", source=given["user"], parse=_filled("{}")),
        Column("_item", "", source=given["item"], parse=_filled("{}")),
        Column(
            "_time",
            "time" if given["time"] else "BIGINT",
            source=time,
            parse=_place_in_time(given),
            rule=f"abs(_time) <= {LATEST_SECOND}" if given["time"] else None,
        ),
    ]
    if given["label"] is not None:
        rule = None if given["rating_threshold"] is not None else "_label_value IN (0, 1)"
        number = "CASE WHEN NOT isnan(TRY_CAST({} AS DOUBLE)) THEN TRY_CAST({} AS DOUBLE) END"
        label = Column("_label_value", "DOUBLE", given["label"], False, number, rule)
        columns.append(label)
    return columns + [Column(name, "", required=False, parse=_filled("{}")) for name in extra]


def _check_names(given, time):
    """Raises a `UserError` for columns that rows or events would hold twice."""
    in_rows = [given["user"], given["item"], time, *given["category"], *given["columns"]]
    if given["label"] in in_rows:
        raise UserError(
            "`label` must be a column that only `event_columns` name as well: rows would hold what "
            f"is predicted from them. Received: label={given['label']!r}"
        )
    written = [*in_rows, *given["event_columns"]]
    folded = [name.casefold() for name in written]  # the engine tells no capitals apart
    for name, key in zip(written, folded, strict=True):
        if folded.count(key) > 1 or key in _TAKEN or name.startswith("_"):
            raise UserError(
                "columns must be named once, must not begin with '_' and must not be one of "
                f"{_TAKEN}, in capitals or not. Received: {name!r}"
            )
    if given["options"].history == "inline":
        names = {*folded[: len(in_rows)], *_TAKEN}
        for name in written[1:]:
            if f"history_{name}".casefold() in names:
                raise UserError(
                    "columns must not have the name of an inline history. "
                    f"Received: {'history_' + name!r}, which is the history of {name!r}"
                )


def _place_in_time(given):
    """SQL of the seconds of `time`, or of the position of `order`."""
    number = "TRY_CAST(CAST({} AS VARCHAR) AS DOUBLE)"
    if given["time"]:
        seconds = f"floor({number} / {TIME_UNITS[given['time_unit']]})"
        # TIMESTAMP ignores the offset of a text; without one, both are in UTC.
        moment = "floor(epoch(TRY_CAST(CAST({} AS VARCHAR) AS TIMESTAMPTZ)))"
        return f"TRY_CAST(coalesce({seconds}, {moment}) AS BIGINT)"
    # Not by way of a double, which has 53 bits; and 1.5 has no place between 1 and 2.
    is_whole = "regexp_full_match(trim(CAST({} AS VARCHAR)), '[+-]?[0-9]+')"
    exact = "TRY_CAST(CAST({} AS VARCHAR) AS BIGINT)"
    whole = f"CASE WHEN {number} = floor({number}) THEN TRY_CAST({number} AS BIGINT) END"
    return f"CASE WHEN {is_whole} THEN {exact} ELSE {whole} END"


def _filled(cell):
    """SQL that converts empty cells of text files, and NaN in numbers, to NULL."""
    is_nan = f"typeof({cell}) IN ('DOUBLE', 'FLOAT') AND isnan(TRY_CAST({cell} AS DOUBLE))"
    return (
        f"CASE WHEN CAST({cell} AS VARCHAR) <> '' AND NOT coalesce({is_nan}, false) THEN {cell} END"
    )


def _read_files(sources, given, columns):
    """Reads the files into `log`; returns sentences for the report."""
    paths, delimiter = _find(sources, given["files"]), given["delimiter"]
    ending = _kind(paths[0])
    if ending in (".csv", ".tsv"):
        usual = "," if ending == ".csv" else "\t"
        delimiter = usual if delimiter is None else as_delimiter(delimiter)
        sources.csv("log", paths, columns, delimiter)
        return (f"Cells are parted by {delimiter!r}.",)
    if delimiter is not None:
        raise UserError(f"`delimiter` must come with .csv or .tsv files. Received: {paths[0].name}")
    if ending == ".parquet":
        sources.parquet("log", paths, columns)
    else:
        sources.json_lines("log", paths, columns, named=True)
    return ()


def _find(sources, files):
    """The files that `files` matches, or all of the folder, of one format."""
    patterns = [f"*{kind}" for kind in _KINDS] if files is None else [files]
    paths = [p for pattern in patterns for p in sources.find(pattern, required=False)]
    paths = paths or sources.find(*patterns)  # which tells what is there
    first = {_kind(path): path.name for path in reversed(paths)}
    if len(first) > 1 or None in first:
        owner = "`input` without `files` must hold" if files is None else "`files` must match"
        raise UserError(
            f"{owner} files of one format of {_KINDS}. "
            f"Received: {', '.join(sorted(first.values()))}"
        )
    return paths


def _kind(path):
    suffixes = [suffix.lower() for suffix in path.suffixes]
    return next((kind for kind in _KINDS if kind in suffixes), None)


def _note(given):
    if given["label"] is None:
        return "Every interaction is a positive."
    if given["rating_threshold"] is None:
        return f"`label` is `{given['label']}`."
    return f"`label` is 1 where `{given['label']}` is at least {given['rating_threshold']:g}."

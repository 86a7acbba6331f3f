"""Check of data files against a feature spec, before training."""

import copy
import dataclasses
import os
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lmn_tf.data.formats import format_of, match_files
from lmn_tf.data.learning.counts import is_constant
from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader, open_spec_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID, UNKNOWN_ID

_SHOWN_ROWS = 3
_SHOWN_VALUES = 6


@dataclasses.dataclass(frozen=True)
class Report:
    """Result of `check_files`.

    Args:
        rows: Integer. Number of rows that were read.
        columns: List of `{"name", "type", "used_by"}`, one for each column of the files.
        errors: List of `UserError`, each with its file, column, row, rule and value.
        batch: List of the first rows as mappings from keys of a batch to short texts; values of
            vocabularies are shown as `value→id`. Empty if there are problems.
        notes: List of messages about valid data that are rarely intended. Defaults to `()`.
    """

    rows: int
    columns: list
    errors: list
    batch: list
    notes: tuple = ()

    @property
    def problems(self) -> list[str]:
        """List of the messages of `errors`."""
        return [str(error) for error in self.errors]


def check_files(
    spec: FeatureSpec, files: str | os.PathLike | Sequence[str | os.PathLike], rows: int = 1000
) -> Report:
    """Checks the columns and the first rows of data files against a spec, without TensorFlow.

    Missing vocabularies and statistics are learned from the checked rows, for the report only.
    Reading TFRecord files loads TensorFlow.

    Args:
        spec: `FeatureSpec`; it is not modified.
        files: Glob, path, or list of them.
        rows: Integer. Number of rows to read. Defaults to `1000`.

    Returns:
        A `Report` with one problem for each column that does not match the spec.

    Raises:
        UserError: If no file matches, or if a file cannot be read.
    """
    units = open_spec_files(spec, files)
    errors = []
    for unit in units:
        for name in spec.columns():
            try:
                unit.check_columns([name])
            except UserError as error:
                errors.append(error)
    missing = {name for name in spec.columns() if units[0].names.count(name) != 1}
    count, columns = _columns(spec, units[0], rows)
    for part in _parts(spec):
        if not missing.intersection(part.columns()):
            try:
                _first_batch(part, files, rows)
            except UserError as error:
                errors.append(error)
    errors = list({str(error): error for error in errors}.values())
    batch, notes = [], ()
    if not errors:
        whole = _clone(spec, spec.to_dict())
        (features, labels, weights), count = _first_batch(whole, files, rows)
        batch = [_texts(whole, features, labels, weights, row) for row in range(_SHOWN_ROWS)]
        batch = batch[: min(count, _SHOWN_ROWS)]
        notes = (*_constant_columns(whole, count), *_unknown_values(spec, features))
    return Report(count, columns, errors, batch, notes)


def check_columns(spec: FeatureSpec, files: str | os.PathLike) -> None:
    """Checks that a data file has the columns that every model reads, without TensorFlow.

    These are all but those of histories, which some models do not read. Nothing but the names is
    read, of the largest file alone, since others may have no rows. TFRecord files are left out, as
    reading them loads TensorFlow.

    Args:
        spec: `FeatureSpec`.
        files: Glob or path.

    Raises:
        UserError: If no file matches, if the file cannot be read, or if it lacks a column.
    """
    largest = max(match_files(files), key=os.path.getsize)
    if format_of(largest) != "tfrecord":
        open_spec_files(spec, largest)[0].check_columns(spec.columns(histories=False))


def _constant_columns(spec, rows):
    """Yields a note for each column whose transform divides by the spread of a constant column."""
    for column in spec.features_and_fields():
        figures = spec.assets.statistics.get(column.key, {}) if column.needs_statistics else {}
        step = next((step for step in column.transform if step in ("standardize", "min_max")), None)
        if step is None or "std" not in figures:
            continue
        if figures["std"] == 0 or is_constant(figures["min"], figures["max"]):
            yield (
                f"column `{column.data_column}`: `{column.name}` has no spread in the {rows:,} "
                f"rows read ({figures['min']:.6g} to {figures['max']:.6g}): `{step}` only "
                "subtracts."
            )


def _unknown_values(spec, features):
    """Yields a note for each column with values that have the id of unknown values."""
    for key, column in _columns_by_key(spec):
        lookup = column.lookup
        if lookup is None or column.kind == "cross":
            continue
        # Vocabularies that were learned from these rows do not show what is unknown to a run.
        if lookup.learn is not None and spec.lookup_key(column) not in spec.assets.vocabularies:
            continue
        ids = features[key]
        unknown, count = np.count_nonzero(ids == UNKNOWN_ID), np.count_nonzero(ids)
        if unknown:
            yield (
                f"column `{column.data_column}`: {unknown:,} of {count:,} values of `{key}` are "
                "unknown or missing (id 1)."
            )


def _columns(spec, unit, rows):
    names = [name for name in unit.names if unit.names.count(name) == 1]
    table = next(unit.tables(names, 0, rows))
    users = _users(spec)
    columns = [
        {
            "name": field.name,
            "type": str(_plain_type(field.type)),
            "used_by": users.get(field.name, []),
        }
        for field in table.schema
    ]
    return table.num_rows, columns


def _users(spec) -> dict[str, list[str]]:
    """Returns the names of what reads each column of the rows."""
    users: dict[str, list[str]] = {}

    def put(column, name):
        if column is not None:
            users.setdefault(column, []).append(name)

    inline = [sequence for sequence in spec.sequences if sequence.events is None]
    fields = [spec.resolved_field(sequence, one) for sequence in inline for one in sequence.fields]
    for column in (*spec.features, *fields):
        if column.kind != "cross":
            put(column.data_column, column.name)
        put(column.weights, f"{column.name}/weights")
    for label in spec.labels:
        put(label.data_column, label.name)
    for key in ("group", "request_time", "weight"):
        put(getattr(spec, key), key)
    for sequence in spec.sequences:
        if sequence.events is not None:
            put(sequence.events.user, f"{sequence.name}.events.user")
            put(sequence.events.count, f"{sequence.name}.events.count")
    return users


def _plain_type(kind: pa.DataType) -> pa.DataType:
    """Returns a type without dictionary encoding."""
    if pa.types.is_dictionary(kind):
        return kind.value_type
    for is_kind, make in ((pa.types.is_list, pa.list_), (pa.types.is_large_list, pa.large_list)):
        if is_kind(kind):
            field = kind.value_field
            return make(field.with_type(_plain_type(field.type)))
    return kind


def _parts(spec):
    """Yields specs with one feature or one sequence each, and the columns it refers to."""
    plain = spec.to_dict()
    for feature in spec.features:
        yield _part(spec, plain, {feature.name, *feature.of}, None)
    for sequence in spec.sequences:
        liked = {field.like for field in sequence.fields if field.like is not None}
        # A spec must have a feature, and a cross would need those that it crosses.
        first = next(feature.name for feature in spec.features if not feature.of)
        yield _part(spec, plain, liked or {first}, sequence.name)


def _part(spec, plain, features, sequence):
    part = copy.deepcopy(plain)
    part["features"] = [entry for entry in part["features"] if entry["name"] in features]
    part["sequences"] = [entry for entry in part.get("sequences", ()) if entry["name"] == sequence]
    columns = list(part["features"])
    for entry in part["sequences"]:
        columns += [*entry["fields"], *entry.get("crosses", ())]
    used = {entry.get("table") for entry in columns}
    part["tables"] = {name: table for name, table in part["tables"].items() if name in used}
    return _clone(spec, part)


def _clone(spec, plain):
    clone = FeatureSpec.from_dict(plain, base_dir=spec.base_dir)
    clone.assets.vocabularies.update(spec.assets.vocabularies)
    clone.assets.statistics.update(spec.assets.statistics)
    clone.assets.delimiter, clone.assets.text_ids = spec.assets.delimiter, spec.assets.text_ids
    return clone


def _first_batch(spec, files, rows):
    learn(spec, files, limit=rows)
    reader = BatchReader(spec, files, batch_size=rows, limit=rows)
    return next(reader.read()), reader.num_rows


def _texts(spec, features, labels, weights, row):
    """Returns one row of a batch as short texts."""
    if row >= len(labels):
        return {}
    vocabularies = {key: spec.vocabulary(column) for key, column in _columns_by_key(spec)}
    texts = {}
    for name, values in _row(spec, features, row).items():
        if name.endswith("/length"):
            texts[name] = f"{values} events"
        elif not name.endswith("/first"):
            texts[name] = _text(values, vocabularies.get(name))
    for index, label in enumerate(spec.labels):
        texts[f"label {label.name}"] = f"{labels[row, index]:g}"
    if weights is not None:
        texts["weight"] = f"{weights[row]:g}"
    return texts


def _row(spec, features, row):
    """Returns one row of a batch, with the events in the windows of its sequences."""
    windows = {}
    for sequence in spec.sequences:
        first, lengths = (features[f"{sequence.name}/{part}"] for part in ("first", "length"))
        for field in sequence.fields:
            of_pairs = spec.resolved_field(sequence, field).of_pairs
            start = lengths[:row].sum() if of_pairs else first[row]
            key = f"{sequence.name}/{field.name}"
            windows[key] = windows[f"{key}/weights"] = slice(start, start + lengths[row])
    return {name: values[windows.get(name, row)] for name, values in features.items()}


def _columns_by_key(spec):
    """Returns pairs of a key of batches and its column."""
    pairs = [(feature.name, feature) for feature in spec.features]
    for sequence in spec.sequences:
        for field in sequence.fields:
            column = spec.resolved_field(sequence, field)
            pairs.append((f"{sequence.name}/{field.name}", column))
    return pairs


def _text(value, vocabulary):
    if np.ndim(value) == 0:
        if vocabulary is None:
            return f"{value:g}" if isinstance(value, np.floating) else str(value)
        if value >= FIRST_ID:
            return f"{vocabulary[value - FIRST_ID]}→{value}"
        return ("-", "unknown→1")[int(value)]
    if np.ndim(value) > 1:
        texts = [f"[{_text(item, vocabulary)}]" for item in value[-_SHOWN_VALUES:]]
    else:
        known = [item for item in value if item or vocabulary is None]
        texts = [_text(item, vocabulary) for item in known[-_SHOWN_VALUES:]]
        value = known
    ellipsis = "… " if len(value) > _SHOWN_VALUES else ""
    return ellipsis + ", ".join(texts)

"""Raw columns of data files as the inputs of signatures."""

import os
from collections.abc import Iterator
from typing import Any

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import (
    MISSING_TIME,
    TIME_UNITS,
    as_lists,
    as_numbers,
    as_times,
    one_chunk,
)
from lmn_tf.data.encoding.id_keys import as_keys, as_texts
from lmn_tf.data.encoding.ragged import flat_index
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.data.reading.event_file import EventFile
from lmn_tf.data.reading.events_folder import events_folder
from lmn_tf.serving.raw.inputs import RawInputs
from lmn_tf.serving.raw.texts import MISSING_TEXT
from lmn_tf.specs.feature_spec import FeatureSpec


class RawRows:
    """Converts tables of a spec's data columns to the inputs of a `RawEncoder`.

    Args:
        spec: `FeatureSpec`.
        events_dir: Folder of the event files of histories by reference. Defaults to `None`.
        histories: Boolean. Whether sequences are read. Defaults to `True`.

    Raises:
        UserError: If an event file is missing or damaged.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        events_dir: str | os.PathLike | None = None,
        histories: bool = True,
    ) -> None:
        self._spec = spec
        self._columns = RawInputs(spec, histories)
        self._histories = histories
        self._unit = spec.time_unit or "second"
        self._files = {
            sequence.name: EventFile.of(sequence, str(events_dir))
            for sequence in spec.sequences
            if histories and sequence.events is not None
        }

    def inputs(self, table: pa.Table) -> dict[str, np.ndarray]:
        """Returns the inputs of some rows.

        Args:
            table: Arrow table with the columns of the spec but for labels and weights.

        Raises:
            UserError: If a value cannot be read, or a user is not in an event file.
        """
        inputs = {}
        if self._columns.request is not None:
            time = self._spec.request_time
            inputs[self._columns.request] = self._times(one_chunk(table.column(time)))
        for name, names in self._columns.features.items():
            inputs |= self._items(self._spec.feature(name), names, lambda c: _column(table, c))
        for name, fields in self._columns.fields.items():
            source = self._by_reference if name in self._files else self._inline
            lengths, flat = source(self._spec.sequence(name), table)
            inputs[self._columns.lengths[name]] = lengths
            for field, names in fields.items():
                items = self._items(self._spec.resolved_field(name, field), names, flat)
                inputs |= {key: _padded(values, lengths) for key, values in items.items()}
        return inputs

    def _items(self, column, names, flat):
        """The inputs of a column, with one element an item; `flat` returns a column's items."""
        values = flat(column.data_column)
        if column.kind == "categorical":
            return {names.values: _texts(values)}
        if column.kind == "numeric":
            return {names.values: as_numbers(values, _PLACE)}
        if column.kind == "elapsed_time":
            return {names.values: self._times(values)}
        cells, lengths = as_lists(values, _PLACE, column.separator)
        if column.kind == "vector":
            numbers = as_numbers(cells, _PLACE).astype(np.float32)
            return {names.values: numbers.reshape(len(values), column.size)}
        inputs = {names.values: _padded(_texts(cells), lengths), names.length: lengths}
        if names.weights is not None:
            cells, lengths = as_lists(flat(column.weights), _PLACE, column.separator)
            numbers = as_numbers(cells, _PLACE).astype(np.float32)
            inputs[names.weights] = _padded(numbers, lengths)
        return inputs

    def _times(self, values):
        times = as_times(values, _PLACE, self._unit)
        if self._unit == "nanosecond":
            return np.where(times == MISSING_TIME, times, times * 1000)
        return np.where(times == MISSING_TIME, np.nan, times / (10**6 / TIME_UNITS[self._unit]))

    def _inline(self, sequence, table):
        """The lengths of the histories of the rows, and a function to the events of a column."""
        first = self._spec.resolved_field(sequence, sequence.fields[0]).data_column
        lengths = as_lists(_column(table, first), _PLACE)[1]
        return lengths, lambda name: as_lists(_column(table, name), _PLACE)[0]

    def _by_reference(self, sequence, table):
        file, events = self._files[sequence.name], sequence.events
        users = _column(table, events.user), SourceLocation.of_rows("rows", events.user, 0)
        counts = _column(table, events.count), SourceLocation.of_rows("rows", events.count, 0)
        first, available = file.find(*users)
        counts = file.checked_counts(counts, users, available)
        kept = np.minimum(counts, sequence.max_length)
        first = first + counts - kept if sequence.keep == "newest" else first
        places = flat_index(first, kept)
        resolved = [self._spec.resolved_field(sequence, field) for field in sequence.fields]
        names = [name for field in resolved for name in (field.data_column, field.weights)]
        events = _rows_of(file, [name for name in dict.fromkeys(names) if name], places)
        return kept, lambda name: _column(events, name)


_PLACE = SourceLocation.of_rows("rows", "raw", 0)


def raw_batches(
    spec: FeatureSpec, files: Any, batch_size: int, limit: int, histories: bool = True
) -> Iterator[dict[str, np.ndarray]]:
    """Yields the inputs of the first rows of data files, in the order of `make_dataset`.

    Args:
        spec: `FeatureSpec`.
        files: Glob, path, or list of them.
        batch_size: Integer. Rows of a batch; only the last one has fewer.
        limit: Integer. Number of rows.
        histories: Boolean. Whether sequences are read. Defaults to `True`.
    """
    units = open_spec_files(spec, files)
    folder = events_folder([unit.path for unit in units], spec.sequences if histories else ())
    rows = RawRows(spec, folder, histories)
    columns, parts = spec.columns(labels=False, histories=histories), []
    for unit in units:
        for table in unit.tables(columns, stop=min(limit, unit.rows)):
            limit -= table.num_rows
            parts.append(rows.inputs(table))
    inputs = {name: _joined([part[name] for part in parts]) for name in parts[0]} if parts else {}
    count = len(next(iter(inputs.values()))) if inputs else 0
    for start in range(0, count, batch_size):
        yield {name: values[start : start + batch_size] for name, values in inputs.items()}


def _column(table, name):
    return one_chunk(table.column(name))


def _texts(values):
    texts = as_keys(values, _PLACE)
    if pa.types.is_dictionary(texts.type):
        texts = texts.dictionary_decode()
    return as_texts(texts).fill_null(MISSING_TEXT).to_numpy(zero_copy_only=False)


def _padded(values, lengths):
    """Flat items as lists that are padded behind their last item, `(lists, width, ...)`."""
    mask = np.arange(lengths.max(initial=0)) < lengths[:, None]
    filler = MISSING_TEXT if values.dtype == object else 0
    cells = np.full((*mask.shape, *values.shape[1:]), filler, values.dtype)
    cells[mask] = values
    return cells


def _joined(parts):
    """One array of padded lists of several widths."""
    shape = np.max([part.shape[1:] for part in parts], axis=0).astype(int)
    widths = [
        [(0, 0), *((0, most - own) for most, own in zip(shape, part.shape[1:], strict=True))]
        for part in parts
    ]
    filler = MISSING_TEXT if parts[0].dtype == object else 0
    return np.concatenate(
        [
            np.pad(part, width, constant_values=filler)
            for part, width in zip(parts, widths, strict=True)
        ]
    )


def _rows_of(file, columns, places):
    """The rows of an event file at some places, of which only these are in memory."""
    wanted, index = np.unique(places, return_inverse=True)
    parts = []
    for row, batch in file.batches(columns):
        low, high = np.searchsorted(wanted, [row, row + len(batch)])
        part = pa.Table.from_batches([batch])
        parts.append(part.take(pa.array(wanted[low:high] - row)))
    return pa.concat_tables(parts).take(pa.array(index))

"""Learning of vocabularies and statistics in one pass over training data."""

import dataclasses
import os
import tempfile
from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from lmn_tf.data.encoding.arrow_values import as_lists, as_numbers, one_chunk, pick_lists
from lmn_tf.data.encoding.number_encoder import apply_step, leading_steps
from lmn_tf.data.encoding.source_location import RowNumbers, SourceLocation
from lmn_tf.data.formats import format_of, match_files
from lmn_tf.data.learning.counts import NumberSummary, ValueCounter
from lmn_tf.data.learning.files_digest import files_digest
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.data.reading.event_file import EventFile
from lmn_tf.data.reading.events_folder import events_folder
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.data.reading.unit_order import UnitOrder
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.assets import Assets

_LARGEST = 1e150  # so that the squared deviations are finite


def is_learned(spec: FeatureSpec) -> bool:
    """Returns whether `spec.assets` has all vocabularies and statistics of the spec."""
    return not _wanted(spec)


def find_learned(spec: FeatureSpec, files: str | os.PathLike | Sequence[str | os.PathLike]) -> None:
    """Reads learned files in the folder of the data into `spec.assets`, as `learn` does first.

    Args:
        spec: `FeatureSpec`.
        files: Glob, path, or list of them.

    Raises:
        UserError: If no file matches, or a learned file is damaged.
    """
    paths = match_files(files)
    _reuse(spec, os.path.dirname(paths[0]), paths)


def learn(
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    seed: int | None = None,
    limit: int | RowLimit | None = None,
    reuse: bool = True,
) -> None:
    """Learns the missing vocabularies and statistics of a spec into `spec.assets`.

    If the folder of the files has `vocabularies/` and `statistics.json` that were learned by the
    same rules from files of the same names and sizes, and are not older than these, they are read;
    otherwise, the files are read once. What earlier versions learned, without a note of its files,
    is read for files of that folder alone.

    A value is counted as often as training reads it: once for each row, and once for each history
    that contains its event. Rows of weight 0, which training leaves out, do not count, unless all
    have it. Columns with a shared vocabulary are counted together. An event by reference is counted
    once for each row of these files whose history contains it, so that later events are not
    counted, and both forms of a history have the same vocabulary. Statistics of a feature are those
    of its column.

    Args:
        spec: `FeatureSpec`.
        files: Glob, path, or list of them. The training data.
        seed: Integer in `[0, 2**64)` or `None`. Seed of the sample for quantiles. Defaults to
            `None`: 0.
        limit: Integer, the number of rows to read, from the first; or `RowLimit`. Defaults to
            `None`: all.
        reuse: Boolean. Whether to use learned files in the folder of the data. Defaults to `True`.

    Raises:
        UserError: If the data do not match the spec, or have no values to learn from.
    """
    paths = match_files(files)
    folder = events_folder(paths, spec.sequences)
    sources = files_digest(paths, folder, limit)
    if reuse and limit is None:
        _reuse(spec, folder, paths, sources)
    wanted = _wanted(spec)
    if not wanted:
        return
    order = UnitOrder(open_spec_files(spec, files), False, seed or 0, 1, (0, 1), limit)
    learners = [_Learner(spec, column, sequence) for column, sequence in _sources(spec, wanted)]
    keys = {learner.key for learner in learners}
    gatherers = {key: _gatherer(seed or 0, learners, key) for key in sorted(keys)}
    histories = {
        learner.sequence.name: _ReadEvents(learner.sequence, folder)
        for learner in learners
        if learner.sequence is not None and learner.sequence.events is not None
    }
    columns = [column for learner in learners for column in learner.columns]
    columns += [column for history in histories.values() for column in history.columns]
    columns += [] if spec.weight is None else [spec.weight]
    columns = tuple(dict.fromkeys(columns))
    for unit, table, rows in _counted_tables(spec, order, columns):
        for learner in learners:
            if not learner.by_reference:
                learner.take_table(table, unit.path, rows, gatherers[learner.key])
        for history in histories.values():
            history.take_table(table, unit.path, rows)
    for name, history in histories.items():
        chosen = [
            learner
            for learner in learners
            if learner.by_reference and learner.sequence.name == name
        ]
        history.replay(chosen, gatherers)
    for key, gatherer in gatherers.items():
        learner = next(learner for learner in learners if learner.key == key)
        _store(spec, key, gatherer, learner, sources)


def _counted_tables(spec, order, columns):
    """Yields units, their rows with a weight above 0, and the numbers of these; see `learn`."""
    found = False
    for unit, table, rows in order.tables(0, 0, columns):
        if spec.weight is not None:
            table, rows = _weighted(spec, unit.path, table, rows)
        if table.num_rows:
            found = True
            yield unit, table, rows
    if not found:
        yield from order.tables(0, 0, columns)


def _weighted(spec, path, table, rows) -> tuple[pa.Table, RowNumbers]:
    location = SourceLocation.of_rows(path, spec.weight, rows)
    weights = as_numbers(one_chunk(table.column(spec.weight)), location)
    kept = np.flatnonzero(weights)
    if len(kept) == len(weights):
        return table, rows
    rows = rows if isinstance(rows, np.ndarray) else np.arange(rows, rows + len(weights))
    return table.take(pa.array(kept)), rows[kept]


@dataclasses.dataclass
class _Learner:
    """A column from which a vocabulary or statistics are learned."""

    spec: object
    column: object
    sequence: object

    @property
    def counts(self):
        return self.column.lookup is not None and self.column.lookup.learn is not None

    @property
    def key(self):
        if self.counts:
            return "vocabulary", self.spec.lookup_key(self.column)
        return "statistics", self.column.key

    @property
    def by_reference(self):
        return self.sequence is not None and self.sequence.events is not None

    @property
    def columns(self):
        return () if self.by_reference else (self.column.data_column,)

    def take_table(self, table, path, rows, gatherer):
        values = one_chunk(table.column(self.column.data_column))
        location = SourceLocation.of_rows(path, self.column.data_column, rows)
        if self.sequence is not None:
            flat, lengths = as_lists(values, location)
            newest = self.sequence.keep == "newest"
            values, lengths, _ = pick_lists(flat, lengths, self.sequence.max_length, newest)
            location = location.within(lengths)
        self.take_items(values, location, gatherer)

    def take_items(self, values, location, gatherer, times=None):
        if self.column.kind == "multi_value":
            flat, lengths = as_lists(values, location, self.column.separator)
            values, lengths, _ = pick_lists(flat, lengths, self.column.max_values, newest=False)
            location = location.within(lengths)
            times = None if times is None else np.repeat(times, lengths)
        if isinstance(gatherer, ValueCounter):
            gatherer.add(values, location, times)
            return
        numbers = as_numbers(values, location)
        kept = np.flatnonzero(np.isfinite(numbers))
        numbers, location = numbers[kept], location.picked(kept)
        for step in leading_steps(self.column.transform):
            numbers = apply_step(numbers, *step, location)
        large = np.abs(numbers) > _LARGEST
        if large.any():
            at = int(np.argmax(large))
            rule = "a number that statistics are learned from must be within ±1e150"
            raise location.error(at, rule, float(numbers[at]))
        if times is not None:
            numbers = np.repeat(numbers, times[kept])
        gatherer.add(numbers)


class _ReadEvents:
    """Counts the rows of each event of a history by reference, then reads these events."""

    def __init__(self, sequence, folder):
        self.sequence = sequence
        self.file = EventFile.of(sequence, folder)
        self.columns = (sequence.events.user, sequence.events.count)
        # Differences of the number of rows of each event; their running sum is the number.
        size = self.file.num_events + 1
        with tempfile.TemporaryFile() as scratch:
            scratch.truncate(size * 4)
            self._changes = np.memmap(scratch, np.int32, "r+", shape=(size,))

    def take_table(self, table, path, rows):
        user, count = self.columns
        users = one_chunk(table.column(user)), SourceLocation.of_rows(path, user, rows)
        counts = one_chunk(table.column(count)), SourceLocation.of_rows(path, count, rows)
        first, available = self.file.find(*users)
        precede = self.file.checked_counts(counts, users, available)
        kept = np.minimum(precede, self.sequence.max_length)
        if self.sequence.keep == "newest":
            first = first + precede - kept
        np.add.at(self._changes, first, np.int32(1))
        np.add.at(self._changes, first + kept, np.int32(-1))

    def replay(self, learners, gatherers):
        if not learners:
            return
        columns = tuple(dict.fromkeys(learner.column.data_column for learner in learners))
        self.file.check_columns(columns)
        level = 0
        for row, batch in self.file.batches(columns):
            changes = self._changes[row : row + batch.num_rows]
            times = np.cumsum(changes, dtype=np.int64) + level
            level = int(times[-1])
            read = np.flatnonzero(times)
            if not len(read):
                continue
            for learner in learners:
                column = learner.column.data_column
                location = SourceLocation.of_rows(self.file.path, column, row).picked(read)
                values = batch.column(column).take(pa.array(read))
                learner.take_items(values, location, gatherers[learner.key], times[read])


def _sources(spec, wanted):
    """Yields the columns from which keys are learned, with their sequence or `None`."""
    columns = [(column, None) for column in spec.features]
    for sequence in spec.sequences:
        columns += [(spec.resolved_field(sequence, field), sequence) for field in sequence.fields]
    for column, sequence in columns:
        learner = _Learner(spec, column, sequence)
        if learner.counts:
            if learner.key in wanted:
                yield column, sequence
        elif column.needs_statistics and learner.key in wanted:
            if sequence is None or column.like is None:
                yield column, sequence


def _wanted(spec) -> set:
    """Returns (part, key) of missing vocabularies and statistics."""
    wanted = set()
    for column in spec.features_and_fields():
        if column.lookup is not None and column.lookup.learn is not None:
            key = spec.lookup_key(column)
            if key not in spec.assets.vocabularies:
                wanted.add(("vocabulary", key))
        elif column.needs_statistics and column.key not in spec.assets.statistics:
            wanted.add(("statistics", column.key))
    return wanted


def _gatherer(seed, learners, key):
    return ValueCounter() if key[0] == "vocabulary" else NumberSummary(seed)


def _store(spec, key, gatherer, learner, sources):
    part, name = key
    rules = {**_rules(spec)[key], "files": sources}
    if part == "vocabulary":
        rule = learner.column.lookup.learn
        values = gatherer.most_frequent(rule.min_count, rule.max_size)
        spec.assets.vocabularies[name] = values
        spec.assets.statistics[_note(name)] = {"count": len(values), "learned": rules}
        return
    if not gatherer.count:
        raise UserError(
            f"column `{learner.column.data_column}` must hold at least one number for the "
            f"statistics of `{name}` to be learned. Received: none"
        )
    step = learner.column.bucketize
    quantiles = step.bucketize.quantiles if step is not None and step.learned else None
    spec.assets.statistics[name] = {**gatherer.figures(quantiles), "learned": rules}


def _note(name):
    return f"vocabulary/{name}"


def _rules(spec) -> dict:
    """Returns the rules of learning for each (part, key), as plain data."""
    rules: dict[tuple[str, str], dict] = {}
    for column, sequence in _sources(spec, _all_keys(spec)):
        learner = _Learner(spec, column, sequence)
        if learner.key not in rules:
            rules[learner.key] = {"rule": _plain_rule(column), "columns": []}
            # Without weights, what earlier versions learned is still right.
            rules[learner.key] |= {} if spec.weight is None else {"weight": spec.weight}
        source = {"column": column.data_column}
        if column.kind == "multi_value":
            source["max_values"] = column.max_values
        if sequence is not None:
            source |= {
                "sequence": sequence.name,
                "max_length": sequence.max_length,
                "keep": sequence.keep,
            }
        rules[learner.key]["columns"].append(source)
    return rules


def _all_keys(spec):
    keys = set()
    for column in spec.features_and_fields():
        keys |= {("statistics", column.key)}
        if column.lookup is not None and column.lookup.learn is not None:
            keys.add(("vocabulary", spec.lookup_key(column)))
    return keys


def _plain_rule(column):
    if column.lookup is not None:
        return dataclasses.asdict(column.lookup.learn)
    return [step if isinstance(step, str) else repr(step) for step in column.transform]


def _reuse(spec, folder, files, sources=None):
    """Reads learned files in the folder of the data that were learned by the rules of the spec.

    With the digest `sources`, only what was learned from these files is read.
    """
    path = os.path.join(folder, "statistics.json")
    read = [*files, *(os.path.join(folder, s.events.file) for s in spec.sequences if s.events)]
    # Files older than the data were learned from other data.
    if not os.path.exists(path) or any(
        os.path.exists(file) and os.path.getmtime(file) > os.path.getmtime(path) for file in read
    ):
        return
    beside = Assets.load(folder)
    if not beside.text_ids and any(format_of(file) == "csv" for file in files):
        return  # learned from other ids
    in_folder = all(os.path.dirname(file) == folder for file in files)
    rules = _rules(spec)
    for part, key in _wanted(spec):
        note = beside.statistics.get(_note(key) if part == "vocabulary" else key, {})
        learned = dict(note.get("learned", {}))
        noted = learned.pop("files", sources if in_folder else None)
        if learned != rules[part, key] or sources not in (None, noted):
            continue
        if part == "statistics":
            spec.assets.statistics[key] = note
        elif key in beside.vocabularies:
            spec.assets.vocabularies[key] = beside.vocabularies[key]
            spec.assets.statistics[_note(key)] = note

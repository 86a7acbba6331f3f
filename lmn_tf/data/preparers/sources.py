"""Files of publishers as typed tables, with counts of all rows that are left out."""

from __future__ import annotations

import contextlib
import fnmatch
import itertools
import json
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet

from lmn_tf.data.preparers import text_files
from lmn_tf.data.preparers.cells import (
    cell_text,
    index_of,
    is_nested,
    json_cell,
    parquet_file,
    split_cells,
)
from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.plan import quoted, text
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.yaml.plain_file import other_than_file

_SAMPLE = 20
_FILE_STEP = 1 << 40  # `_seq` of a row: file number times this, plus the line number


class Sources:
    """The files of a publisher, with counts of the rows that are left out.

    Args:
        engine: An `Engine`.
        folder: Path of the folder of the files, or of one file.
        max_malformed: Float. Maximum share of malformed rows of one table. Defaults to `0.01`.
    """

    def __init__(
        self, engine: Engine, folder: str | os.PathLike, max_malformed: float = 0.01
    ) -> None:
        self.engine = engine
        self.input = pathlib.Path(folder)
        self.max_malformed = max_malformed
        self.tables = {}
        self.dropped = {}
        self.files = {}
        self._failure = None
        if not self.input.exists():
            raise UserError(
                f"`input` must be a folder or a file. Received: input={str(self.input)!r}"
            )

    def find(self, *patterns: str, required: bool = True) -> list[pathlib.Path]:
        """Files of the first pattern that matches any, compressed or not, sorted by name."""
        endings = ("", *text_files.OPENERS)
        for pattern in patterns:
            matches = {f for end in endings for f in self._matches(pattern + end)}
            for path in sorted(matches):
                other = other_than_file(path)
                if other is not None:
                    raise UserError(f"`input` must be files. Received: {other}", file=path)
            if matches:
                return sorted(matches)
        if not required:
            return []
        present = "a file"
        if self.input.is_dir():
            names = sorted(path.name for path in self.input.iterdir())
            present = ", ".join(names[:10]) or "no file"
        raise UserError(
            f"`input` must hold {' or '.join(patterns)} (plain, .xz, .gz or .bz2). "
            f"Received: input={str(self.input)!r} with {present}"
        )

    def _matches(self, pattern):
        """Files that match a pattern in any case; the input itself if it is a file."""
        names = self.input.iterdir() if self.input.is_dir() else [self.input]
        paths = {p for p in names if fnmatch.fnmatchcase(p.name.lower(), pattern.lower())}
        return paths | set(self.input.glob(pattern) if self.input.is_dir() else ())

    def text(
        self,
        table: str,
        paths: Sequence[pathlib.Path],
        columns: Sequence[Column],
        separator: str,
        encoding: str = "utf-8",
        header: bool = False,
        width: int | None = None,
    ) -> None:
        """Reads lines with cells between `separator`, without quotes, into `table`."""
        for index, path in enumerate(paths):
            names = text_files.header_of(path, separator, encoding) if header else None
            query = f"SELECT *, string_split(_text, {text(separator)}) AS _cells FROM lines"
            wrong = f"WHEN _text IS NULL THEN 'a line must be {encoding} text'"
            cells, wrong = split_cells(path, columns, names, width, wrong)
            lines = text_files.line_batches(path, encoding, skip=1 if header else 0)
            where = " WHERE _text <> '' OR _text IS NULL"
            self._load(table, index, path, columns, cells, query + where, wrong, lines)
        self._settle(table)

    def csv(
        self,
        table: str,
        paths: Sequence[pathlib.Path],
        columns: Sequence[Column],
        separator: str = ",",
    ) -> None:
        """Reads CSV with a header and quoted cells into `table`."""
        for index, path in enumerate(paths):
            names = text_files.header_of(path, separator, quotes=True)
            query = f"SELECT *, array_to_string(_cells, {text(separator)}) AS _text FROM lines"
            cells, wrong = split_cells(path, columns, names, None, "")
            lines = text_files.csv_batches(path, separator)
            self._load(table, index, path, columns, cells, query, wrong, lines)
        self._settle(table)

    def json_lines(
        self,
        table: str,
        paths: Sequence[pathlib.Path],
        columns: Sequence[Column],
        batches: Callable[..., Iterator[pa.RecordBatch]] = text_files.line_batches,
        named: bool = False,
    ) -> None:
        """Reads one JSON object per line into `table`.

        Args:
            table: String. Name of the table.
            paths: List of paths.
            columns: List of `Column`.
            batches: Function from a path to batches of `_line` and `_text`. Defaults to
                `text_files.line_batches`.
            named: Boolean. Whether the user has named the columns, so that one that no object has
                is a mistake. Defaults to `False`.

        Raises:
            UserError: If lines are no JSON objects, or lack a column that is named.
        """
        for index, path in enumerate(paths):
            query = (
                "SELECT *, CASE WHEN json_valid(_text) THEN CAST(_text AS JSON) END AS _json "
                "FROM lines WHERE _text <> '' OR _text IS NULL"
            )
            cells = [json_cell(column) for column in columns]
            wrong = "WHEN _json IS NULL THEN 'a line must be a JSON object'"
            self._load(table, index, path, columns, cells, query, wrong, batches(path))
        if named:
            count = f"SELECT count({{}}) FROM {quoted(table)}"
            empty = [c for c in columns if not self.engine.value(count.format(quoted(c.name)))]
            _check_keys(paths, empty)
        self._settle(table)

    def parquet(self, table: str, paths: Sequence[pathlib.Path], columns: Sequence[Column]) -> None:
        """Reads Parquet files into `table`; the line of a row is its number, from 1.

        A column with the type of the file becomes text if the types of files differ.
        """
        cells_of_files = [self._parquet_cells(path, columns) for path in paths]
        mixed = []
        for column, cells in zip(columns, zip(*cells_of_files, strict=True), strict=True):
            kinds = [kind for _, kind in cells]
            mixed.append(not column.type and len(set(kinds)) > 1)
            if mixed[-1]:
                _check_flat(paths, column, kinds)
        for index, (path, cells) in enumerate(zip(paths, cells_of_files, strict=True)):
            cells = [
                cell_text(*cell) if is_mixed else cell[0]
                for cell, is_mixed in zip(cells, mixed, strict=True)
            ]
            query = f"SELECT *, file_row_number + 1 AS _line, '' AS _text FROM {parquet_file(path)}"
            self._load(table, index, path, columns, cells, query, "", None)
        self._settle(table)

    def _parquet_cells(self, path, columns):
        """SQL and type of each column's cell."""
        described = self._execute(path, f"DESCRIBE SELECT * FROM {parquet_file(path)}")
        # The engine renames the second of two columns of the same name.
        given = pyarrow.parquet.read_schema(path).names
        indices = [index_of(path, column, 0, given) for column in columns]
        return [(quoted(described[index][0]), described[index][1]) for index in indices]

    def batches(self, table: str, path: pathlib.Path, batches: Iterator[pa.RecordBatch]) -> None:
        """Loads record batches of a generator without changes."""
        self._stream(path, batches, f"CREATE OR REPLACE TABLE {quoted(table)} AS FROM lines")
        self.files[self._name(path)] = path.stat().st_size

    def drop(self, reason: str, count: int) -> None:
        """Counts rows that a preparer left out, with its reason."""
        if count:
            self.dropped[reason] = self.dropped.get(reason, 0) + int(count)

    def delete(self, table: str, condition: str, reason: str) -> None:
        """Deletes the rows of a table that satisfy a condition, and counts them."""
        count = self.engine.value(f"SELECT count(*) FROM {quoted(table)} WHERE {condition}")
        if count:
            self.engine.connection.execute(f"DELETE FROM {quoted(table)} WHERE {condition}")
        self.drop(reason, count)

    def malformed(
        self, table: str, paths: Sequence[pathlib.Path], found: tuple[int, list[tuple]], total: int
    ) -> None:
        """Counts malformed rows `(seq, problem, text)` of a table; too many are an error."""
        count, sample = found
        shown = [
            {
                "file": self._name(paths[seq // _FILE_STEP]),
                "line": seq % _FILE_STEP,
                "problem": problem,
                "text": (line or "")[:200],
            }
            for seq, problem, line in sample
        ]
        self.tables[table] |= {"malformed": count, "malformed_rows": shown}
        if count > self.max_malformed * total:
            seq, problem, _ = sample[0]
            raise UserError(
                f"{problem}. {count} of {total} rows of {table} are malformed: more than "
                f"max_malformed={self.max_malformed}",
                file=paths[seq // _FILE_STEP],
                line=seq % _FILE_STEP,
            )

    def _name(self, path):
        """Path of a file in the input, as two folders may have files of the same name."""
        inside = self.input in path.parents
        return path.relative_to(self.input).as_posix() if inside else path.name

    def _load(self, table, index, path, columns, cells, query, wrong, batches):
        """Appends the typed rows of one file; malformed ones have `_problem` and their text."""
        raw = ", ".join(f"{cell} AS _raw_{i}" for i, cell in enumerate(cells))
        raw_names = [f"_raw_{i}" for i in range(len(columns))]
        typed = ",\n  ".join(
            f"{column.expression(raw_name)} AS {quoted(column.name)}"
            for column, raw_name in zip(columns, raw_names, strict=True)
        )
        clauses = "\n".join(
            column.problem(raw_name) for column, raw_name in zip(columns, raw_names, strict=True)
        )
        names = ", ".join(quoted(column.name) for column in columns)
        wrong = f"CASE {wrong} END" if wrong else "NULL"
        verb = "CREATE OR REPLACE TABLE {} AS" if index == 0 else "INSERT INTO {}"
        sql = f"""{verb.format(quoted(table))}
SELECT {index * _FILE_STEP} + _line AS _seq, {names}, _problem,
  CASE WHEN _problem IS NOT NULL THEN _text END AS _text
FROM (
  SELECT *, CASE WHEN _wrong IS NOT NULL THEN _wrong {clauses} END AS _problem
  FROM (
    SELECT _line, _text, _wrong, {", ".join(raw_names)}, {typed}
    FROM (SELECT _line, _text, {wrong} AS _wrong, {raw} FROM ({query}) AS cells) AS raw
  ) AS typed
) AS checked"""
        if self.engine.on_step is not None:
            self.engine.on_step(f"read {self._name(path)}")
        if batches is None:
            # The statistics of Parquet leave NaN out: by them, isnan() is always false.
            with self.engine.without("statistics_propagation"):
                self._execute(path, sql)
        else:
            self._stream(path, batches, sql)
        self.files[self._name(path)] = path.stat().st_size
        if index == 0:
            self.tables[table] = {"paths": []}
        self.tables[table]["paths"].append(path)

    def _stream(self, path, batches, sql):
        """Runs `sql` with the batches as the table `lines`."""
        batches = self._remembered(batches)
        first = next(batches, None)
        if first is None:
            raise UserError("the file must hold at least one row", file=path)
        reader = pa.RecordBatchReader.from_batches(first.schema, itertools.chain([first], batches))
        self.engine.connection.register("lines", reader)
        try:
            self._execute(path, sql)
        finally:
            self.engine.connection.unregister("lines")

    def _remembered(self, batches):
        """Stores a `UserError` raised while streaming, which the engine would wrap."""
        try:
            yield from batches
        except UserError as error:
            self._failure = error
            raise

    def _execute(self, path, sql):
        try:
            return self.engine.rows(sql)
        except Exception as error:
            if self._failure is not None:
                raise self._failure from error
            if "parquet" in str(error).lower() and "read_parquet" in sql:
                received = str(error).splitlines()[0]
                message = f"the file must be readable Parquet. Received: {received}"
                raise UserError(message, file=path) from error
            raise

    def _settle(self, table):
        """Counts the rows of a table and removes malformed ones."""
        name, run = quoted(table), self.engine.connection.execute
        total = self.engine.value(f"SELECT count(*) FROM {name}")
        bad = self.engine.value(f"SELECT count(*) FROM {name} WHERE _problem IS NOT NULL")
        sample = self.engine.rows(
            f"SELECT _seq, _problem, _text FROM {name} WHERE _problem IS NOT NULL "
            f"ORDER BY _seq LIMIT {_SAMPLE}"
        )
        paths = self.tables[table].pop("paths")
        self.tables[table] |= {"rows": total, "malformed": 0, "malformed_rows": []}
        if bad:
            self.malformed(table, paths, (bad, sample), total)
            run(f"DELETE FROM {name} WHERE _problem IS NOT NULL")
        if total == bad:
            raise UserError("the file must hold at least one readable row", file=paths[0])
        run(f"ALTER TABLE {name} DROP COLUMN _problem")
        run(f"ALTER TABLE {name} DROP COLUMN _text")


def _check_flat(paths, column, kinds):
    """Raises a `UserError` for lists in a column that is something else in another file."""
    nested = next((at for at, kind in enumerate(kinds) if is_nested(kind)), None)
    if nested is not None:
        raise UserError(
            f"column `{column.headers[0]}` must have one type in all files where it holds lists or "
            f"structs. Received: {', '.join(dict.fromkeys(kinds))}",
            file=paths[nested],
        )


def _check_keys(paths, columns):
    """Raises a `UserError` for an empty column whose key no object of the first lines has."""
    keys: dict[str, None] = {}
    for path in paths if columns else ():
        for line in next(text_files.line_batches(path))["_text"].to_pylist():
            with contextlib.suppress(ValueError, TypeError):
                keys |= dict.fromkeys(json.loads(line))
        if keys:
            break
    for key in (column.headers[0] for column in columns):
        if keys and not key.startswith("$") and key not in keys:
            raise UserError(
                f"column `{key}` must be a key of the objects in the file. "
                f"Received: {', '.join(keys)}.{did_you_mean(key, keys)}",
                file=path,
            )

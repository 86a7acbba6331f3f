"""CSV files: one unit per file, with column types from the first rows."""

import contextlib
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv

from lmn_tf.data.encoding.arrow_values import TIMESTAMPS, split_texts
from lmn_tf.data.encoding.id_keys import quick_integers
from lmn_tf.data.formats.unit import Unit
from lmn_tf.data.reading.checksum import FileState
from lmn_tf.specs.errors import UserError, short

_BLOCK_BYTES = 4 << 20
_DELIMITERS = (",", ";", "\t", "|")
_TYPES = (pa.int64(), pa.float64(), *TIMESTAMPS)


class CsvTypes:
    """Types of CSV columns, inferred once and used for all files.

    Columns in `texts` are the text between the delimiters (blanks are part of a field by RFC 4180),
    and columns in `numbers` are floats. The others, which are times, have the first of these types
    that is valid for all cells of the first block of the first file: integer, float, timestamp
    without a time zone or with one, text. A later block with fractions is read as floats where the
    first has integers. An empty cell is a missing value.

    Args:
        lists: Mapping from list column to the separator of its text cells; `None` leaves the cells
            as they are.
        numbers: Names of columns of numbers.
        texts: Names of columns whose cells are unchanged text. Defaults to `()`.
    """

    def __init__(
        self, lists: Mapping[str, str | None], numbers: Sequence[str], texts: Sequence[str] = ()
    ) -> None:
        self.lists = dict(lists)
        self.numbers = frozenset(numbers)
        self.texts = frozenset(texts)
        self._types: dict[str, pa.DataType] = {}

    def convert(self, name: str, cells: pa.Array, path: str, first_row: int) -> pa.Array:
        """Returns text cells in the type of the column, or as lists of it."""
        if name not in self.lists:
            return self._typed(name, cells, path, lambda i: first_row + i + 1)
        separator = self.lists[name]
        if separator is None:
            return cells
        lists = split_texts(cells, separator)
        lengths = pc.list_value_length(lists).fill_null(0).to_numpy(zero_copy_only=False)
        offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)

        def row(i):
            return first_row + int(np.searchsorted(offsets, i, side="right"))

        values = self._typed(name, lists.flatten(), path, row)
        return pa.ListArray.from_arrays(pa.array(offsets), values)

    def _typed(self, name, cells, path, row):
        if name in self.texts:
            # int64 is a compact form of the same ids, with faster look-ups.
            numbers = quick_integers(cells)
            return cells if numbers is None else numbers
        cells = pc.utf8_trim_whitespace(cells)
        if name in self.numbers:
            kind = pa.float64()
        elif name not in self._types:
            kind = _fitting_type(cells)
            if kind is not None:
                self._types[name] = kind
        else:
            kind = self._types[name]
        if kind is None or pa.types.is_string(kind):
            return cells
        # Which block is read first, and gives the type, depends on the order of an epoch.
        widest = pa.float64() if pa.types.is_integer(kind) else kind
        for wider in dict.fromkeys((kind, widest)):
            with contextlib.suppress(pa.ArrowInvalid):
                return pc.cast(cells, wider)
        at = _first_misfit(cells, widest)
        rule = "a number" if name in self.numbers else f"{kind}, as in the first rows"
        raise UserError(
            f"column `{name}`, row {row(at)}: the value must be {rule}. "
            f"Received: {short(cells[at].as_py())}",
            file=path,
        )


def _fitting_type(cells: pa.Array) -> pa.DataType | None:
    if cells.null_count == len(cells):
        return None  # no information: a later block decides
    for kind in _TYPES:
        try:
            pc.cast(cells, kind)
        except pa.ArrowInvalid:
            continue
        return kind
    return pa.string()


def _first_misfit(cells: pa.Array, kind: pa.DataType) -> int:
    low, high = 0, len(cells)
    while high - low > 1:
        middle = (low + high) // 2
        try:
            pc.cast(cells.slice(low, middle - low), kind)
        except pa.ArrowInvalid:
            high = middle
        else:
            low = middle
    return low


class CsvUnit(Unit):
    """One CSV file with a header line.

    Args:
        path: String. Path of the file, with gzip if its name ends in `.gz`.
        types: `CsvTypes` of all files.
        delimiter: String. Delimiter of the cells. Defaults to `None`: a tab if the name ends in
            `.tsv`, otherwise a comma.
    """

    def __init__(self, path: str, types: CsvTypes, delimiter: str | None = None) -> None:
        self.path, state = path, FileState(path)
        usual = "\t" if path.lower().removesuffix(".gz").endswith(".tsv") else ","
        self.delimiter = delimiter or usual
        self._types = types
        self.text_columns = types.texts
        with self._reader(None) as reader:
            names = self._names_of(reader)
        super().__init__(path, names, state=state)
        self._rows: int | None = None

    @property
    def rows(self) -> int:
        if self._rows is None:
            rows, last = 0, None
            last_is_one = len(self.names) > 1 and self.names.count(self.names[-1]) == 1
            ends = [self.names[0], self.names[-1]] if last_is_one else self.names[:1]
            with self._reader(ends) as reader, self._guarded():
                for batch in reader:
                    rows += batch.num_rows
                    last = batch.column(len(ends) - 1)[-1].as_py() if batch.num_rows else last
            self._check_end(last or "")
            self._rows = rows
        return self._rows

    def _check_end(self, cell):
        """Raises a `UserError` if the last cell has a quote that is never closed.

        It has swallowed the lines that follow it.
        """
        if "\n" not in cell:
            return
        end = b""
        with self._bytes() as file:
            while block := file.read(_BLOCK_BYTES):
                end = (end + block)[-_BLOCK_BYTES:]
        if not end.rstrip().endswith(b'"'):
            line = cell.split("\n", 1)[0]
            raise self._unreadable(f"a quote that is never closed, in {short(chr(34) + line)}")

    def _stream(self, columns: Sequence[str], skip: int) -> Iterator[pa.Table]:
        row = 0
        with self._reader(columns) as reader, self._guarded():
            for batch in reader:
                rows = batch.num_rows
                if row + rows > skip:
                    start = max(skip - row, 0)
                    batch = batch.slice(start)
                    arrays = [
                        self._types.convert(name, batch.column(name), self.path, row + start)
                        for name in columns
                    ]
                    yield pa.Table.from_arrays(arrays, names=list(columns))
                row += rows

    @contextlib.contextmanager
    def _guarded(self):
        """Converts errors of Arrow to a `UserError`."""
        try:
            yield
        except pa.ArrowInvalid as error:
            raise self._unreadable(error) from error

    def _reader(self, columns):
        names = list(columns or ())
        try:
            if not hasattr(self, "names"):
                options = pa_csv.ConvertOptions()
            else:
                options = pa_csv.ConvertOptions(
                    include_columns=names,
                    column_types={name: pa.string() for name in names},
                    strings_can_be_null=True,
                    null_values=[""],
                )
            return pa_csv.open_csv(
                self._bytes(),
                read_options=pa_csv.ReadOptions(block_size=_BLOCK_BYTES),
                parse_options=pa_csv.ParseOptions(
                    delimiter=self.delimiter,
                    newlines_in_values=True,
                    # The empty line of a single column is a row without a value.
                    ignore_empty_lines=len(getattr(self, "names", ())) != 1,
                ),
                convert_options=options,
            )
        except (pa.ArrowException, OSError) as error:
            raise self._unreadable(error) from error

    def _bytes(self):
        zipped = "gzip" if self.path.lower().endswith(".gz") else None
        return pa.input_stream(self.path, compression=zipped)

    def _names_of(self, reader):
        try:
            return reader.schema.names
        except UnicodeDecodeError as error:
            raise self._unreadable(error) from error

    def _unreadable(self, error):
        reason = " ".join(str(error).split())
        return UserError(
            f"the file must be CSV with a header line and the delimiter {self.delimiter!r}. "
            f"Received: {reason}",
            file=self.path,
        )

    @property
    def _reading(self):
        others = [mark for mark in _DELIMITERS if mark in self.names[0] and len(self.names) == 1]
        hint = f", and {others[0]!r} in it: give it as `delimiter`" if others else ""
        return f" with the delimiter {self.delimiter!r}{hint}"


def open_csv(path: str, types: CsvTypes, delimiter: str | None = None) -> list[Unit]:
    """Returns the unit of a CSV file; a file without rows has none."""
    unit = CsvUnit(path, types, delimiter)
    has_rows = next(iter(unit._stream(unit.names[:1], 0)), None) is not None
    return [unit] if has_rows else []

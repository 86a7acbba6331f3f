"""Parquet files: one unit per row group."""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf.data.formats.unit import Unit
from lmn_tf.data.reading.checksum import FileState, verify_checksum
from lmn_tf.specs.errors import UserError

_CHUNK_ROWS = 8_192


class ParquetUnit(Unit):
    """One row group of a Parquet file; text columns stay dictionary-encoded.

    Before its first rows are read, the file is compared with its checksum file if there is one.

    Args:
        path: String. Path of the file.
        names: Tuple of strings. Columns of the file.
        group: Integer. Index of the row group.
        rows: Integer. Number of rows of the group.
        first_row: Integer. Number of rows of the file before the group.
        texts: Tuple of strings. Paths of the leaf columns of text.
        state: `FileState` from before the row groups were counted.
    """

    def __init__(
        self,
        path: str,
        names: tuple[str, ...],
        group: int,
        rows: int,
        first_row: int,
        texts: tuple[str, ...],
        state: FileState,
    ) -> None:
        super().__init__(path, names, first_row, state)
        self.group = group
        self.texts = texts
        self._rows = rows

    @property
    def rows(self) -> int:
        return self._rows

    def _stream(self, columns: Sequence[str], skip: int) -> Iterator[pa.Table]:
        # Looks up the distinct texts of a dictionary page instead of each cell.
        texts = [leaf for leaf in self.texts if leaf.split(".")[0] in columns]
        missing = self._rows
        verify_checksum(self.path)
        try:
            with pq.ParquetFile(
                self.path,
                read_dictionary=texts,
                pre_buffer=False,
                page_checksum_verification=True,
            ) as file:
                batches = file.iter_batches(
                    batch_size=_CHUNK_ROWS, row_groups=[self.group], columns=list(columns)
                )
                for batch in batches:
                    batch.validate(full=True)  # indices and texts: a damaged page may contain any
                    missing -= batch.num_rows
                    if skip >= batch.num_rows:
                        skip -= batch.num_rows
                        continue
                    yield pa.Table.from_batches([batch.slice(skip)])
                    skip = 0
        except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
            self._state.check_unchanged()
            raise _unreadable(self.path, error) from error
        if missing:
            raise _unreadable(self.path, f"{self._rows - missing} of {self._rows} rows")


def open_parquet(path: str) -> list[Unit]:
    """Returns the row groups of a Parquet file in order, without empty ones."""
    state = FileState(path)
    try:
        with pq.ParquetFile(path) as file:
            metadata = file.metadata
            names = tuple(file.schema_arrow.names)
            texts = tuple(
                leaf.path
                for leaf in (file.schema.column(i) for i in range(len(file.schema)))
                if leaf.physical_type == "BYTE_ARRAY" and leaf.logical_type.type == "STRING"
            )
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise _unreadable(path, error) from error
    units: list[Unit] = []
    first_row = 0
    for group in range(metadata.num_row_groups):
        rows = metadata.row_group(group).num_rows
        if rows:
            units.append(ParquetUnit(path, names, group, rows, first_row, texts, state))
        first_row += rows
    return units


def _unreadable(path: str, error: Exception | str) -> UserError:
    reason = " ".join(str(error).split())
    return UserError(
        f"the file must be a whole Parquet file (was its writing cut off?). Received: {reason}",
        file=path,
    )

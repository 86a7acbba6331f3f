"""TFRecord files of `tf.train.Example`: one unit per file."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np
import pyarrow as pa

from lmn_tf.data.formats.unit import Unit
from lmn_tf.data.reading.checksum import FileState
from lmn_tf.specs.errors import UserError, short

_CHUNK_ROWS = 8_192
_TYPED_ROWS = 1_000


class TFRecordUnit(Unit):
    """One TFRecord file, decoded in blocks by the parser of TensorFlow.

    Columns and types are those of the first 1,000 records of the file. Columns in `lists` have a
    list per row, others a single value (missing if the record has none).

    Args:
        path: String. Path of the file, with gzip if its name ends in `.gz`.
        lists: Mapping whose keys are the list columns. Defaults to none.
    """

    def __init__(self, path: str, lists: Mapping[str, str | None]) -> None:
        self.path, state = path, FileState(path)
        self._lists = frozenset(lists)
        self._kinds = self._first_records()
        super().__init__(path, sorted(self._kinds), state=state)
        self._rows: int | None = None

    @property
    def rows(self) -> int:
        if self._rows is None:
            blocks = self._records().batch(_CHUNK_ROWS)
            self._rows = sum(len(block) for block in self._guarded(blocks))
        return self._rows

    def _stream(self, columns: Sequence[str], skip: int) -> Iterator[pa.Table]:
        import tensorflow as tf

        features = {name: tf.io.RaggedFeature(self._kinds[name]) for name in columns}
        blocks = self._records().skip(skip).batch(_CHUNK_ROWS)
        blocks = blocks.map(lambda block: tf.io.parse_example(block, features))
        row = skip
        for block in self._guarded(blocks.prefetch(1)):
            arrays = [self._array(name, block[name], row) for name in columns]
            yield pa.Table.from_arrays(arrays, names=list(columns))
            row += len(arrays[0])

    def _records(self):
        import tensorflow as tf

        zipped = "GZIP" if self.path.lower().endswith(".gz") else ""
        return tf.data.TFRecordDataset(self.path, compression_type=zipped)

    def _guarded(self, dataset):
        import tensorflow as tf

        try:
            yield from dataset
        except (tf.errors.DataLossError, tf.errors.InvalidArgumentError) as error:
            reason = " ".join(str(error.message).split())
            raise UserError(
                f"the file must hold whole tf.train.Example records. Received: {reason}",
                file=self.path,
            ) from error

    def _first_records(self):
        """Returns the type of each column, which is integer for columns without values."""
        import tensorflow as tf

        types = {"int64_list": tf.int64, "float_list": tf.float32, "bytes_list": tf.string}
        kinds: dict[str, tf.DType] = {}
        known: set[str] = set()
        number = 0
        for number, record in enumerate(self._guarded(self._records().take(_TYPED_ROWS)), 1):
            for name, feature in self._parsed(record, number).items():
                kind = feature.WhichOneof("kind")
                if name not in known:
                    kinds[name] = types.get(kind, kinds.get(name, tf.int64))
                    if kind is not None and getattr(feature, kind).value:
                        known.add(name)
        if not number:
            raise UserError("the file must hold at least one row. Received: 0 rows", file=self.path)
        return kinds

    def _parsed(self, record, number):
        import tensorflow as tf

        example = tf.train.Example()
        try:
            example.ParseFromString(record.numpy())
        except Exception as error:  # the module of protobuf's DecodeError depends on the version
            raise UserError(
                "the file must hold tf.train.Example records. "
                f"Received: {type(error).__name__} in record {number}",
                file=self.path,
            ) from error
        return example.features.feature

    def _array(self, name, ragged, first_row):
        offsets = ragged.row_splits.numpy()
        values = ragged.flat_values.numpy()
        if values.dtype == object:
            values = self._texts(name, values, offsets, first_row)
        else:
            values = pa.array(values)
        if name in self._lists:
            return pa.LargeListArray.from_arrays(pa.array(offsets.astype(np.int64)), values)
        lengths = np.diff(offsets)
        if (lengths > 1).any():
            at = int(np.argmax(lengths > 1))
            raise UserError(
                f"column `{name}`, row {first_row + at + 1}: must hold one value. "
                f"Received: {int(lengths[at])} values",
                file=self.path,
            )
        if lengths.all():
            return values
        index = np.where(lengths > 0, offsets[:-1], 0)
        return values.take(pa.array(index, mask=lengths == 0))

    def _texts(self, name, values, offsets, first_row):
        try:
            return pa.array(values, type=pa.binary()).cast(pa.string())
        except pa.ArrowInvalid:
            at = next(i for i, value in enumerate(values) if not _is_text(value))
            row = first_row + int(np.searchsorted(offsets, at, side="right"))
            raise UserError(
                f"column `{name}`, row {row}: text must be UTF-8. Received: {short(values[at])}",
                file=self.path,
            ) from None


def _is_text(value: bytes) -> bool:
    try:
        value.decode()
    except UnicodeDecodeError:
        return False
    return True


def open_tfrecord(path: str, lists: Mapping[str, str | None]) -> list[Unit]:
    """Returns the unit of a TFRecord file; a file without records is an error."""
    return [TFRecordUnit(path, lists)]

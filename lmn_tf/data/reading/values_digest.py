"""Digest of the values of a file of rows or events."""

import collections
import functools
import hashlib
from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lmn_tf.data.encoding.arrow_values import is_bytes, is_list, is_text
from lmn_tf.data.formats import format_of
from lmn_tf.data.reading.checksum import kept_digest

_CHUNK_ROWS = 65_536


@functools.lru_cache(maxsize=100_000)
def values_digest(path: str, size: int, *state: int) -> str:
    """Returns a SHA-256 of the names and values of the columns, cached while a file is unchanged.

    Two machines may compress and part the same rows in different ways, which this digest does not
    see in Parquet and Arrow IPC files. Of other files, and damaged ones, it is that of the bytes.

    Args:
        path: String. Path of the file.
        size: Integer. Size of the file.
        *state: Times of change and inode of the file.
    """
    try:
        if format_of(path) == "parquet":
            return _digest_of(_parquet_batches(path))
        if path.endswith(".arrow"):
            return _digest_of(_arrow_batches(path))
    except (pa.ArrowException, OSError):  # damaged, which who reads the rows will say
        pass
    return kept_digest(path, size, *state)


def _digest_of(batches) -> str:
    streams: dict[str, hashlib._Hash] = collections.defaultdict(hashlib.sha256)
    for batch in batches:
        for name, column in zip(batch.schema.names, batch.columns, strict=True):
            _update(streams, name, column)
    digests = sorted((key, stream.hexdigest()) for key, stream in streams.items())
    return hashlib.sha256(repr(digests).encode("utf-8", "surrogatepass")).hexdigest()


def _parquet_batches(path) -> Iterator[pa.RecordBatch]:
    with pq.ParquetFile(path) as file:
        yield pa.RecordBatch.from_pylist([], file.schema_arrow)  # columns of files without rows
        yield from file.iter_batches(_CHUNK_ROWS)


def _arrow_batches(path) -> Iterator[pa.RecordBatch]:
    with pa.OSFile(path) as source, pa.ipc.open_file(source) as reader:
        yield pa.RecordBatch.from_pylist([], reader.schema)
        for number in range(reader.num_record_batches):
            yield reader.get_batch(number)


def _update(streams, key, values) -> None:
    """Adds values to the streams of a column, none of which tells where a batch ended."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    kind = values.type
    streams[f"{key}/valid"].update(np.asarray(values.is_valid()).astype(np.uint8).tobytes())
    values = values.drop_null()
    if is_list(kind):
        streams[f"{key}/lengths"].update(_integers(pc.list_value_length(values)))
        _update(streams, f"{key}/list", values.flatten())
    elif pa.types.is_struct(kind):
        for field, part in zip(kind, values.flatten(), strict=True):
            _update(streams, f"{key}/{field.name}", part)
    elif is_text(kind) or is_bytes(kind):
        values = values.cast(pa.large_binary())
        streams[f"{key}/lengths"].update(_integers(pc.binary_length(values)))
        streams[f"{key}/bytes"].update(_bytes(values))
    elif pa.types.is_integer(kind) or pa.types.is_floating(kind):
        numbers = values.to_numpy(zero_copy_only=False)
        streams[f"{key}/{kind}"].update(np.ascontiguousarray(numbers).tobytes())
    else:  # times, booleans, decimals and what is rare
        texts = "".join(f"{value!r}," for value in _plain(values))
        streams[f"{key}/{kind}"].update(texts.encode("utf-8", "surrogatepass"))


def _plain(values) -> list:
    """Values as Python objects: of times, the integers that stand for them."""
    kind = values.type
    if pa.types.is_temporal(kind) and kind.bit_width in (32, 64):
        values = values.view(pa.int64() if kind.bit_width == 64 else pa.int32())
    return values.to_pylist()


def _integers(numbers) -> bytes:
    return np.asarray(numbers, dtype=np.int64).tobytes()


def _bytes(texts) -> memoryview:
    """The bytes of all texts, one after another."""
    _, ends, data = texts.buffers()
    if not len(texts) or data is None:
        return memoryview(b"")
    ends = np.frombuffer(ends, np.int64)[texts.offset : texts.offset + len(texts) + 1]
    return memoryview(data)[ends[0] : ends[-1]]

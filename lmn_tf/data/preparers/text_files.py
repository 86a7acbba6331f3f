"""Text files, compressed or not, as streams of record batches of numbered lines."""

import ast
import bz2
import codecs
import csv
import gzip
import io
import itertools
import json
import lzma
import pathlib
import zlib
from collections.abc import Iterator

import pyarrow as pa

from lmn_tf.specs.errors import UserError

OPENERS = {".xz": lzma.open, ".gz": gzip.open, ".bz2": bz2.open}
_BLOCK_BYTES = 4 << 20
_BATCH_ROWS = 50_000
_BROKEN = (EOFError, OSError, lzma.LZMAError, zlib.error)


def open_bytes(path: pathlib.Path) -> io.BufferedIOBase:
    """Opens a plain, .xz, .gz or .bz2 file for reading bytes."""
    return OPENERS.get(path.suffix.lower(), open)(path, "rb")


def line_batches(
    path: pathlib.Path, encoding: str = "utf-8", skip: int = 0
) -> Iterator[pa.RecordBatch]:
    """Record batches of `_line` (from 1) and `_text` (null if the bytes are not text).

    There is at least one, which has no rows if the file is empty.
    """
    number = 1
    for block in _blocks(path):
        if number == 1 and encoding == "utf-8":
            block = block.removeprefix(codecs.BOM_UTF8)
        lines = _decoded(block, encoding)
        yield _numbered(lines, number).slice(max(0, skip + 1 - number))
        number += len(lines)
    if number == 1:
        yield _numbered([], number)


def csv_batches(path: pathlib.Path, separator: str = ",") -> Iterator[pa.RecordBatch]:
    """Record batches of the rows after the header: the last `_line` and unquoted `_cells`.

    There is at least one, which has no rows if the file ends after its header.
    """
    rows = itertools.islice(_csv_rows(path, separator), 1, None)
    kinds = pa.int64(), pa.list_(pa.string())
    is_first = True
    while (chunk := list(itertools.islice(rows, _BATCH_ROWS))) or is_first:
        is_first = False
        columns = zip(*chunk, strict=True) if chunk else ((), ())
        arrays = [pa.array(values, kind) for values, kind in zip(columns, kinds, strict=True)]
        yield pa.RecordBatch.from_arrays(arrays, names=["_line", "_cells"])


def json_batches(path: pathlib.Path) -> Iterator[pa.RecordBatch]:
    """Like `line_batches`; lines written as Python dictionaries become JSON, others null."""
    for batch in line_batches(path):
        texts = [_as_json(line) for line in batch["_text"].to_pylist()]
        yield pa.RecordBatch.from_arrays(
            [batch["_line"], pa.array(texts, pa.string())], names=["_line", "_text"]
        )


def header_of(
    path: pathlib.Path, separator: str, encoding: str = "utf-8", quotes: bool = False
) -> list[str]:
    """The cells of the first line of a file."""
    if quotes:
        for _, cells in _csv_rows(path, separator, encoding):
            return cells
    for batch in line_batches(path, encoding):
        if batch.num_rows and batch["_text"][0].is_valid:
            return batch["_text"][0].as_py().split(separator)
        break
    raise UserError("the file must begin with a line of column names", file=path)


def _numbered(lines, number):
    numbers = pa.array(range(number, number + len(lines)), pa.int64())
    return pa.RecordBatch.from_pydict({"_line": numbers, "_text": pa.array(lines, pa.string())})


def _blocks(path):
    """Blocks of whole lines, without the last newline."""
    rest = b""
    try:
        with open_bytes(path) as file:
            while block := file.read(_BLOCK_BYTES):
                block = rest + block
                end = block.rfind(b"\n")
                rest = block[end + 1 :]
                if end >= 0:
                    yield block[:end]
    except _BROKEN as error:
        raise _unreadable(path, error) from error
    if rest:
        yield rest


def _decoded(block, encoding):
    try:
        lines = block.decode(encoding).split("\n")
    except UnicodeDecodeError:
        lines = [_decoded_line(line, encoding) for line in block.split(b"\n")]
    if b"\r" in block:
        lines = [line and line.rstrip("\r") for line in lines]
    return lines


def _decoded_line(line, encoding):
    try:
        return line.decode(encoding)
    except UnicodeDecodeError:
        return None


def _csv_rows(path, separator, encoding="utf-8"):
    codec = "utf-8-sig" if encoding == "utf-8" else encoding  # without a mark at the start
    last = 0
    try:
        with open_bytes(path) as file:
            lines = io.TextIOWrapper(file, encoding=codec, newline="")
            # Otherwise a quote that is never closed makes one cell of all lines that follow.
            reader = csv.reader(lines, delimiter=separator, strict=True)
            for cells in reader:
                last = reader.line_num
                if cells:
                    yield last, cells
    except csv.Error as error:
        message = f"the file must be CSV, with quotes around whole cells. Received: {error}"
        raise UserError(message, path, last + 1) from error
    except UnicodeDecodeError as error:
        raise UserError(f"the file must be {encoding} text. Received: {error}", path) from error
    except _BROKEN as error:
        raise _unreadable(path, error) from error


def _as_json(line):
    if not line or line.startswith('{"'):
        return line
    try:
        return json.dumps(ast.literal_eval(line))
    except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
        return line


def _unreadable(path, error):
    return UserError(f"the file must be readable to its end. Received: {error}", file=path)

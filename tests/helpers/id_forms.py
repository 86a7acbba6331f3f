"""The forms that ids come in: each format and type that can carry a text, and its writer."""

import csv
import datetime
import decimal
import re

import pyarrow as pa
import pyarrow.parquet as pq

BIG = 2**64 - 1
TEXTS = (
    "7", "007", "07.0", "7.0", "-5", "0", "1", "+1", "16", "0x10", "100000", "1e5", "10.1", "10.10",
    "2047", str(2**24 - 1), str(2**53 - 1), str(2**53), str(2**53 + 1), str(2**63 - 1),
    str(2**63), str(BIG - 1), str(BIG), str(2**64), str(-(2**63)), "9" * 40, "a", "A", " a", "a ",
    "é", "nan", "NaN", "inf", "None", "null", "true", "2024-01-31", "2024-01-31 00:00:00",
    'say "a, b"', " ",
)  # fmt: skip


def integer(text):
    """Returns the integer whose text this is, or `None`."""
    return int(text) if re.fullmatch("0|-?[1-9][0-9]*", text) else None


def _integers(kind, low, high):
    def array(texts):
        numbers = [None if text is None else integer(text) for text in texts]
        return pa.array(numbers, kind)

    def carries(text):
        return integer(text) is not None and low <= integer(text) <= high

    return array, carries


def _floats(kind, bits):
    carries = _integers(kind, 1 - 2**bits, 2**bits - 1)[1]
    return lambda texts: pa.array([t if t is None else float(t) for t in texts], kind), carries


def _decimals(kind, digits):
    carries = _integers(kind, 1 - 10**digits, 10**digits - 1)[1]
    return lambda texts: pa.array([t and decimal.Decimal(t) for t in texts], kind), carries


def _texts(kind):
    return lambda texts: pa.array(texts, pa.string()).cast(kind), lambda text: True


def _dates(kind):
    def array(texts):
        return pa.array([t and datetime.date.fromisoformat(t) for t in texts], kind)

    return array, lambda text: re.fullmatch(r"\d{4}-\d\d-\d\d", text) is not None


def _coded(texts):
    return pa.array(texts, pa.string()).dictionary_encode()


def _booleans(texts):
    return pa.array([None if t is None else t == "1" for t in texts], pa.bool_())


# Name of the type: (function from texts to an Arrow array, whether a text fits it).
TYPES = {
    "int8": _integers(pa.int8(), -128, 127),
    "int32": _integers(pa.int32(), -(2**31), 2**31 - 1),
    "int64": _integers(pa.int64(), -(2**63), 2**63 - 1),
    "uint32": _integers(pa.uint32(), 0, 2**32 - 1),
    "uint64": _integers(pa.uint64(), 0, BIG),
    "float32": _floats(pa.float32(), 24),
    "float64": _floats(pa.float64(), 53),
    "bool": (_booleans, lambda text: text in ("0", "1")),
    "decimal(38, 0)": _decimals(pa.decimal128(38, 0), 38),
    "decimal(20, 2)": _decimals(pa.decimal128(20, 2), 18),
    "date32": _dates(pa.date32()),
    "string": _texts(pa.string()),
    "large_string": _texts(pa.large_string()),
    "dictionary": (_coded, lambda text: True),
}


def python_ids(texts):
    """Returns ids as programs give them: integers as such in every other row, else text."""
    return [
        integer(text) if text is not None and row % 2 and integer(text) is not None else text
        for row, text in enumerate(texts)
    ]


def write_parquet(folder, name, texts, lists):
    """Writes texts as column `c`, and lists of texts as column `h`, in the type called `name`."""
    array, _ = TYPES[name]
    flat = array([text for one in lists for text in one])
    offsets = [0]
    for one in lists:
        offsets.append(offsets[-1] + len(one))
    nested = pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), flat)
    path = folder / "rows.parquet"
    pq.write_table(pa.table({"c": array(texts), "h": nested, "y": _labels(texts)}), path)
    return str(path)


def write_csv(folder, name, texts, lists):
    """Writes the same as CSV; lists are parted by `|`."""
    path = folder / f"rows.{name}"
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, delimiter="\t" if name == "tsv" else ",")
        writer.writerow(["c", "h", "y"])
        for text, one, label in zip(texts, lists, _labels(texts), strict=True):
            writer.writerow(["" if text is None else text, "|".join(one), label])
    return str(path)


def write_tfrecord(folder, name, texts, lists):
    """Writes the same as `tf.train.Example` with `int64`, `float` or `bytes` lists."""
    import tensorflow as tf

    def feature(values):
        if name == "int64":
            return tf.train.Feature(int64_list=tf.train.Int64List(value=map(int, values)))
        if name == "float":
            return tf.train.Feature(float_list=tf.train.FloatList(value=map(float, values)))
        encoded = [value.encode() for value in values]
        return tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))

    path = str(folder / "rows.tfrecord")
    with tf.io.TFRecordWriter(path) as writer:
        for text, one, label in zip(texts, lists, _labels(texts), strict=True):
            columns = {"c": feature([] if text is None else [text]), "h": feature(one)}
            columns["y"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[label]))
            example = tf.train.Example(features=tf.train.Features(feature=columns))
            writer.write(example.SerializeToString())
    return path


def _labels(texts):
    return [row % 2 for row in range(len(texts))]


# Name of the form: (writer of files, name of its type, whether a text fits it).
FILES = {
    **{f"parquet {name}": (write_parquet, name, TYPES[name][1]) for name in TYPES},
    "csv": (write_csv, "csv", lambda text: True),
    "tsv": (write_csv, "tsv", lambda text: True),
    "tfrecord int64": (write_tfrecord, "int64", TYPES["int64"][1]),
    "tfrecord float": (write_tfrecord, "float", TYPES["float32"][1]),
    "tfrecord bytes": (write_tfrecord, "bytes", lambda text: True),
}

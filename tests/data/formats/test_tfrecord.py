import pyarrow as pa
import pytest
import tensorflow as tf

from lmn_tf.data.formats.tfrecord import open_tfrecord


def example(**columns):
    feature = {}
    for name, values in columns.items():
        if not values:
            feature[name] = tf.train.Feature()
        elif isinstance(values[0], str):
            encoded = [value.encode() for value in values]
            feature[name] = tf.train.Feature(bytes_list=tf.train.BytesList(value=encoded))
        elif isinstance(values[0], float):
            feature[name] = tf.train.Feature(float_list=tf.train.FloatList(value=values))
        else:
            feature[name] = tf.train.Feature(int64_list=tf.train.Int64List(value=values))
    return tf.train.Example(features=tf.train.Features(feature=feature)).SerializeToString()


def write(folder, records, name="a.tfrecord"):
    path = str(folder / name)
    with tf.io.TFRecordWriter(path, "GZIP" if name.endswith(".gz") else "") as writer:
        for record in records:
            writer.write(record)
    return path


def rows(count):
    return [example(a=[i], b=[f"t{i}"], c=[0.5] * (i % 3)) for i in range(count)]


@pytest.mark.parametrize("name", ["a.tfrecord", "a.tfrecord.gz"])
def test_columns(tmp_path, name):
    first = example(a=[1], b=["x"], c=[0.5, 1.5], d=["u", "v"])
    second = example(b=["y"])
    (unit,) = open_tfrecord(write(tmp_path, [first, second], name), {"c": "|", "d": "|"})
    assert unit.rows == 2 and unit.names == ("a", "b", "c", "d")
    (table,) = unit.tables(["d", "c", "b", "a"])
    assert table.to_pydict() == {
        "d": [["u", "v"], []],
        "c": [[0.5, 1.5], []],
        "b": ["x", "y"],
        "a": [1, None],
    }


@pytest.mark.parametrize("start", [0, 3, 4, 9])
def test_parts(tmp_path, monkeypatch, start):
    monkeypatch.setattr("lmn_tf.data.formats.tfrecord._CHUNK_ROWS", 4)
    (unit,) = open_tfrecord(write(tmp_path, rows(10)), {"c": "|"})
    assert unit.rows == 10
    table = pa.concat_tables(unit.tables(["a"], start))
    assert table["a"].to_pylist() == list(range(10))[start:]
    table = pa.concat_tables(unit.tables(["a"], start, start + 1))
    assert table["a"].to_pylist() == [start]


def test_several_values_where_one_should_be(tmp_path):
    (unit,) = open_tfrecord(write(tmp_path, rows(10)), {})
    with pytest.raises(
        ValueError, match="column `c`, row 3: must hold one value. Received: 2 values"
    ):
        list(unit.tables(["c"]))


def test_no_records(tmp_path):
    with pytest.raises(ValueError, match="a.tfrecord: the file must hold at least one row"):
        open_tfrecord(write(tmp_path, []), {})


def test_no_examples(tmp_path):
    with pytest.raises(
        ValueError, match="must hold tf.train.Example records. Received: .* in record 1"
    ):
        open_tfrecord(write(tmp_path, [b"\xff\xff no example"]), {})


def test_truncated(tmp_path):
    path = write(tmp_path, rows(10))
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - 5)
    with pytest.raises(ValueError, match="a.tfrecord: the file must hold whole tf.train.Example"):
        open_tfrecord(path, {"c": "|"})


def test_truncated_far_behind_the_first_records(tmp_path, monkeypatch):
    monkeypatch.setattr("lmn_tf.data.formats.tfrecord._TYPED_ROWS", 3)
    path = write(tmp_path, rows(10))
    with open(path, "rb+") as file:
        file.truncate(file.seek(0, 2) - 5)
    (unit,) = open_tfrecord(path, {"c": "|"})
    with pytest.raises(ValueError, match="a.tfrecord: the file must hold whole tf.train.Example"):
        list(unit.tables(["a"]))


def test_types_follow_from_the_first_value_that_there_is(tmp_path):
    records = [example(a=[1]), example(a=[2], b=[]), example(a=[3], b=[0.5]), example(a=[], b=[])]
    (unit,) = open_tfrecord(write(tmp_path, records[:3]), {})
    (table,) = unit.tables(["a", "b"])
    assert table.to_pydict() == {"a": [1, 2, 3], "b": [None, None, 0.5]}


def test_bytes_that_are_no_text(tmp_path):
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[b"ok", b"\xff"]))
    record = tf.train.Example(features=tf.train.Features(feature={"a": feature}))
    path = write(tmp_path, [example(a=["x"]), record.SerializeToString()])
    (unit,) = open_tfrecord(path, {"a": "|"})
    message = r"column `a`, row 2: text must be UTF-8. Received: b'\\xff'"
    with pytest.raises(ValueError, match=message):
        list(unit.tables(["a"]))

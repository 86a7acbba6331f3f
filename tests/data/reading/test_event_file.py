import os

import numpy as np
import pyarrow as pa
import pytest

from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.reading.checksum import write_checksum
from lmn_tf.data.reading.event_file import EventFile


def write(folder, users, chunk=3, **columns):
    path = str(folder / "events.arrow")
    table = pa.table({"user": users, **columns})
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table, max_chunksize=chunk)
    return path


def place(column):
    return SourceLocation.of_rows("rows.parquet", column, 0)


@pytest.mark.parametrize("chunk", [1, 2, 3, 100])
@pytest.mark.parametrize("kind", ["text", "integers", "dictionary"])
def test_users_are_found(tmp_path, chunk, kind):
    names = [5, 5, 5, 2, 9, 9] if kind == "integers" else ["e", "e", "e", "b", "i", "i"]
    users, asked = pa.array(names), pa.array([names[4], names[0], names[0]])
    if kind == "dictionary":
        users, asked = users.dictionary_encode(), asked.dictionary_encode()
    file = EventFile(write(tmp_path, users, chunk), "user")
    assert file.num_events == 6 and file.starts.tolist() == [0, 3, 4]
    first, available = file.find(asked, place("user"))
    assert first.tolist() == [4, 0, 0] and available.tolist() == [2, 3, 3]
    unknown = pa.array([77 if kind == "integers" else "x"])
    assert [part.tolist() for part in file.find(unknown, place("user"))] == [[0], [0]]


def test_batches_are_projected(tmp_path):
    file = EventFile(write(tmp_path, ["a", "a", "b", "b"], x=[1, 2, 3, 4]), "user")
    found = [(row, batch.to_pydict()) for row, batch in file.batches(["x"])]
    assert found == [(0, {"x": [1, 2, 3]}), (3, {"x": [4]})]


def counts_error(tmp_path, user, count):
    file = EventFile(write(tmp_path, ["a", "a", "b"]), "user")
    users, counts = pa.array(["a", user]), pa.array([2, count])
    _, available = file.find(users, place("user"))
    checked = (counts, place("count")), (users, place("user"))
    return file.checked_counts(*checked, available)


def test_counts(tmp_path):
    assert counts_error(tmp_path, "b", 1).tolist() == [2, 1]
    assert counts_error(tmp_path, "x", 0).tolist() == [2, 0]
    message = (
        r"rows.parquet: column `count`, row 2: the count must be at most 1, the events of user 'b' "
        r"in .*events.arrow. Received: 5"
    )
    with pytest.raises(ValueError, match=message):
        counts_error(tmp_path, "b", 5)
    message = "column `user`, row 2: the user must be in .*events.arrow. Received: 'x'"
    with pytest.raises(ValueError, match=message):
        counts_error(tmp_path, "x", 1)
    for count in (-1, 0.5, None):
        with pytest.raises(ValueError, match="row 2: a number of events must be a whole number"):
            counts_error(tmp_path, "b", count)


def test_users_of_another_type(tmp_path):
    file = EventFile(write(tmp_path, ["007", "7", "7", "a"]), "user")
    for users in (pa.array([7, 8]), pa.array(["7", "07"]), pa.array([7.0, None])):
        first, available = file.find(users, place("user"))
        assert first.tolist() == [1, 0] and available.tolist() == [2, 0]
    file = EventFile(write(tmp_path, [7, 7, 8]), "user")
    for users in (pa.array(["8", "007"]), pa.array(["8", "x"]).dictionary_encode()):
        assert file.find(users, place("user"))[1].tolist() == [1, 0]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_users_past_int64(tmp_path, chunk):
    users = pa.array([7, 7, 2**64 - 2, 2**64 - 1, 2**64 - 1], pa.uint64())
    file = EventFile(write(tmp_path, users, chunk), "user")
    for asked in (users, users.cast(pa.string())):
        assert file.find(asked, place("user"))[1].tolist() == [2, 2, 1, 2, 2]
    assert file.find(pa.array([7]), place("user"))[1].tolist() == [2]


@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_unsorted_users(tmp_path, chunk):
    message = "column `user`, row 4: events must be sorted by user: .*together. Received: 'a'"
    with pytest.raises(ValueError, match=message):
        EventFile(write(tmp_path, ["a", "a", "b", "a"], chunk), "user")


def test_missing_users(tmp_path):
    with pytest.raises(ValueError, match="row 2: an event must have a user. Received: None"):
        EventFile(write(tmp_path, ["a", None]), "user")


def test_no_events(tmp_path):
    with pytest.raises(ValueError, match="the events file must hold at least one row"):
        EventFile(write(tmp_path, pa.array([], pa.string())), "user")


def test_no_file(tmp_path):
    with pytest.raises(ValueError, match="events.arrow: the events file must exist"):
        EventFile(str(tmp_path / "events.arrow"), "user")


def test_another_format(tmp_path):
    (tmp_path / "events.arrow").write_text("no arrow")
    with pytest.raises(
        ValueError, match="events.arrow: the events file must be a whole Arrow IPC file"
    ):
        EventFile(str(tmp_path / "events.arrow"), "user")


def test_a_missing_column(tmp_path):
    path = write(tmp_path, ["a"], item=[1])
    message = "column `itm` must be in the events file. Did you mean `item`"
    with pytest.raises(ValueError, match=message):
        EventFile(path, "user").check_columns(["itm"])


def test_starts_are_int64(tmp_path):
    assert EventFile(write(tmp_path, ["a"]), "user").starts.dtype == np.int64


def test_a_column_twice(tmp_path):
    path = str(tmp_path / "events.arrow")
    table = pa.Table.from_arrays([pa.array(["a"])] * 2, names=["user", "user"])
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    with pytest.raises(ValueError, match="`user` must be in the events file once. Received: 2 col"):
        EventFile(path, "user")


def test_a_shortened_file_does_not_end_the_process(tmp_path):
    path = write(tmp_path, np.repeat(np.arange(5_000), 8), 1_000)
    file = EventFile(path, "user")
    batches = file.batches(["user"])
    next(batches)
    os.truncate(path, os.path.getsize(path) // 3)
    with pytest.raises(ValueError, match="events.arrow: the file must stay as it is while"):
        list(batches)


def test_a_file_replaced_between_two_readings(tmp_path):
    path = write(tmp_path, [1, 1, 2])
    file = EventFile(path, "user")
    write(tmp_path, [1, 1, 2, 3])
    with pytest.raises(ValueError, match="events.arrow: the file must stay as it is while"):
        list(file.batches(["user"]))


def test_every_flipped_bit_is_noticed_where_there_is_a_checksum(tmp_path):
    path = write(tmp_path, ["a", "a", "b"], x=[1, 2, 3])
    write_checksum(path)
    with open(path, "rb") as file:
        raw = file.read()
    for at in range(0, len(raw), 7):
        damaged = bytearray(raw)
        damaged[at] ^= 1 << at % 8
        with open(path, "wb") as file:
            file.write(damaged)
        os.utime(path, ns=(0, at))
        with pytest.raises(ValueError, match="must have the SHA-256 noted in"):
            EventFile(path, "user")


def test_texts_that_are_no_text(tmp_path):
    path = write(tmp_path, ["aaaa", "bbbb"])
    with open(path, "rb") as file:
        raw = file.read()
    with open(path, "wb") as file:
        file.write(raw.replace(b"aaaabbbb", b"aa\xff\xfebbbb"))
    with pytest.raises(ValueError, match="the events file must be a whole Arrow IPC file"):
        EventFile(path, "user")


def test_names_that_are_no_text(tmp_path):
    path = write(tmp_path, ["a"], xyzxyz=[1])
    with open(path, "rb") as file:
        raw = file.read()
    with open(path, "wb") as file:
        file.write(raw.replace(b"xyzxyz", b"\xeb\xff\xffxyz"))
    with pytest.raises(
        ValueError, match="the events file must be a whole Arrow IPC.*'utf-8' codec"
    ):
        EventFile(path, "user")

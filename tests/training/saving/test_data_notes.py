import json
import os
import time

import pytest
from small_shop import shop_rows, shop_spec, write_events, write_parquet
from tiny_run import document, market

from lmn_tf.data.reading import checksum
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.saving import data_notes
from lmn_tf.training.saving.data_notes import DataNotes, read_files


@pytest.fixture
def parts(tmp_path):
    folder = tmp_path / "data"
    folder.mkdir()
    for name in ("a.csv", "b.csv", "v.csv"):
        (folder / name).write_text("label\n0\n1\n")
    return {"train": [folder / "a.csv", folder / "b.csv"], "valid": [folder / "v.csv"]}


@pytest.fixture
def notes(tmp_path):
    return DataNotes(tmp_path / "data.json")


def age(monkeypatch, seconds=10):
    """Has files that were just written count as old."""
    now = time.time_ns
    monkeypatch.setattr(data_notes.time, "time_ns", lambda: now() + seconds * 10**9)


def test_the_same_data_go_on(notes, parts):
    notes.check(parts)
    written = notes.path.read_bytes()
    notes.check(parts)
    assert notes.path.read_bytes() == written
    assert [one["name"] for one in json.loads(written)["train"]] == ["a.csv", "b.csv"]


@pytest.mark.parametrize(
    ("part", "index", "message"),
    [
        ("train", 1, "The training data must be those .*data.json: b.csv of 10 bytes .* Rec"),
        ("valid", 0, "The validation data must be those .*: v.csv of 10 bytes with the SHA-256 "),
    ],
)
@pytest.mark.parametrize("is_settled", [False, True])
def test_inverted_labels_of_the_same_size_and_time_are_noticed(
    part, index, message, is_settled, notes, parts, monkeypatch
):
    if is_settled:
        age(monkeypatch)
    notes.check(parts)
    path = parts[part][index]
    times = os.stat(path)
    path.write_text("label\n1\n0\n")
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns))
    assert os.stat(path).st_mtime_ns == times.st_mtime_ns
    with pytest.raises(UserError, match=message):
        notes.check(parts)


def test_other_names_and_counts_are_told(notes, parts):
    notes.check(parts)
    with pytest.raises(UserError, match=r"data.json: 2 files. Received: 1 files. Take them back"):
        notes.check({**parts, "train": parts["train"][:1]})
    with pytest.raises(UserError, match=r"a.csv of 10 bytes .* Received: v.csv of 10 bytes"):
        notes.check({**parts, "train": [parts["valid"][0], parts["train"][1]]})
    notes.check({"train": parts["train"]})  # what is not given is not compared


def watched_digests(monkeypatch):
    """Returns a list that the paths of files are added to as they are read for a digest."""
    read, digest = [], checksum.file_digest
    for module in (checksum, data_notes):
        name, watched = "file_digest", lambda path: read.append(path) or digest(path)
        monkeypatch.setattr(module, name, watched)
    return read


def test_what_did_not_change_is_not_read_again(notes, parts, monkeypatch, tmp_path):
    age(monkeypatch)
    notes.check(parts)
    read = watched_digests(monkeypatch)
    notes.check(parts)
    assert not read
    copies = {part: [tmp_path / path.name for path in files] for part, files in parts.items()}
    for part, files in parts.items():
        for path, copy in zip(files, copies[part], strict=True):
            copy.write_bytes(path.read_bytes())
    notes.check(copies)  # the same content elsewhere
    assert len(read) == 3
    notes.check(copies)
    assert len(read) == 3


def test_a_file_of_this_moment_is_read_again(notes, parts, monkeypatch):
    notes.check(parts)
    read = watched_digests(monkeypatch)
    notes.check(parts)
    assert len(read) == 3


def test_data_that_nothing_came_of_may_change(notes, parts):
    notes.check(parts)
    parts["valid"][0].write_text("label\n0\n")
    notes.check(parts, unread=("valid",))
    notes.check(parts)  # they are noted now
    parts["train"][0].write_text("label\n0\n")
    with pytest.raises(UserError, match="training data"):
        notes.check(parts, unread=("valid",))


def test_notes_of_before_there_were_digests(notes, parts):
    notes.path.write_text('[["a.csv", 10], ["b.csv", 10]]')
    notes.check(parts)
    assert len(json.loads(notes.path.read_text())["train"][0]["sha256"]) == 64
    notes.path.write_text('[["a.csv", 10], ["b.csv", 11]]')
    with pytest.raises(UserError, match="b.csv of 11 bytes. Received: b.csv of 10 bytes"):
        notes.check(parts)
    notes.path.write_text('[["a.csv", 10]]')
    with pytest.raises(UserError, match="1 files. Received: 2 files"):
        notes.check(parts)


def test_a_fingerprint_of_the_content_alone(notes, parts, tmp_path):
    assert notes.fingerprint() is None
    notes.check(parts, {"size/item": "3"})
    digest = notes.fingerprint()
    assert len(digest) == 16
    os.utime(parts["train"][0], (1, 1))
    again = DataNotes(tmp_path / "again.json")
    again.check(parts)
    assert again.fingerprint() == digest
    parts["valid"][0].write_text("label\n1\n1\n")
    other = DataNotes(tmp_path / "other.json")
    other.check(parts)
    assert other.fingerprint() != digest


def test_other_ids_are_refused(notes, parts):
    notes.check(parts, {"vocabulary/item": "a"})
    notes.check(parts)
    notes.check(parts, {"vocabulary/item": "a"})
    with pytest.raises(UserError, match="The vocabulary of `item` must be that of the run"):
        notes.check(parts, {"vocabulary/item": "b"})


@pytest.mark.parametrize("text", ["", "{", "7", '{"train": 7}', '{"train": [{}]}', "[1]", "\0"])
def test_a_damaged_note_is_told(text, notes, parts):
    notes.path.write_text(text)
    with pytest.raises(UserError, match="data.json: the file must be what the run noted"):
        notes.check(parts)


def test_no_flipped_bit_of_a_note_is_taken_for_other_data(notes, parts):
    notes.check(parts)
    content = bytearray(notes.path.read_bytes())
    for place in range(0, len(content), 3):
        content[place] ^= 1 << place % 7
        notes.path.write_bytes(content)
        try:
            notes.check(parts)  # a blank may flip unseen
        except UserError as error:
            assert "must be what the run noted" in str(error)
        content[place] ^= 1 << place % 7


def test_files_of_a_run_are_those_it_reads(tmp_path):
    rows, events = shop_rows()
    write_events(tmp_path, events)
    plain = document("x")
    plain["data"] |= {"train": write_parquet(tmp_path, rows), "train_rows": 70}
    pipeline = PipelineSpec.from_dict(plain)
    names = {
        part: [os.path.basename(path) for path in files]
        for part, files in read_files(pipeline, shop_spec(by_reference=True)).items()
    }
    # Of the third file nothing is read.
    assert names["train"] == ["train-0.parquet", "train-1.parquet", "events.arrow"]
    assert names["valid"] == sorted(path.name for path in market().glob("valid-*"))
    plain["train"]["epochs"] = 1
    plain["data"] = {
        "train": str(market() / "{day}-00000.parquet"),
        "days": {"first": "2024-01-01", "last": "2024-01-02"},
    }
    with pytest.raises(UserError, match="each day from 2024-01-01"):
        read_files(PipelineSpec.from_dict(plain), shop_spec())

import hashlib
import os

import pytest

from lmn_tf.data.reading import checksum
from lmn_tf.data.reading.checksum import FileState, verify_checksum, write_checksum


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "events.arrow"
    path.write_bytes(b"whole")
    write_checksum(path)
    return path


def test_what_sha256sum_would_write(path):
    digest = hashlib.sha256(b"whole").hexdigest()
    assert path.with_name("events.arrow.sha256").read_text() == f"{digest}  events.arrow\n"
    verify_checksum(path)
    path.with_name("events.arrow.sha256").write_text(f"{digest} *events.arrow\n")
    verify_checksum(path)


def test_without_a_checksum_nothing_is_read(path, monkeypatch):
    path.with_name("events.arrow.sha256").unlink()
    monkeypatch.setattr(checksum, "open", lambda *_: pytest.fail("it was read"), raising=False)
    assert verify_checksum(path) is None


@pytest.mark.parametrize("content", [b"whale", b"whol", b"wholes", b""])
def test_a_damaged_file(path, content):
    verify_checksum(path)
    path.write_bytes(content)
    os.utime(path, ns=(0, 7))  # the clock of a file system may be coarse
    with pytest.raises(ValueError, match=r"events.arrow: the file must have the SHA-256 noted in"):
        verify_checksum(path)


@pytest.mark.parametrize("text", ["", "x", "0" * 64, "0" * 64 + "  other.arrow", "\ufffd" * 5000])
def test_a_damaged_checksum(path, text):
    path.with_name("events.arrow.sha256").write_text(text)
    with pytest.raises(ValueError, match=r"sha256: the file must hold one line of `sha256sum`"):
        verify_checksum(path)


def test_a_file_is_hashed_once(path, monkeypatch):
    verify_checksum(path)
    monkeypatch.setattr(checksum, "file_digest", lambda path: pytest.fail("read again"))
    verify_checksum(path)


def written(folder, text="abc"):
    path = folder / "a.csv"
    path.write_text(text)
    return str(path)


def test_a_file_that_stays_as_it_is(tmp_path):
    FileState(written(tmp_path)).check_unchanged()


def rewrite(path):
    with open(path, "w") as file:
        file.write("abd")
    os.utime(path, ns=(0, os.stat(path).st_mtime_ns + 1))


def replace(path):
    state = os.stat(path)
    with open(path + ".new", "w") as file:
        file.write("abd")
    os.utime(path + ".new", ns=(state.st_atime_ns, state.st_mtime_ns))
    os.replace(path + ".new", path)


@pytest.mark.parametrize("change", [rewrite, replace, lambda path: os.truncate(path, 1)])
def test_a_file_that_changes(tmp_path, change):
    path = written(tmp_path)
    state = FileState(path)
    change(path)
    with pytest.raises(ValueError, match="a.csv: the file must stay as it is while it is read"):
        state.check_unchanged()


def test_a_file_that_is_gone(tmp_path):
    path = written(tmp_path)
    state = FileState(path)
    os.remove(path)
    message = "a.csv: the file must exist while it is read. Received: No such file"
    with pytest.raises(ValueError, match=message):
        state.check_unchanged()
    with pytest.raises(ValueError, match=message):
        FileState(path)

import zipfile

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving import zip_files
from lmn_tf.training.saving.zip_files import check_unpacked_size, check_zip


def bomb(path, members=1, size=4_000_000):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}", bytes(size))
    return path


@pytest.mark.parametrize("members", [1, 5])
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch, members):
    monkeypatch.setattr(zip_files, "_ALWAYS", 1_000_000)
    path = bomb(tmp_path / "model.keras", members)
    match = f"model.keras: the file must unpack to at most .* Received: {4 * members},000,000 bytes"
    with pytest.raises(UserError, match=match):
        check_unpacked_size(path)


def test_small_files_may_unpack_to_more(tmp_path):
    check_unpacked_size(bomb(tmp_path / "a.zip"))


def test_what_is_no_zip_passes(tmp_path):
    (tmp_path / "a").write_bytes(b"PK no zip")
    check_unpacked_size(tmp_path / "a")


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one", b"1" * 1000)
        file.writestr("two", b"2" * 1000)
    return path


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def test_a_whole_file_is_read(archive):
    check_zip(archive)


def test_a_flipped_bit_of_one_member_is_told_with_its_name(archive):
    flip(archive, archive.read_bytes().index(b"2" * 9))
    with pytest.raises(UserError, match="a.zip: the file must be whole. .* checksum of two"):
        check_zip(archive)


@pytest.mark.parametrize(
    ("place", "bit", "message"),
    [(6, 128, "zip file version"), (8, 1, "encrypted"), (10, 1, "compression method")],
)
def test_a_directory_that_asks_for_what_was_not_written_is_damage(archive, place, bit, message):
    flip(archive, archive.read_bytes().index(b"PK\x01\x02") + place, bit)
    with pytest.raises(UserError, match=f"a.zip: the file must be whole. Received: .*{message}"):
        check_zip(archive)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "not a zip file"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ],
)
def test_no_file_is_told(archive, make, message):
    make(archive)
    with pytest.raises(UserError, match=f"a.zip: the file must be whole. Received: .*{message}"):
        check_zip(archive)

import zipfile

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.training.checked_zip import check_zip, read_checked


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
    assert read_checked(archive, "two") == b"2" * 1000


def test_a_flipped_bit_of_one_member_is_told_with_its_name(archive):
    flip(archive, archive.read_bytes().index(b"2" * 9))
    with pytest.raises(UserError, match="a.zip: the file must be whole. .* checksum of two"):
        check_zip(archive)
    assert read_checked(archive, "one") == b"1" * 1000
    with pytest.raises(UserError, match="must be whole. Received: Bad CRC-32 for file 'two'"):
        read_checked(archive, "two")


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

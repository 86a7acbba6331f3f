import dataclasses
import pathlib

import pytest

from lmn_tf.specs.document import Document
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.section import Positive, section


@section
class Note(Document):
    pages: Positive = 1


def test_a_file_is_read_and_written_back(tmp_path):
    path = tmp_path / "note.yaml"
    path.write_text("pages: 3\n")
    note = Note.load(path)
    assert note.to_dict() == {"pages": 3}
    assert note.base_dir == tmp_path and note.place[0] == path
    assert Note.from_dict(note.to_dict()) == note


def test_a_mistake_is_told_with_its_line(tmp_path):
    path = tmp_path / "note.yaml"
    path.write_text("# A note.\npages: 0\n")
    with pytest.raises(UserError, match=r"note.yaml:2: `pages` must be at least 1"):
        Note.load(path)


def test_a_spec_without_a_file_is_of_the_current_folder():
    for note in (Note(), Note.from_dict({}), dataclasses.replace(Note(), pages=2)):
        assert note.base_dir == pathlib.Path(".")
        assert note.place == (None, None)

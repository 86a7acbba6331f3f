import dataclasses
import pathlib

import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec, Table
from lmn_tf.specs.yaml.document import Document, dotted, parse
from lmn_tf.specs.yaml.section import Positive, section


@section
class Note(Document):
    pages: Positive = 1


def test_a_file_is_read_and_written_back(tmp_path):
    path = tmp_path / "note.yaml"
    path.write_text("pages: 3\n")
    note = Note.load(path)
    assert note.to_dict() == {"pages": 3}
    assert note.base_dir == tmp_path and note.source[0] == path
    assert Note.from_dict(note.to_dict()) == note


def test_a_mistake_is_told_with_its_line(tmp_path):
    path = tmp_path / "note.yaml"
    path.write_text("# A note.\npages: 0\n")
    with pytest.raises(UserError, match=r"note.yaml:2: `pages` must be at least 1"):
        Note.load(path)


def test_a_spec_without_a_file_is_of_the_current_folder():
    for note in (Note(), Note.from_dict({}), dataclasses.replace(Note(), pages=2)):
        assert note.base_dir == pathlib.Path(".")
        assert note.source == (None, None)


def test_a_spec_made_from_another_is_told_where_that_was_read_from(tmp_path):
    path = tmp_path / "note.yaml"
    path.write_text("pages: 3\n")
    note = Note.load(path)
    other = dataclasses.replace(note, pages=4).with_source(note.base_dir, *note.source)
    assert (other.base_dir, other.source) == (tmp_path, (path, {(): 1, ("pages",): 1}))
    assert other == Note(pages=4)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("dim: 16", "dimm: 16", "unknown key `dimm` in `tables.item`. Did you mean `dim`?"),
        ("dim: 16", "dim: -1", "`tables.item.dim` must be at least 1. Received: dim=-1"),
        ("dim: 16", "dim: true", "`tables.item.dim` must be an integer. Received: dim=True"),
        ("dim: 16", "dim: .nan", "`tables.item.dim` must be an integer. Received: dim=nan"),
        ("initializer: uniform", "initializer: unifrm", "Did you mean `uniform`?"),
        ("labels:", "lables:", "unknown key `lables`. Did you mean `labels`?"),
        ("{name: click}", "click", "`labels[0]` must be a mapping. Received: labels='click'"),
        ("embedding_dim: 8", "embedding_dim: 8.0", "`embedding_dim` must be an integer."),
        ("{hash: 1000}", "7", "`features[0].lookup` must be a mapping. Received: lookup=7"),
        (
            "{hash: 1000}",
            "{hsh: 10}",
            "unknown key `hsh` in `features[0].lookup` (`user`). Did you mean `hash`?",
        ),
        ("{quantiles: 10}", "{quantile: 10}", "Did you mean `quantiles`?"),
        (
            "{quantiles: 10}",
            "{quantiles: 1}",
            "`features[2].transform[1].bucketize.quantiles` must be at least 2. "
            "Received: quantiles=1",
        ),
        (
            "[150, 175.5]",
            "[]",
            "`features[4].transform.bucketize` must be a list of 1 or more. Received: bucketize=[]",
        ),
        (
            "[150, 175.5]",
            "[a]",
            "`features[4].transform.bucketize[0]` must be a number. Received: bucketize='a'",
        ),
        (
            "[0, 1e6]",
            "[0]",
            "`features[3].transform[0].min_max` must be a list of 2 or more. Received: min_max=[0]",
        ),
        (
            "[0, 1e6]",
            "[0, 1, 2]",
            "`features[3].transform[0].min_max` must be a list of at most 2.",
        ),
        (
            "[0, 1e6]",
            "[0, .inf]",
            "`features[3].transform[0].min_max[1]` must be a finite number. Received: min_max=inf",
        ),
    ],
)
def test_messages_name_the_line_the_rule_and_the_value(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)


def test_missing_key_names_the_section(tmp_path):
    with pytest.raises(UserError, match="^`dim` must be given. Received: combiner$"):
        parse(Table, {"combiner": "sum"})


@pytest.mark.parametrize(
    "data, message",
    [
        (None, "a.yaml: file must not be empty."),
        ([1], "a.yaml: file must hold a mapping. Received: a list"),
        ("x", "a.yaml: file must hold a mapping. Received: text"),
        ({1: 2}, "a key must be text. Received: 1"),
    ],
)
def test_what_is_no_mapping_is_refused(data, message):
    with pytest.raises(UserError, match=".") as caught:
        parse(FeatureSpec, data, file="a.yaml")
    assert str(caught.value) == message


def test_all_mistakes_are_told_misspelt_keys_first():
    with pytest.raises(UserError, match="unknown key `dmi`") as caught:
        parse(Table, {"combiner": "max", "dmi": 3, "regularizer": -1})
    assert [error.message.split()[0] for error in caught.value.others] == [
        "`combiner`",
        "`regularizer`",
    ]


def test_dotted():
    assert dotted(("a", 2, "b")) == "a[2].b"

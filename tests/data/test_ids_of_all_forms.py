"""An id is its text: every format and type, every lookup, in training, scoring and serving."""

import hashlib

import numpy as np
import pyarrow as pa
import pytest
from id_forms import FILES, TEXTS, TYPES, integer, python_ids
from padded_batch import padded

from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.reading.event_file import EventFile
from lmn_tf.serving.request_rows import id_array
from lmn_tf.specs.feature_spec import FeatureSpec

BUCKETS = 1 << 20
LISTED = [text for text in TEXTS if text not in ("A", "1", "16", "-5", str(2**63))]
SERVED = ["python", *(f"arrow {name}" for name in TYPES)]


def make_spec():
    """A spec that reads column `c` and the lists `h` by every lookup but `identity`."""

    def feature(name, lookup, kind="categorical", column="c", **more):
        one = {"name": name, "role": "item", "kind": kind, "lookup": lookup, **more}
        return one if kind == "cross" else {**one, "column": column}

    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "forms",
            "group": "c",
            "labels": [{"name": "y"}],
            "features": [
                feature("learned", {"learn": {"min_count": 1}}),
                feature("hashed", {"hash": BUCKETS}),
                feature("listed", {"vocabulary": LISTED}),
                feature("tags", {"learn": {"min_count": 1}}, "multi_value", "h"),
                feature("crossed", {"hash": BUCKETS}, "cross", of=["learned", "tags"]),
            ],
            "sequences": [
                {
                    "name": "history",
                    "max_length": 9,
                    "fields": [
                        {"name": "learned", "column": "h", "like": "learned"},
                        {"name": "hashed", "column": "h", "like": "hashed"},
                    ],
                }
            ],
        }
    )


def rows_of(carries):
    """Returns the texts that a form carries, a missing one, and lists of them."""
    texts = [text for text in TEXTS if carries(text)]
    lists = [texts[: row % 3] for row in range(len(texts))]
    return [*texts, None], [*lists, texts[-2:]]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    written = {}
    for form, (write, name, carries) in FILES.items():
        folder = tmp_path_factory.mktemp("form")
        written[form] = write(folder, name, *rows_of(carries))
    return written


@pytest.fixture(scope="module")
def trained(files):
    specs = {}
    for form, path in files.items():
        specs[form] = make_spec()
        learn(specs[form], path)
    return specs


def served(spec, form):
    """Returns the encoded rows of a request, and their texts and lists."""
    carries = TYPES[form.removeprefix("arrow ")][1] if form != "python" else lambda text: True
    texts, lists = rows_of(carries)
    if form == "python":
        columns = [id_array(python_ids(texts), "rows", "c")]
        columns.append(id_array([python_ids(one) for one in lists], "rows", "h"))
    else:
        array = TYPES[form.removeprefix("arrow ")][0]
        offsets = np.cumsum([0, *map(len, lists)]).astype(np.int32)
        flat = array([text for one in lists for text in one])
        columns = [array(texts), pa.ListArray.from_arrays(pa.array(offsets), flat)]
    table = pa.table(columns, names=["c", "h"])
    block = RowBlock.join([TableEncoder(spec, {}, labels=False).encode(table, "rows", 0)])
    return block.batch(np.arange(table.num_rows))[0], texts, lists


# The twin: one value at a time, in plain Python.


def twin_hash(text):
    number = integer(text)
    if number is None or not -(2**63) <= number < 2**63:
        return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "little")
    x = (number + 0x9E3779B97F4A7C15) % 2**64
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) % 2**64
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) % 2**64
    return x ^ (x >> 31)


def places(vocabulary):
    return {str(value): id_ for id_, value in enumerate(vocabulary, 2)}


def check(batch, spec, texts, lists):
    """Asserts that each text got the id that its text has, by every lookup."""
    batch = padded(batch, spec.sequences)
    known, tags = (places(spec.assets.vocabularies[name]) for name in ("learned", "tags"))
    listed = places(LISTED)
    for row, (text, one) in enumerate(zip(texts, lists, strict=True)):
        hashed = 1 if text is None else 2 + twin_hash(text) % BUCKETS
        assert batch["learned"][row] == known.get(text, 1), text
        assert batch["listed"][row] == listed.get(text, 1), text
        assert batch["hashed"][row] == hashed, text
        if text is not None:
            assert batch["group"][row] == (twin_hash(text) ^ 2**63) - 2**63, text
        ids = [known.get(value, 1) for value in one]
        assert batch["history/learned"][row][: len(one)].tolist() == ids
        ids = [2 + twin_hash(value) % BUCKETS for value in one]
        assert batch["history/hashed"][row][: len(one)].tolist() == ids
        ids = [tags.get(value, 1) for value in one]
        assert batch["tags"][row][: len(one)].tolist() == ids
        assert (batch["crossed"][row][: len(one)] >= 2).all()


@pytest.mark.parametrize("form", FILES)
def test_what_is_learned(trained, form):
    texts, lists = rows_of(FILES[form][2])
    learned = trained[form].assets.vocabularies
    assert len(texts) > 1
    assert {str(value) for value in learned["learned"]} == {
        *filter(None, texts), *(text for one in lists for text in one)
    }  # fmt: skip
    assert {str(value) for value in learned["tags"]} == {text for one in lists for text in one}


@pytest.mark.quick_cases(4)
@pytest.mark.parametrize("form", FILES)
def test_scoring_files(files, trained, form):
    texts, lists = rows_of(FILES[form][2])
    for spec in trained.values():
        ((batch, _, _),) = BatchReader(spec, files[form], labels=False).read()
        check(batch, spec, texts, lists)


@pytest.mark.parametrize("form", SERVED)
def test_serving_requests(trained, form):
    for spec in trained.values():
        batch, texts, lists = served(spec, form)
        check(batch, spec, texts, lists)


@pytest.mark.parametrize("form", FILES)
def test_crosses_are_those_of_other_forms(files, trained, form):
    ((mine, _, _),) = BatchReader(trained[form], files[form]).read()
    theirs, texts, lists = served(trained[form], "python")
    row = {(text, *one): at for at, (text, one) in enumerate(zip(texts, lists, strict=True))}
    for at, (text, one) in enumerate(zip(*rows_of(FILES[form][2]), strict=True)):
        if (text, *one) in row and one:
            other = theirs["crossed"][row[text, *one]]
            assert mine["crossed"][at][: len(one)].tolist() == other[: len(one)].tolist()


@pytest.mark.parametrize("name", TYPES)
def test_owners_of_events(tmp_path, name):
    array, carries = TYPES[name]
    owners = [text for text in TEXTS if carries(text)]
    path = str(tmp_path / "events.arrow")
    table = pa.table({"u": array(owners)})
    with pa.OSFile(path, "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
        writer.write_table(table)
    file = EventFile(path, "u")
    place = SourceLocation.of_rows("rows", "u", 0)
    for other, (asked, fits) in TYPES.items():
        users = [text for text in TEXTS if fits(text)]
        first, available = file.find(asked(users), place)
        assert available.tolist() == [int(user in owners) for user in users], other
        found = [owners.index(user) for user in users if user in owners]
        assert first[available > 0].tolist() == found


@pytest.mark.parametrize("form", FILES)
def test_identity_takes_numbers(tmp_path, form):
    write, name, carries = FILES[form]
    texts = [text for text in TEXTS if integer(text) is not None and carries(text)]
    if not texts:
        return
    feature = {"name": "c", "role": "item", "kind": "categorical", "lookup": {"identity": 100}}
    spec = FeatureSpec.from_dict(
        {"spec_version": 1, "name": "t", "labels": [{"name": "y"}], "features": [feature]}
    )
    path = write(tmp_path, name, [*texts, None], [[] for _ in range(len(texts) + 1)])
    ((batch, _, _),) = BatchReader(spec, path).read()
    wanted = [integer(text) + 2 if 0 <= integer(text) < 100 else 1 for text in texts]
    assert batch["c"].tolist() == [*wanted, 1]


def test_one_column_in_files_of_every_form(files, tmp_path):
    for at, path in enumerate(files.values()):
        (tmp_path / f"{at:02}-{path.rsplit('/', 1)[1]}").symlink_to(path)
    spec = make_spec()
    learn(spec, str(tmp_path / "*"))
    assert {str(value) for value in spec.assets.vocabularies["learned"]} == {*TEXTS}
    batches = [batch for batch, _, _ in BatchReader(spec, str(tmp_path / "*")).read()]
    texts = [text for _, _, carries in FILES.values() for text in rows_of(carries)[0]]
    known = places(spec.assets.vocabularies["learned"])
    found = np.concatenate([batch["learned"] for batch in batches])
    assert found.tolist() == [known.get(text, 1) for text in texts]

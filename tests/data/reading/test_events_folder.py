import types

import pytest
from small_shop import shop_rows, shop_spec, write_events, write_parquet

from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.reading.events_folder import events_folder
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import Events

MESSAGE = "data files must be in one folder, where `h` has its events in {}. Received: a and b"


def histories(*files):
    events = [file and Events(file=file, user="u", count="n") for file in files]
    return [types.SimpleNamespace(name="h", events=one) for one in events]


@pytest.mark.parametrize(
    ("paths", "files", "folder"),
    [
        (["a/1.csv", "a/2.csv"], ["events.arrow"], "a"),
        (["b/1.csv", "a/1.csv"], [None], "a"),
        (["a/1.csv", "b/1.csv"], ["../events.arrow", "/logs/events.arrow"], "a"),
        (["a/1.csv", "b/1.csv"], [], "a"),
    ],
)
def test_events_have_one_place(paths, files, folder):
    assert events_folder(paths, histories(*files)) == folder


@pytest.mark.parametrize("file", ["events.arrow", "x/events.arrow"])
def test_events_of_several_places_are_refused(file):
    with pytest.raises(UserError, match=MESSAGE.format(file)):
        events_folder(["b/1.csv", "a/1.csv"], histories(None, file))


@pytest.mark.parametrize("read", [lambda spec, files: learn(spec, files, reuse=False), BatchReader])
def test_rows_of_two_folders_do_not_read_the_events_of_one(read, tmp_path):
    rows, events = shop_rows()
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        write_parquet(tmp_path / name, rows)
        write_events(tmp_path / name, events)
    spec = shop_spec(by_reference=True)
    learn(spec, str(tmp_path / "a" / "train-*.parquet"))
    with pytest.raises(UserError, match="data files must be in one folder, where `.*` has its"):
        read(spec, str(tmp_path / "*" / "train-*.parquet"))

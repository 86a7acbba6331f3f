import os

import pytest

from lmn_tf.data.file_state import FileState


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

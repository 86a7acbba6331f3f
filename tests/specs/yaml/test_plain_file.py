import os
import socket

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.assets import read_vocabulary
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.specs.yaml.plain_file import other_than_file


def special(folder, kind):
    """Returns the path of something that is not a plain file."""
    path = folder / f"{kind}.txt"
    if kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "folder":
        path.mkdir()
    elif kind == "pipe":
        os.mkfifo(path)
    elif kind == "loop":
        path.symlink_to(path)
    elif kind == "link":
        path.symlink_to(folder / "nowhere")
    return path


KINDS = {
    "device": "a device",
    "folder": "a folder",
    "pipe": "a named pipe",
    "loop": "a link that leads nowhere",
    "link": "a link that leads nowhere",
}


@pytest.mark.parametrize("read", [strict_yaml.load, read_vocabulary])
@pytest.mark.parametrize("kind", KINDS)
def test_what_is_no_file_is_refused(kind, read, tmp_path):
    path = special(tmp_path, kind)
    assert other_than_file(path) == KINDS[kind]
    with pytest.raises(
        UserError, match=f"{kind}.txt: path must be a file. Received: {KINDS[kind]}"
    ):
        read(path)


def test_sockets():
    with socket.socket(socket.AF_UNIX) as server:
        path = f"/tmp/lmn_tf-{os.getpid()}.socket"
        server.bind(path)
        try:
            assert other_than_file(path) == "a socket"
        finally:
            os.unlink(path)


def test_files_and_what_is_not_there(tmp_path):
    (tmp_path / "a").write_text("")
    (tmp_path / "b").symlink_to(tmp_path / "a")
    for name in ("a", "b", "c", "x" * 5000, "a\x00"):
        assert other_than_file(tmp_path / name) is None

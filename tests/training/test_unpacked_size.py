import zipfile

import pytest
from tiny_run import trained_run

from lmn_tf.specs.errors import UserError
from lmn_tf.training import unpacked_size
from lmn_tf.training.run_directory import RunDirectory
from lmn_tf.training.unpacked_size import check_unpacked_size


def bomb(path, members=1, size=4_000_000):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for number in range(members):
            archive.writestr(f"{number}", bytes(size))
    return path


@pytest.mark.parametrize("members", [1, 5])
def test_a_file_that_unpacks_to_far_more_is_refused(tmp_path, monkeypatch, members):
    monkeypatch.setattr(unpacked_size, "_ALWAYS", 1_000_000)
    path = bomb(tmp_path / "model.keras", members)
    match = f"model.keras: the file must unpack to at most .* Received: {4 * members},000,000 bytes"
    with pytest.raises(UserError, match=match):
        check_unpacked_size(path)


def test_small_files_may_unpack_to_more(tmp_path):
    check_unpacked_size(bomb(tmp_path / "a.zip"))


def test_what_is_no_zip_passes(tmp_path):
    (tmp_path / "a").write_bytes(b"PK no zip")
    check_unpacked_size(tmp_path / "a")


def test_a_model_is_not_unpacked_before(tmp_path, monkeypatch):
    monkeypatch.setattr(unpacked_size, "_ALWAYS", 0)
    check_unpacked_size(trained_run() / "model.keras")
    bomb(tmp_path / "model.keras")
    (tmp_path / "pipeline.yaml").write_bytes((trained_run() / "pipeline.yaml").read_bytes())
    with pytest.raises(UserError, match="model.keras: the file must unpack to at most"):
        RunDirectory(tmp_path).load_model()

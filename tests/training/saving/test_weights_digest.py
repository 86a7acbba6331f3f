import shutil
import zipfile

import keras
from tiny_run import trained_run

from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.weights_digest import weights_digest


def test_the_digest_is_that_of_the_weights_whatever_the_date(tmp_path):
    directory = RunDirectory(tmp_path)
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)])
    model.save(directory.model_file)
    first = weights_digest(directory)
    with zipfile.ZipFile(directory.model_file) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    with zipfile.ZipFile(directory.model_file, "w") as archive:
        for name, content in (members | {"metadata.json": b"{}"}).items():
            archive.writestr(name, content)
    assert weights_digest(directory) == first is not None
    model.layers[0].bias.assign([1.0])
    model.save(directory.model_file)
    assert weights_digest(directory) != first


def test_a_run_that_has_not_ended_has_that_of_its_newest_checkpoint(tmp_path):
    directory = RunDirectory(shutil.copytree(trained_run(), tmp_path / "run"))
    ended = weights_digest(directory)
    directory.model_file.unlink()
    newest = weights_digest(directory)
    assert newest not in (None, ended)
    shutil.rmtree(max(directory.checkpoints.glob("step-*")))
    assert weights_digest(directory) not in (None, newest)


def test_without_weights_there_is_none(tmp_path):
    directory = RunDirectory(tmp_path)
    assert weights_digest(directory) is None
    directory.model_file.write_text("not a zip file")
    assert weights_digest(directory) is None

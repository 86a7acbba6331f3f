"""Whatever of a run is damaged is told with its file, or mended; never passed over."""

import io
import json
import shutil
import zipfile

import pytest
from tiny_run import DNN, market, pipeline, trained_run

from lmn_tf.cli.main import main
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.trainer import Trainer
from lmn_tf.training.training_loop import TrainingLoop

FILES = [
    "pipeline.yaml",
    "feature_spec.yaml",
    "statistics.json",
    "fingerprints.json",
    "vocabularies/item_id.json",
    "model.keras",
]
DAMAGES = {
    "gone": lambda path: path.unlink(),
    "cut": lambda path: path.write_bytes(path.read_bytes()[: path.stat().st_size // 2]),
    "flipped": lambda path: flip(path),
}


def flip(path):
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 8
    path.write_bytes(content)


@pytest.fixture
def run(tmp_path):
    """A copy of the finished run, to be damaged."""
    folder = tmp_path / "run"
    shutil.copytree(trained_run(), folder)
    return folder


def resume(folder, **options):
    stream = io.StringIO()
    metrics = Trainer(pipeline(folder), resume=True, stream=stream, **options).train()
    return metrics, stream.getvalue()


@pytest.mark.parametrize("how", DAMAGES)
@pytest.mark.parametrize("name", FILES)
def test_every_command_names_the_damaged_file(name, how, run, tmp_path, capsys):
    if (name, how) == ("fingerprints.json", "gone"):
        pytest.skip("a run of before there were fingerprints")
    if name == "pipeline.yaml" and how == "flipped":
        pytest.skip("a text that users may change")
    DAMAGES[how](run / name)
    data, out = f"{market()}/test-*.parquet", str(tmp_path / "out")
    for command in (
        ["evaluate", str(run)],
        ["predict", str(run), "--data", data, "--output", out],
        ["inspect", str(run)],
        ["export", str(run), out],
    ):
        assert main(command) == 2
        assert name.split("/")[-1].split(".")[0] in capsys.readouterr().err, command
        assert not (tmp_path / "out").exists()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize(
    ("name", "how"), [("model.keras", "gone"), ("model.keras", "flipped"), ("metrics.json", "cut")]
)
def test_resuming_a_finished_run_mends_what_it_ends_with(name, how, run):
    before = json.loads((run / "metrics.json").read_text())
    DAMAGES[how](run / name)
    metrics, told = resume(run)
    assert f"{name}:" in told and ". Writing it anew" in told
    for part in ("valid", "test"):
        assert metrics[part]["auc"] == pytest.approx(before[part]["auc"], rel=1e-6)
    assert metrics["train"]["history"] == before["train"]["history"]
    assert RunDirectory(run).damage() is None
    assert resume(run)[0] == metrics


def test_a_finished_run_without_checkpoints_is_not_trained_again(run):
    shutil.rmtree(run / "checkpoints")
    resume(run)
    flip(run / "model.keras")
    with pytest.raises(UserError, match="model.keras: .* There is no checkpoint of the finished"):
        resume(run)
    with pytest.raises(UserError, match="model.keras: the file must be whole"):
        RunDirectory.open(run).load_model()


def test_a_whole_file_that_is_no_model_is_told(run):
    with zipfile.ZipFile(run / "model.keras", "w") as archive:
        archive.writestr("state.json", "{}")
    with pytest.raises(UserError, match="model.keras: the file must hold a model that this"):
        RunDirectory.open(run).load_model()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("gone", ["", "pipeline.yaml", "feature_spec.yaml"])
def test_a_run_that_is_deleted_while_it_trains_is_noticed(gone, tmp_path, monkeypatch):
    finish = TrainingLoop._finish_step
    folder = tmp_path / "run"

    def delete(self, seconds, loss):
        if self.state.step == 4:  # one checkpoint is written
            shutil.rmtree(folder) if not gone else (folder / gone).unlink()
        finish(self, seconds, loss)

    monkeypatch.setattr(TrainingLoop, "_finish_step", delete)
    with pytest.raises(UserError, match="`run_dir` must keep its files .* which is gone. Start"):
        Trainer(pipeline(folder, DNN), stream=io.StringIO()).train()
    assert not (folder / "metrics.json").exists() and not (folder / "model.keras").exists()


def test_vocabularies_that_are_changed_while_a_run_trains_are_noticed(tmp_path, monkeypatch):
    finish = TrainingLoop._finish_step
    folder = tmp_path / "run"

    def change(self, seconds, loss):
        if self.state.step == 4:
            flip(folder / "vocabularies" / "item_id.json")
        finish(self, seconds, loss)

    monkeypatch.setattr(TrainingLoop, "_finish_step", change)
    with pytest.raises(UserError, match="item_id"):
        Trainer(pipeline(folder, DNN, epochs=1), stream=io.StringIO()).train()
    assert not (folder / "metrics.json").exists()


def test_a_finished_run_that_no_command_takes_is_told(run):
    flip(run / "vocabularies" / "item_id.json")
    with pytest.raises(UserError, match="item_id"):
        resume(run)


@pytest.mark.parametrize("name", ["checkpoints/data.json", "vocabularies/item_id.json"])
def test_a_damaged_note_or_vocabulary_stops_a_run_that_goes_on(name, run):
    (run / "metrics.json").unlink()
    path = run / name
    path.write_bytes(path.read_bytes()[:-9])
    with pytest.raises(UserError, match=path.name.partition(".")[0]):
        resume(run)

"""A pipeline on several devices of one machine."""

import io
import json

import numpy as np
import pytest
from tiny_run import document, market

from lmn_tf.data.dataset import make_dataset
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.serving.saved_model import export
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.trainer import Trainer
from lmn_tf.training.training_loop import TrainingLoop

ONE = ["distribute.strategy=none"]
TWO = ["distribute.strategy=mirrored", "distribute.replicas=2"]


def pipeline(run_dir, settings):
    data = document(run_dir, epochs=1, max_steps=6)
    del data["data"]["valid"]
    data["data"]["batch_size"] = 129
    data["model"].update(num_keys=8, dropout=0.0, memory_placement="row_wise")
    return PipelineSpec.from_dict(data).with_overrides(settings)


def trainer(run_dir, settings, **options):
    return Trainer(pipeline(run_dir, settings), stream=io.StringIO(), **options)


def check_same_scores(one, two):
    """The models of two runs say nearly the same; rounding moves biases that have no gradient."""
    scores = []
    for run in (one, two):
        dataset = make_dataset(run.spec, f"{market()}/test-*.parquet", batch_size=256, limit=256)
        scores.append(run.model.predict_on_batch(next(iter(dataset))[0]))
    assert np.abs(scores[0] - scores[1]).mean() < 0.02 * np.abs(scores[0]).mean()


class Stopped(Exception):
    """What stops a run at a step."""


@pytest.mark.slow  # single steps on devices: `tests/distribute/test_parity.py`
def test_a_run_begun_on_two_devices_ends_on_one_as_if_on_one_all_along(tmp_path, monkeypatch):
    whole = trainer(tmp_path / "whole", ONE, test=False)
    want = whole.train()

    finish = TrainingLoop._finish_step

    def stop(self, seconds, loss):
        if self.state.step == 4:  # a checkpoint is written every 3 steps
            raise Stopped
        finish(self, seconds, loss)

    monkeypatch.setattr(TrainingLoop, "_finish_step", stop)
    begun = trainer(tmp_path / "run", TWO, test=False)
    with pytest.raises(Stopped):
        begun.train()
    monkeypatch.undo()
    sharded = [one for one in begun.model.variables if isinstance(one, ShardedTable)]
    assert [table.name for table in sharded] == ["memory_values"]
    saved, state = Checkpoints(tmp_path / "run" / "checkpoints").latest()
    assert state["step"] == 3
    [values] = [one for key, one in saved.items() if key.endswith("memory/memory_values")]
    assert values.shape == (64, values.shape[1])

    ended = trainer(tmp_path / "run", ONE, resume=True, test=False)
    found = ended.train()
    assert found["train"]["steps"] == 6
    assert found["train"]["loss"] == pytest.approx(want["train"]["loss"], rel=1e-4)
    check_same_scores(whole, ended)
    for one, two in zip(whole.model.weights, ended.model.weights, strict=True):
        if one.name == "memory_values":
            np.testing.assert_allclose(np.asarray(two), np.asarray(one), atol=1e-3)


@pytest.mark.slow
def test_a_run_on_two_devices_evaluates_and_exports(tmp_path):
    run = trainer(tmp_path / "run", TWO)
    figures = run.train()
    assert figures["train"]["steps"] == 6
    assert figures["test"]["memory"]["slots_used"] > 0
    directory = RunDirectory.open(tmp_path / "run")
    model = directory.load_model()
    for one, two in zip(run.model.weights, model.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(two), np.asarray(one))
    report = export(model, directory.load_spec(), tmp_path / "out", f"{market()}/test-*.parquet")
    assert json.loads((tmp_path / "out" / "parity.json").read_text()) == report
    with pytest.raises(UserError, match="`model` must be one that lies on one device"):
        export(run.model, run.spec, tmp_path / "other", f"{market()}/test-*.parquet")

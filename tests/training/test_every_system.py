"""Every registered model through the road of a user: train, be killed, go on, export, score."""

import glob
import io

import numpy as np
import pyarrow.parquet as pq
import pytest
from kitchen_sink import SMALL_OPTIONS
from tiny_run import document, market

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import registry
from lmn_tf.serving.saved_model import export
from lmn_tf.serving.scorer import Scorer
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.trainer import Trainer
from lmn_tf.training.training_loop import TrainingLoop

FILES = f"{market()}/test-*.parquet"


class Killed(Exception):
    pass


def trainer(folder, name, **options):
    settings = document(folder, epochs=1)
    settings["model"] = {"name": name, **SMALL_OPTIONS[name]}
    return Trainer(PipelineSpec.from_dict(settings), stream=io.StringIO(), **options)


def train_in_two(folder, name, monkeypatch):
    """Dies in the fifth step, after the checkpoint of the third, and goes on from there."""
    finish, steps = TrainingLoop._finish_step, []

    def finish_step(self, seconds, loss):
        steps.append(self.state.step)
        if len(steps) == 5:
            raise Killed
        finish(self, seconds, loss)

    monkeypatch.setattr(TrainingLoop, "_finish_step", finish_step)
    with pytest.raises(Killed):
        trainer(folder, name).train()
    figures = trainer(folder, name, resume=True).train()
    monkeypatch.undo()
    assert steps[:6] == [0, 1, 2, 3, 4, 3]
    return figures


@pytest.mark.slow  # ten to thirty seconds a model
@pytest.mark.parametrize("name", registry.names())
def test_trains_resumes_exports_and_scores(name, tmp_path, monkeypatch):
    whole = trainer(tmp_path / "whole", name).train()
    broken = train_in_two(tmp_path / "broken", name, monkeypatch)
    for split in ("valid", "test"):
        assert broken[split]["auc"] == pytest.approx(whole[split]["auc"], abs=1e-6)
        assert broken[split]["logloss"] == pytest.approx(whole[split]["logloss"], abs=1e-6)

    run = RunDirectory.open(tmp_path / "broken")
    model, spec = run.load_model(), run.load_spec()
    export(model, spec, tmp_path / "export", FILES)  # which checks that both score alike
    rows = pq.read_table(glob.glob(FILES)[0]).slice(0, 50)
    data = make_dataset(spec, FILES, batch_size=100, limit=100)
    want = np.concatenate(list(Evaluator(model).predict(data)))[:50, 0]
    np.testing.assert_allclose(Scorer(tmp_path / "export").score(rows)["click"], want, atol=1e-5)

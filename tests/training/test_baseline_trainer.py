import io
import json
import shutil

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from rated_items import rated_dict, rated_spec, ratings, write_rated
from sklearn.metrics import log_loss, roc_auc_score

from lmn_tf.models import registry
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.baselines.rates import Rates
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.baseline_trainer import BaselineTrainer, evaluate
from lmn_tf.training.daily_trainer import make_trainer
from lmn_tf.training.evaluation.metrics_table import metrics_table
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, ratings(users=40))
    (folder / "spec.yaml").write_text(strict_yaml.dump(rated_dict()))
    return folder


def pipeline(folder, run, model="rates", **data):
    files = {name: f"{folder}/{name}-*.parquet" for name in ("train", "valid", "test")}
    return PipelineSpec.from_dict(
        {
            "pipeline_version": 1,
            "feature_spec": str(folder / "spec.yaml"),
            "data": {**files, **data},
            "model": {"name": model, "outcome": "liked"},
            "run_dir": str(run),
        }
    )


def train(spec, **options):
    trainer = make_trainer(spec, stream=io.StringIO(), **options)
    assert isinstance(trainer, BaselineTrainer)
    return trainer.train()


@pytest.mark.parametrize("name", registry.baselines())
def test_a_run_has_the_figures_of_its_model(name, folder, tmp_path):
    metrics = train(pipeline(folder, tmp_path / "run", name))
    spec = rated_spec()
    model = registry.model_class(name)(spec, outcome="liked")
    sets = [
        Interactions.read(spec, model.columns, f"{folder}/{part}-*.parquet")
        for part in ("train", "valid", "test")
    ]
    model.fit(*sets[:2])
    for part, rows in zip(("valid", "test"), sets[1:], strict=True):
        logits, labels = model.logits(rows), rows.labels[:, 0]
        assert metrics[part]["auc"] == pytest.approx(roc_auc_score(labels, logits))
        loss = log_loss(labels, 1 / (1 + np.exp(-logits)))
        assert metrics[part]["logloss"] == pytest.approx(loss, abs=1e-6)
        assert metrics[part]["examples"] == 40
    assert {"gauc", "qauc", "normalized_entropy"} <= set(metrics["test"])
    assert metrics["weights"] == model.weights
    assert metrics["parameters"] == model.num_parameters
    assert metrics["model"] == name and metrics["train"]["examples"] == len(sets[0])
    head = f"model {name}, seed 1, {model.num_parameters:,} parameters, {len(sets[0]):,} rows in "
    assert metrics_table(metrics).startswith(head)
    assert json.loads((tmp_path / "run" / "metrics.json").read_text()) == metrics


def test_a_finished_run_is_not_fitted_again(folder, tmp_path, monkeypatch):
    spec = pipeline(folder, tmp_path / "run")
    without_test = train(spec, test=False)
    assert "test" not in without_test
    with_test = train(spec, resume=True)
    assert with_test["valid"]["auc"] == without_test["valid"]["auc"] and "auc" in with_test["test"]
    (tmp_path / "run" / "metrics.json").write_text("{")  # damaged: written anew
    assert train(spec, resume=True)["test"]["auc"] == with_test["test"]["auc"]
    monkeypatch.setattr(Rates, "fit", None)
    assert train(spec, resume=True)["test"]["auc"] == with_test["test"]["auc"]


def test_a_generated_market_that_is_gone_is_generated_again(folder, tmp_path, monkeypatch):
    spec = pipeline(folder, tmp_path / "run")
    train(spec, test=False)
    generated = []
    monkeypatch.setattr(
        "lmn_tf.training.baseline_trainer.generate_missing", lambda data, _: generated.append(data)
    )
    assert "test" in train(spec, resume=True) and generated == [spec.data]


def test_a_run_is_diagnosed_by_support(folder, tmp_path):
    metrics = train(pipeline(folder, tmp_path / "run"))
    assert "diagnostics" not in metrics
    metrics = train(pipeline(folder, tmp_path / "run"), resume=True, diagnostics=True)
    assert sum(one["rows"] for one in metrics["diagnostics"]["support"]) == 40


def with_weights(folder, copy, weights, leave_out=False):
    """A copy of the folder, with weights of the rows of the validation and the test set."""
    shutil.copytree(folder, copy)
    (copy / "spec.yaml").write_text(strict_yaml.dump(rated_dict(weight="weight")))
    for file in sorted(copy.glob("*.parquet")):
        table = pq.read_table(file)
        of_rows = [1.0] * len(table) if "train" in file.name else weights
        table = table.append_column("weight", pa.array(of_rows, pa.float32()))
        pq.write_table(table.filter(pc.field("weight") > 0) if leave_out else table, file)
    return pipeline(copy, copy / "run")


def test_rows_without_weight_count_in_no_figure(folder, tmp_path):
    weights = [0] + [1] * 39
    one, other = (
        train(with_weights(folder, tmp_path / name, weights, name == "out"), diagnostics=True)
        for name in ("in", "out")
    )
    for part in ("valid", "test"):
        assert one[part]["examples"] == 39
        for metrics in (one, other):
            del metrics[part]["examples_per_second"]
        assert one[part] == other[part]
    assert one["diagnostics"] == other["diagnostics"]


def test_without_any_weight_there_is_no_figure(folder, tmp_path):
    metrics = train(with_weights(folder, tmp_path / "in", [0] * 40), diagnostics=True)
    assert metrics["test"]["examples"] == 0 and metrics["test"]["auc"] is None
    assert metrics["diagnostics"] == {}


def test_a_run_of_other_options_is_refused(folder, tmp_path):
    train(pipeline(folder, tmp_path / "run"))
    with pytest.raises(UserError, match="`data.train_rows` must stay as in the run"):
        train(pipeline(folder, tmp_path / "run", train_rows=50), resume=True)
    with pytest.raises(UserError, match="`run_dir` must be a new folder"):
        train(pipeline(folder, tmp_path / "run"))


def test_rows_are_limited(folder, tmp_path):
    metrics = train(pipeline(folder, tmp_path / "run", train_rows=50, eval_rows=30))
    assert metrics["train"]["examples"] == 50 and metrics["test"]["examples"] == 30


def test_data_without_validation_rows(folder, tmp_path):
    metrics = train(pipeline(folder, tmp_path / "run", valid=None))
    assert "valid" not in metrics and 0.4 < metrics["test"]["auc"] < 1


def test_a_mistake_leaves_the_folder_empty(folder, tmp_path):
    spec = pipeline(folder, tmp_path / "run", test=f"{folder}/no-*.parquet")
    with pytest.raises(UserError, match="no-"):
        train(spec)
    assert not (tmp_path / "run").exists()


def test_other_commands_say_that_there_is_no_network(folder, tmp_path):
    train(pipeline(folder, tmp_path / "run"))
    message = "`RUN_DIR` must hold a network. Received: .*run, a run of the model `rates`, which"
    with pytest.raises(UserError, match=message):
        RunDirectory.open(tmp_path / "run")


def test_each_label_has_its_own_figures(folder):
    spec = rated_spec(labels=[{"name": "like"}, {"name": "again", "column": "like"}])
    models = [Rates(spec, outcome="liked") for _ in range(2)]
    valid = Interactions.read(spec, models[0].columns, f"{folder}/valid-*.parquet")
    valid.labels[:, 1] = 1 - valid.labels[:, 1]
    train = Interactions.read(spec, models[0].columns, f"{folder}/train-*.parquet")
    for label, model in enumerate(models):
        model.fit(train, valid, label)
    figures = evaluate(models, valid, spec)
    assert list(figures["labels"]) == ["like", "again"]
    assert figures["auc"] == figures["labels"]["like"]["auc"]
    # Weights of the second model are fitted to the opposite labels.
    assert figures["labels"]["again"]["auc"] == pytest.approx(figures["auc"], abs=0.05)

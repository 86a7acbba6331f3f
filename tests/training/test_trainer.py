import io
import json
import random
import shutil

import keras
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tiny_run import DNN, ROOT, document, market, pipeline, trained_run

from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.trainer import Trainer


def test_metrics_of_a_finished_run():
    metrics = json.loads((trained_run() / "metrics.json").read_text())
    assert (metrics["model"], metrics["seed"]) == ("lmn", 1)
    train = metrics["train"]
    rows = train["examples"] // 2
    assert train["steps"] == 2 * -(-rows // 256) and train["epochs"] == 2
    assert train["examples_per_second"] > 0 and 0 <= train["input_wait"] <= 1
    assert (
        train["peak_rss_mib"] >= 10 and train["peak_memory_mib"] > 10 and train["best_epoch"] == 1
    )
    assert [epoch["epoch"] for epoch in train["history"]] == [0, 1]
    for part in ("valid", "test"):
        figures = metrics[part]
        for key in ("auc", "gauc", "qauc", "logloss", "normalized_entropy"):
            assert 0 < figures[key] < 2, key
        assert figures["examples"] > 100 and figures["memory"]["memory_size"] == 36
        assert figures["memory"]["slots_used"] > 0
    assert metrics["parameters"] > 1000


def test_the_saved_model_scores_as_the_metrics_say():
    from lmn_tf.data.dataset import make_dataset
    from lmn_tf.training.evaluation.evaluator import Evaluator
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(trained_run())
    metrics = json.loads(directory.metrics_file.read_text())
    data = make_dataset(directory.load_spec(), f"{market()}/test-*.parquet", batch_size=99)
    found = Evaluator(directory.load_model(), ("click",), True).evaluate(data)
    for key in ("auc", "gauc", "logloss"):
        assert found[key] == pytest.approx(metrics["test"][key], abs=1e-5)


@pytest.mark.parametrize("stopping", [None, {"monitor": "auc"}])
def test_moving_averages_are_validated_tested_and_saved(tmp_path, stopping):
    from lmn_tf.data.dataset import make_dataset
    from lmn_tf.training.evaluation.evaluator import Evaluator
    from lmn_tf.training.saving.run_directory import RunDirectory

    dense = {"adam": {"learning_rate": 0.01, "use_ema": True, "ema_momentum": 0.95}}
    options = {"optimizer": {"dense": dense}, "early_stopping": stopping}
    given = pipeline(tmp_path / "run", DNN, **options)
    metrics = Trainer(given, stream=io.StringIO()).train()
    directory = RunDirectory.open(tmp_path / "run")
    model = directory.load_model()
    for part in ("valid", "test"):
        files = f"{market()}/{part}-*.parquet"
        data = make_dataset(directory.load_spec(), files, batch_size=256)
        found = Evaluator(model, ("click",), True).evaluate(data)
        for key in ("auc", "gauc", "logloss"):
            assert found[key] == pytest.approx(metrics[part][key], abs=1e-5)
    saved, state = Checkpoints(directory.checkpoints).latest()
    kernel = model.head.logits[0].kernel.numpy()
    [key] = [key for key in saved if key.endswith("head/logits/kernel")]
    assert (saved[key] != kernel).any()
    if state["best_file"] in (None, "best-0001"):
        average = saved[key.replace("model/", "optimizer/") + "/average"]
        np.testing.assert_array_equal(average, kernel)


def test_only_training_rows_are_grouped(tmp_path, monkeypatch):
    made = []

    class Reader(BatchReader):
        def __init__(self, *args, **options):
            super().__init__(*args, **options)
            made.append((self.batch_size, self.rows_per_group))

    for module in ("lmn_tf.training.trainer", "lmn_tf.data.dataset"):
        monkeypatch.setattr(f"{module}.BatchReader", Reader)
    plain = document(tmp_path / "run", DNN, max_steps=1, epochs=1)
    plain["data"] |= {"rows_per_group": 4, "eval_batch_size": 512}
    Trainer(PipelineSpec.from_dict(plain), stream=io.StringIO()).train()
    assert sorted(set(made)) == [(256, 4), (512, 1)]


def test_resuming_a_finished_run_gives_its_metrics():
    def times():
        # Notes of data that were new when the run began are written again, with their times.
        notes = {"checkpoints", "checkpoints/data.json"}
        paths = {str(path.relative_to(trained_run())): path for path in trained_run().rglob("*")}
        return {name: path.stat().st_mtime_ns for name, path in paths.items() if name not in notes}

    before = times()
    metrics = Trainer(pipeline(trained_run()), resume=True, stream=io.StringIO()).train()
    assert metrics == json.loads((trained_run() / "metrics.json").read_text())
    assert times() == before


def test_a_copied_run_goes_on_beside_its_copied_data(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    shutil.copytree(market(), tmp_path / "data")
    parts = [f"data.{name}={tmp_path}/data/{name}-*.parquet" for name in ("train", "valid", "test")]
    moved = pipeline(tmp_path / "run").with_overrides(parts)
    metrics = Trainer(moved, resume=True, stream=io.StringIO()).train()
    assert metrics == json.loads((trained_run() / "metrics.json").read_text())


def test_a_finished_run_gets_the_figures_of_the_test_set_when_they_are_asked_for(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    file = tmp_path / "run" / "metrics.json"
    whole = json.loads(file.read_text())
    without = {key: value for key, value in whole.items() if key != "test"}
    file.write_text(json.dumps(without))
    plain = pipeline(tmp_path / "run")
    assert Trainer(plain, resume=True, test=False, stream=io.StringIO()).train() == without
    tested = Trainer(plain, resume=True, stream=io.StringIO()).train()
    assert tested == json.loads(file.read_text())
    assert {**tested, "test": None} == {**whole, "test": None}
    for key in ("auc", "gauc", "logloss", "examples", "memory"):
        assert tested["test"][key] == pytest.approx(whole["test"][key], abs=1e-6), key


def test_a_finished_run_is_diagnosed_when_that_is_asked_for(tmp_path):
    shutil.copytree(trained_run(), tmp_path / "run")
    whole = json.loads((tmp_path / "run" / "metrics.json").read_text())
    plain = pipeline(tmp_path / "run")
    metrics = Trainer(plain, resume=True, diagnostics=True, stream=io.StringIO()).train()
    found = metrics["diagnostics"]
    assert len(found["support"]) == 4 and 0 < found["memory"]["auc_zeroed"] < 1
    assert found["memory"]["address_churn"] is None  # was not watched
    assert metrics["test"]["auc"] == pytest.approx(whole["test"]["auc"], abs=1e-6)
    again = Trainer(plain, resume=True, diagnostics=True, stream=io.StringIO()).train()
    assert again == metrics


def test_a_run_is_diagnosed_at_its_end(tmp_path):
    options = {"diagnostics": True, "stream": io.StringIO()}
    metrics = Trainer(pipeline(tmp_path / "dnn", DNN, epochs=1), **options).train()
    assert sum(one["rows"] for one in metrics["diagnostics"]["support"]) > 100
    assert "memory" not in metrics["diagnostics"]
    assert metrics["train"]["rows"] == metrics["train"]["examples"]


@pytest.mark.slow
def test_addresses_are_watched_while_a_memory_is_trained(tmp_path):
    options = {"diagnostics": True, "stream": io.StringIO()}
    metrics = Trainer(pipeline(tmp_path / "lmn", epochs=1), **options).train()
    [epoch] = metrics["train"]["history"]
    churn = metrics["diagnostics"]["memory"]["address_churn"]
    assert churn == epoch["address_churn"] and 0 <= churn <= 100
    whole = json.loads((trained_run() / "metrics.json").read_text())
    assert epoch["loss"] == pytest.approx(whole["train"]["history"][0]["loss"], abs=1e-6)


def test_what_a_model_imports_draws_no_numbers_of_the_run(tmp_path, monkeypatch):
    find, loaded, drawn = registry.model_class, set(), []

    def model_class(name):
        if name not in loaded:
            random.random()
        loaded.add(name)
        return find(name)

    def build(*_):
        drawn.append(random.random())
        raise KeyboardInterrupt

    monkeypatch.setattr(registry, "model_class", model_class)
    monkeypatch.setattr("lmn_tf.training.trainer.build_model", build)
    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            Trainer(pipeline(tmp_path / "run"), stream=io.StringIO()).train()
    assert drawn[0] == drawn[1]


def run_without_histories(folder):
    """Trains a model without histories, on files that have histories in the training rows alone."""
    for part in ("valid", "test"):
        table = pq.read_table(next(market().glob(f"{part}-*.parquet")))
        kept = [name for name in table.column_names if not name.startswith("history_")]
        assert len(kept) < table.num_columns
        pq.write_table(table.select(kept), folder / f"{part}-0.parquet")
    plain = document(folder / "run", epochs=1)
    plain["model"] = {"name": "dnn", "hidden_units": [8]}
    plain["data"] |= {"valid": f"{folder}/valid-*", "test": f"{folder}/test-*"}
    return Trainer(PipelineSpec.from_dict(plain), stream=io.StringIO()).train()


def test_a_model_without_histories_needs_none_but_to_learn_ids(tmp_path):
    assert run_without_histories(tmp_path)["test"]["examples"] > 100


@pytest.mark.slow
def test_a_model_without_histories_is_exported_and_scored_without(tmp_path):
    from lmn_tf.serving.saved_model import export
    from lmn_tf.serving.scorer import Scorer
    from lmn_tf.training.evaluation.prediction import write_predictions
    from lmn_tf.training.saving.run_directory import RunDirectory

    run_without_histories(tmp_path)
    directory = RunDirectory.open(tmp_path / "run")
    spec, model = directory.load_spec(), directory.load_model()
    assert spec.sequences
    files = f"{tmp_path}/test-*"
    write_predictions(model, spec, files, tmp_path / "scores.parquet", batch_size=64)
    export(model, spec, tmp_path / "export", files)
    scorer = Scorer(tmp_path / "export")
    assert not [key for key in scorer._inputs if key.startswith("history")]
    want = pq.read_table(tmp_path / "scores.parquet")["click"].to_numpy()
    rows = pq.read_table(tmp_path / "test-0.parquet")
    for form in (files, rows):
        np.testing.assert_allclose(scorer.score(form)["click"], want, atol=1e-5)


def test_two_processes_do_not_train_one_run(tmp_path):
    from lmn_tf.training.saving.run_directory import RunDirectory

    with RunDirectory(tmp_path / "run").held():
        with pytest.raises(UserError, match="and another one trains in .*/run"):
            Trainer(pipeline(tmp_path / "run"), resume=True, stream=io.StringIO()).train()


def test_a_folder_that_can_not_be_written_is_refused_before_the_data_are_read(
    tmp_path, monkeypatch
):
    from lmn_tf.data.learning import vocabulary

    monkeypatch.setattr(vocabulary, "learn", None)
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="`run_dir` must be a folder that can be made. Received: "):
        Trainer(pipeline(tmp_path / "file" / "run")).train()
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="`run_dir` must be a folder that can be written to"):
        Trainer(pipeline(tmp_path / "run")).train()
    assert not (tmp_path / "run").exists()


def test_a_taken_folder_is_refused():
    with pytest.raises(UserError, match="holds a run. Continue it with --resume"):
        Trainer(pipeline(trained_run())).train()


def test_files_of_a_folder_without_a_run_are_kept(tmp_path):
    (tmp_path / "feature_spec.yaml").write_text("mine: true\n")
    with pytest.raises(UserError, match="without pipeline.yaml and with feature_spec.yaml. Name"):
        Trainer(pipeline(tmp_path), resume=True).train()
    assert [path.name for path in tmp_path.iterdir()] == ["feature_spec.yaml"]
    assert (tmp_path / "feature_spec.yaml").read_text() == "mine: true\n"


def test_resuming_another_model_is_refused():
    other = pipeline(trained_run()).with_overrides(["model.num_keys=7"])
    with pytest.raises(UserError, match="`model.num_keys` must stay"):
        Trainer(other, resume=True).train()


def test_early_stopping_by_group_needs_a_group(tmp_path):
    spec = FeatureSpec.load(ROOT / "feature_specs" / "synthetic.yaml").to_dict()
    file = tmp_path / "spec.yaml"
    file.write_text(strict_yaml.dump({**spec, "group": None}))
    data = document(tmp_path / "run", early_stopping={"monitor": "gauc"})
    data["feature_spec"] = str(file)
    with pytest.raises(UserError, match="monitor` must be auc or logloss .* no `group`"):
        Trainer(PipelineSpec.from_dict(data), stream=io.StringIO()).train()


@pytest.mark.parametrize(
    ("part", "key", "value", "message"),
    [
        ("data", "test", "nowhere/*.parquet", "no file matches nowhere"),
        ("model", "num_keys", 1, "`num_keys` of model `lmn` must be an integer of at least 2"),
    ],
)
def test_a_refused_run_leaves_its_folder_free(tmp_path, part, key, value, message):
    data = document(tmp_path / "run")
    data[part][key] = value
    with pytest.raises(UserError, match=message):
        Trainer(PipelineSpec.from_dict(data), stream=io.StringIO()).train()
    assert not (tmp_path / "run").exists()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("split", ["train", "valid"])
def test_a_mistake_in_the_data_is_told_as_such(tmp_path, split):
    market_copy = tmp_path / "market"
    shutil.copytree(market(), market_copy)
    (path,) = market_copy.glob(f"{split}-*.parquet")
    table = pq.read_table(path)
    label = FeatureSpec.load(ROOT / "feature_specs" / "synthetic.yaml").labels[0].data_column
    place = table.column_names.index(label)
    labels = table[label].to_numpy().copy()
    labels[16] = 2
    pq.write_table(table.set_column(place, label, pa.array(labels)), path)
    data = document(tmp_path / "run", epochs=1)
    data["data"][split] = str(path)
    data["model"] = {"name": "dnn", "hidden_units": [8]}
    data["train"]["max_steps"] = 1
    with pytest.raises(UserError, match=f"{split}-.*row 17: label .* must be 0 or 1. Received: 2"):
        Trainer(PipelineSpec.from_dict(data), stream=io.StringIO()).train()
    trained = split == "valid"  # and saved before it was evaluated
    assert (tmp_path / "run").exists() == trained
    pq.write_table(table, path)
    Trainer(PipelineSpec.from_dict(data), resume=trained, stream=io.StringIO()).train()


@pytest.mark.slow
def test_a_collapsed_memory_is_told_and_trained_on(tmp_path, monkeypatch):
    from lmn_tf.training.evaluation.evaluator import Evaluator

    collapsed = {"memory_size": 36, "slots_used": 0.5, "memory_kl": 3.5, "slots_for_90": 1.0}
    monkeypatch.setattr(Evaluator, "_memory", lambda *_: collapsed)
    stream = io.StringIO()
    short = pipeline(tmp_path / "run", epochs=1).with_overrides(["data.train_rows=256"])
    Trainer(short, test=False, stream=stream).train()
    assert "warning: The memory `memory` has collapsed: slots_used=0.5 %" in stream.getvalue()


def test_options_of_training_are_heeded(tmp_path):
    """A short run that uses what the others leave alone, and no validation set."""
    data = document(
        tmp_path / "run",
        epochs=3,
        max_steps=4,
        clip_norm=1.0,
        schedule={"kind": "cosine", "warmup_steps": 2},
        precision="mixed_bfloat16",
        tensorboard=False,
    )
    del data["data"]["valid"], data["data"]["test"]
    data["data"]["train_rows"] = 700
    data["model"] = {"name": "dnn", "hidden_units": [8]}
    stream = io.StringIO()
    metrics = Trainer(PipelineSpec.from_dict(data), stream=stream).train()
    assert (metrics["train"]["steps"], metrics["train"]["examples"]) == (4, 700 + 256)
    assert "valid" not in metrics and "test" not in metrics
    assert keras.config.dtype_policy().name == "float32"
    assert "No run to continue" not in stream.getvalue()
    assert "epoch 2/3 | loss" in stream.getvalue()
    assert not (tmp_path / "run" / "tensorboard").exists()

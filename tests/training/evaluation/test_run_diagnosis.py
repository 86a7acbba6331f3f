import types

import pyarrow.parquet as pq
import pytest
from tiny_run import document, trained_run

from lmn_tf.data.learning import vocabulary
from lmn_tf.data.synthetic import generate
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.evaluation import run_diagnosis as module
from lmn_tf.training.evaluation.address_churn import AddressChurn
from lmn_tf.training.evaluation.run_diagnosis import RunDiagnosis
from lmn_tf.training.evaluation.support_quartiles import SupportQuartiles
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture
def diagnosis():
    directory = RunDirectory.open(trained_run())
    return RunDiagnosis(directory.load_pipeline(), directory.load_spec())


def test_addresses_are_watched_where_there_are_any(diagnosis):
    [churn] = diagnosis.listeners(types.SimpleNamespace(memories=["a memory"]))
    assert isinstance(churn, AddressChurn)
    assert diagnosis.listeners(types.SimpleNamespace(memories=[])) == []


def test_watched_rows_have_histories_only_for_models_that_read_them(diagnosis):
    plain = diagnosis._pipeline.to_dict()
    for model, has_histories in (({"name": "dnn"}, False), (plain["model"], True)):
        pipeline = PipelineSpec.from_dict({**plain, "model": model})
        evaluator = types.SimpleNamespace(memories=["a memory"])
        [churn] = RunDiagnosis(pipeline, diagnosis._spec).listeners(evaluator)
        features, *_ = churn._dataset.element_spec
        assert any(key.startswith("history/") for key in features) == has_histories


@pytest.mark.parametrize("limit", [None, 15])
def test_training_rows_of_each_day_are_those_that_the_run_reads(tmp_path, limit):
    generate(tmp_path, users=40, items=30, rows=600, history_length=2, seed=3, by_day=True)
    plain = document(tmp_path / "run", epochs=1)
    days = {"first": "2023-12-15", "last": "2023-12-17"}
    plain["data"] = {"train": f"{tmp_path}/day-{{day}}.parquet", "days": days, "train_rows": limit}
    pipeline = PipelineSpec.from_dict(plain)
    files = [str(tmp_path / f"day-2023-12-{day}.parquet") for day in (15, 16, 17)]
    spec = pipeline.load_feature_spec()
    vocabulary.learn(spec, files)
    counts = [pq.read_metadata(file).num_rows for file in files]
    assert min(counts) < 15 < max(counts)
    rows = RunDiagnosis(pipeline, spec)._interactions(SupportQuartiles.of(spec))
    assert len(rows) == sum(min(count, limit or count) for count in counts)


def test_churn_is_that_of_the_epoch_that_was_kept(diagnosis, monkeypatch):
    def diagnose(evaluator, spec, dataset, train):
        assert len(train(SupportQuartiles.of(spec))) > 2000
        return {"auc": 0.5}, {"memory": {"gate": None}}

    monkeypatch.setattr(module, "diagnose", diagnose)
    history = [{"address_churn": 40.0}, {"address_churn": 20.0}, {}]
    for best, want in ((1, 20.0), (2, None)):
        train = {"history": history, "best_epoch": best}
        found = diagnosis.figures(None, None, train)
        assert found["test"] == {"auc": 0.5}
        assert found["diagnostics"] == {"memory": {"gate": None, "address_churn": want}}

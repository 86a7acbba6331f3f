import types

import pytest
from tiny_run import trained_run

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

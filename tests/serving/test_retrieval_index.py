import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, kitchen_sink_spec, slim_spec
from tiny_run import market, two_tower_run

from lmn_tf.models import DNN, TwoTower
from lmn_tf.serving import export_index
from lmn_tf.serving.parity import ExportError
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving.run_directory import RunDirectory


def test_items_that_are_hashed_have_no_names(tmp_path):
    features = kitchen_sink_spec().to_dict()["features"]
    features = [f for f in features if f["name"] in ("user", "item", "tags")]
    features[1]["lookup"] = {"hash": 40}
    spec = slim_spec(features=features)
    model = TwoTower(spec, **SMALL_OPTIONS["two_tower"])
    with pytest.raises(
        UserError,
        match="`item` must have a vocabulary, which names its candidates. Received: lookup hash",
    ):
        export_index(model, spec, tmp_path / "out", "none")
    assert not (tmp_path / "out").exists()


def test_other_models_have_no_index(tmp_path):
    with pytest.raises(
        UserError, match="`model` must be a two-tower model, whose .* Received: DNN"
    ):
        export_index(DNN(slim_spec(), hidden_units=(4,)), slim_spec(), tmp_path / "out", "none")


def others(vectors):
    return lambda queries: (queries[:, :1], np.zeros((1, 1), "int32"))


def no_scores(vectors):
    """Finds the best one, whose score is no number."""
    return lambda queries: (
        np.nan * queries[:, :1],
        tf.argmax(tf.matmul(queries, vectors, transpose_b=True), axis=1)[:, None],
    )


@pytest.mark.parametrize("search", [others, no_scores])
def test_an_index_that_finds_others_is_not_kept(tmp_path, monkeypatch, search):
    run = RunDirectory.open(two_tower_run())
    monkeypatch.setattr(
        "lmn_tf.serving.retrieval_index.BruteForceRetrieval", lambda vectors, k: search(vectors)
    )
    with pytest.raises(ExportError, match="must find the candidates of the model. Received: score"):
        export_index(
            run.load_model(),
            run.load_spec(),
            tmp_path / "out",
            f"{market()}/valid-*.parquet",
            rows=20,
        )
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("tower", ["query_tower", "candidate_tower"])
def test_a_model_that_has_diverged_has_no_index(tmp_path, tower):
    run = RunDirectory.open(two_tower_run())
    model, files = run.load_model(), f"{market()}/valid-*.parquet"
    weight = next(weight for weight in model.weights if tower in weight.path)
    weight.assign(np.full(weight.shape, np.nan))
    with pytest.raises(ExportError, match="must give finite scores: .* Received: nan in row 1$"):
        export_index(model, run.load_spec(), tmp_path / "out", files, rows=20)
    assert not (tmp_path / "out").exists()

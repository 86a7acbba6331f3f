import contextlib
import io

import keras
import numpy as np
import pytest
from rated_items import history, rated_dict, ratings, split, write_rated
from sklearn.linear_model import LogisticRegression

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import LMNPair, Pooling
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.growth.written_pairs import _fit, _values, write_pairs
from lmn_tf.training.monitor.progress import Watcher
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.trainer import Trainer

L2 = 4.0
FOUND = ratings(users=60)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, FOUND)
    return folder


def crossed(crosses=({"name": "rated", "of": ["item", "liked"]},), labels=("like",)):
    plain = rated_dict(labels=[{"name": name, "column": "like"} for name in labels])
    plain["sequences"][0]["crosses"] = list(crosses)
    return FeatureSpec.from_dict(plain)


def written(folder, spec, **options):
    """A model whose memory has been written, that memory, and its sentence."""
    keras.utils.set_random_seed(1)
    model = LMNPair(spec, hidden_units=(4,), pair_values="ease", pair_l2=L2, **options)
    model.compile()
    model.build()
    valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32)
    text = write_pairs(model, str(folder / "train-*.parquet"), valid)
    return model, model.pair_memories["history"], text


def fitted(folder, spec, outcome="liked"):
    model = EASE(spec, item="item", outcome=outcome, l2=L2)
    train = Interactions.read(spec, model.columns, str(folder / "train-*.parquet"))
    model.fit_scores(train, 0)
    return model


def value(ease, item, liked, candidate):
    """The value of one pair of ids for a weight of 1, as the docstring says."""
    event, column = ease.column_of[item], ease.column_of[candidate]
    if event < 0 or column < 0:
        return 0.0
    residual = 1.0
    if liked is not None:
        rate = 1 / (1 + np.exp(-np.log(ease.rate / (1 - ease.rate)) - ease.item_offsets[item]))
        residual = (liked - 2) - rate if liked >= 2 else 0.0
    return residual * ease.similarities[column, event]


def table_of(ease):
    return np.array(
        [
            [[value(ease, item, liked, candidate) for candidate in range(11)] for liked in range(4)]
            for item in range(11)
        ]
    )


def features_of(spec, folder, name):
    [(features, labels)] = make_dataset(spec, str(folder / f"{name}-*.parquet"), batch_size=500)
    return features, labels.numpy()


def test_values_are_those_of_the_regression(folder):
    spec = crossed()
    model, memory, text = written(folder, spec, pair_outcome="liked")
    table, want = np.array(memory.memory_values).reshape(11, 4, 11), table_of(fitted(folder, spec))
    assert np.abs(table).max() > 0.01
    weight = np.abs(table).max() / np.abs(want).max()
    np.testing.assert_allclose(table, weight * want, rtol=1e-4, atol=1e-6)
    assert text == (
        f"Wrote the regression of 9 items into the memory of pairs, weight {weight:.3g}."
    )


def rows_of(folder, spec, part):
    """Logits of the host, sums of pairs for a weight of 1, and labels of the rows of a file."""
    keras.utils.set_random_seed(1)
    host = Pooling(spec, hidden_units=(4,))
    host.build()
    features, labels = features_of(spec, folder, part)
    ease, pairs = fitted(folder, spec), []
    for user, at in split(FOUND)[part]:
        candidate = FOUND[user][at][0] + 2
        events = history(FOUND, user, at)
        pairs.append(sum(value(ease, item + 2, liked + 2, candidate) for item, liked in events))
    return host(features)[:, 0].numpy(), np.array(pairs), labels[:, 0]


def test_weights_are_fitted_to_rows_that_the_regression_has_not_seen(folder):
    spec = crossed()
    model, memory, _ = written(folder, spec, pair_outcome="liked")
    host, pairs, labels = rows_of(folder, spec, "valid")
    assert np.ptp(pairs) > 0.1
    regression = LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=1000)
    regression.fit(np.stack([host, pairs], axis=1), labels)
    (scale, weight), offset = regression.coef_[0], regression.intercept_[0]
    assert weight > 0
    np.testing.assert_allclose(model.pair_calibration, [[scale], [offset]], rtol=1e-3)
    host, pairs, _ = rows_of(folder, spec, "test")
    features, _ = features_of(spec, folder, "test")
    logits = model(features, training=False)[:, 0]
    np.testing.assert_allclose(logits, scale * host + weight * pairs + offset, rtol=1e-2, atol=1e-3)


def test_training_is_that_of_the_host(folder):
    spec = crossed()
    model, memory, _ = written(folder, spec, pair_outcome="liked")
    keras.utils.set_random_seed(1)
    host = Pooling(spec, hidden_units=(4,))
    host.build()
    features, _ = features_of(spec, folder, "train")
    np.testing.assert_array_equal(model(features, training=True), host(features, training=True))
    assert not memory.trainable_variables and model.pair_tables == ()


def test_each_event_counts_without_an_outcome(folder):
    spec = FeatureSpec.from_dict(rated_dict())
    ease = fitted(folder, spec, outcome=None)
    want = [[value(ease, one, None, other) for other in range(11)] for one in range(11)]
    model = LMNPair(spec, hidden_units=(4,), pair_values="ease", pair_l2=L2)
    values = _values(model, "history", [ease], np.arange(11))[:, :, 0]
    np.testing.assert_allclose(values, want, rtol=1e-5, atol=1e-7)
    assert np.abs(want).max() > 0.01


def test_pairs_that_share_a_slot_have_their_mean(folder):
    spec = crossed()
    _, whole, _ = written(folder, spec, pair_outcome="liked")
    _, memory, _ = written(folder, spec, pair_outcome="liked", pair_slots=100)
    values = np.array(whole.memory_values).reshape(44, 11)
    shared = {}
    for row in range(44):
        for column in range(11):
            shared.setdefault(int(memory.slots(row, column)), []).append(values[row, column])
    want = np.array([np.mean(shared.get(slot, [0.0])) for slot in range(100)])
    found = memory.get_weights()[0].ravel()
    assert np.abs(found).max() > 0
    np.testing.assert_allclose(  # up to the weight, which is another one
        found / np.abs(found).max(), want / np.abs(want).max(), rtol=1e-3, atol=1e-6
    )


def test_each_label_has_values_of_its_own(folder):
    _, single, _ = written(folder, crossed(), pair_outcome="liked")
    model, memory, _ = written(folder, crossed(labels=("like", "again")), pair_outcome="liked")
    assert memory.memory_values.shape == (44 * 11, 2) and model.pair_calibration.shape == (2, 2)
    values = np.array(memory.memory_values)
    for label in range(2):
        one = values[:, label] / np.abs(values[:, label]).max()
        want = single.get_weights()[0][:, 0]
        np.testing.assert_allclose(one, want / np.abs(want).max(), rtol=1e-3, atol=1e-6)


def test_what_can_not_be_fitted_leaves_the_host():
    rng = np.random.default_rng(0)
    host, labels = rng.normal(size=(50, 1)), rng.integers(0, 2, (50, 1))
    against = np.where(labels == 1, -1.0, 1.0) + rng.normal(size=(50, 1))
    [(scale, weight, _)] = _fit(host, against, labels, np.ones(50))
    assert weight == 0.0 and scale != 1.0
    assert list(_fit(host, against, np.ones((50, 1)), np.ones(50))) == [(1.0, 0.0, 0.0)]
    [(_, weight, _)] = _fit(host, -against, labels, np.ones(50))
    assert weight > 0.5


def test_rows_count_by_their_weights():
    rng = np.random.default_rng(0)
    host, pairs = rng.normal(size=(2, 40, 1))
    labels, weights = rng.integers(0, 2, (40, 1)), rng.integers(0, 3, 40)
    [got] = _fit(host, pairs, labels, weights.astype(float))
    several = [np.repeat(one, weights, axis=0) for one in (host, pairs, labels)]
    [want] = _fit(*several, np.ones(weights.sum()))
    np.testing.assert_allclose(got, want, rtol=1e-4)


def pipeline(folder, run_dir, **data):
    spec = run_dir.parent / "spec.yaml"
    spec.write_text(strict_yaml.dump(crossed().to_dict()))
    files = {name: str(folder / f"{name}-*.parquet") for name in ("train", "valid", "test")}
    model = {"name": "lmn_pair", "hidden_units": [4], "pair_values": "ease", "pair_l2": L2}
    return PipelineSpec.from_dict(
        {
            "pipeline_version": 1,
            "feature_spec": str(spec),
            "data": {**files, "batch_size": 64, **data},
            "model": {**model, "pair_outcome": "liked"},
            "train": {"epochs": 1, "checkpoint_steps": 2},
            "run_dir": str(run_dir),
        }
    )


def test_a_run_ends_with_the_values(folder, tmp_path, monkeypatch):
    stream = io.StringIO()
    metrics = Trainer(pipeline(folder, tmp_path / "run"), stream=stream).train()
    assert "Wrote the regression of 9 items into the memory of pairs, weight " in stream.getvalue()
    directory = RunDirectory.open(tmp_path / "run")
    model = directory.load_model()
    values = model.pair_memories["history"].get_weights()[0]
    assert np.any(values)
    features, labels = features_of(directory.load_spec(), folder, "valid")
    auc = keras.metrics.AUC(from_logits=True, num_thresholds=2000)
    auc.update_state(labels, model(features))
    assert metrics["valid"]["auc"] == pytest.approx(float(auc.result()), abs=2e-3)
    (epoch,) = Trainer(pipeline(folder, tmp_path / "run"), resume=True).train()["train"]["history"]
    assert epoch["valid"]["auc"] != metrics["valid"]["auc"]  # that of the host

    def die(self, loop, loss):
        if loop.state.step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patch, contextlib.suppress(KeyboardInterrupt):
        patch.setattr(Watcher, "on_step", die)
        Trainer(pipeline(folder, tmp_path / "again"), stream=stream).train()
    again = Trainer(pipeline(folder, tmp_path / "again"), resume=True, stream=stream).train()
    assert again["test"]["auc"] == metrics["test"]["auc"]
    loaded = RunDirectory.open(tmp_path / "again").load_model()
    np.testing.assert_array_equal(loaded.pair_memories["history"].get_weights()[0], values)


def test_validation_rows_are_needed(folder, tmp_path):
    with pytest.raises(
        UserError, match="`data.valid` must be given for `pair_values: ease`, .* no data.valid"
    ):
        Trainer(pipeline(folder, tmp_path / "run", valid=None), stream=io.StringIO()).train()
    assert not (tmp_path / "run").exists()

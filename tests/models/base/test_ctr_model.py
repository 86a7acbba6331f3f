import contextlib

import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL, kitchen_sink_spec, random_features, random_labels
from replicas import replicas
from sklearn.metrics import log_loss, roc_auc_score
from small_shop import shop_rows, shop_spec, write_csv

from lmn_tf.data.dataset import make_dataset
from lmn_tf.metrics import GroupedAUC, LogLoss
from lmn_tf.models import DNN
from lmn_tf.optimizers.group_optimizer import GroupOptimizer
from lmn_tf.optimizers.loss_scale_optimizer import LossScaleOptimizer
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

SPEC = kitchen_sink_spec()
TINY = FeatureSpec.from_dict(
    {
        "spec_version": 1,
        "name": "tiny",
        "group": "user",
        "labels": [{"name": "click"}],
        "embedding_dim": 2,
        "features": [
            {"name": "user", "role": "user", "kind": "categorical", "lookup": {"identity": 9}}
        ],
    }
)


def tiny_data(rows=40, batch=16, weights=False, seed=0):
    rng = np.random.default_rng(seed)
    features = {
        "user": rng.integers(2, 11, rows).astype("int32"),
        "group": rng.integers(0, 5, rows),
    }
    parts = [features, rng.integers(0, 2, (rows, 1)).astype("float32")]
    parts += [rng.random(rows).astype("float32")] * weights
    return tf.data.Dataset.from_tensor_slices(tuple(parts)).batch(batch), parts


def tiny_model(**options):
    keras.utils.set_random_seed(1)
    return DNN(TINY, **{**SMALL, **options})


def test_compile_needs_no_argument():
    model = tiny_model()
    model.compile()
    assert isinstance(model.optimizer, GroupOptimizer)
    assert not model.jit_compile
    data, (features, labels) = tiny_data()
    model.fit(data, verbose=0)
    logits = model.predict(data, verbose=0)
    want = np.mean(np.log1p(np.exp(logits)) - labels * logits)
    loss = model.evaluate(data, verbose=0)
    np.testing.assert_allclose(loss, want, rtol=1e-5)


def test_the_first_step_is_traced_once():
    traced = []

    class Watched(DNN):
        def train_step(self, data):
            traced.append(self.optimizer.built)
            return super().train_step(data)

    model = Watched(TINY, **SMALL)
    model.compile()
    model.fit(tiny_data()[0].take(2), verbose=0)
    assert traced == [True]


def test_the_loss_is_averaged_over_labels():
    spec = kitchen_sink_spec(labels=[{"name": "like"}, {"name": "share"}])
    model = DNN(spec, **SMALL)
    model.compile(run_eagerly=True)
    features, labels = random_features(spec), random_labels(count=2)
    logits = model(features).numpy()
    want = np.mean(np.log1p(np.exp(logits)) - labels * logits)
    np.testing.assert_allclose(model.test_on_batch(features, labels), want, rtol=1e-5)


def test_grouped_metrics_are_final_and_of_evaluation_only():
    model = tiny_model()
    model.compile(metrics=["auc", "gauc", GroupedAUC("uniform"), LogLoss()])
    data, (features, labels) = tiny_data()
    history = model.fit(data, validation_data=data, epochs=2, verbose=0).history
    assert {"auc", "logloss", "val_auc", "val_gauc", "val_qauc"} <= set(history)
    assert not {"gauc", "qauc"} & set(history)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    logits = model.predict(data, verbose=0)
    for name, weight in (("gauc", "impressions"), ("qauc", "uniform")):
        metric = GroupedAUC(weight)
        metric.update_state(labels, logits, groups=features["group"])
        assert logs[name] == pytest.approx(metric.compute()["value"], abs=1e-6)
        assert history[f"val_{name}"][-1] == pytest.approx(logs[name], abs=1e-6)
    assert history["val_gauc"][0] != history["val_gauc"][1]
    assert "gauc" not in [metric.name for metric in model.metrics]


def test_weighted_metrics_and_sample_weights():
    model = tiny_model()
    weighted = [GroupedAUC(name="weighted_gauc"), LogLoss()]
    model.compile(metrics=["gauc"], weighted_metrics=weighted, run_eagerly=True)
    data, (features, labels, weights) = tiny_data(weights=True)
    model.fit(data, verbose=0)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    metric = GroupedAUC()
    # In batches of the same sizes: with others, rounding may decide another order of equal rows.
    logits = model.predict(data, verbose=0)
    metric.update_state(labels, logits, sample_weight=weights, groups=features["group"])
    assert logs["weighted_gauc"] == pytest.approx(metric.compute()["value"], abs=1e-6)
    assert logs["gauc"] != pytest.approx(logs["weighted_gauc"], abs=1e-6)


class Scores(DNN):
    """A model whose scores are given, with ties, and closer than a bin of the AUC is wide."""

    def call(self, features, training=None):
        scores = tf.constant(1 + np.arange(11) % 7 * 2.0**-16, tf.float32)
        return tf.gather(scores, features["user"])[:, None]


@pytest.mark.quick_cases(2)
@pytest.mark.parametrize(
    ("count", "options"),
    [(1, {}), (1, {"run_eagerly": True}), (1, {"jit_compile": True}), (2, {})],
    ids=["graph", "eager", "compiled by XLA", "two replicas"],
)
def test_the_auc_of_few_rows_is_exact(count, options):
    data, (features, labels, weights) = tiny_data(weights=True)
    weights[::5] = 0
    rows = (features, labels, weights)
    if options.get("jit_compile"):  # which refuses weights
        weights, rows = None, (features, labels)
    data = tf.data.Dataset.from_tensor_slices(rows).batch(16)
    with replicas(count).scope() if count > 1 else contextlib.nullcontext():
        model = Scores(TINY, **SMALL)
        model.compile(weighted_metrics=["auc", "logloss", "ne"], **options)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    scores = Scores(TINY, **SMALL)(features).numpy()[:, 0]
    labels, chance = labels[:, 0], np.average(labels[:, 0], weights=weights)
    loss = log_loss(labels, tf.sigmoid(scores), sample_weight=weights)
    entropy = log_loss(labels, np.full(len(labels), chance), sample_weight=weights)
    want = roc_auc_score(labels, scores, sample_weight=weights)
    assert logs["auc"] == pytest.approx(want, abs=1e-7)
    assert logs["logloss"] == pytest.approx(loss, rel=1e-6)
    assert logs["ne"] == pytest.approx(loss / entropy, rel=1e-6)


def test_the_compiled_state_is_saved(tmp_path):
    model = tiny_model()
    model.compile(
        keras.optimizers.Adam(0.02), metrics=["auc", "gauc"], weighted_metrics=["logloss"]
    )
    data, _ = tiny_data(weights=True)
    model.fit(data, verbose=0)
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert float(again.optimizer.learning_rate) == pytest.approx(0.02)
    logs = model.evaluate(data, verbose=0, return_dict=True)
    assert again.evaluate(data, verbose=0, return_dict=True) == pytest.approx(logs)


def test_a_model_that_was_not_compiled_is_saved(tmp_path):
    model = tiny_model()
    model.build()
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    features = tiny_data()[1][0]
    np.testing.assert_array_equal(again(features), model(features))


def test_build_needs_no_data_and_happens_once():
    model = tiny_model()
    model.build()
    weights = model.weights
    model.build()
    model(tiny_data()[1][0])
    assert [id(weight) for weight in model.weights] == [id(weight) for weight in weights]


def test_a_spec_may_be_given_as_a_dictionary():
    model = DNN(TINY.to_dict(), **SMALL)
    assert model.spec == TINY


def shop_model(files, spec=None):
    spec = spec or shop_spec(nested=False)
    train = make_dataset(spec, files, batch_size=50, shuffle=True)
    return spec, train, DNN(spec, **SMALL)


@pytest.fixture
def shop(tmp_path):
    rows, _ = shop_rows()
    return write_csv(tmp_path, rows)


def test_other_ids_than_those_of_the_model_are_refused(shop, tmp_path):
    spec, train, model = shop_model(shop)
    model.compile(run_eagerly=True)
    valid = make_dataset(spec, shop, batch_size=50)
    model.fit(train, validation_data=valid, verbose=0)
    other, foreign, _ = shop_model(shop.replace("*", "0"))
    model.save(tmp_path / "model.keras")
    for one in (model, keras.saving.load_model(tmp_path / "model.keras")):
        one.check_ids(spec)
        one.evaluate(valid.take(1), verbose=0)
        for meet in (
            lambda: one.fit(foreign, verbose=0),  # noqa: B023
            lambda: one.fit(train, validation_data=foreign, verbose=0),  # noqa: B023
            lambda: one.evaluate(foreign.take(1), verbose=0),  # noqa: B023
            lambda: one.predict(foreign.map(lambda x, *_: x), verbose=0),  # noqa: B023
        ):
            with pytest.raises(UserError, match="the data must have the vocabulary of `item` that"):
                meet()
        with pytest.raises(UserError, match="`spec` must have the vocabulary of `item` that the"):
            one.check_ids(other)


def test_a_model_saved_before_ids_were_noted_takes_any(shop):
    spec, _, model = shop_model(shop)
    config = model.get_config()
    assert config.pop("fingerprint")
    old = DNN.from_config(config)
    other, foreign, _ = shop_model(shop.replace("*", "0"))
    old.check_ids(other)
    old.check_ids(foreign)
    assert old.get_config()["fingerprint"] == {}


def test_groups_must_be_there_for_grouped_metrics():
    spec = FeatureSpec.from_dict({**TINY.to_dict(), "group": None})
    model = DNN(spec, **SMALL)
    with pytest.raises(ValueError, match="`group` must be given in the feature spec.*`gauc`"):
        model.compile(metrics=["gauc"])
    model = tiny_model()
    model.compile(metrics=["gauc"], run_eagerly=True)
    data, (features, labels) = tiny_data()
    with pytest.raises(ValueError, match="`features` must hold `group` for grouped metrics"):
        model.evaluate({"user": features["user"]}, labels, verbose=0)


def test_a_model_of_histories_must_have_one():
    from lmn_tf.models import Pooling

    with pytest.raises(UserError, match="`sequences` of the feature spec must not be empty"):
        Pooling(TINY)


def test_half_precision_scales_the_loss_without_unfolding_tables():
    model = tiny_model(dtype="mixed_float16")
    model.compile("sgd")
    assert type(model.optimizer) is LossScaleOptimizer
    assert isinstance(model.optimizer.inner_optimizer, keras.optimizers.SGD)
    model.fit(tiny_data()[0], verbose=0)
    model.compile("sgd", auto_scale_loss=False)
    assert isinstance(model.optimizer, keras.optimizers.SGD)
    model = tiny_model(dtype="mixed_bfloat16")
    model.compile("sgd")
    assert isinstance(model.optimizer, keras.optimizers.SGD)


def test_keras_export_takes_its_inputs_from_the_spec(tmp_path):
    model = tiny_model()
    model.export(tmp_path / "saved", verbose=False)
    features = tiny_data()[1][0]
    features = {key: features[key] for key in model.encoder.signature()}
    loaded = tf.saved_model.load(str(tmp_path / "saved"))
    want = model(features, training=False)
    np.testing.assert_allclose(loaded.serve(features), want, atol=1e-5)

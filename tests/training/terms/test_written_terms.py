import contextlib
import io

import keras
import numpy as np
import pytest
import tensorflow as tf
from pair_pooling import PairPooling
from rated_items import history, rated_dict, split, write_rated
from replicas import replicas
from scipy.special import logit
from sklearn.linear_model import LogisticRegression
from written_terms import FOUND, L2, crossed, enough_rows, features_of, fitted, value, written

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import Pooling
from lmn_tf.models.base.labelled_loss import noted_in
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.monitor.progress import Watcher
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.terms.written_terms import _fits, write_terms
from lmn_tf.training.trainer import Trainer


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, FOUND)
    return folder


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
    model, memory, _ = written(folder, spec, outcome="liked")
    host, pairs, labels = rows_of(folder, spec, "valid")
    assert np.ptp(pairs) > 0.1
    regression = LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=1000)
    regression.fit(np.stack([host, pairs], axis=1), labels)
    (scale, weight), offset = regression.coef_[0], regression.intercept_[0]
    assert weight > 0
    np.testing.assert_allclose(model.calibration.term_weights, [[scale], [weight]], rtol=1e-3)
    np.testing.assert_allclose(model.calibration.offset, [offset], rtol=1e-3, atol=1e-4)
    host, pairs, _ = rows_of(folder, spec, "test")
    features, _ = features_of(spec, folder, "test")
    logits = model(features, training=False)[:, 0]
    np.testing.assert_allclose(logits, scale * host + weight * pairs + offset, rtol=1e-2, atol=1e-3)


def test_training_is_that_of_the_host(folder):
    spec = crossed()
    model, memory, _ = written(folder, spec, outcome="liked")
    keras.utils.set_random_seed(1)
    host = Pooling(spec, hidden_units=(4,))
    host.build()
    features, _ = features_of(spec, folder, "train")
    np.testing.assert_array_equal(model(features, training=True), host(features, training=True))
    assert not memory.trainable_variables and model.pair_tables == ()


def fits(terms, labels, weights=None):
    """Weights and offset of the first label, of terms `(rows, terms)`."""
    weights = np.ones(len(labels)) if weights is None else weights
    sloped = np.zeros(terms.shape[1], bool)
    [(of_terms, _, offset)] = _fits(terms[:, :, None], None, sloped, labels, weights)
    return of_terms, offset


def test_what_can_not_be_fitted_leaves_the_host():
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, (50, 1))
    host, noise = rng.normal(size=(2, 50))
    against = np.stack([host, np.where(labels[:, 0] == 1, -1.0, 1.0) + noise], axis=1)
    (_, weight), _ = fits(against, labels)
    assert weight < -0.5
    (scale, weight), offset = fits(against, np.ones((50, 1)))
    assert (scale, weight, offset) == (1.0, 0.0, 0.0)


def test_rows_of_weight_0_are_as_if_they_were_not_there():
    rng = np.random.default_rng(0)
    labels, rows = rng.integers(0, 2, (60, 1)), rng.uniform(2, 4, size=(60, 1))
    pairs = np.where(labels[:, 0] == 1, 1.0, -1.0) + rng.normal(size=60)
    terms, sloped = np.stack([rng.normal(size=60), pairs], axis=1)[:, :, None], np.ones(2, bool)
    weights = np.ones(60)
    [(found, slopes, _)] = _fits(terms, rows, sloped, labels, weights)
    assert found[1] + slopes[1] * rows.mean() > 0.5 and slopes[1] != 0.0
    strange = [np.concatenate([one, one[:20] + 100.0]) for one in (terms, rows)]
    more = np.concatenate([labels, 1 - labels[:20]]), np.r_[weights, np.zeros(20)]
    [(again, same, _)] = _fits(*strange, sloped, *more)
    np.testing.assert_allclose([again, same], [found, slopes], rtol=1e-6)


def test_rows_count_by_their_weights():
    rng = np.random.default_rng(0)  # enough rows that weights have no prior
    terms, labels = rng.normal(size=(400, 3)), rng.integers(0, 2, (400, 1))
    weights = rng.integers(0, 3, 400)
    got, offset = fits(terms, labels, weights.astype(float))
    want, other = fits(*(np.repeat(one, weights, axis=0) for one in (terms, labels)))
    np.testing.assert_allclose([*got, offset], [*want, other], rtol=1e-4)


def rate_columns(spec, folder, part):
    """The terms of the rates of the rows of a file, one row after another."""
    rows = split(FOUND)
    labels = np.array([FOUND[user][at][1] for user, at in rows["train"]], float)
    every = labels.mean()

    def term(chosen):
        return logit((sum(chosen) + 20 * every) / (len(chosen) + 20)) - logit(every)

    columns = []
    for user, at in rows[part]:
        item, liked = FOUND[user][at][0], [one for _, one in history(FOUND, user, at)]
        trained = [(one, FOUND[one][place]) for one, place in rows["train"]]
        of_item = [label for _, (other, label) in trained if other == item]
        # The spec knows 50 users: those above share the id of unknown values, with no rate.
        of_user = [label for one, (_, label) in trained if one == user] if user < 50 else []
        columns.append([term(of_item), term(of_user), term(liked)])
    return np.array(columns)


def test_rates_are_terms_with_weights_of_their_own(folder):
    spec = FeatureSpec.from_dict(rated_dict())
    keras.utils.set_random_seed(1)
    model = Pooling(spec, hidden_units=(4,), rates=True, outcome="liked")
    model.compile()
    model.build()
    assert model.term_names == ("trained", "item", "user", "history")
    features, labels = features_of(spec, folder, "valid")
    host = model(features, training=False).numpy()
    valid = enough_rows(folder, spec)
    text = write_terms(model, str(folder / "train-*.parquet"), valid)
    assert text.startswith("Counted the rates of 9 values of item and ")
    terms = np.concatenate([host, rate_columns(spec, folder, "valid")], axis=1)
    regression = LogisticRegression(C=1e6, solver="newton-cholesky", max_iter=1000)
    regression.fit(terms, labels[:, 0])
    np.testing.assert_allclose(
        model.calibration.term_weights[:, 0], regression.coef_[0], rtol=1e-2, atol=1e-3
    )
    want = terms @ regression.coef_[0] + regression.intercept_[0]
    np.testing.assert_allclose(model(features)[:, 0], want, rtol=1e-2, atol=2e-3)
    again = write_terms(model, str(folder / "train-*.parquet"), valid)
    assert again == text  # whatever was written before


def test_trained_pairs_are_part_of_the_first_term(folder):
    """Weights are fitted to all that was trained, and the scale is of all of it."""
    spec = FeatureSpec.from_dict(rated_dict())
    keras.utils.set_random_seed(1)
    model = PairPooling(spec, hidden_units=(4,), pair_values="trained", rates=True)
    model.compile()
    model.build()
    memory = model.pair_memories["history"].memory_values
    memory.assign(np.random.default_rng(0).normal(size=memory.shape))
    features, _ = features_of(spec, folder, "valid")
    trained = model(features).numpy()  # before any weight is fitted
    valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=500)
    np.testing.assert_allclose(model.predict_terms(valid)[:, 0], trained, atol=1e-4)
    write_terms(model, str(folder / "train-*.parquet"), valid.repeat(20))
    weights, offset = model.calibration.term_weights, model.calibration.offset
    want = tf.einsum("rtl,tl->rl", model.predict_terms(valid), weights) + offset
    np.testing.assert_allclose(model(features), want, rtol=1e-4, atol=1e-4)


def test_with_counts_weights_change_with_the_rows_of_the_item(folder):
    spec, options = crossed(), {"rates": True, "counts": True, "outcome": "liked"}
    model, memory, text = written(folder, spec, **options)
    host, pairs, labels = rows_of(folder, spec, "valid")
    rows = split(FOUND)
    asked = [(user, FOUND[user][at][0]) for user, at in rows["valid"]]
    trained = [(user, FOUND[user][at][0]) for user, at in rows["train"]]
    of_item = np.log1p([sum(one[1] == item for one in trained) for _, item in asked])
    known = [(user if user < 50 else None) for user, _ in asked]  # the spec knows 50 users
    of_user = np.log1p([sum(one[0] == user for one in trained) for user in known])
    terms = np.c_[host, rate_columns(spec, folder, "valid")]
    assert model.term_names[4:] == ("rows of item", "rows of user", "new item", "pairs")
    columns = np.c_[terms, of_item, of_user, pairs, terms * of_item[:, None], pairs * of_item]
    spread = columns.std(axis=0)
    regression = LogisticRegression(C=1e6, tol=1e-8, max_iter=100_000)
    regression.fit(columns / spread, labels)
    want = regression.decision_function(columns / spread)
    features, _ = features_of(spec, folder, "valid")
    np.testing.assert_allclose(model(features)[:, 0], want, rtol=1e-2, atol=1e-2)
    found = regression.coef_[0] / spread
    slopes = model.calibration.term_slopes[:, 0].numpy()
    want = [*found[7:11], 0.0, 0.0, 0.0, found[11]]
    np.testing.assert_allclose(slopes, want, rtol=5e-2, atol=0.1)
    assert np.abs(slopes[:4]).min() > 0.05
    assert ". Change of weights with rows of item: trained " in text
    assert written(folder, spec, **options)[2] == text


@pytest.mark.parametrize("name", ["new", "pairs"])
def test_the_name_of_a_history_changes_no_weight(name, folder):
    options = {"rates": True, "counts": True, "outcome": "liked"}
    plain = crossed().to_dict()
    plain["sequences"][0]["name"] = name
    found = []
    for spec in (crossed(), FeatureSpec.from_dict(plain)):
        keras.utils.set_random_seed(1)
        model = PairPooling(spec, hidden_units=(4,), pair_values="ease", pair_l2=L2, **options)
        model.compile()
        model.build()
        valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32)
        write_terms(model, str(folder / "train-*.parquet"), valid)
        found.append(model.calibration.term_slopes.numpy())
    np.testing.assert_array_equal(*found)
    assert found[0][3, 0] != 0.0  # of the history


def test_few_validation_rows_for_many_weights_are_told(folder):
    spec = crossed()
    _, labels = features_of(spec, folder, "valid")
    rarer = int(min(labels.sum(), (1 - labels).sum()))
    model, _, text = written(folder, spec, outcome="liked", rates=True, counts=True)
    assert "Warning" not in text
    free = model.calibration.term_weights.numpy()
    train = str(folder / "train-*.parquet")
    valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32)
    text = write_terms(model, train, valid)
    assert text.endswith(
        f" Warning: 13 weights from {rarer} validation rows of the rarer label are drawn toward 0: "
        "take at least 260, or turn terms off."
    )
    drawn = model.calibration.term_weights.numpy()
    assert np.linalg.norm(drawn[:4]) < 0.5 * np.linalg.norm(free[:4])  # of logits and rates


def test_the_score_of_the_softmax_is_a_term(folder):
    spec = FeatureSpec.from_dict(rated_dict())
    keras.utils.set_random_seed(1)
    options = {"softmax_weight": 1.0, "softmax_dim": 4}
    model = Pooling(spec, hidden_units=(4,), **options, softmax_score=True)
    plain = Pooling(spec, hidden_units=(4,), **options)
    for one in (model, plain):
        one.compile()
        one.build()
    plain.set_weights([w.numpy() for w in model.weights if "calibration" not in w.path])
    features, _ = features_of(spec, folder, "test")
    host = plain(features, training=False)
    np.testing.assert_allclose(model(features, training=False), host, rtol=1e-6)
    noted = noted_in(plain(features, training=True))
    valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32)
    text = write_terms(model, str(folder / "train-*.parquet"), valid)
    assert text.startswith("Weights of the logits: trained ") and ", softmax_score " in text
    scores = np.sum(np.multiply(noted["query"], noted["candidate"]), axis=1)
    scale, weight = model.calibration.term_weights[:, 0].numpy()
    want = scale * host[:, 0] + weight * scores + model.calibration.offset[0]
    np.testing.assert_allclose(model(features, training=False)[:, 0], want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("placement", ["replicated", "row_wise"])
def test_two_replicas_have_the_terms_of_one(folder, placement):
    spec, found = crossed(), []
    options = {"rates": True, "counts": True, "outcome": "liked", "memory_placement": placement}
    options |= {"pair_values": "ease", "pair_l2": L2}
    for strategy in (tf.distribute.get_strategy(), replicas(2)):
        with strategy.scope():
            keras.utils.set_random_seed(1)
            model = PairPooling(spec, hidden_units=(4,), **options)
            model.compile()
            model.build()
        valid = make_dataset(spec, str(folder / "valid-*.parquet"), batch_size=32)
        write_terms(model, str(folder / "train-*.parquet"), valid)
        found.append([*model.calibration.get_weights(), *model.rate_terms.get_weights()])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-3, atol=1e-4)


def pipeline(folder, run_dir, **data):
    spec = run_dir.parent / "spec.yaml"
    spec.write_text(strict_yaml.dump(crossed().to_dict()))
    files = {name: str(folder / f"{name}-*.parquet") for name in ("train", "valid", "test")}
    model = {"name": "lmn_pair", "hidden_units": [4], "pair_l2": L2}
    return PipelineSpec.from_dict(
        {
            "pipeline_version": 1,
            "feature_spec": str(spec),
            "data": {**files, "batch_size": 64, **data},
            "model": {**model, "outcome": "liked"},
            "train": {"epochs": 1, "checkpoint_steps": 2},
            "run_dir": str(run_dir),
        }
    )


def test_a_run_ends_with_the_values(folder, tmp_path, monkeypatch):
    stream = io.StringIO()
    metrics = Trainer(pipeline(folder, tmp_path / "run"), stream=stream).train()
    assert "Wrote the regression of 9 items into the memory of pairs. " in stream.getvalue()
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
    with pytest.raises(UserError, match="`data.valid` must be given for .*`pair_values: ease`: "):
        Trainer(pipeline(folder, tmp_path / "run", valid=None), stream=io.StringIO()).train()
    assert not (tmp_path / "run").exists()

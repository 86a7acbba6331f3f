import contextlib
import io
import shutil

import numpy as np
import pytest
from rated_items import rated_dict, ratings, write_rated

from lmn_tf.models import LMNPair
from lmn_tf.models.baselines.ease import EASE
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.daily_trainer import DailyTrainer
from lmn_tf.training.growth.pair_start import start_pairs
from lmn_tf.training.monitor.progress import Watcher
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.trainer import Trainer

L2 = 4.0


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("rated")
    write_rated(folder, ratings())
    return folder


def crossed(crosses=({"name": "rated", "of": ["item", "liked"]},), labels=("like",)):
    plain = rated_dict(labels=[{"name": name, "column": "like"} for name in labels])
    plain["sequences"][0]["crosses"] = list(crosses)
    return FeatureSpec.from_dict(plain)


def started(folder, spec, parts=("train", "valid"), **options):
    """A model whose memory has been started, that memory, and its sentence."""
    model = LMNPair(spec, hidden_units=(4,), pair_start="ease", pair_l2=L2, **options)
    model.build()
    text = start_pairs(model, *(str(folder / f"{name}-*.parquet") for name in parts))
    return model, model.pair_memories["history"], text


def fitted(folder, spec, label=0, outcome="liked"):
    model = EASE(spec, item="item", outcome=outcome, l2=L2)
    train, valid = (
        Interactions.read(spec, model.columns, str(folder / f"{name}-*.parquet"))
        for name in ("train", "valid")
    )
    return model.fit(train, valid, label)


def value(ease, item, liked, candidate):
    """The value of one pair of ids, as the docstring says."""
    event, column = ease.column_of[item], ease.column_of[candidate]
    if event < 0 or column < 0:
        return 0.0
    residual = 1.0
    if liked is not None:
        rate = 1 / (1 + np.exp(-np.log(ease.rate / (1 - ease.rate)) - ease.item_offsets[item]))
        residual = (liked - 2) - rate if liked >= 2 else 0.0
    return ease.weights["pairs"] * residual * ease.similarities[column, event]


def test_values_are_those_of_the_regression(folder):
    spec = crossed()
    _, memory, text = started(folder, spec, pair_outcome="liked")
    ease = fitted(folder, spec)
    table = np.array(memory.memory_values).reshape(11, 4, 11)
    assert np.abs(table).max() > 0.01
    for item in range(11):
        for liked in range(4):
            want = [value(ease, item, liked, candidate) for candidate in range(11)]
            np.testing.assert_allclose(table[item, liked], want, rtol=1e-5, atol=1e-7)
    assert text.startswith("Started the memory of pairs with the regression of 9 items, weight ")


def test_each_event_counts_without_an_outcome(folder):
    spec = FeatureSpec.from_dict(rated_dict())
    _, memory, _ = started(folder, spec)
    ease = fitted(folder, spec, outcome=None)
    want = [[value(ease, item, None, candidate) for candidate in range(11)] for item in range(11)]
    np.testing.assert_allclose(
        np.array(memory.memory_values).reshape(11, 11), want, rtol=1e-5, atol=1e-7
    )
    assert np.abs(want).max() > 0.01


def test_pairs_of_a_cross_without_the_outcome_are_the_same(folder):
    _, memory, _ = started(folder, crossed())
    _, plain, _ = started(folder, FeatureSpec.from_dict(rated_dict()))
    table = np.array(memory.memory_values).reshape(11, 4, 11)
    for liked in range(4):
        np.testing.assert_array_equal(table[:, liked].ravel(), plain.get_weights()[0].ravel())


def test_pairs_that_share_a_slot_have_their_mean(folder):
    spec = crossed()
    _, whole, _ = started(folder, spec, pair_outcome="liked")
    _, memory, _ = started(folder, spec, pair_outcome="liked", pair_slots=100)
    values = np.array(whole.memory_values).reshape(44, 11)
    shared = {}
    for row in range(44):
        for column in range(11):
            shared.setdefault(int(memory.slots(row, column)), []).append(values[row, column])
    want = [np.mean(shared.get(slot, [0.0])) for slot in range(100)]
    np.testing.assert_allclose(memory.get_weights()[0].ravel(), want, rtol=1e-4, atol=1e-7)


def test_each_label_has_values_of_its_own(folder):
    spec = crossed(labels=("like", "again"))
    _, memory, _ = started(folder, spec, pair_outcome="liked")
    _, single, _ = started(folder, crossed(), pair_outcome="liked")
    values = np.array(memory.memory_values)
    assert values.shape == (44 * 11, 2)
    for label in range(2):
        np.testing.assert_allclose(values[:, label], single.get_weights()[0][:, 0], rtol=1e-5)


def pipeline(folder, run_dir, **data):
    """A pipeline whose pairs move by no length."""
    spec = run_dir.parent / "spec.yaml"
    spec.write_text(strict_yaml.dump(crossed().to_dict()))
    files = {name: str(folder / f"{name}-*.parquet") for name in ("train", "valid", "test")}
    model = {"name": "lmn_pair", "hidden_units": [4], "pair_start": "ease", "pair_l2": L2}
    optimizer = {"dense": {"adam": 0.001}, "pairs": {"row_wise_sgd": 1e-30}}
    return PipelineSpec.from_dict(
        {
            "pipeline_version": 1,
            "feature_spec": str(spec),
            "data": {**files, "batch_size": 16, **data},
            "model": {**model, "pair_outcome": "liked"},
            "train": {"epochs": 1, "checkpoint_steps": 2, "optimizer": optimizer},
            "run_dir": str(run_dir),
        }
    )


def values_of(run_dir):
    (memory,) = RunDirectory.open(run_dir).load_model().pair_memories.values()
    return memory.get_weights()[0]


def test_training_starts_with_the_values(folder, tmp_path):
    stream = io.StringIO()
    Trainer(pipeline(folder, tmp_path / "run"), stream=stream).train()
    _, memory, text = started(folder, crossed(), pair_outcome="liked")
    np.testing.assert_allclose(values_of(tmp_path / "run"), memory.get_weights()[0], atol=1e-20)
    assert text in stream.getvalue()


def test_a_resumed_run_starts_once(folder, tmp_path, monkeypatch):
    given, steps = pipeline(folder, tmp_path / "run"), []

    def die(loop, loss):
        steps.append(loss)
        if len(steps) in (1, 4):
            raise KeyboardInterrupt

    monkeypatch.setattr(Watcher, "on_step", lambda self, loop, loss: die(loop, loss))
    for is_started in (True, True, False):  # killed before and after a checkpoint
        stream = io.StringIO()
        with contextlib.suppress(KeyboardInterrupt):
            Trainer(given, resume=True, stream=stream).train()
        assert ("Started the memory of pairs" in stream.getvalue()) == is_started
    _, memory, _ = started(folder, crossed(), pair_outcome="liked")
    np.testing.assert_allclose(values_of(tmp_path / "run"), memory.get_weights()[0], atol=1e-20)


def test_dated_files_start_with_the_first_day(folder, tmp_path):
    for day in ("2024-01-01", "2024-01-02"):
        shutil.copy(folder / "train-0.parquet", tmp_path / f"{day}.parquet")
    shutil.copy(folder / "events.arrow", tmp_path)
    days = {"days": {"first": "2024-01-01", "last": "2024-01-02"}, "valid": None}
    files = str(tmp_path / "{day}.parquet")
    given = pipeline(folder, tmp_path / "run", train=files, **days)
    stream = io.StringIO()
    DailyTrainer(given, stream=stream).train()
    _, memory, text = started(folder, crossed(), ["train"], pair_outcome="liked")
    np.testing.assert_allclose(values_of(tmp_path / "run"), memory.get_weights()[0], atol=1e-20)
    assert text in stream.getvalue()

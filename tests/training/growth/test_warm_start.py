import io
import re
import shutil

import keras
import numpy as np
import pyarrow.parquet as pq
import pytest
from old_checkpoints import to_zips
from tiny_run import DNN, document, market, pipeline, trained_run

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.growth.warm_start import WarmStart
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.variable_paths import keyed_variables
from lmn_tf.training.trainer import Trainer


def warm(run_dir, model=(), data=(), **train):
    plain = document(run_dir, epochs=1, **train)
    plain["model"] |= dict(model)
    plain["data"] |= dict(data)
    plain["warm_start"] = {"run": str(trained_run()), "opening_steps": 4}
    return PipelineSpec.from_dict(plain)


def scores(run):
    from lmn_tf.data.dataset import make_dataset

    directory = RunDirectory.open(run)
    data = make_dataset(directory.load_spec(), f"{market()}/test-*.parquet", batch_size=400)
    model = directory.load_model()
    return np.concatenate([keras.ops.sigmoid(model(features)) for features, _ in data])


@pytest.fixture(scope="module")
def new_data(tmp_path_factory):
    """The training rows with items that the first run never saw, and without some it saw."""
    folder = tmp_path_factory.mktemp("new_data")
    table = pq.read_table(next(market().glob("train-*.parquet")))
    items = table["item_id"].to_numpy() + 7
    table = table.set_column(table.column_names.index("item_id"), "item_id", [items])
    pq.write_table(table, folder / "train-0.parquet")
    return str(folder / "train-*.parquet")


@pytest.mark.slow  # quick: what grows in `test_growth.py`, and the start below
def test_a_run_goes_on_from_another_one(tmp_path, new_data):
    """With more keys and new items; a step of no length leaves the scores as they were."""
    optimizer = {"dense": {"sgd": 1e-30}, "tables": {"row_wise_adagrad": 1e-30}}
    plain = warm(
        tmp_path / "run",
        {"num_keys": 8, "dropout": 0.0},
        {"train": new_data},
        optimizer=optimizer,
        max_steps=1,
    ).to_dict()
    plain["data"] |= {"valid": None, "test": None}
    given = PipelineSpec.from_dict(plain)
    stream = io.StringIO()
    metrics = Trainer(given, stream=stream).train()
    assert re.search(r"\(7 new rows in tables, 2 new keys on each axis of mem", stream.getvalue())
    directory = RunDirectory(tmp_path / "run")
    assert metrics["train"]["steps"] == 1
    stored = directory.load_pipeline()
    assert stored.model["open_keys"] == 6 and stored.warm_start.run == str(trained_run())
    before, after = (RunDirectory(run).load_spec() for run in (trained_run(), directory.path))
    known, now = (spec.assets.vocabularies["item_id"] for spec in (before, after))
    assert now[: len(known)] == known and len(now) == len(known) + 7
    assert after.assets.statistics["price"] == before.assets.statistics["price"]
    # Batch normalization has moved by one batch.
    np.testing.assert_allclose(scores(directory.path), scores(trained_run()), atol=0.05)
    values = Checkpoints(directory.checkpoints).latest()[0]
    old = Checkpoints(trained_run() / "checkpoints").latest()[0]
    key = "lmn/feature_encoder/item/embeddings"
    np.testing.assert_array_equal(values[f"model/{key}"][: len(known)], old[f"model/{key}"][:-2])
    state = values[f"optimizer/{key}/accumulator"]
    assert np.all(state[: len(known) + 2] >= old[f"optimizer/{key}/accumulator"])
    assert values["optimizer/iteration"] == 1
    resumed = Trainer(given, resume=True, stream=io.StringIO()).train()
    assert resumed == metrics


def test_a_kill_before_the_first_checkpoint_starts_warm_again(tmp_path, monkeypatch):
    from lmn_tf.training.training_loop import TrainingLoop

    given = warm(tmp_path / "run", {"num_keys": 8}, max_steps=1)

    def die(self):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainingLoop, "run", die)
    with pytest.raises(KeyboardInterrupt):
        Trainer(given, stream=io.StringIO()).train()
    stream = io.StringIO()
    trainer = Trainer(
        PipelineSpec.from_dict({**given.to_dict(), "warm_start": None}), resume=True, stream=stream
    )
    with pytest.raises(KeyboardInterrupt):
        trainer.train()
    assert trainer.model.open_keys == 6
    assert (
        f"Started with the weights of the run in {trained_run()} (2 new keys" in stream.getvalue()
    )


@pytest.mark.parametrize(
    ("model", "message"),
    [
        ({"name": "din"}, "`model.name` must be that of the run in .*, lmn, .*model.name=din"),
        ({"num_keys": 4}, "`model.num_keys` must be at least that of .*, 6, .*model.num_keys=4"),
    ],
)
def test_what_can_not_grow_is_refused(tmp_path, model, message):
    plain = warm(tmp_path / "run", model).to_dict()
    if model.get("name"):
        plain["model"] = model
    with pytest.raises(UserError, match=message):
        Trainer(PipelineSpec.from_dict(plain), stream=io.StringIO()).train()


def test_an_option_that_changes_shapes_is_named(tmp_path):
    changed = warm(tmp_path / "run", {"hidden_units": [9]})
    with pytest.raises(
        UserError, match=r"`model.hidden_units` must stay as in .*, \[8\]. Received: .*=\[9\] \(`"
    ):
        Trainer(changed, stream=io.StringIO()).train()
    assert not (tmp_path / "run").exists()


def test_a_start_must_be_a_run(tmp_path):
    start = warm(tmp_path).warm_start
    (tmp_path / "empty").mkdir()
    for run, message in [
        ("absent", "`warm_start.run` must be the folder of a run. Received: .*, not a folder"),
        ("empty", "Received: .*/empty, without pipeline.yaml"),
    ]:
        with pytest.raises(UserError, match=message):
            WarmStart(type(start)(run=str(tmp_path / run)))
    shutil.copytree(trained_run(), tmp_path / "run")
    shutil.rmtree(tmp_path / "run" / "checkpoints")
    held = WarmStart(type(start)(run=str(tmp_path / "run")))
    assert held.adapted(pipeline("x")).model == pipeline("x").model  # from model.keras
    (tmp_path / "run" / "model.keras").unlink()
    with pytest.raises(UserError, match="must hold a checkpoint or a trained model. Received: .*"):
        WarmStart(type(start)(run=str(tmp_path / "run"))).adapted(pipeline("x"))


def test_a_start_may_hold_checkpoints_of_an_earlier_version(tmp_path):
    start = warm(tmp_path).warm_start
    shutil.copytree(trained_run(), tmp_path / "run")
    to_zips(tmp_path / "run" / "checkpoints")
    want = WarmStart(start)._weights[0]
    found = WarmStart(type(start)(run=str(tmp_path / "run")))._weights[0]
    assert list(found) == list(want) and len(found) > 50
    for key, value in want.items():
        np.testing.assert_array_equal(found[key], value)


@pytest.mark.parametrize("ends", [True, False])
def test_a_start_from_a_run_with_moving_averages_begins_with_them(tmp_path, ends):
    dense = {"adam": {"learning_rate": 0.01, "use_ema": True}}
    plain = pipeline(tmp_path / "run", DNN, optimizer={"dense": dense}, epochs=1, max_steps=3)
    Trainer(plain, test=False, stream=io.StringIO()).train()
    directory = RunDirectory(tmp_path / "run")
    variables = keyed_variables(directory.load_model())
    variables = {key: one for key, one in variables.items() if "seed_generator" not in key}
    if not ends:
        directory.model_file.unlink()
    found = WarmStart(type(warm("x").warm_start)(run=str(tmp_path / "run")))._weights[0]
    saved, _ = Checkpoints(directory.checkpoints).latest()
    for key, variable in variables.items():
        np.testing.assert_array_equal(found[key], variable, err_msg=key)
    assert any((saved[key] != found[key]).any() for key in variables)

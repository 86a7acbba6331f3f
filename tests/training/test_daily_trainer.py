"""Days of a market with many more items than a day has."""

import gc
import io
import json
import re
import shutil
import weakref

import numpy as np
import pytest
from resume_driver import check_kills_leave_no_trace
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tiny_run import DNN, LMN, document, scratch

from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.synthetic import generate
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.daily_trainer import DailyTrainer, make_trainer, progressive_means
from lmn_tf.training.growth.warm_start import WarmStart
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.variable_paths import keyed_variables
from lmn_tf.training.training_loop import TrainingLoop


@pytest.fixture(scope="module")
def logs():
    folder = scratch() / "daily"
    generate(folder, users=150, items=400, rows=2400, history_length=2, seed=3, by_day=True)
    return folder


def daily(logs, run_dir, model=DNN, last="2023-12-17", days=(), **train):
    plain = document(run_dir, epochs=1, **train)
    plain["model"] = model
    plain["data"] = {
        "train": f"{logs}/day-{{day}}.parquet",
        "days": {"first": "2023-12-15", "last": last, "vocabularies": "grow", **dict(days)},
        "batch_size": 32,
        "eval_batch_size": 64,
    }
    return plain


def train(plain, **options):
    stream = io.StringIO()
    metrics = make_trainer(PipelineSpec.from_dict(plain), stream=stream, **options).train()
    return metrics, stream.getvalue()


@pytest.fixture(scope="module")
def finished(logs, tmp_path_factory):
    """A run over three days: its plan, its metrics and what it said."""
    plain = daily(logs, tmp_path_factory.mktemp("finished") / "run")
    return plain, *train(plain)


def test_each_day_is_evaluated_then_trained_on(finished):
    plain, metrics, told = finished
    days = metrics["days"]
    assert [one["day"] for one in days] == ["2023-12-15", "2023-12-16", "2023-12-17"]
    rows = [one["before"]["examples"] for one in days]
    assert metrics["train"]["examples"] == sum(rows)
    steps = np.cumsum([-(-count // 32) for count in rows])
    assert [one["step"] for one in days] == list(steps)
    assert [one["new_rows"] > 0 for one in days] == [False, True, True]
    assert metrics["progressive"]["days"] == 2
    assert metrics["progressive"]["examples"] == rows[1] + rows[2]
    assert "valid" not in metrics and "test" not in metrics
    assert re.search(r"day 2023-12-16 \(2/3\) \| before auc 0.* \| new rows \d+", told)
    directory = RunDirectory.open(plain["run_dir"])
    spec, model = directory.load_spec(), directory.load_model()
    size = len(spec.assets.vocabularies["item_id"]) + 2
    assert model.encoder.tables["item"].embeddings.shape[0] == size
    assert not (directory.path / "days").exists()
    events = EventAccumulator(str(directory.tensorboard / "train"), {"tensors": 0}).Reload()
    for tag in ("before/auc", "before/calibration", "before/pr_curves"):
        assert [event.step for event in events.Tensors(tag)] == list(steps), tag
    assert train(plain, resume=True)[0] == metrics


def test_days_are_scored_by_moving_averages(finished, logs, tmp_path):
    """Each day and the model at the end; the steps are those without averages."""
    dense = {"adam": {"learning_rate": 0.001, "use_ema": True, "ema_momentum": 0.5}}
    plain = daily(logs, tmp_path / "run", last="2023-12-16", optimizer={"dense": dense})
    metrics, _ = train(plain)
    other = finished[1]
    losses = [[day["loss"] for day in each["days"][:2]] for each in (metrics, other)]
    assert losses[0] == pytest.approx(losses[1], rel=1e-6)
    before = [[day["before"]["logloss"] for day in each["days"][:2]] for each in (metrics, other)]
    assert before[0][0] == pytest.approx(before[1][0], rel=1e-6)  # no step was made yet
    assert before[0][1] != pytest.approx(before[1][1], rel=1e-5)
    directory = RunDirectory.open(plain["run_dir"])
    saved, _ = Checkpoints(directory.checkpoints).latest()
    averages = {key: value for key, value in saved.items() if key.endswith("/average")}
    weights = keyed_variables(directory.load_model())
    assert len(averages) > 3
    for key, value in averages.items():
        weight = weights[key.replace("optimizer/", "model/").removesuffix("/average")]
        np.testing.assert_array_equal(weight, value, err_msg=key)


def test_addresses_are_watched_day_by_day(logs, tmp_path):
    metrics, _ = train(daily(logs, tmp_path / "run", LMN, "2023-12-16"), diagnostics=True)
    assert metrics["days"][1]["new_rows"] > 0  # by another model than that of the first day
    for day in metrics["train"]["history"]:
        assert 0 <= day["address_churn"] <= 100


def test_no_reader_of_a_day_outlives_it(logs, tmp_path, monkeypatch):
    """They hold the rows of the day, and its events."""
    made, alive = [], []
    init, run = BatchReader.__init__, TrainingLoop.run_epoch

    def noted(self, *args, **options):
        init(self, *args, **options)
        made.append(weakref.ref(self))

    def counted(self):
        state = run(self)
        gc.collect()
        alive.append(sum(reader() is not None for reader in made))
        return state

    monkeypatch.setattr(BatchReader, "__init__", noted)
    monkeypatch.setattr(TrainingLoop, "run_epoch", counted)
    train(daily(logs, tmp_path / "run", days={"vocabularies": "first_day"}))
    assert len(made) == 6  # one to evaluate on each of three days, and one to train
    assert alive == [1, 1, 1]


class Killed(BaseException):
    pass


@pytest.fixture
def killed(finished, tmp_path, monkeypatch):
    """A run like that of `finished`, killed in the second step of the second day."""
    plain = {**finished[0], "run_dir": str(tmp_path / "run")}
    finish = TrainingLoop._finish_step

    def kill(self, seconds, loss):
        finish(self, seconds, loss)
        if self.state.step == 5:  # The step before it is saved.
            raise Killed

    with monkeypatch.context() as patched:
        patched.setattr(TrainingLoop, "_finish_step", kill)
        with pytest.raises(Killed):
            train(plain)
    return plain


@pytest.mark.slow  # quick: which spec a checkpoint gets in `test_grown_specs.py`
def test_another_run_may_start_from_a_day_that_is_not_over(killed, logs, tmp_path):
    """Its tables have the rows of that day, not those of the first one."""
    plain = daily(logs, tmp_path / "other", last="2023-12-15", max_steps=1)
    plain["warm_start"] = {"run": killed["run_dir"]}
    plain["train"]["optimizer"] = {"dense": {"sgd": 1e-30}, "tables": {"row_wise_adagrad": 1e-30}}
    train(plain)
    source = WarmStart(PipelineSpec.from_dict(plain).warm_start)
    arrays, spec = source._weights
    values = spec.assets.vocabularies["item_id"]
    first = RunDirectory(killed["run_dir"]).load_spec().assets.vocabularies["item_id"]
    assert len(values) > len(first)
    other = RunDirectory.open(plain["run_dir"])
    ids = other.load_spec().assets.vocabularies["item_id"]
    table = np.asarray(other.load_model().encoder.tables["item"].embeddings)
    [key] = [key for key in arrays if key.startswith("model/") and "/item/embeddings" in key]
    for row, value in enumerate(values, 2):
        np.testing.assert_array_equal(table[ids.index(value) + 2], arrays[key][row])


@pytest.mark.slow
def test_a_run_goes_on_within_a_day(finished, killed):
    whole, metrics, _ = finished
    plain = killed
    again, told = train(plain, resume=True)
    assert "Continuing at step 3 of" in told
    for one, other in zip(again["days"], metrics["days"], strict=True):
        assert (one["day"], one["step"], one["new_rows"]) == (
            other["day"],
            other["step"],
            other["new_rows"],
        )
        assert one["before"]["logloss"] == pytest.approx(other["before"]["logloss"], rel=1e-5)
    values, others = (
        Checkpoints(RunDirectory(run["run_dir"]).checkpoints).latest()[0] for run in (plain, whole)
    )
    for key, value in values.items():
        np.testing.assert_allclose(value, others[key], rtol=1e-4, atol=1e-6, err_msg=key)


@pytest.mark.slow
def test_the_first_days_vocabularies_may_stay(logs, tmp_path):
    plain = daily(logs, tmp_path / "run", days={"vocabularies": "first_day"}, max_steps=4)
    metrics, _ = train(plain)
    assert metrics["train"]["steps"] == 4 and len(metrics["days"]) == 2
    assert "new_rows" not in metrics["days"][0]
    first = daily(logs, tmp_path / "other", last="2023-12-15")
    other, _ = train(first)
    assert other["parameters"] == metrics["parameters"]
    assert other["progressive"] == {"days": 0, "examples": 0}
    # What comes first is the same, whatever comes after it.
    assert other["days"][0]["before"]["auc"] == metrics["days"][0]["before"]["auc"]


def test_missing_days_are_told_before_the_folder_is_taken(logs, tmp_path):
    plain = daily(logs, tmp_path / "run", last="2024-01-20", days={"missing": "skip"})
    plain["data"]["days"]["first"] = "2024-01-13"
    trainer = make_trainer(PipelineSpec.from_dict(plain))
    assert isinstance(trainer, DailyTrainer)
    plain["data"]["days"]["missing"] = "error"
    with pytest.raises(UserError, match="each day from 2024-01-13 .* none for 7 of 8 days"):
        train(plain)
    assert not (tmp_path / "run").exists()


def test_means_weigh_rows_and_leave_out_what_is_not_there():
    days = [
        {"auc": None, "logloss": 1.0, "examples": 1},
        {"auc": 0.5, "logloss": 0.5, "examples": 3},
    ]
    assert progressive_means(days) == {"auc": 0.5, "logloss": 0.625, "days": 2, "examples": 4}
    nothing = {"auc": 0.0, "logloss": None, "examples": 0}
    assert progressive_means([nothing]) == {"days": 1, "examples": 0}
    days[0]["metrics"], days[1]["metrics"] = {"a": 1.0, "b": None}, {"a": 0.0, "b": 0.5}
    assert progressive_means(days)["metrics"] == {"a": 0.25, "b": 0.5}


def run_with_kills(folder, plain, moments):
    files = [folder / f"{name}.yaml" for name in ("whole", "broken")]
    for file in files:
        file.write_text(strict_yaml.dump({**plain, "run_dir": str(file.with_suffix(""))}))
    check_kills_leave_no_trace(*files, moments)
    specs = [RunDirectory(folder / name).load_spec().assets for name in ("whole", "broken")]
    assert specs[0] == specs[1]
    first, second = (
        json.loads((folder / name / "metrics.json").read_text())["days"]
        for name in ("whole", "broken")
    )
    for one in (*first, *second):
        one["before"].pop("examples_per_second")
    assert first == second


@pytest.mark.slow
def test_kills_leave_no_trace(logs, tmp_path):
    lmn = {"name": "lmn", "num_keys": 6, "top_k": 4, "hidden_units": [8], "dropout": 0.2}
    plain = daily(logs, tmp_path, lmn, "2023-12-18", deterministic=True, checkpoint_steps=1)
    moments = [
        "kill_at_step=1",  # before the first step of the first day is over
        "kill_in_evaluation=2",  # of the second day, before it is trained on
        "kill_before_rename=feature_spec.yaml",  # the grown vocabularies not whole
        "kill_in_write=step-0000000005",  # half a checkpoint within or between days
        "kill_at_step=7",
        "kill_before_rename=model.keras",
        "kill_before_rename=metrics.json",
    ]
    run_with_kills(tmp_path, plain, moments)


def test_other_data_of_a_day_are_refused(finished, logs, tmp_path):
    plain, *_ = finished
    folder = tmp_path / "logs"
    shutil.copytree(logs, folder)
    data = {**plain["data"], "train": f"{folder}/day-{{day}}.parquet"}
    pipeline = PipelineSpec.from_dict({**plain, "data": data})
    directory, spec = RunDirectory(plain["run_dir"]), pipeline.load_feature_spec()
    directory.check_kept_data(pipeline, spec)
    file = folder / "day-2023-12-16.parquet"
    content = bytearray(file.read_bytes())
    content[99] ^= 1
    file.write_bytes(content)
    with pytest.raises(UserError, match="The training data must be .*: day-2023-12-16.parquet of"):
        directory.check_kept_data(pipeline, spec)

"""Training day by day, with progressive validation."""

import contextlib
import dataclasses
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from lmn_tf.data.formats import match_files
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.data.reading.dated_files import dated_files
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.data.reading.unit_order import UnitOrder
from lmn_tf.metrics.figures import QUALITY, own_figures
from lmn_tf.models import registry
from lmn_tf.models.run_checks import check_run
from lmn_tf.optimizers.moving_averages import averaged_weights, use_averages
from lmn_tf.specs.learned.fingerprint import fingerprint
from lmn_tf.specs.learned.spec_folder import write_spec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.baseline_trainer import BaselineTrainer
from lmn_tf.training.growth.growth import carried_over, whole_arrays
from lmn_tf.training.growth.row_sources import merge_assets, row_sources
from lmn_tf.training.growth.warm_start import WarmStart
from lmn_tf.training.monitor.progress import Watcher, monitored_words
from lmn_tf.training.saving import checkpoints as checkpoint_files
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.grown_specs import GrownSpecs
from lmn_tf.training.saving.variable_paths import keyed_variables
from lmn_tf.training.trainer import Trainer
from lmn_tf.training.training_loop import TrainingLoop, TrainState


class DailyTrainer(Trainer):
    """Trains the model of a pipeline over dated files (`data.days`), day by day.

    Each day is first evaluated with the model trained on the days before, as it would have scored
    that day's requests (progressive validation), and then trained on once. `metrics.json` has the
    figures of each day under `days`, and their means, weighted by rows, under `progressive`. The
    means exclude the first day of a run without a warm start, which is scored by random weights.
    All days are one run with one optimizer, step counter and schedule; each day is an epoch.

    Vocabularies are learned from the first day. With `vocabularies: grow`, those of each later day
    are learned after its evaluation, before training on it. Old values keep their rows. Rows of new
    values start as copies of the row of unknown values, which represented them before. A value
    gets its row on the first day on which it occurs `min_count` times. Statistics of numbers stay
    those of the first day, since the weights depend on them.

    With `diagnostics`, the churn of addresses is that of the last day, on rows of the first one.

    With `resume`, a killed run continues in the middle of a day, with the same result.

    Args:
        pipeline: A `PipelineSpec` with `data.days`.
        **kwargs: Arguments of `Trainer`.

    Raises:
        UserError: As in `Trainer`, and if days have no files.
    """

    def __init__(self, pipeline: PipelineSpec, **kwargs: Any) -> None:
        super().__init__(pipeline, **kwargs)
        self.days: dict[str, list[str]] = {}
        self._total = 0
        self._evaluator_of_days = None
        self._diagnosing: list = []  # listeners of that evaluator
        self._grown_specs = GrownSpecs(self.directory.grown_specs)

    def _train(self, spec):
        check_run(self.pipeline, spec)
        data = self.pipeline.data
        self.days, missing = dated_files(data.train, data.days)
        if missing:
            self._say(f"Days without files, left out: {', '.join(missing)}.")
        if data.test and self.test:
            match_files(data.test)
        started = self.directory.is_started
        self.spec = self._learn(spec)
        self._total = self._count_steps()
        checkpoint = Checkpoints(self.directory.checkpoints).latest() if started else None
        state = TrainState(**checkpoint[1]) if checkpoint else TrainState()
        self._grown_specs.drop_later(state.to_dict())
        self.spec = self._grown_specs.load(state.to_dict()) or self.spec
        self._renew()
        if self.pipeline.warm_start and checkpoint is None:
            start = self.warm_start or WarmStart(self.pipeline.warm_start)
            self._say(start.apply(self.model, self.pipeline))
        if not started:
            self.directory.write_opening(self.pipeline, self.spec)
        # Growing vocabularies are noted day by day, beside the checkpoints.
        ids = None if data.days.vocabularies == "grow" else fingerprint(self.spec)
        self.directory.check_data(self.pipeline, self.spec, ids)
        watcher = _DayWatcher(self._total, self.stream)
        with (
            contextlib.closing(watcher),
            self._tensorboard(lambda: self._evaluator_of_days.scores) as tensorboard,
        ):
            listeners = [*tensorboard, watcher, *self._alarms(self._evaluator_of_days, watcher)]
            loop = self._resumed(checkpoint, listeners)
            del checkpoint  # Its arrays keep the space of the files that later ones replace.
            state = self._run(state if loop is None else loop.state, loop, listeners)
        if data.days.vocabularies == "grow":
            write_spec(self.spec, self.directory.path)
        test = self._test_dataset()
        metrics = self._finish(None, state, test, self._evaluator_of_days)
        self._grown_specs.clear()
        return metrics

    def _resumed(self, checkpoint, listeners) -> TrainingLoop | None:
        """Returns the loop over the day of a checkpoint, if there is one."""
        if checkpoint is None:
            return None
        loop = self._day_loop(min(checkpoint[1]["epoch"], len(self.days) - 1), listeners)
        loop.restore(checkpoint)
        self._say(f"Continuing at step {loop.state.step} of {self._total}.")
        return loop

    def _run(self, state, loop, listeners) -> TrainState:
        while not state.finished:
            if loop is None or not state.opening:
                loop = self._open_day(state, listeners)
            state = loop.run_epoch()
        use_averages(self.model.optimizer)
        return state

    def _open_day(self, state, listeners) -> TrainingLoop:
        """Evaluates the next day, adds rows for its values, and saves a checkpoint."""
        day = list(self.days)[state.epoch]
        with averaged_weights(self.model.optimizer):
            before = self._evaluator_of_days.evaluate(self._dataset(self.days[day]))
        added = self._grow(state.epoch, day)
        loop = self._day_loop(state.epoch, listeners)
        loop.state = state
        state.opening = {"day": day, "before": before}
        if self.pipeline.data.days.vocabularies == "grow":
            state.opening["new_rows"] = added
        loop.save()
        return loop

    def _day_loop(self, index, listeners) -> TrainingLoop:
        reader = self._reader(list(self.days.values())[index])
        listeners = [*listeners, *self._diagnosing]
        return self._loop(
            reader, None, self._evaluator_of_days, listeners, self._total, len(self.days)
        )

    def _grow(self, index, day) -> int:
        """Assigns rows to the values that a day adds; returns their number."""
        if self.pipeline.data.days.vocabularies != "grow" or index == 0:
            return 0
        from lmn_tf.data.learning import vocabulary

        old, spec = self.spec, self.pipeline.load_feature_spec()
        spec.assets.text_ids = old.assets.text_ids
        vocabulary.learn(spec, self.days[day], limit=RowLimit.of_training(self.pipeline))
        merge_assets(old, spec)
        if spec.assets.vocabularies == old.assets.vocabularies:
            return 0
        arrays = whole_arrays(keyed_variables(self.model, self.model.optimizer))
        self.spec = spec
        # Random numbers of the new model must not depend on where the process started.
        keras.utils.set_random_seed((self.pipeline.train.seed + index) % 2**32)
        self._renew()
        rows = row_sources(old, spec)
        values = carried_over(self.model, arrays, rows)
        variables = keyed_variables(self.model, self.model.optimizer)
        checkpoint_files.assign(variables, values, "The model of the day before")
        self._grown_specs.write(spec, day)
        return sum(int(np.sum(sources.state < 0)) for sources in rows.values())

    def _renew(self) -> None:
        """Builds the model, and its evaluator, for the current vocabularies."""
        before = self._evaluator_of_days
        self.model = self._build(self._total)
        self._evaluator_of_days = self._evaluator()
        if self._diagnosis:
            self._diagnosing = self._diagnosis.listeners(self._evaluator_of_days)
        if before is not None:
            self._evaluator_of_days.scores = before.scores  # still to be drawn, at the day's end

    def _count_steps(self) -> int:
        data, total = self.pipeline.data, 0
        for files in self.days.values():
            units = open_spec_files(self.spec, files)
            limit = RowLimit.of_training(self.pipeline)
            rows = UnitOrder(units, False, 0, 1, (0, 1), limit).num_rows
            total += -(-rows // data.batch_size)
        return min(total, self.pipeline.train.max_steps or total)

    def _first_files(self):
        return next(iter(self.days.values()))

    def _more_figures(self, state) -> dict:
        keys = ("day", "before", "loss", "step", "new_rows")
        days = [{key: day[key] for key in keys if key in day} for day in state.history]
        evaluations = [day["before"] for day in days[0 if self.pipeline.warm_start else 1 :]]
        return {"days": days, "progressive": progressive_means(evaluations)}


def progressive_means(days: Sequence[dict]) -> dict:
    """Averages the figures of days, weighted by their rows.

    Args:
        days: List of results of `Evaluator.evaluate`, one for each day.

    Returns:
        Dictionary of means, with the counts `days` and `examples`. Days without a figure, such as
        the AUC of rows of one class, are excluded from its mean.

    Example:

    >>> progressive_means([{"auc": 0.5, "examples": 1}, {"auc": 0.75, "examples": 3}])
    {'auc': 0.6875, 'days': 2, 'examples': 4}
    """
    means = _means(days, days, QUALITY)
    own = own_figures(days)
    if own:
        means["metrics"] = _means(days, [day.get("metrics", {}) for day in days], own)
    return {**means, "days": len(days), "examples": sum(day["examples"] for day in days)}


def _means(days, results, figures) -> dict:
    means = {}
    for name in (figure.name for figure in figures):
        known = [
            (result[name], day["examples"])
            for day, result in zip(days, results, strict=True)
            if result.get(name) is not None and day["examples"]
        ]
        if known:
            values, weights = zip(*known, strict=True)
            means[name] = float(np.average(values, weights=weights))
    return means


def make_trainer(pipeline: PipelineSpec, **kwargs: Any) -> Trainer:
    """Creates the trainer of a pipeline.

    It is a `BaselineTrainer` if the model has no network, a `DailyTrainer` if the data have days,
    otherwise a `Trainer`.
    """
    if registry.is_baseline(pipeline.model_name):
        return BaselineTrainer(pipeline, **kwargs)
    return (DailyTrainer if pipeline.data.days else Trainer)(pipeline, **kwargs)


@dataclasses.dataclass
class _DayWatcher(Watcher):
    """Prints steps and days."""

    def words(self, loop: TrainingLoop, figures: dict) -> list[str]:
        """Returns the parts of the line at the end of a day."""
        words = [f"day {figures['day']} ({figures['epoch'] + 1}/{loop.epochs})"]
        words += [*monitored_words("before", figures["before"]), f"loss {figures['loss']:.4f}"]
        return words + ([f"new rows {figures['new_rows']:,}"] if "new_rows" in figures else [])

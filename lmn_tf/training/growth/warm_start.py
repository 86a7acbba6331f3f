"""Warm start from the weights of another run."""

import functools

import keras
import numpy as np

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.pipeline_spec import WarmStart as WarmStartSection
from lmn_tf.training.growth import growth
from lmn_tf.training.growth.row_sources import check_same_columns, merge_assets, row_sources
from lmn_tf.training.saving import checkpoints as checkpoint_files
from lmn_tf.training.saving.checkpoints import Checkpoints, DamagedCheckpoint
from lmn_tf.training.saving.grown_specs import GrownSpecs
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.variable_paths import keyed_variables


class WarmStart:
    """Starts a run with the weights of another run, finished or not, of the same model.

    The new run may have more keys in its memories, and other vocabularies; the model then gives the
    same scores until it is trained. See `grown_weights` and `row_sources`. The weights are those of
    `model.keras` for a finished run, and otherwise those of the newest checkpoint, or their moving
    averages (`use_ema`).

    The new run counts its steps from 0 and has its own schedule and a new optimizer for the dense
    weights. With `row_state`, the row state of row-wise optimizers is kept: it records how much
    each row has learned. Without it, the first step of each row would be as large as that of a new
    row, and destroy what it has learned.

    Args:
        start: `WarmStart` section of a `PipelineSpec`.

    Raises:
        UserError: If `start.run` is not a run directory, or holds no weights.
    """

    def __init__(self, start: WarmStartSection) -> None:
        self.start = start
        directory = RunDirectory(start.run)
        if not directory.is_started:
            raise UserError(
                f"`warm_start.run` must be the folder of a run. Received: {start.run}"
                + (", without pipeline.yaml" if directory.path.is_dir() else ", not a folder")
            )
        self.source = f"the run in {start.run}"
        self.pipeline = directory.load_pipeline()
        self._directory = directory

    def adapted(self, pipeline: PipelineSpec) -> PipelineSpec:
        """Returns the pipeline with `model.open_keys`, if its memories grow.

        Raises:
            UserError: If the pipeline has another model, or fewer keys.
        """
        written = registry.PARTS.written
        if written(pipeline.model_name) != written(self.pipeline.model_name):
            raise UserError(
                f"`model.name` must be that of {self.source}, {self.pipeline.model_name}, for a "
                f"warm start. Received: model.name={pipeline.model_name}"
            )
        if "open_keys" not in registry.options(pipeline.model_name):
            return pipeline
        before, now = (_option(of_run, "num_keys") for of_run in (self.pipeline, pipeline))
        if now < before:
            raise UserError(
                f"`model.num_keys` must be at least that of {self.source}, {before}, for a warm "
                f"start: keys are not given up. Received: model.num_keys={now}"
            )
        opened = self._open_keys(before)
        if opened < now and pipeline.model_options.get("open_keys") is None:
            return pipeline.with_overrides([f"model.open_keys={opened}"])
        return pipeline

    def adapt_assets(self, spec: FeatureSpec) -> None:
        """Merges the older ids and statistics into a spec that was learned from new data.

        Raises:
            UserError: If the columns of the spec differ from those of the run.
        """
        _, old = self._weights
        check_same_columns(old, spec, self.source)
        merge_assets(old, spec)

    def apply(self, model: keras.Model, pipeline: PipelineSpec) -> str:
        """Assigns the weights to a model.

        Args:
            model: The new model, built and compiled, with a built optimizer.
            pipeline: Its `PipelineSpec`, for messages.

        Returns:
            Sentence for the log that describes the weights.

        Raises:
            UserError: If the weights do not fit the model.
        """
        old, spec = self._weights
        rows = row_sources(spec, model.spec)
        try:
            values = growth.grown_weights(model, old, rows)
        except UserError as error:
            raise self._explained(error, pipeline, model.spec) from None
        state = growth.grown_row_state(model, old, rows) if self.start.row_state else {}
        values = {**values, **state}
        variables = keyed_variables(model, model.optimizer)
        variables = {key: variable for key, variable in variables.items() if key in values}
        checkpoint_files.assign(variables, values, self.source[0].upper() + self.source[1:])
        del self._weights  # They take memory, and the space of files that are removed.
        return (
            f"Started with the weights of {self.source}{self._summary(model, rows, bool(state))}."
        )

    def _summary(self, model, rows, has_state) -> str:
        fresh = sum(int(np.sum(sources.state < 0)) for sources in rows.values())
        words = [f"{fresh:,} new rows in tables"] if fresh else []
        before = _option(self.pipeline, "num_keys")
        if before and model.num_keys > before:
            words.append(f"{model.num_keys - before} new keys on each axis of memories")
        if not has_state:
            words.append("without the state of row-wise optimizers")
        return f" ({', '.join(words)})" if words else ""

    def _open_keys(self, num_keys) -> int:
        suffix = f"/{growth.OPEN_KEYS}"
        counts = [int(value) for key, value in self._weights[0].items() if key.endswith(suffix)]
        return min([num_keys, *counts])

    @functools.cached_property
    def _weights(self) -> tuple[dict, FeatureSpec]:
        """Arrays, and the spec of the model that has them: read at once, since runs go on."""
        return self._read_checkpoint() or (self._read_model(), self._directory.load_spec())

    def _read_checkpoint(self) -> tuple[dict, FeatureSpec] | None:
        checkpoints = Checkpoints(self._directory.checkpoints)
        checkpoint = checkpoints.latest(tidy=False)
        if checkpoint is None:
            return None
        values, state = checkpoint
        if state["step"]:  # before the first step, they are zeros
            values |= _averages(values)
        is_finished = self._directory.model_file.exists()
        if is_finished and state.get("best_file"):
            try:
                values |= checkpoints.load_best(state["best_file"])
            except DamagedCheckpoint:
                return None
        grown = GrownSpecs(self._directory.grown_specs).load(state)
        return values, grown or self._directory.load_spec()

    def _read_model(self) -> dict:
        if not self._directory.model_file.exists():
            raise UserError(
                f"`warm_start.run` must hold a checkpoint or a trained model. Received: "
                f"{self.start.run}, with neither"
            )
        variables = keyed_variables(self._directory.load_model())
        return {key: np.asarray(variable) for key, variable in variables.items()}

    def _explained(self, error, pipeline, spec) -> UserError:
        """Returns an error that names the option by which shapes differ, if there is one."""
        record = registry.record(pipeline.model_name)
        for name in record.described():
            before, now = _option(self.pipeline, name), _option(pipeline, name)
            if name not in record.may_grow and _plain(before) != _plain(now):
                return UserError(
                    f"`model.{name}` must stay as in {self.source} for a warm start, "
                    f"{short(before)}. Received: model.{name}={short(now)} ({error.message})"
                )
        for name, table in spec.tables.items():
            before = self._weights[1].tables.get(name)
            if before is not None and before.dim != table.dim:
                return UserError(
                    f"`dim` of the table `{name}` must stay as in {self.source} for a warm start, "
                    f"{before.dim}. Received: dim={table.dim}"
                )
        return UserError(f"{error.message} (warm start from {self.source})")


def _averages(values):
    """Returns the moving averages in a checkpoint, under the keys of their weights."""
    slots = [key.removeprefix("optimizer/").rpartition("/") for key in values]
    return {
        f"model/{path}": values[f"optimizer/{path}/{slot}"]
        for path, _, slot in slots
        if slot == growth.AVERAGE
    }


def _option(pipeline, name):
    known = registry.options(pipeline.model_name)
    if name not in known:
        return None
    return pipeline.model_options.get(name, known[name].default)


def _plain(value):
    return tuple(value) if isinstance(value, list) else value

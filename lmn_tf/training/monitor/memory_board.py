"""TensorBoard of the memories of a run: curves, slots and items."""

from collections.abc import Sequence
from pathlib import Path

import keras

from lmn_tf.callbacks import MemoryTensorBoard
from lmn_tf.data.dataset import evaluation_dataset, make_dataset
from lmn_tf.models import registry
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.monitor.projector_files import project_memories

_POINT_STEPS = 50  # between two points of the curves
_PROBE_ROWS = 1024
_PROJECTED_ROWS = 4096  # whose reads name the slots


class MemoryBoard:
    """Shows the memories of a run in TensorBoard, by the first rows of the validation set.

    Without a validation set, the first training rows are used. Models without memories or walks get
    nothing, nor do runs without TensorBoard.

    Args:
        pipeline: `PipelineSpec` of the run.
        spec: `FeatureSpec` of the run, with learned assets.
        evaluator: `Evaluator` of the model.
        train_files: Training files, as in `make_dataset`.
        folder: Folder for event files.
    """

    def __init__(
        self,
        pipeline: PipelineSpec,
        spec: FeatureSpec,
        evaluator: Evaluator,
        train_files: str | Sequence[str],
        folder: Path,
    ) -> None:
        self._data, self._spec, self._evaluator = pipeline.data, spec, evaluator
        self._files = pipeline.data.valid or train_files
        self._folder = folder
        self._is_wanted = pipeline.train.tensorboard
        self._histories = registry.model_class(pipeline.model_name).reads_histories
        # There, this process has only counts of the reads.
        self._is_remote = pipeline.distribute.strategy == "parameter_server"

    def callbacks(self) -> list[keras.callbacks.Callback]:
        """Returns the callbacks that draw curves while the model is trained."""
        if not self._is_wanted or not (self._evaluator.slot_memories or self._evaluator.walks):
            return []
        probe = self._evaluator.probe(self._probe_rows)
        return [MemoryTensorBoard(self._folder, _POINT_STEPS, probe)]

    def finish(self, steps: int) -> None:
        """Writes slots and items for the projector, unless a run had too few steps for curves.

        Args:
            steps: Integer. Number of steps of the run.
        """
        if not self._is_wanted or not self._evaluator.memories or self._is_remote:
            return
        if steps < _POINT_STEPS:
            return
        rows = min(_PROJECTED_ROWS, self._data.eval_rows or _PROJECTED_ROWS)
        dataset = evaluation_dataset(
            self._spec, self._files, self._data.eval_batch_size, rows, histories=self._histories
        )
        project_memories(self._evaluator, self._spec, dataset, self._folder)

    def _probe_rows(self) -> dict:
        # No more than a batch, so that a point takes less time than a step.
        rows = min(_PROBE_ROWS, self._data.batch_size)
        dataset = make_dataset(
            self._spec, self._files, rows, labels=False, limit=rows, histories=self._histories
        )
        return next(iter(dataset))

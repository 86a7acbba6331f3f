"""Diagnostics of a run, while it is trained and tested."""

from typing import Any

import tensorflow as tf

from lmn_tf.data.dataset import evaluation_dataset
from lmn_tf.data.reading.dated_files import dated_files
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.models import registry
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.evaluation.address_churn import AddressChurn
from lmn_tf.training.evaluation.diagnostics import diagnose
from lmn_tf.training.evaluation.evaluator import Evaluator

_WATCHED_ROWS = 1024  # whose addresses are compared


class RunDiagnosis:
    """Diagnostics of a run: `diagnose`, and the churn of addresses of its last or best epoch.

    Args:
        pipeline: `PipelineSpec` of the run.
        spec: Its `FeatureSpec`, with learned assets.
    """

    def __init__(self, pipeline: PipelineSpec, spec: FeatureSpec) -> None:
        self._pipeline, self._spec = pipeline, spec

    def listeners(self, evaluator: Evaluator) -> list[AddressChurn]:
        """Returns the listeners that the `TrainingLoop` needs: those of models with memories.

        Args:
            evaluator: `Evaluator` of the model.
        """
        if not evaluator.memories:
            return []
        data = self._pipeline.data
        rows = evaluation_dataset(
            self._spec,
            data.valid or (self._days()[0] if data.days else data.train),
            data.eval_batch_size,
            _WATCHED_ROWS,
            registry.model_class(self._pipeline.model_name).reads_histories,
        )
        return [AddressChurn(evaluator, rows)]

    def figures(
        self, evaluator: Evaluator, test: tf.data.Dataset, train: dict[str, Any]
    ) -> dict[str, dict]:
        """Evaluates the test set; returns `test`, its figures, and `diagnostics`.

        Args:
            evaluator: `Evaluator` of the model.
            test: The test set, with histories.
            train: Figures of training, as in `metrics.json`.
        """
        figures, diagnostics = diagnose(evaluator, self._spec, test, self._interactions)
        if "memory" in diagnostics:
            epoch = train["history"][train["best_epoch"]]
            diagnostics["memory"]["address_churn"] = epoch.get("address_churn")
        return {"test": figures, "diagnostics": diagnostics}

    def _interactions(self, quartiles):
        """Returns the training rows, of which some columns are read."""
        data = self._pipeline.data
        limit = RowLimit.of_training(self._pipeline)  # of each day, where there are days
        parts = [data.train] if data.days is None else self._days()
        # A day may have a folder of its own, with its own events.
        return Interactions.join(
            [Interactions.read(self._spec, quartiles.columns, part, limit) for part in parts]
        )

    def _days(self) -> list[list[str]]:
        data = self._pipeline.data
        return list(dated_files(data.train, data.days)[0].values())

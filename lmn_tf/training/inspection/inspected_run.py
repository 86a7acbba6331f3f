"""Trained model whose memories are inspected, and the rows that read them."""

import functools

import numpy as np
import tensorflow as tf

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.reading.dated_files import unseen_files
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.models import registry
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.memory_reads import memory_layers, memory_names
from lmn_tf.training.inspection.named_rows import NamedRows
from lmn_tf.training.inspection.readers import Readers
from lmn_tf.training.saving.run_directory import RunDirectory


class InspectedRun:
    """The model of a run, and the first rows of its test set or of other files.

    Args:
        directory: `RunDirectory` of a finished run.
        data: Glob of the files, or `None` for the test set of the run's pipeline, otherwise its
            validation set, otherwise its last day. Defaults to `None`.
        rows: Integer. Number of rows. Defaults to `20_000`.
        batch_size: Integer or `None`. Rows per batch. Defaults to `None`: as in the pipeline.

    Attributes:
        spec: The model's `FeatureSpec`, with its assets.
        evaluator: `Evaluator` of the model.
        memory_names: List of the names of the memories that are searched by keys.
        pairs: Dictionary from the name of a memory of pairs of ids to its `PairMemory`.

    Raises:
        UserError: If the model has no memory of slots, or there are no data.
    """

    def __init__(
        self,
        directory: RunDirectory,
        data: str | None = None,
        rows: int = 20_000,
        batch_size: int | None = None,
    ) -> None:
        pipeline = directory.load_pipeline()
        self.spec = directory.load_spec()
        self._directory, self._limit = directory, rows
        self._model_name = pipeline.model_name
        self._files = data or unseen_files(pipeline.data)
        if self._files is None:
            raise UserError(
                f"`--data` must be given: the pipeline of {directory.path} names no test set."
            )
        self._batch_size = batch_size or pipeline.data.eval_batch_size
        self.evaluator = Evaluator(
            directory.load_model(), [label.name for label in self.spec.labels]
        )
        memories = self.evaluator.memories
        self.memory_names = memory_names(memories)
        pairs = memory_layers(self.evaluator.model, PairMemory)
        if not memories and not pairs:
            _refuse(self.evaluator, pipeline)
        self.pairs = dict(zip(memory_names(pairs), pairs, strict=True))

    @property
    def heading(self) -> dict:
        """Dictionary with which reports begin: run, model and data."""
        return {
            "run_dir": str(self._directory.path),
            "model": self._model_name,
            "data": str(self._files),
        }

    @functools.cached_property
    def names(self) -> NamedRows:
        """The users and the items of the rows."""
        return NamedRows(self.spec, self._files, self._limit)

    @functools.cached_property
    def readers(self) -> list[Readers]:
        """The `Readers` of each memory."""
        model = self.evaluator.model
        return [Readers(model, memory, self.spec) for memory in self.evaluator.memories]

    def check_keys(self, option: str) -> None:
        """Checks that a memory is searched by keys.

        Args:
            option: String. What shows slots of such memories, for the message.

        Raises:
            UserError: If there is none.
        """
        if not self.memory_names:
            raise UserError(
                f"`{option}` must be left out for memories of pairs, whose slots are those of an "
                f"event and a candidate. Received: model {self._model_name}"
            )

    def dataset(self) -> tf.data.Dataset:
        """Returns the rows, in order, as batches of features and labels."""
        return make_dataset(
            self.spec,
            self._files,
            self._batch_size,
            limit=self._limit,
            histories=self.evaluator.model.reads_histories,
        )

    def kept_rows(self, keep: np.ndarray) -> tf.data.Dataset:
        """Returns some of the rows, in order, as batches of features of any size.

        Args:
            keep: Boolean array of shape `(rows,)`.
        """
        batches, keep = WindowBatches.from_spec(self.spec), tf.constant(keep)

        def choose(start, element):
            stop = start + batches.rows(element)
            chosen = keep[start:stop]
            return stop, (batches.kept(element, chosen), tf.reduce_any(chosen))

        features = self.dataset().map(lambda features, *_: features)
        chosen = features.scan(0, choose).filter(lambda _, any_row: any_row)
        return chosen.map(lambda features, _: features)


def _refuse(evaluator, pipeline) -> None:
    if evaluator.slot_memories:
        raise UserError(
            "`RUN_DIR` must hold a model whose slots have names, as pairs of ids have. Received: "
            f"model {pipeline.model_name} with keys of pairs"
        )
    with_memory = [
        name
        for name in registry.names()
        if not {"num_keys", "pair_slots"}.isdisjoint(registry.options(name))
    ]
    raise UserError(
        f"`RUN_DIR` must hold a model with a memory of slots: {', '.join(with_memory)}, or one "
        f"of your own with their layers. Received: model {pipeline.model_name}"
    )

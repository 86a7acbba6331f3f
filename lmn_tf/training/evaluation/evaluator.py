"""Metrics of a model on a dataset: ranking, calibration, memory usage and speed."""

import contextlib
import math
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf import metrics
from lmn_tf.callbacks.memory_probe import MemoryProbe
from lmn_tf.data.dataset import user_errors
from lmn_tf.distribute.cluster.worker_step import WorkerScope
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.iterative_memory import IterativeMemory
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.metrics.figures import QUALITY, slot_figures
from lmn_tf.metrics.named_metric import named_metric, own_metric
from lmn_tf.models.base.labelled_loss import noted_in
from lmn_tf.models.fitting.counted_rows import counted_rows, has_weights
from lmn_tf.models.hosts.two_tower import TwoTower
from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation.memory_reads import memory_layers, memory_names, recorded_reads
from lmn_tf.training.evaluation.retrieval_accuracy import RetrievalAccuracy
from lmn_tf.training.monitor.progress import Progress


class Evaluator:
    """Computes the metrics of a model on a dataset in one streaming pass.

    `auc`, `logloss` and `normalized_entropy` are computed from all rows whose weight is not 0, by
    their weights if they have any; other rows are part of no figure. `gauc` (groups weighted by
    rows) and `qauc` (groups weighted equally) are computed if the spec names a group; rows without
    a group are excluded from both, and counted in `ungrouped_rows`. `metrics` holds the given
    metrics of users, by name. With several labels, these are the metrics of the first label, and
    `labels` holds those of each. Models with memories get
    `memory`: the share of slots used in percent, the KL divergence of their use from uniform, and
    the number of slots that hold 90 % of the read weight, since AUC does not show that a memory has
    collapsed. With several memories, `layers` holds the figures of each. Models that walk over
    histories get `attention_entropy_1` and so on, the entropy of the weights of each walk, as in
    their own `evaluate`. Two-tower models get `retrieval`: the share of true candidates among the
    best 1, 5, 10, 50 and 100 of all items of the evaluated rows, `top_1` and so on, and the number
    of these `items`. On parameter servers they do not.

    `model.evaluate` gives the same results for the `weighted_metrics` that a model was compiled
    with, and without weights also for its `metrics`. A pipeline compiles none, since metrics take
    time at each training step. The evaluator works for any Keras model, and reports what `evaluate`
    cannot: nested figures of labels and memories, and the row of a logit that is not finite.

    Args:
        model: A model of this package, or any `keras.Model` from features to logits
            `(batch, num_labels)`.
        labels: Names of the labels, in the order of the logits. Defaults to `("label",)`.
        grouped: Boolean. Whether the features include `group`. Defaults to `False`.
        own_metrics: Names of metrics of users, or mappings from a name to arguments, as in a
            pipeline. Defaults to `()`.

    Attributes:
        memories: List of the memories that are searched by keys, of which `memory` tells.
        slot_memories: List of these and of the memories of pairs.
        scores: Dictionary from the name of a label to `StreamingAUC.counts_by_score` of the last
            evaluation.
    """

    def __init__(
        self,
        model: keras.Model,
        labels: Sequence[str] = ("label",),
        grouped: bool = False,
        own_metrics: Sequence[str | dict[str, Any]] = (),
    ) -> None:
        self.model = model
        self.labels = tuple(labels)
        self.grouped = grouped
        self.own_metrics = tuple(own_metrics)
        self.memories = memory_layers(model, ProductKeyMemory)
        others = [layer for layer in memory_layers(model) if layer not in self.memories]
        self.slot_memories = [*self.memories, *others]
        self.walks = [] if _has_workers(model) else _entropies(model)
        self._retrieves = isinstance(model, TwoTower) and not _has_workers(model)
        self.scores = {}
        self._forward = self._probe = None

    def probe(self, batch: Callable[[], dict]) -> MemoryProbe:
        """Returns the `MemoryProbe` of the model, whose graph is built once.

        Args:
            batch: Function that returns the features of a batch.
        """
        if self._probe is None:
            self._probe = MemoryProbe(self.model, batch)
        return self._probe

    def evaluate(
        self,
        dataset: tf.data.Dataset,
        progress: Progress | None = None,
        watch: Callable[..., None] | None = None,
    ) -> dict:
        """Evaluates the model on a dataset.

        Args:
            dataset: Batches of (features, labels) or (features, labels, weights).
            progress: `Progress` to update. Defaults to `None`.
            watch: Function called with the features, labels, weights, logits and `recorded_reads`
                of `slot_memories` of each batch; on parameter servers, those of `memories`.
                Defaults to `None`.

        Returns:
            Dictionary of plain numbers; an undefined figure, such as the AUC of rows of one class,
            is `None`.

        Raises:
            UserError: If a logit is NaN or infinite.
        """
        started = time.perf_counter()
        scorers = [quality_metrics(index, self.grouped) for index in range(len(self.labels))]
        own = [
            [own_metric(rule, index) for rule in self.own_metrics] for index in range(len(scorers))
        ]
        usage = [metrics.MemoryUsage(memory.memory_size) for memory in self.memories]
        for _, entropy in self.walks:
            entropy.reset_state()
        retrieval = RetrievalAccuracy(self.model) if self._retrieves else None
        examples = 0
        for step, batch in enumerate(self._run(dataset, counted=True), 1):
            features, labels, weights, logits, reads, vectors = batch
            groups = features.get("group") if self.grouped else None
            for scorer, more in zip(scorers, own, strict=True):
                for metric in (*scorer.values(), *more):
                    extra = {"groups": groups} if metric.needs_groups else {}
                    metric.update_state(labels, logits, weights, **extra)
            for metric, (slots, read_weights, mask) in zip(usage, reads[: len(usage)], strict=True):
                metric.update_state(slots, read_weights, mask)
            if watch:
                watch(features, labels, weights, logits, reads)
            if retrieval:
                retrieval.update(features, labels, weights, vectors)
            examples += int(logits.shape[0])
            if progress:
                seconds = time.perf_counter() - started
                progress.update(step, examples_per_second=examples / seconds)
        figures = [
            quality_figures(*metrics_of_label)
            for metrics_of_label in zip(scorers, own, strict=True)
        ]
        self.scores = {
            label: scorer["auc"].counts_by_score()
            for label, scorer in zip(self.labels, scorers, strict=True)
        }
        result = {**figures[0], "examples": examples}
        result["examples_per_second"] = examples / (time.perf_counter() - started)
        if len(figures) > 1:
            result["labels"] = dict(zip(self.labels, figures, strict=True))
        for _, entropy in self.walks:
            result |= {name: finite(value) for name, value in entropy.result().items()}
        if usage:
            result["memory"] = self._memory(usage)
        if self._retrieves:
            result["retrieval"] = retrieval.figures()
        return result

    def predict(self, dataset: tf.data.Dataset) -> Iterator[np.ndarray]:
        """Yields the probabilities of each batch, of shape `(batch, num_labels)`."""
        for _, _, _, logits, *_ in self._run(dataset):
            yield tf.sigmoid(tf.cast(logits, tf.float32)).numpy()

    def reads(self, dataset: tf.data.Dataset) -> Iterator[tuple]:
        """Yields the features of each batch, and `recorded_reads` of `memories`."""
        for features, _, _, _, reads, _ in self._run(dataset):
            yield features, reads[: len(self.memories)]

    def _run(self, dataset, counted=False):
        """Yields (features, labels, weights, logits, reads, vectors of towers) of each batch.

        With `counted`, rows of weight 0 are left out.
        """
        getattr(self.model, "check_ids", lambda _: None)(dataset)  # not all models have it
        batches = self._batches(dataset)
        if counted:
            batches = self._counted(batches)
        if _has_workers(self.model):
            forwarded = self._on_workers(dataset, batches)
        else:
            forwarded = self._locally(dataset, batches)
        row = 0
        for batch, (logits, reads, vectors) in forwarded:
            features, labels, weights = (
                (batch, None, None) if isinstance(batch, dict) else (*batch, None)[:3]
            )
            has_fewer = counted and weights is not None
            _check_finite(logits, row, "data with a weight" if has_fewer else "data")
            row += int(logits.shape[0])
            yield features, labels, weights, logits, reads, vectors

    def _locally(self, dataset, batches):
        for batch in batches:
            if self._forward is None:
                # Otherwise TensorFlow warns that many evaluators retrace the same function.
                self._forward = self._trace(dataset).get_concrete_function()
            yield batch, self._forward(_features(batch))

    def _on_workers(self, dataset, batches):
        if self._forward is None:
            forward = self._trace(dataset)
            usage = [metrics.MemoryUsage(memory.memory_size) for memory in self.memories]

            @tf.function(input_signature=forward.input_signature, autograph=False)
            def count(features):
                logits, reads, _ = forward(features)
                # Sums per slot are smaller to send than the reads of each query.
                with WorkerScope([metric.reads for metric in usage], []) as scope:
                    for metric, read in zip(usage, reads[: len(usage)], strict=True):
                        metric.update_state(*read)
                return logits, scope.added()

            self._forward = count
        for batch, (logits, counts) in self.model.fit_driver.coordination.map(
            self._forward, batches, _features
        ):
            reads = [(np.arange(len(reads)), reads, None) for reads in counts]
            yield batch, (tf.constant(logits), reads, ())

    def _counted(self, batches):
        """Yields the rows of batches whose weight is not 0, without batches that have none."""
        driver = getattr(self.model, "fit_driver", None)  # not all models have it
        windows = None if driver is None else driver.batches
        for batch in batches:
            counts = not has_weights(batch) or np.asarray(batch[2]) != 0
            if np.all(counts):
                yield batch
            elif np.any(counts):
                yield counted_rows(*batch, windows)

    def _batches(self, dataset):
        # Errors of the caller are not errors of the data, so only `next` is covered.
        batches = iter(dataset)
        while True:
            with user_errors():
                batch = next(batches, None)
            if batch is None:
                return
            yield batch

    def _trace(self, dataset):
        spec = _features(dataset.element_spec)
        if has_weights(dataset):  # Rows are left out, also of batches of a known size.
            spec = tf.nest.map_structure(_of_any_size, spec)

        @tf.function(input_signature=[spec], autograph=False)
        def forward(features):
            with contextlib.ExitStack() as stack:
                for layer, entropy in self.walks:
                    stack.enter_context(layer.watched(entropy.update_state))
                reads = stack.enter_context(recorded_reads(self.slot_memories))
                logits = self.model(features, training=False)
            vectors = ()
            if self._retrieves:
                vectors = tuple(noted_in(logits)[side] for side in ("query", "candidate"))
            return logits, list(reads), vectors

        return forward

    def _memory(self, usage) -> dict:
        usage_of_memories = []
        for memory, metric in zip(self.memories, usage, strict=True):
            usage_of_memories.append(
                {"memory_size": memory.memory_size, **slot_figures(metric.compute())}
            )
        if len(usage_of_memories) == 1:
            return usage_of_memories[0]
        names = memory_names(self.memories)
        return {**usage_of_memories[0], "layers": dict(zip(names, usage_of_memories, strict=True))}


def _features(batch):
    return batch if isinstance(batch, dict) else batch[0]


def _of_any_size(spec):
    is_tensor = isinstance(spec, tf.TensorSpec) and spec.shape.rank
    return tf.TensorSpec([None, *spec.shape[1:]], spec.dtype) if is_tensor else spec


def _has_workers(model):
    return getattr(getattr(model, "fit_driver", None), "has_workers", False)  # of any model


def _entropies(model) -> list:
    """Returns pairs of a layer that walks over histories and the metric of its walks."""
    layers = [
        layer
        for layer in all_layers(model)
        if isinstance(layer, IterativeMemory) and layer.num_reads
    ]
    names = [f"{layer.name.removesuffix('_memory')}_" for layer in layers]
    prefixes = names if len(layers) > 1 else [""] * len(layers)
    return [
        (layer, metrics.AttentionEntropy(layer.num_reads, prefix))
        for layer, prefix in zip(layers, prefixes, strict=True)
    ]


def _check_finite(logits, start, rows) -> None:
    wrong = np.flatnonzero(~np.isfinite(logits.numpy()).all(axis=-1))
    if wrong.size:
        value = logits.numpy()[wrong[0]].ravel()
        value = value[~np.isfinite(value)][0]
        raise UserError(
            f"The logits of the model must be finite. Received: {value} for row "
            f"{start + wrong[0] + 1:,} of the {rows}, in the order of evaluation, which may put "
            "rows of a user together: likely a number in it, or a weight, is far too large"
        )


def finite(value: Any) -> float | None:
    """Returns a number as a float; `None` if it is not finite."""
    value = float(value)
    return value if math.isfinite(value) else None


def quality_metrics(index: int, grouped: bool) -> dict[str, keras.metrics.Metric]:
    """Creates the metrics of the predictions of a label, by name.

    Args:
        index: Integer. Index of the label.
        grouped: Boolean. Whether the group of each row is known.
    """
    return {
        figure.name: named_metric(figure.name, index)
        for figure in QUALITY
        if grouped or not figure.needs_groups
    }


def quality_figures(
    scorer: dict[str, keras.metrics.Metric], own: Sequence[keras.metrics.Metric] = ()
) -> dict:
    """Returns the results of the metrics of a label, as numbers by name.

    Args:
        scorer: Mapping as returned by `quality_metrics`.
        own: Metrics of the user. Defaults to `()`.
    """
    values = {}
    for name, metric in scorer.items():
        values[name] = finite(metric.result())
        if name == "gauc":
            details = metric.compute()
            values["groups"] = details["groups"]
            values["groups_skipped"] = details["skipped"]
            values["ungrouped_rows"] = details["ungrouped"]
    if own:
        values["metrics"] = {metric.name: finite(metric.result()) for metric in own}
    return values

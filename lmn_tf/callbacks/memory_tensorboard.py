"""TensorBoard summaries of the state of a model's memories."""

import os
import time
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.plugins.histogram.summary_v2 import histogram_pb

from lmn_tf.callbacks.memory_probe import MemoryProbe, ProbeValues, named_memories
from lmn_tf.callbacks.scalar_cards import ScalarCards, write_summary
from lmn_tf.callbacks.slot_gradients import SlotGradients
from lmn_tf.callbacks.slot_grid import grid_image
from lmn_tf.distribute.tables.rows import row_lengths
from lmn_tf.keras_internals import all_layers, strategy_of_model
from lmn_tf.layers.memory.iterative_memory import IterativeMemory
from lmn_tf.layers.memory.keyed_pair_memory import KeyedPairMemory
from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.pair_memory import PairMemory
from lmn_tf.metrics.figures import SLOTS
from lmn_tf.metrics.memory_usage import usage_statistics

_USAGE = tuple(figure.name for figure in SLOTS)
_STATISTICS = {
    "slots_used": "used",
    "memory_kl": "kl",
    "gini": "gini",
    "slots_for_50": "top50",
    "slots_for_90": "top90",
    "slots_for_99": "top99",
}
_POINTS_PER_IMAGE = 5
_GRID = (
    "Weight of the reads of the probe's rows by row key (down) and column key (right): yellow is "
    "the most read cell, dark blue a thousandth of it or less, white was never read. Lines are "
    "keys that attract or repel all queries."
)


class MemoryTensorBoard(keras.callbacks.Callback):
    """Writes the contents and the usage of a model's memories to TensorBoard.

    Every `update_freq` steps, for each `LargeMemory`: `memory_loss` (without its weight),
    `query_norm` (mean length of the queries `M_Q`) and `read_out_norm` (of `M_O`), all averaged
    since the start of the epoch.

    With a `probe`, a fixed batch, the same steps show how its rows read each `LargeMemory`,
    `SparseMemory` or other `ProductKeyMemory`, under `NAME_reads`: `slots_used` (percent),
    `memory_kl` (distance from even use, in nats), `gini`, `dead_slots`, `slots_for_50`, `_90` and
    `_99` (number of slots that hold so much of the weight); and, less often, an image of the weight
    by row and column key. `NAME_gradients` has the same figures for the squared gradients of all
    steps since the previous point, if the optimizer sums them (`RowWiseAdagrad` and
    `SparseAdagrad`). Histograms show the lengths of keys and queries, `gate_openness` the gates of
    a `SparseMemory`, `attention_entropy_1` and so on the walks of an `IterativeMemory`. The graph
    of the model is written at the first point. A figure that never changes takes no card.

    At the end of each epoch: a histogram of the lengths of the values that are not 0; and for each
    `PairMemory` and `KeyedPairMemory`, of which there is nothing else, `slots_trained` (the
    percentage of these values) and `memory_norm` (the norm of all). After each evaluation,
    including the validation of `fit`: `usage/slots_used`, `usage/memory_kl` and
    `usage/slots_for_90`.

    The step of each value is the optimizer's number of iterations. Nothing is written for a model
    without a memory. On several machines there is no probe.

    Args:
        log_dir: Path of the folder for event files.
        update_freq: Integer. Number of steps between two writes of training values. Defaults to
            `100`.
        probe: Input of the model (such as the features of some rows), a function without arguments
            that returns it, a `MemoryProbe`, or `None`. Defaults to `None`.
        max_share: Float. Largest share of the training time that points of the probe may take;
            a point that would exceed it is left out. The first one, which builds the graph, does
            not count. `None` for no limit. Defaults to `0.01`.

    Raises:
        ValueError: If `update_freq` is not a positive integer, or `max_share` not a positive
            number.

    Example:

    >>> callback = MemoryTensorBoard(folder, update_freq=10)
    >>> callback.update_freq
    10
    """

    def __init__(
        self,
        log_dir: str | os.PathLike,
        update_freq: int = 100,
        probe: Any | Callable[[], Any] = None,
        max_share: float | None = 0.01,
    ) -> None:
        super().__init__()
        if isinstance(update_freq, bool) or not isinstance(update_freq, int) or update_freq < 1:
            raise ValueError(
                f"`update_freq` must be a positive integer. Received: update_freq={update_freq!r}"
            )
        if max_share is not None and not max_share > 0:
            raise ValueError(
                f"`max_share` must be a positive number. Received: max_share={max_share!r}"
            )
        self.log_dir = str(log_dir)
        self.update_freq = update_freq
        self.probe = probe
        self.max_share = max_share
        self._writer = self._cards = self._probe = None
        self._large: list = []
        self._memories: dict = {}
        self._pairs: dict = {}
        self._gradients: dict = {}
        self._walks = False
        self._batches = self._points = 0
        self._began = self._training_seconds = self._own_seconds = 0.0

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        layers = all_layers(model)
        self._large = [layer for layer in layers if isinstance(layer, LargeMemory)]
        self._memories = named_memories(model)
        of_pairs = PairMemory, KeyedPairMemory
        self._pairs = {layer.name: layer for layer in layers if isinstance(layer, of_pairs)}
        self._walks = any(isinstance(layer, IterativeMemory) for layer in layers)

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._batches = self._points = 0
        self._training_seconds = self._own_seconds = 0.0
        self._probe, self._gradients = None, {}
        if self.probe is None or not _is_local(self.model):
            return
        is_probe = isinstance(self.probe, MemoryProbe)
        self._probe = self.probe if is_probe else MemoryProbe(self.model, self.probe)
        optimizer = getattr(self.model, "optimizer", None)
        self._gradients = {
            name: SlotGradients(optimizer, memory.memory_values)
            for name, memory in self._memories.items()
        }

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._began = time.perf_counter()

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._training_seconds += time.perf_counter() - self._began
        self._batches += 1
        if self._batches % self.update_freq == 0:
            self._write(self._training_values())
            if self._probe is not None and self._is_affordable():
                self._write_point()

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        values, histograms = self._training_values(), {}
        for name, memory in (self._memories | self._pairs).items():
            lengths = row_lengths(memory.memory_values)
            if name in self._pairs:
                values[f"{name}/slots_trained"] = 100 * np.mean(lengths > 0)
                squares = np.sum(np.square(lengths), dtype=np.float64)
                values[f"{name}/memory_norm"] = np.sqrt(squares)
            # Without the many values of 0, which take most of the time.
            histograms[f"{name}/value_length"] = lengths[lengths > 0], "values of the slots"
        self._write(values)
        if histograms:
            self._write_histograms(histograms)
            self._writer.flush()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._write(
            {f"usage/{key}": value for key, value in (logs or {}).items() if key.endswith(_USAGE)}
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        if self._writer is not None:
            self._cards.close()
            self._writer.close()
            self._writer = self._cards = None

    def _training_values(self):
        return {
            f"{memory.name}/{metric.name}": metric.result()
            for memory in self._large
            for metric in (
                memory.memory_loss_tracker,
                memory.query_norm_tracker,
                memory.read_out_norm_tracker,
            )
        }

    def _write(self, values):
        if values and (self._memories or self._pairs):
            self._open()
            self._cards.write(values, self._step())
            self._writer.flush()

    def _is_affordable(self):
        """Whether one more point, as long as the others, stays within the share."""
        if self.max_share is None or self._points < 2:
            return bool(self._memories) or self._walks
        expected = self._own_seconds * self._points / (self._points - 1)
        return expected <= self.max_share * self._training_seconds

    def _write_point(self):
        began = time.perf_counter()
        values, step = self._probe.measure(), self._step()
        self._open()
        self._cards.write_changing(self._figures(values), step)
        self._write_histograms(self._lengths_of(values))
        with self._writer.as_default(step):
            if not self._points:
                tf.summary.graph(self._probe.graph)
            if self._points % _POINTS_PER_IMAGE == 0:
                for name, reads in values.reads.items():
                    image = grid_image(reads, self._memories[name].num_keys)
                    tf.summary.image(f"{name}_reads/grid", image[None], description=_GRID)
        self._writer.flush()
        self._points += 1
        if self._points > 1:  # the first one builds the graph
            self._own_seconds += time.perf_counter() - began

    def _figures(self, values: ProbeValues) -> dict[str, float]:
        figures = {}
        for name, reads in values.reads.items():
            slots = _open_slots(self._memories[name])
            figures |= _use(f"{name}_reads", reads, slots)
            gradients = self._gradients[name].take()
            if gradients is not None and gradients.any():
                figures |= _use(f"{name}_gradients", gradients, slots)
        for name, openness in values.openness.items():
            figures[f"{name}/gate_openness"] = openness
        for name, walks in values.entropies.items():
            for walk, entropy in enumerate(walks, 1):
                figures[f"{name}/attention_entropy_{walk}"] = entropy
        return figures

    def _lengths_of(self, values: ProbeValues) -> dict[str, tuple]:
        lengths = {}
        for name, queries in values.query_lengths.items():
            keys = np.asarray(self._memories[name].key_lengths())
            lengths[f"{name}/query_length"] = queries, "queries, after their normalization, if any"
            lengths[f"{name}/key_length"] = keys, "keys, before their normalization, if any"
        return lengths

    def _write_histograms(self, histograms):
        summary = Summary()
        for tag, (data, what) in histograms.items():
            summary.MergeFrom(histogram_pb(tag, data, description=f"Lengths of the {what}."))
        self._open()
        write_summary(self._writer, summary, self._step())

    def _step(self):
        optimizer = getattr(self.model, "optimizer", None)
        return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))

    def _open(self):
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
            self._cards = ScalarCards(self._writer)
        return self._writer


def _use(prefix, weights, open_slots) -> dict[str, float]:
    statistics = usage_statistics(weights)
    figures = {f"{prefix}/{name}": statistics[key] for name, key in _STATISTICS.items()}
    return figures | {f"{prefix}/dead_slots": open_slots - np.count_nonzero(weights)}


def _open_slots(memory) -> int:
    open_keys = memory.num_keys if memory.open_count is None else memory.open_count
    return int(keras.ops.convert_to_numpy(open_keys)) ** 2


def _is_local(model) -> bool:
    """Whether this process has the whole model, without asking others."""
    strategy = strategy_of_model(model)
    return strategy is None or isinstance(strategy, tf.distribute.MirroredStrategy)

"""TensorBoard summaries of the state of a model's memories."""

import os
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import get_rows, row_chunks
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.metrics.figures import SLOTS

_USAGE = tuple(figure.name for figure in SLOTS)


class MemoryTensorBoard(keras.callbacks.Callback):
    """Writes the contents and the usage of a model's memories to TensorBoard.

    During training, for each `LargeMemory`: `memory_loss` (without its weight), `query_norm` (mean
    length of the queries `M_Q`) and `read_out_norm` (of `M_O`), all averaged since the start of the
    epoch. At the end of each epoch, for each `LargeMemory`, `SparseMemory` or other
    `ProductKeyMemory`: a histogram of the lengths of the value rows. After each evaluation,
    including the validation of `fit`: `slots_used` (percent), `memory_kl` (distance from even use,
    in nats) and `slots_for_90` (number of slots that hold 90 % of the weight).

    The step of each value is the optimizer's number of iterations. Nothing is written for a model
    without a memory.

    Args:
        log_dir: Path of the folder for event files.
        update_freq: Integer. Number of steps between two writes of training values. Defaults to
            `100`.

    Raises:
        ValueError: If `update_freq` is not a positive integer.

    Example:

    >>> callback = MemoryTensorBoard(folder, update_freq=10)
    >>> callback.update_freq
    10
    """

    def __init__(self, log_dir: str | os.PathLike, update_freq: int = 100) -> None:
        super().__init__()
        if isinstance(update_freq, bool) or not isinstance(update_freq, int) or update_freq < 1:
            raise ValueError(
                f"`update_freq` must be a positive integer. Received: update_freq={update_freq!r}"
            )
        self.log_dir = str(log_dir)
        self.update_freq = update_freq
        self._writer = None
        self._large: list = []
        self._memories: dict = {}
        self._batches = 0

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        layers = all_layers(model)
        self._large = [layer for layer in layers if isinstance(layer, LargeMemory)]
        owners = {id(large.memory): large for large in self._large}
        self._memories = {
            owners.get(id(layer), layer).name: layer
            for layer in layers
            if isinstance(layer, ProductKeyMemory)
        }

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        self._batches += 1
        if self._batches % self.update_freq == 0:
            self._write(self._training_values())

    def on_epoch_end(self, epoch: int, logs: dict[str, Any] | None = None) -> None:
        self._write(self._training_values())
        if self._memories:
            with self._open().as_default(step=self._step()):
                for name, memory in self._memories.items():
                    tf.summary.histogram(f"{name}/value_norm", _lengths(memory.memory_values))
            self._writer.flush()

    def on_test_end(self, logs: dict[str, Any] | None = None) -> None:
        self._write(
            {f"usage/{key}": value for key, value in (logs or {}).items() if key.endswith(_USAGE)}
        )

    def on_train_end(self, logs: dict[str, Any] | None = None) -> None:
        self._close()

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
        if not values or not self._memories:
            return
        with self._open().as_default(step=self._step()):
            for name, value in values.items():
                tf.summary.scalar(name, value)
        self._writer.flush()

    def _step(self):
        optimizer = getattr(self.model, "optimizer", None)
        return 0 if optimizer is None else int(keras.ops.convert_to_numpy(optimizer.iterations))

    def _open(self):
        if self._writer is None:
            self._writer = tf.summary.create_file_writer(self.log_dir)
        return self._writer

    def _close(self):
        if self._writer is not None:
            self._writer.close()
            self._writer = None


def _lengths(table):
    """Returns the length of each row of a table, which may be sharded over devices."""
    chunks = row_chunks(tuple(table.shape), itemsize=4)
    return np.concatenate([np.linalg.norm(get_rows(table, *rows), axis=-1) for rows in chunks])

"""Gradual opening of the closed keys of memories."""

from typing import Any

import keras

from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory


class OpenKeys(keras.callbacks.Callback):
    """Opens the closed keys of memories one by one, evenly over the first training steps.

    Before step `t` of the optimizer, counted from 0, a memory with `num_keys` keys on each axis, of
    which `open_keys` were initially open, has `open_keys + (num_keys - open_keys) * t / steps` open
    keys, rounded down. From step `steps` on, all are open. Open keys depend on the step only, so
    resumed training opens the same keys at the same steps. Memories without closed keys do not
    change.

    Args:
        steps: Integer above 0. Step from which on all keys are open.

    Raises:
        ValueError: If `steps` is not a positive integer.

    Example:

    >>> OpenKeys(steps=100).steps
    100
    """

    def __init__(self, steps: int) -> None:
        super().__init__()
        if isinstance(steps, bool) or not isinstance(steps, int) or steps < 1:
            raise ValueError(f"`steps` must be a positive integer. Received: steps={steps!r}")
        self.steps = steps
        self._memories = []

    def set_model(self, model: keras.Model) -> None:
        super().set_model(model)
        self._memories = [
            layer
            for layer in all_layers(model)
            if isinstance(layer, ProductKeyMemory) and layer.open_count is not None
        ]

    def on_train_batch_begin(self, batch: int, logs: dict[str, Any] | None = None) -> None:
        if not self._memories:
            return
        step = min(int(keras.ops.convert_to_numpy(self.model.optimizer.iterations)), self.steps)
        for memory in list(self._memories):
            added = (memory.num_keys - memory.open_keys) * step // self.steps
            memory.open_up_to(memory.open_keys + added)
        if step == self.steps:
            self._memories = []

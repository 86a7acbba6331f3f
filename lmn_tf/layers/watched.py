"""Layers that tell a diagnostic what they compute."""

import contextlib
from collections.abc import Callable, Iterator
from typing import Any


class WatchedMixin:
    """Mixin of Keras layers that report what they compute to whoever watches them.

    Such a layer calls `_watcher`, if there is one; its docstring says with what.
    """

    _watcher: Callable[..., Any] | None = None

    @contextlib.contextmanager
    def watched(self, watcher: Callable[..., Any]) -> Iterator[None]:
        """Reports to `watcher` while the layer, or a model with it, runs in the block.

        Calls outside of the block have no extra cost. Within a `tf.function`, the block applies
        while the function is traced, and the tensors are those of the graph.

        Args:
            watcher: Function called with what the layer reports.
        """
        before, self._watcher = self._watcher, watcher
        try:
            yield
        finally:
            self._watcher = before

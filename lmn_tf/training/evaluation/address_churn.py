"""Share of the addresses of memories that change in the second half of an epoch."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from lmn_tf.training.evaluation.evaluator import Evaluator

if TYPE_CHECKING:
    from lmn_tf.training.training_loop import TrainingLoop


class AddressChurn:
    """Measures how many addresses change in the second half of an epoch.

    The address of a query is the slot that a head reads with the most weight. Those of the same
    rows are compared in the middle of the epoch and after its last step. The percentage that
    differs is `address_churn` of the epoch's figures; an epoch whose second half was resumed has
    none. It is a listener of `TrainingLoop`.

    Args:
        evaluator: `Evaluator` of the model.
        dataset: The rows, as batches of features and labels.
    """

    def __init__(self, evaluator: Evaluator, dataset: tf.data.Dataset) -> None:
        self._evaluator, self._dataset = evaluator, dataset
        self._before = None

    def on_step(self, loop: TrainingLoop, loss: Any) -> None:
        """Looks at the addresses in the middle and at the end of an epoch.

        Args:
            loop: The `TrainingLoop`.
            loss: Not used.
        """
        state = loop.state
        if state.batch == loop.batches_per_epoch // 2:
            self._before = self._addresses()
        elif state.batch == loop.batches_per_epoch and self._before is not None:
            # These figures are part of a checkpoint, and of those of the epoch.
            changed = np.mean(self._before != self._addresses())
            state.opening["address_churn"] = 100 * float(changed)
            self._before = None

    def _addresses(self) -> np.ndarray:
        found = []
        for _, reads in self._evaluator.reads(self._dataset):
            for slots, weights, mask in reads:
                slots, weights = np.asarray(slots), np.asarray(weights)  # (queries, heads, top_k)
                best = np.argmax(weights, axis=-1)[..., None]
                best = np.take_along_axis(slots, best, axis=-1)[..., 0]  # (queries, heads)
                found.append((best if mask is None else best[np.asarray(mask) > 0]).reshape(-1))
        return np.concatenate(found)

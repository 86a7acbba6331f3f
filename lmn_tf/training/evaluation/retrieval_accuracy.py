"""Accuracy of a two-tower model among all items of the evaluated rows."""

import math
from collections.abc import Mapping

import numpy as np
import tensorflow as tf

from lmn_tf.metrics.factorized_top_k import FactorizedTopK
from lmn_tf.models.hosts.two_tower import TwoTower
from lmn_tf.specs.lookup import FIRST_ID

_KS = (1, 5, 10, 50, 100)
_BLOCK = 4096


class RetrievalAccuracy:
    """Collects vectors of evaluated rows, and computes `FactorizedTopK` over their items.

    Vectors of true candidates and of distinct items are kept, `tower_dim` numbers each. An item
    that is missing or unknown is no candidate, so a row whose true candidate it is counts as one
    that was not found.

    Args:
        model: `TwoTower`, or a model with a memory on it.
    """

    def __init__(self, model: TwoTower) -> None:
        self._model = model
        self._items, self._queries = {}, []

    def update(
        self,
        features: Mapping[str, tf.Tensor],
        labels: tf.Tensor,
        weights: tf.Tensor | None,
        vectors: tuple[tf.Tensor, tf.Tensor],
    ) -> None:
        """Adds a batch.

        Args:
            features: Dictionary of the columns of the batch.
            labels: Tensor of shape `(batch, labels)`.
            weights: Tensor of shape `(batch,)`, or `None`.
            vectors: Pair of the vectors of queries and of candidates, `(batch, tower_dim)`.
        """
        queries, candidates = (np.asarray(part) for part in vectors)
        ids = np.asarray(features[self._model.id_feature])
        found, rows = np.unique(ids, return_index=True)
        for one, row in zip(found.tolist(), rows.tolist(), strict=True):
            if one >= FIRST_ID:
                self._items.setdefault(one, candidates[row])
        candidates = np.where(ids[:, None] >= FIRST_ID, candidates, np.nan)  # never found
        rewards = self._model.rewards(labels, weights).numpy()
        kept = rewards > 0
        self._queries.append((queries[kept], candidates[kept], ids[kept], rewards[kept]))

    def figures(self) -> dict:
        """Returns the number of `items`, and `top_k` for 1, 5, 10, 50 and 100 candidates.

        Returns:
            Dictionary of numbers; a share is `None` without true candidates.
        """
        shares = [math.nan] * len(_KS)
        if self._items:
            ids = np.fromiter(self._items, "int64")
            corpus = (ids, np.stack(list(self._items.values())))
            metric = FactorizedTopK(tf.data.Dataset.from_tensor_slices(corpus).batch(_BLOCK), _KS)
            for queries, candidates, true_ids, rewards in self._blocks():
                metric.update_state(queries, candidates, true_ids.astype("int64"), rewards)
            shares = [float(share) for share in metric.result().values()]
        tops = {
            f"top_{k}": share if math.isfinite(share) else None
            for k, share in zip(_KS, shares, strict=True)
        }
        return {"items": len(self._items), **tops}

    def _blocks(self):
        whole = [np.concatenate(parts) for parts in zip(*self._queries, strict=True)]
        for start in range(0, len(whole[0]), _BLOCK):
            yield [part[start : start + _BLOCK] for part in whole]

"""Candidates of a retrieval model."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import tensorflow as tf

from lmn_tf.metrics.factorized_top_k import FactorizedTopK
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.lookup import FIRST_ID

if TYPE_CHECKING:
    from lmn_tf.models.hosts.two_tower import TwoTower

_BLOCK = 4096


class ItemCorpus:
    """The distinct candidates of a dataset, and the vectors that a two-tower model gives them.

    An item is told by the id of the model's `id_feature`. Its other features are those of the first
    row that has it. The reserved ids, of a missing and of an unknown item, are no candidates.

    Args:
        model: `TwoTower`, or a model with a memory on it.
        dataset: Batches of features, or tuples that begin with them, as of `make_dataset`.

    Attributes:
        ids: Integer array of shape `(items,)`, in ascending order.
        features: Dictionary of the columns of item features, arrays of shape `(items, ...)`.

    Raises:
        UserError: If the dataset has no item.

    Example:

    >>> model = lmn_tf.models.TwoTower(spec, hidden_units=(16,))
    >>> corpus = ItemCorpus(model, tf.data.Dataset.from_tensors(features))
    >>> corpus.vectors().shape == (len(corpus.ids), 32)
    True
    """

    def __init__(self, model: TwoTower, dataset: tf.data.Dataset) -> None:
        self._model = model
        self.ids, self.features = _distinct(
            map(_features, dataset), model.id_feature, model.encoder.role_signature("item")
        )

    def vectors(self) -> np.ndarray:
        """Returns the vectors of all candidates, an array of shape `(items, tower_dim)`."""
        blocks = []
        for start in range(0, len(self.ids), _BLOCK):
            block = {key: cells[start : start + _BLOCK] for key, cells in self.features.items()}
            blocks.append(self._model.candidate_vectors(block).numpy())
        return np.concatenate(blocks)

    def top_k(
        self, dataset: tf.data.Dataset, ks: Sequence[int] = (1, 5, 10, 50, 100)
    ) -> FactorizedTopK:
        """Computes how often the true candidate is among the best of the corpus.

        One that is not in the corpus, such as an unknown item, counts as not found.

        Args:
            dataset: Batches of (features, labels) or (features, labels, weights). True candidates
                are those of the rows whose label is 1.
            ks: Tuple of positive integers. Defaults to `(1, 5, 10, 50, 100)`.

        Returns:
            `FactorizedTopK` after all rows.
        """
        model = self._model
        blocks = tf.data.Dataset.from_tensor_slices((self.ids, self.vectors())).batch(_BLOCK)
        metric = FactorizedTopK(blocks, ks)

        @tf.function(input_signature=[dataset.element_spec], autograph=False)
        def update(batch):
            features, labels, weights = (*batch, None)[:3]
            ids = tf.cast(features[model.id_feature], self.ids.dtype)
            places = tf.minimum(tf.searchsorted(self.ids, ids), len(self.ids) - 1)
            is_known = tf.gather(self.ids, places) == ids
            vectors = model.candidate_vectors(features)
            metric.update_state(
                model.query_vectors(features),
                tf.where(is_known[:, None], vectors, np.nan),  # of the others, none is found
                ids,
                model.rewards(labels, weights),
            )

        for batch in dataset:
            update(batch)
        return metric


def _features(batch):
    return batch if isinstance(batch, Mapping) else batch[0]


def _distinct(batches: Iterator[Mapping[str, Any]], id_key: str, columns) -> tuple:
    seen, parts, ids = set(), [], []
    for features in batches:
        found, rows = np.unique(np.asarray(features[id_key]), return_index=True)
        new = [
            (one, row)
            for one, row in zip(found.tolist(), rows.tolist(), strict=True)
            if one >= FIRST_ID and one not in seen
        ]
        if new:
            chosen = [row for _, row in new]
            ids += [one for one, _ in new]
            seen.update(one for one, _ in new)
            parts.append({key: np.asarray(features[key])[chosen] for key in columns})
    if not ids:
        raise UserError(f"the data must hold items. Received: no known id of `{id_key}`")
    order = np.argsort(ids)
    joined = {key: _stacked([part[key] for part in parts])[order] for key in columns}
    return np.asarray(ids, "int64")[order], joined


def _stacked(arrays):
    """Concatenates arrays; lists are filled up with 0 to the longest."""
    if arrays[0].ndim > 1:
        width = max(array.shape[1] for array in arrays)
        arrays = [np.pad(array, [(0, 0), (0, width - array.shape[1])]) for array in arrays]
    return np.concatenate(arrays)

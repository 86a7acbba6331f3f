"""Top-k accuracy of a retrieval model over a whole corpus."""

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.distribute.uncast_variable import uncast_variable


@keras.saving.register_keras_serializable(package="lmn_tf")
class FactorizedTopK(keras.metrics.Metric):
    """Share of queries whose true candidate is among the best `k` of a corpus.

    Does for Keras 3 what `tfrs.metrics.FactorizedTopK` does for Keras 2. Queries and candidates are
    vectors, their score is the dot product, and the true candidate is among the best `k` if fewer
    than `k` candidates of the corpus have higher scores. Candidates are scored block by block, so
    only `(batch, block)` scores exist at a time, and nothing is sorted.

    Rounding may place the true candidate's own entry in the corpus above it; with ids it is left
    out. A true candidate whose score is not finite is not found.

    The dataset is read to its end in each update. It may compute vectors by a model that is trained
    (`items.batch(1024).map(candidate_tower)`); update the metric in evaluation, not in training.
    XLA can't compile a loop over a dataset.

    Args:
        candidates: `tf.data.Dataset` of blocks of the corpus: float vectors `(block, d)`, or pairs
            of ids `(block,)` and vectors.
        ks: Tuple of positive integers. Defaults to `(1, 5, 10, 50, 100)`.
        name: String, and the prefix of the results' names. Defaults to `"factorized_top_k"`.
        dtype: Type of the results. Defaults to `None`.

    Call arguments:
        queries: Float tensor of shape `(batch, d)`.
        positives: Float tensor of shape `(batch, d)`: the true candidates.
        positive_ids: Optional tensor of shape `(batch,)`: their ids, where `candidates` has ids.
        sample_weight: Optional tensor of shape `(batch,)`.

    Returns:
        Dictionary from `{name}/top_{k}_categorical_accuracy` to a scalar, NaN before the first
        query.

    Raises:
        ValueError: If `ks` is empty or holds other values than positive integers, or ids are given
            on one side only.

    Example:

    >>> corpus = tf.data.Dataset.from_tensor_slices(np.eye(4, dtype="float32")).batch(3)
    >>> metric = FactorizedTopK(corpus, ks=(1, 2))
    >>> metric.update_state([[1.0, 0.5, 0.0, 0.0]], [[0.0, 1.0, 0.0, 0.0]])
    >>> [float(value) for value in metric.result().values()]
    [0.0, 1.0]
    """

    def __init__(
        self,
        candidates: tf.data.Dataset,
        ks: Sequence[int] = (1, 5, 10, 50, 100),
        name: str = "factorized_top_k",
        dtype: str | None = None,
    ) -> None:
        super().__init__(name=name, dtype=dtype)
        ks = tuple(ks)
        if not ks or not all(type(k) is int and k > 0 for k in ks):
            raise ValueError(f"`ks` must be one or more positive integers. Received: ks={ks}")
        self.ks = ks
        self._candidates = candidates
        self._has_ids = isinstance(candidates.element_spec, tuple)
        self.found = uncast_variable((len(ks),), "found")
        self.total = uncast_variable((), "total")

    def update_state(
        self,
        queries: tf.Tensor,
        positives: tf.Tensor,
        positive_ids: tf.Tensor | None = None,
        sample_weight: tf.Tensor | None = None,
    ) -> None:
        if self._has_ids != (positive_ids is not None):
            given = "candidates" if self._has_ids else "positive_ids"
            raise ValueError(
                "`positive_ids` must be given where `candidates` has ids, and only there. "
                f"Received: ids in `{given}` alone"
            )
        queries, positives = tf.cast(queries, tf.float32), tf.cast(positives, tf.float32)
        scores = tf.reduce_sum(queries * positives, axis=-1, keepdims=True)  # (batch, 1)

        def add_higher(count, *block):
            vectors = tf.cast(block[-1], tf.float32)  # (block, d)
            is_higher = tf.matmul(queries, vectors, transpose_b=True) > scores  # (batch, block)
            if self._has_ids:
                is_higher &= block[0] != tf.convert_to_tensor(positive_ids)[:, None]
            return count + tf.reduce_sum(tf.cast(is_higher, tf.int32), axis=1)

        blocks = self._candidates if self._has_ids else self._candidates.map(lambda block: (block,))
        zero = tf.zeros(tf.shape(queries)[:1], tf.int32)
        higher = blocks.reduce(zero, lambda count, block: add_higher(count, *block))
        is_found = (higher[:, None] < self.ks) & tf.math.is_finite(scores)  # (batch, len(ks))
        weights = tf.ones(tf.shape(higher)) if sample_weight is None else sample_weight
        weights = tf.cast(weights, tf.float64)
        is_found = tf.cast(is_found, tf.float64)
        self.found.assign_add(tf.reduce_sum(is_found * weights[:, None], axis=0))
        self.total.assign_add(tf.reduce_sum(weights))

    def result(self) -> dict[str, tf.Tensor]:
        total = tf.convert_to_tensor(self.total)
        shares = tf.where(total > 0, self.found / tf.where(total > 0, total, 1.0), np.nan)
        return {
            f"{self.name}/top_{k}_categorical_accuracy": tf.cast(shares[index], self.dtype)
            for index, k in enumerate(self.ks)
        }

    def get_config(self) -> dict[str, Any]:
        """Returns the arguments but `candidates`: no dataset can be saved in a config."""
        return {**super().get_config(), "ks": list(self.ks)}

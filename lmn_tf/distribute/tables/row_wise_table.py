"""Base class of tables that are read row by row."""

import tensorflow as tf


class RowWiseTable:
    """Interface of a table whose rows are split over devices or servers, or stored in fewer bits.

    Layers never access such a table as a whole: they read rows by id, or weighted sums of rows.
    Subclasses define both. Those that are trained hold their variables such that the layer that
    created the table lists them among its weights.
    """

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """Reads rows.

        Args:
            ids: Integer tensor of shape `(...)`.

        Returns:
            Float tensor of shape `(..., d)`.
        """
        raise NotImplementedError("`lookup` must be defined")

    def weighted_sum(self, ids: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """Reads weighted sums of rows: `sum_k weights[..., k] * table[ids[..., k]]`.

        Args:
            ids: Integer tensor of shape `(..., k)`.
            weights: Float tensor of shape `(..., k)`.

        Returns:
            Float tensor of shape `(..., d)`.
        """
        raise NotImplementedError("`weighted_sum` must be defined")

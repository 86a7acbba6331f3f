"""Tables whose rows lie in several places, as layers see them."""


class RowWiseTable:
    """What a table whose rows lie in several places answers.

    Layers never look at such a table as a whole: they read rows by id, or weighted sums of rows.
    Subclasses define both, and hold their variables so that the layer that made the table lists
    them among its weights.
    """

    def lookup(self, ids):
        """Reads rows.

        Args:
            ids: Integer tensor of shape `(...)`.

        Returns:
            Float tensor of shape `(..., d)`.
        """
        raise NotImplementedError("`lookup` must be defined")

    def weighted_sum(self, ids, weights):
        """Reads weighted sums of rows: `sum_k weights[..., k] * table[ids[..., k]]`.

        Args:
            ids: Integer tensor of shape `(..., k)`.
            weights: Float tensor of shape `(..., k)`.

        Returns:
            Float tensor of shape `(..., d)`.
        """
        raise NotImplementedError("`weighted_sum` must be defined")

"""Wide part of a click model."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.features.encoded_column import EncodedColumn
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class WideLogits(keras.layers.Layer):
    """Sums a weight of each id of a row, for each label.

    Computes `logits = sum_f weights_f[id_f]` over the features with ids, crosses included: the wide
    part of Wide & Deep, and the terms of first order of a factorization machine. The weights of a
    list are combined as its vectors are. Padding (id 0) has the weight 0, and all weights start
    at 0. Numbers, given vectors and histories have no weights.

    Each feature has separate weights, with the combiner, the regularizer and the placement of its
    table.

    Args:
        spec: `FeatureSpec`, or the dictionary it is made from.
        num_labels: Integer. Number of logits.
        sizes: Mapping from the name of each table to its number of rows.
        roles: Collection of the roles whose features have weights.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`. Features of the user may
            be `(1, ...)` where all rows are candidates of one user.

    Returns:
        Float tensor of shape `(batch, num_labels)`.

    Raises:
        ValueError: If no feature of the roles has ids.

    Example:

    >>> sizes = lmn_tf.features.FeatureEncoder(spec).sizes
    >>> wide = WideLogits(spec, 1, sizes, roles=("user", "item"))
    >>> wide(features).shape
    TensorShape([2, 1])

    Reference:
        - Cheng et al., "Wide & Deep Learning for Recommender Systems", DLRS 2016.
        - Rendle, "Factorization Machines", ICDM 2010, eq. 1.
    """

    def __init__(
        self,
        spec: FeatureSpec | dict[str, Any],
        num_labels: int,
        sizes: Mapping[str, int],
        roles: Collection[str],
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.from_dict(spec)
        self.num_labels = num_labels
        self.roles = tuple(roles)
        features = [
            feature
            for feature in self.spec.features
            if feature.role in self.roles and feature.has_ids
        ]
        if not features:
            raise ValueError(
                "`roles` must be of features of which at least one has ids. "
                f"Received: roles={self.roles} of the spec {self.spec.name!r}"
            )
        self.columns = {
            feature.name: EncodedColumn.from_column(self.spec, feature, feature.name)
            for feature in features
        }
        self.sizes = {column.table: sizes[column.table] for column in self.columns.values()}
        self.tables = {
            feature.name: self._make_table(feature.name, *self.spec.table_of(feature))
            for feature in features
        }

    def _make_table(self, feature, name, table):
        return EmbeddingTable(
            self.sizes[name],
            self.num_labels,
            combiner=table.combiner,
            initializer="zeros",
            regularizer=table.regularizer,
            placement=table.placement,
            dtype=self.dtype_policy,
            name=feature,
        )

    def build(self, input_shape: Any = None) -> None:
        for table in self.tables.values():
            table.build()
        self.built = True

    def call(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        return sum(self._weights(name, features) for name in self.tables)  # (batch, num_labels)

    def _weights(self, name, features):
        column = self.columns[name]
        weights = None if column.weights is None else features[column.weights]
        return self.tables[name](features[name], weights=weights, combine=column.rank > 0)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": self.spec.to_dict(),
            "num_labels": self.num_labels,
            "sizes": dict(self.sizes),
            "roles": self.roles,
        }

"""Terms of a click model that are rates: of the item, the user and the histories of a row."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.features.embedding_table import EmbeddingTable
from lmn_tf.features.encoded_column import EncodedColumn
from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns, is_binary
from lmn_tf.ops.sequence.shared_window import on_rows
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID

SHRINKAGE = 20.0  # as the default of `rates`
_NEW = "new item"  # no name of a column: those have no spaces
_EVENTS = ("events of", "repeats in")
_NEGATIVE, _POSITIVE = 2, 3  # ids of the outcomes 0 and 1


@keras.saving.register_keras_serializable(package="lmn_tf")
class RateTerms(keras.layers.Layer):
    """Logits of the rates of the item, the user and each history of a row, for each label.

    A rate is `(positives + 20 * rate of all rows) / (rows + 20)`, and a term the logit of a rate
    less that of all rows, as in the model `rates`, which has no network. The rates of items and
    users are counted in training rows and written after training (`write_rates`); before, they are
    0. With `outcome`, the rate of a history is that of all its events, counted in the row itself:
    of two histories of different lengths, each has its own.

    With `counts`, there are more terms: `log(1 + rows)` of the training rows of the item and of the
    user, and whether the item is new: 1 if it has no training rows, and for all items before counts
    are written. Rows count by their weights. An item that shares its id with others, such as that
    of unknown values, has their rows as well.

    With `history_counts`, each history with a field that is like the item has two more terms:
    `log(1 + events)`, and `log(1 + repeats)` of the events that are the candidate.

    The item is the first categorical feature that a field of a history is like, in the order of the
    fields. The user is the categorical feature of role user with the most ids; without one, there
    is no such term. Nothing is trained.

    Args:
        spec: `FeatureSpec`, or the dictionary it is made from.
        num_labels: Integer. Number of labels.
        sizes: Mapping from the name of each table to its number of rows.
        histories: Boolean. Whether histories are read.
        outcome: String, or `None` for no terms of histories. Field of a history with the label that
            each event had, 0 or 1. Histories without it have no term. Defaults to `None`.
        counts: Boolean. Whether there are terms of the numbers of rows. Defaults to `False`.
        history_counts: Boolean. Whether there are terms of the numbers of events. Defaults to
            `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`. Features of the user may
            be `(1, ...)` where all rows are candidates of one user.
        windows: Dictionary from the name of each sequence to the windows of the rows into its
            events.

    Returns:
        Float tensor of shape `(batch, terms, num_labels)`.

    Raises:
        UserError: If `outcome` is no such field, or the spec has no categorical item feature.

    Example:

    >>> terms = RateTerms(spec, 1, lmn_tf.features.FeatureEncoder(spec).sizes, histories=False)
    >>> terms(features, windows={}).shape
    TensorShape([2, 2, 1])

    Reference:
        - Ours. Ferrari Dacrema et al. 2019, "Are we really making much progress? A worrying
          analysis of recent neural recommendation approaches", asks for such models as baselines.
    """

    def __init__(
        self,
        spec: FeatureSpec | dict[str, Any],
        num_labels: int,
        sizes: Mapping[str, int],
        histories: bool,
        outcome: str | None = None,
        counts: bool = False,
        history_counts: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.from_dict(spec)
        self.num_labels = num_labels
        self.histories = histories
        self.outcome = outcome
        self.counts = counts
        self.history_counts = history_counts
        self.item = Columns.of(self.spec, RatesOptions(outcome=outcome)).item.name
        users = [one for one in self.spec.features_of("user") if one.kind == "categorical"]
        tables = {one.name: self.spec.table_of(one)[0] for one in users}
        self.user = max(tables, key=lambda name: sizes[tables[name]], default=None)
        names = [self.item] if self.user is None else [self.item, self.user]
        self.columns = {
            name: EncodedColumn.from_column(self.spec, self.spec.feature(name), name)
            for name in names
        }
        self.sizes = {column.table: sizes[column.table] for column in self.columns.values()}
        self.tables = {name: self._make_table(name) for name in names}
        self.sequences = tuple(
            sequence.name
            for sequence in self.spec.sequences
            if histories and self._has_outcome(sequence)
        )

        # The field of each history with the items, where events are counted.
        alike = {
            sequence.name: [field.name for field in sequence.fields if field.like == self.item]
            for sequence in self.spec.sequences
        }
        counted = histories and history_counts
        self.item_fields = {name: fields[0] for name, fields in alike.items() if fields and counted}

    def _has_outcome(self, sequence):
        resolved = (self.spec.resolved_field(sequence, field) for field in sequence.fields)
        return any(is_binary(field) for field in resolved if field.name == self.outcome)

    def _make_table(self, name):
        table, described = self.spec.table_of(self.spec.feature(name))
        return EmbeddingTable(
            self.sizes[table],
            self.num_labels + self.counts,  # the last column is log(1 + rows)
            initializer="zeros",
            placement=described.placement,
            trainable=False,
            dtype=self.dtype_policy,
            name=f"{name}_rates",
        )

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms: of the item, the user if there is one, histories with outcomes.

        Those of `history_counts` follow, and those of `counts` are last: of the rows of the item
        and the user, and of new items.
        """
        events = (f"{what} {name}" for name in self.item_fields for what in _EVENTS)
        return (*self.tables, *self.sequences, *events, *self.count_names)

    @property
    def count_names(self) -> tuple[str, ...]:
        """Names of the terms of `counts`; the first is that of the rows of the item."""
        return (*(f"rows of {name}" for name in self.tables), _NEW) if self.counts else ()

    def build(self, input_shape: Any = None) -> None:
        for table in self.tables.values():
            table.build()
        self.rate = self.add_weight(
            shape=(self.num_labels,),
            initializer=keras.initializers.Constant(0.5),
            trainable=False,
            autocast=False,
            dtype="float32",
            name="rate",
        )
        self.built = True

    def call(
        self, features: Mapping[str, tf.Tensor], windows: Mapping[str, ValidPositions]
    ) -> tf.Tensor:
        found = [table(features[name]) for name, table in self.tables.items()]
        terms = [one[:, : self.num_labels] for one in found]
        terms += [self._of_history(name, features, windows[name]) for name in self.sequences]
        counts = [
            count
            for name in self.item_fields
            for count in self._of_events(name, features, windows[name])
        ]
        if self.counts:
            counts += [one[:, -1:] for one in found]
            counts.append(tf.cast(tf.equal(found[0][:, -1:], 0.0), found[0].dtype))
        terms += [tf.repeat(one, self.num_labels, axis=1) for one in counts]
        return tf.stack([on_rows(term, found[0]) for term in terms], axis=1)

    def of_groups(self, features: Mapping[str, tf.Tensor], groups: Mapping[str, Any]) -> tf.Tensor:
        """Returns the terms of a batch whose features are encoded.

        Args:
            features: Dictionary of the columns of the batch.
            groups: Result of `FeatureEncoder.encode`.

        Returns:
            Float tensor of shape `(batch, terms, num_labels)`.
        """
        histories = groups["histories"].items()
        return self(features, windows={name: one.event_windows for name, one in histories})

    def _of_history(self, name, features, windows):
        ids = tf.convert_to_tensor(features[f"{name}/{self.outcome}"])
        if ids.shape.rank == 2:  # the padded form
            ids = windows.take(ids)
        counted = tf.stack([tf.equal(ids, _POSITIVE), ids >= _NEGATIVE], axis=-1)
        positives, counts = tf.split(windows.event_sum(tf.cast(counted, tf.float32)), 2, axis=-1)
        rate = tf.convert_to_tensor(self.rate)
        rates = (positives + SHRINKAGE * rate) / (counts + SHRINKAGE)
        return tf.cast(_logit(rates) - _logit(rate), self.compute_dtype)

    def _of_events(self, name, features, windows):
        """Returns the logs of the numbers of events and of repeats, `(batch, 1)` each."""
        ids = tf.convert_to_tensor(features[f"{name}/{self.item_fields[name]}"])
        if ids.shape.rank == 2:  # the padded form
            ids = windows.take(ids)
        items = windows.pairs(ids)
        candidates = tf.cast(features[self.item], ids.dtype)[:, None]
        candidates = windows.repeat(candidates)[:, 0]
        repeats = tf.equal(items, candidates) & (items >= FIRST_ID)
        repeats = windows.of_pairs.row_sum(tf.cast(repeats, tf.float32)[:, None])
        events = windows.event_sum(tf.ones_like(ids, tf.float32)[:, None])
        return [tf.cast(tf.math.log1p(one), self.compute_dtype) for one in (events, repeats)]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "spec": self.spec.to_dict(),
            "num_labels": self.num_labels,
            "sizes": dict(self.sizes),
            "histories": self.histories,
            "outcome": self.outcome,
            "counts": self.counts,
            "history_counts": self.history_counts,
        }


def _logit(rates):
    return tf.math.log(rates) - tf.math.log1p(-rates)

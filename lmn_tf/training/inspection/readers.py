"""Rows, users and items behind the queries of a memory."""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.ops.sequence.valid_positions import ValidPositions
from lmn_tf.ops.sequence.windows import Windows
from lmn_tf.specs.feature_spec import FeatureSpec, Sequence

_FORMS = ("event", "all", "pair")


class Queries(NamedTuple):
    """What the queries of a batch are of.

    Attributes:
        rows: Integer array of shape `(queries,)`. A row of the user whose query it is; -1 where
            this is not known.
        ids: Dictionary from a feature of the user or of an item to an integer array of shape
            `(queries,)`: the user's value, and that of the item that made the query; -1 for none.
    """

    rows: np.ndarray
    ids: dict[str, np.ndarray]


class _Source(NamedTuple):
    """Events of a sequence as queries: once, by combinations with other fields, or by pairs."""

    sequence: Sequence
    form: str
    events: ValidPositions
    windows: ValidPositions


class Readers:
    """The users and the items that read a memory.

    Of models with `MemoryPlugin` it is known what the queries are. For other models it is found by
    the number of queries: a `LargeMemory` may read the events of one of the sequences, with the
    candidates behind them, and any memory one or more vectors a row. If the number fits several
    sequences, the queries of that batch are unknown.

    Args:
        model: A model of this package or a subclass.
        memory: One of its `ProductKeyMemory` layers.
        spec: The model's `FeatureSpec`, with its assets.

    Attributes:
        names: Dictionary from a feature to the `IdNames` of its ids.
        users: List of the user features with one id a row.
        items: List of the item features with one id a row.
    """

    def __init__(self, model: keras.Model, memory: ProductKeyMemory, spec: FeatureSpec) -> None:
        self._model, self._spec = model, spec
        self._batches = WindowBatches.from_spec(spec)
        self._sequences, self._forms = _sources(model, memory, spec)
        plain = [
            feature
            for feature in spec.features
            if feature.has_ids and feature.kind != "multi_value"
        ]
        self.users = [feature.name for feature in plain if feature.role == "user"]
        self.items = [feature.name for feature in plain if feature.role == "item"]
        named = {*self.users, *self.items}
        self.names = {
            feature.name: IdNames(spec, feature) for feature in plain if feature.name in named
        }

    def count_rows(self, features: Mapping[str, tf.Tensor]) -> int:
        """Returns the number of rows of a batch."""
        return int(self._batches.rows(features))

    def queries(self, features: Mapping[str, tf.Tensor], count: int) -> Queries:
        """Returns what the queries of a batch are of.

        Args:
            features: Dictionary of a batch.
            count: Integer. Number of queries.
        """
        batch = self.count_rows(features)
        fitting = [
            source
            for source in self._candidates(features)
            if count - int(source.windows.num_events) in (0, batch)
        ]
        if not fitting and batch and count % batch == 0:  # tokens of a row are neighbors
            rows = np.arange(count) // max(count // batch, 1)
            ids = {name: np.asarray(features[name])[rows] for name in self.items}
        elif len(fitting) == 1:
            rows, ids = self._of_events(features, fitting[0], count)
        else:
            rows, ids = np.full(count, -1), {}
        of_users = {name: np.asarray(features[name]) for name in self.users}
        users = {name: np.where(rows < 0, -1, found[rows]) for name, found in of_users.items()}
        return Queries(rows, ids | users)

    def item_names(
        self, features: Mapping[str, tf.Tensor], count: int, feature: str
    ) -> list[str | None]:
        """Returns the name of the item that made each query of a batch, `None` if it is not known.

        Args:
            features: Dictionary of a batch.
            count: Integer. Number of queries.
            feature: String. The item feature that has the names.
        """
        ids = self.queries(features, count).ids.get(feature, np.full(count, -1))
        return [None if id_ < 0 else self.names[feature](id_) for id_ in ids]

    def _candidates(self, features) -> Iterator[_Source]:
        for sequence in self._sequences:
            events, combinations = self._model.encoder.windows(sequence.name, features)
            count = int(events.num_events)
            windows = {"event": events, "all": combinations, "pair": events.of_pairs}
            for form in self._forms:
                # With as many as events, the forms are the same.
                if form == self._forms[0] or int(windows[form].num_events) != count:
                    yield _Source(sequence, form, events, windows[form])

    def _of_events(self, features, source, count):
        batch = self.count_rows(features)
        rows = np.asarray(source.windows.of_events(tf.range(batch)[:, None]))[:, 0]
        candidates = np.arange(count - len(rows))  # behind the events
        ids = {}
        for field in source.sequence.fields:
            column = self._spec.resolved_field(source.sequence, field)
            if column.like not in self.items or (column.of_pairs and source.form == "event"):
                continue
            of_events = self._event_ids(features, column, source)
            of_candidates = np.asarray(features[column.like])[candidates]
            ids[column.like] = np.concatenate([of_events, of_candidates])
        return np.concatenate([rows, candidates]), ids

    def _event_ids(self, features, column, source):
        """Returns the ids of the events that are queries."""
        ids = tf.convert_to_tensor(features[f"{column.sequence}/{column.name}"])
        if not isinstance(source.events, Windows):
            return source.events.take(ids).numpy()
        if source.form == "pair":
            return (ids if column.of_pairs else source.events.pairs(ids)).numpy()
        windows = source.windows
        return (windows.distinct(ids) if column.of_pairs else windows.combined(ids)).numpy()


def _sources(model, memory, spec) -> tuple[tuple[Sequence, ...], tuple[str, ...]]:
    """Returns the sequences whose events may be queries, and the forms that these may have."""
    if isinstance(model, MemoryPlugin):
        for name, layer in model.memories.items():
            if layer.memory is memory:
                is_history = model.options.memorize == "history"
                sequences = (spec.sequence(name),) if is_history else ()
                return sequences, (model.options.memory_fields,)
    large = [layer for layer in all_layers(model) if isinstance(layer, LargeMemory)]
    if any(layer.memory is memory for layer in large):
        return spec.sequences, _FORMS
    return (), ()

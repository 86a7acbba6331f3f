"""AUC of evaluated rows by the support of their pairs in training data."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from lmn_tf.data.encoding.ragged import flat_index
from lmn_tf.metrics.named_metric import named_metric
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.options import RatesOptions
from lmn_tf.models.terms.columns import Columns
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.yaml.section import Problem
from lmn_tf.training.evaluation.evaluator import finite
from lmn_tf.training.evaluation.pair_support import PairSupport


class SupportQuartiles:
    """Collects the rows of an evaluation, and computes the AUC by quartile of their `PairSupport`.

    Quartiles are those of the evaluated rows, the same for all models with the same data. Rows of
    equal support are in one quartile, so that a quartile may be larger than a fourth, or empty.

    Args:
        columns: `Columns` of the feature spec, with a sequence.
    """

    def __init__(self, columns: Columns) -> None:
        self.columns = columns
        self._rows: list[tuple] = []

    @classmethod
    def of(cls, spec: FeatureSpec) -> "SupportQuartiles | None":
        """Returns the collector for a feature spec; `None` if no history has events like the item.

        Args:
            spec: A `FeatureSpec`.
        """
        try:
            columns = Columns.found(spec, RatesOptions())
        except Problem:
            return None
        return None if columns.sequence is None else cls(columns)

    def add_batch(
        self, features: Mapping[str, Any], labels: Any, weights: Any, logits: Any
    ) -> None:
        """Adds a batch of `make_dataset`, with the logits `(batch, labels)` of its rows."""
        name, item = self.columns.sequence.name, self.columns.item.name
        starts, lengths, events, items = (
            np.asarray(features[key])
            for key in (f"{name}/first", f"{name}/length", f"{name}/{self.columns.events}", item)
        )
        events = events[flat_index(starts.astype(np.int64), lengths)]
        self._add(items, lengths, events, labels, weights, logits)

    def add_interactions(self, rows: Interactions, logits: np.ndarray) -> None:
        """Adds rows with their logits `(rows, labels)`."""
        events = rows.event_items[flat_index(rows.starts, rows.lengths)]
        self._add(rows.items, rows.lengths, events, rows.labels, rows.weights, logits)

    def _add(self, items, lengths, events, labels, weights, logits):
        weights = np.ones(len(items), np.float32) if weights is None else weights
        columns = (items, lengths, events, labels, weights, logits)
        self._rows.append(tuple(np.asarray(column) for column in columns))

    def figures(self, support: PairSupport) -> list[dict]:
        """Returns the figures of each quartile, the least support first.

        Args:
            support: `PairSupport` of the training data.

        Returns:
            Dictionaries of `from` and `to` (smallest and largest support), `rows`, and `auc` of the
            first label; without rows or without both classes, it is `None`.
        """
        if not self._rows:
            return [{"from": None, "to": None, "rows": 0, "auc": None} for _ in range(4)]
        items, lengths, events, labels, weights, logits = (
            np.concatenate(parts) for parts in zip(*self._rows, strict=True)
        )
        found = support.of_rows(items, lengths, events)
        bounds = np.quantile(found, (0.25, 0.5, 0.75), method="inverted_cdf")
        quartiles = np.searchsorted(bounds, found)
        figures = []
        for quartile in range(4):
            rows = np.flatnonzero(quartiles == quartile)
            metric = named_metric("auc")
            if len(rows):
                metric.update_state(labels[rows], logits[rows], weights[rows])
            figures.append(
                {
                    "from": int(found[rows].min()) if len(rows) else None,
                    "to": int(found[rows].max()) if len(rows) else None,
                    "rows": len(rows),
                    "auc": finite(metric.result()) if len(rows) else None,
                }
            )
        return figures

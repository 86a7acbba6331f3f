"""Logits of a click model with terms that are written after training."""

import threading
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.models.terms.explicit_terms import (
    check_terms,
    make_calibration,
    make_rate_terms,
    make_wide_logits,
)


class CalibratedLogits:
    """Mixin of click models whose logits have terms that are written after training.

    In training, the logits are those of the head, and with `wide` the weights of ids. In evaluation
    and serving, they are `scale * logits + sum_t w_t term_t + offset` (`LogitCalibration`), with
    the terms of `rates` and those that subclasses add. With `counts`, the scale and the weights
    change with the log of how many training rows the item has. `write_terms` writes the terms and
    fits their weights when the model is trained; before, the weights of all terms are 0.

    A model that trained with these terms would rely on them too much: they have seen the labels of
    the training rows.

    Attributes:
        wide_logits: `WideLogits`, or `None`.
        rate_terms: `RateTerms`, or `None`.
        calibration: `LogitCalibration`, or `None` without such terms.
        writes_pairs: Boolean. Whether `write_terms` fills a memory of pairs.
    """

    writes_pairs = False
    _watcher: Callable | None = None

    def make_terms(self) -> None:
        """Creates the layers of the terms, once the model has its options, spec and encoder."""
        check_terms(self)
        self.wide_logits = make_wide_logits(self)
        self.rate_terms = make_rate_terms(self)
        self.calibration = make_calibration(self)

    @property
    def writes_terms(self) -> bool:
        """Whether `write_terms` completes the model after training."""
        return self.writes_pairs or len(self.term_names) > 1

    @property
    def term_names(self) -> tuple[str, ...]:
        """Names of the terms of the logits that have a weight in `calibration`."""
        return ("trained", *(() if self.rate_terms is None else self.rate_terms.term_names))

    @property
    def rows_name(self) -> str | None:
        """Name of the term on which the weights depend, `None` without `counts`."""
        counts = () if self.rate_terms is None else self.rate_terms.count_names
        return counts[0] if counts else None

    def encoded_terms(
        self, features: Mapping[str, tf.Tensor], groups: dict[str, Any]
    ) -> dict[str, tf.Tensor]:
        """Returns the terms of the features of a batch, by the names that they have in groups.

        Args:
            features: Dictionary of the columns of the batch.
            groups: Result of `FeatureEncoder.encode`.
        """
        terms = {}
        if self.wide_logits is not None:
            terms["wide"] = self.wide_logits(features)
        if self.rate_terms is not None:
            terms["rates"] = self.rate_terms.of_groups(features, groups)
        return terms

    def extra_terms(self, groups: dict[str, Any]) -> list[tf.Tensor]:
        """Returns the terms of `term_names` after the first, in this order.

        Args:
            groups: Result of `CTRModel.encode`, after the histories were read.

        Returns:
            List of float32 tensors of shape `(batch, terms, labels)`.
        """
        return [] if self.rate_terms is None else [groups["rates"]]

    def trained_logits(self, logits: tf.Tensor, groups: dict[str, Any]) -> tf.Tensor:
        """Returns the logits with all that is trained: the first of `term_names`.

        Args:
            logits: Float32 tensor of shape `(batch, labels)`: those of the head.
            groups: As of `extra_terms`.

        Returns:
            Float32 tensor of shape `(batch, labels)`.
        """
        return logits if self.wide_logits is None else logits + groups["wide"]

    def calibrated(
        self, logits: tf.Tensor, groups: dict[str, Any], training: bool | None = None
    ) -> tf.Tensor:
        """Returns the logits with all terms.

        Args:
            logits: Float32 tensor of shape `(batch, labels)`: those of the head.
            groups: As of `extra_terms`.
            training: Boolean. Whether the model is trained: terms that are written do not count.

        Returns:
            Float32 tensor of shape `(batch, labels)`.
        """
        logits = self.trained_logits(logits, groups)
        if self.calibration is None or training:
            return logits
        terms = tf.concat([logits[:, None], *self.extra_terms(groups)], axis=1)
        if self._watcher is not None:
            self._watcher(terms)
        if not self.calibration.slopes:
            return self.calibration(terms)
        return self.calibration(terms, terms[:, self.term_names.index(self.rows_name)])

    def predict_terms(self, rows: tf.data.Dataset) -> np.ndarray:
        """Returns the terms of the logits of rows, without their weights.

        Args:
            rows: Dataset of `make_dataset`.

        Returns:
            Float32 array of shape `(rows, terms, labels)`: those of `term_names`.
        """

        seen = threading.local()  # replicas are traced in threads of their own

        def step(data):
            self(data[0], training=False)
            return seen.terms

        self.predict_function, self.predict_step = None, step
        self._watcher = lambda terms: setattr(seen, "terms", terms)
        try:
            return self.predict(rows, verbose=0)
        finally:
            del self.predict_step, self._watcher
            self.predict_function = None

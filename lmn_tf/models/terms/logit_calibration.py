"""Layer that weights the terms of a logit."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_positive_integer


@keras.saving.register_keras_serializable(package="lmn_tf")
class LogitCalibration(keras.layers.Layer):
    """Weights terms of logits, and adds an offset, for each label.

    Computes `logits = sum_t weights_t * term_t + offset`. At first, the weight of the first term is
    1, and all others and the offset are 0. They are not trained with the model, but fitted to
    validation rows afterwards, by logistic regression (`write_terms`).

    With `slopes`, the weights depend on a number `x` of the row: `weights_t + slopes_t * x`. A term
    that is counted in training rows is worth more where there are more of them.

    Args:
        num_terms: Integer. Number of terms.
        num_labels: Integer. Number of labels.
        slopes: Boolean. Whether weights depend on a number of the row. Defaults to `False`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        terms: Float tensor of shape `(batch, num_terms, num_labels)`.
        x: Float tensor of shape `(batch, num_labels)` with `slopes`. Defaults to `None`.

    Returns:
        Float32 tensor of shape `(batch, num_labels)`.

    Raises:
        ValueError: If a number is not a positive integer, or `x` is missing.

    Example:

    >>> LogitCalibration(num_terms=2, num_labels=1)(np.array([[[3.0], [5.0]]])).numpy().tolist()
    [[3.0]]

    Reference:
        - Platt, "Probabilistic Outputs for Support Vector Machines and Comparisons to Regularized
          Likelihood Methods", 1999, with several terms.
    """

    def __init__(
        self, num_terms: int, num_labels: int, slopes: bool = False, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        check_positive_integer("num_terms", num_terms)
        check_positive_integer("num_labels", num_labels)
        self.num_terms = num_terms
        self.num_labels = num_labels
        self.slopes = slopes

    def build(self, terms_shape: tuple[int | None, ...] | None = None) -> None:
        fixed = {"trainable": False, "autocast": False, "dtype": "float32"}
        self.term_weights = self.add_weight(
            shape=(self.num_terms, self.num_labels),
            initializer=_first_term,
            name="term_weights",
            **fixed,
        )
        self.offset = self.add_weight(
            shape=(self.num_labels,), initializer="zeros", name="offset", **fixed
        )
        if self.slopes:
            self.term_slopes = self.add_weight(
                shape=(self.num_terms, self.num_labels),
                initializer="zeros",
                name="term_slopes",
                **fixed,
            )
        self.built = True

    def call(self, terms: tf.Tensor, x: tf.Tensor | None = None) -> tf.Tensor:
        weights, offset = map(tf.convert_to_tensor, (self.term_weights, self.offset))
        if self.slopes:
            if x is None:
                raise ValueError("`x` must be given with `slopes`. Received: x=None")
            weights += tf.convert_to_tensor(self.term_slopes) * tf.cast(x, tf.float32)[:, None]
        return tf.reduce_sum(weights * tf.cast(terms, tf.float32), axis=1) + offset

    def compute_output_shape(self, terms_shape: tuple[int | None, ...]) -> tuple[int | None, ...]:
        return (terms_shape[0], self.num_labels)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "num_terms": self.num_terms,
            "num_labels": self.num_labels,
            "slopes": self.slopes,
        }


def _first_term(shape, dtype=None):
    return tf.pad(tf.ones((1, shape[1]), dtype), [[0, shape[0] - 1], [0, 0]])

"""Training and evaluation steps on one device or several replicas."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import (
    replica_count,
    run_where,
    share_of_replicas,
    sum_over_replicas,
)
from lmn_tf.distribute.tables.sharded_slices import ShardedSlices
from lmn_tf.keras_internals import loss_of_step, loss_tracker
from lmn_tf.models.fitting.counted_rows import counted_rows


def train_step(model: keras.Model, data: Any) -> dict[str, Any]:
    """Training step; on several replicas, it equals that of one device on the whole batch.

    Keras averages the losses of replicas with any numbers of rows, so that rows of a last, smaller
    batch have other weights. Here, each row has the same weight in the gradient and in the logged
    loss. There are two other differences from the steps of Keras:

    - Rows with a sample weight of 0 are removed first, see `counted_rows`. A batch without other
      rows changes nothing: the optimizer takes no step. If XLA compiles a step, weights are an
      error.
    - The logged loss is NaN if a gradient is not finite, so that this is visible in the same step.
      With loss scaling it is not NaN, since the optimizer skips such steps.

    Args:
        model: `CTRModel`.
        data: Batch, as Keras passes it to `train_step`.

    Returns:
        Dictionary of logs.
    """
    x, y, sample_weight = _counted(model, data)
    if _has_no_rows(model, x):
        return model.get_metrics_result()
    with tf.GradientTape() as tape:
        y_pred = model(x, training=True)
        loss = _shared_loss(model, x, y, y_pred, sample_weight, training=True)
        scaled = model.optimizer.scale_loss(loss)
    variables = model.trainable_weights
    gradients = tape.gradient(scaled, variables)
    _note_loss(model, loss + _alarm(model.optimizer, gradients), x)

    def apply(gradients):
        model.optimizer.apply_gradients(zip(gradients, variables, strict=True))

    if sample_weight is None:
        apply(gradients)
    else:
        rows = sum_over_replicas(tf.cast(_rows(model, x), tf.float32))
        run_where(rows > 0, apply, gradients)
    return model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def test_step(model: keras.Model, data: Any) -> dict[str, Any]:
    """Evaluation step; see `train_step`.

    Args:
        model: `CTRModel`.
        data: Batch, as Keras passes it to `test_step`.

    Returns:
        Dictionary of logs.
    """
    x, y, sample_weight = _counted(model, data)
    if _has_no_rows(model, x):
        return model.get_metrics_result()
    y_pred = model(x, training=False)
    _note_loss(model, _shared_loss(model, x, y, y_pred, sample_weight, training=False), x)
    return model.compute_metrics(x, y, y_pred, sample_weight=sample_weight)


def _shared_loss(model, x, y, y_pred, sample_weight, training):
    """Part of a replica in the loss of the whole batch."""
    if replica_count() > 1:
        rows = _rows(model, x)
        share = share_of_replicas(rows)
        if tf.executing_eagerly() and not int(rows):
            # As in a graph: 0, with gradients of 0 that take part in their sum over replicas.
            return 0.0 * tf.add_n([tf.reduce_sum(part) for part in tf.nest.flatten(y_pred)])
        sample_weight = tf.fill([rows], share) if sample_weight is None else sample_weight * share
    return loss_of_step(
        model, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
    )


def _note_loss(model, loss, x):
    """Tracks the loss for the logs, in proportion to the rows of the whole batch."""
    # The tracker adds the losses of replicas times weights, and divides by the weights.
    replicas, rows = replica_count(), _rows(model, x)
    if replicas > 1:
        loss *= float(replicas)
        rows = sum_over_replicas(tf.cast(rows, tf.float32)) / float(replicas)
    loss_tracker(model).update_state(loss, sample_weight=rows)


def _alarm(optimizer, gradients):
    """0 if all gradients are finite, otherwise NaN; always 0 with loss scaling."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0.0
    sums = [_sum(gradient) for gradient in gradients if gradient is not None]
    if not sums:
        return 0.0
    # The sum is finite if its terms are, and takes a third of the time of checking each term.
    return tf.where(tf.math.is_finite(tf.add_n(sums)), 0.0, float("nan"))


def _counted(model, data):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return counted_rows(x, y, sample_weight, model.fit_driver.batches)


def _rows(model, x):
    return model.fit_driver.batches.rows(x)


def _has_no_rows(model, x):
    # Eager losses of no rows are not scalars in Keras; in graphs they are 0.
    return tf.executing_eagerly() and replica_count() == 1 and not int(_rows(model, x))


def _sum(gradient):
    """Sum of all values of a gradient, computed on its device."""
    if isinstance(gradient, ShardedSlices):
        return gradient.sum(_sum)
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.cast(tf.reduce_sum(values), tf.float32)

"""Steps of training and evaluation, on one device or several replicas."""

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
    """One step of training; on several replicas that of one device on the whole batch.

    Keras averages the losses of replicas, however many rows each of them has: the rows of a last,
    short batch would count more or less than others. Here each row counts the same, in the
    gradient and in the loss that is logged. Beyond that the steps are those of Keras, but for two
    things:

    - Rows whose sample weight is 0 are left out before anything is computed; see `counted_rows`.
      A batch without any other rows changes nothing: the optimizer takes no step. Where XLA
      compiles a step, weights are refused.
    - The logged loss is NaN where a gradient is not finite, so that it is seen in the step in which
      it happens. Under loss scaling it is not: there the optimizer leaves out such steps.

    Args:
        model: `CTRModel`.
        data: Batch, as Keras hands it to `train_step`.

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
    """One step of evaluation, likewise.

    Args:
        model: `CTRModel`.
        data: Batch, as Keras hands it to `test_step`.

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
    """The replica's part of the loss of the whole batch."""
    if replica_count() > 1:
        rows = _rows(model, x)
        share = share_of_replicas(rows)
        sample_weight = tf.fill([rows], share) if sample_weight is None else sample_weight * share
    return loss_of_step(
        model, x=x, y=y, y_pred=y_pred, sample_weight=sample_weight, training=training
    )


def _note_loss(model, loss, x):
    """Notes the loss for the logs, in proportion to the rows of the whole batch."""
    # The tracker adds up what replicas tell, times the weight, and divides by the weights.
    replicas, rows = replica_count(), _rows(model, x)
    if replicas > 1:
        loss *= float(replicas)
        rows = sum_over_replicas(tf.cast(rows, tf.float32)) / float(replicas)
    loss_tracker(model).update_state(loss, sample_weight=rows)


def _alarm(optimizer, gradients):
    """0 where all gradients are finite, else NaN; always 0 under loss scaling."""
    if isinstance(optimizer, keras.optimizers.LossScaleOptimizer):
        return 0.0
    sums = [_sum(gradient) for gradient in gradients if gradient is not None]
    if not sums:
        return 0.0
    # A sum is as finite as its terms, and costs a third of looking at each of them.
    return tf.where(tf.math.is_finite(tf.add_n(sums)), 0.0, float("nan"))


def _counted(model, data):
    x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
    return counted_rows(x, y, sample_weight, model.fit_driver.batches)


def _rows(model, x):
    return model.fit_driver.batches.rows(x)


def _has_no_rows(model, x):
    # Eager losses of no rows are no scalars in Keras; in graphs they are 0.
    return tf.executing_eagerly() and replica_count() == 1 and not int(_rows(model, x))


def _sum(gradient):
    """The sum of all that is in a gradient, added up where it is."""
    if isinstance(gradient, ShardedSlices):
        return gradient.sum(_sum)
    values = gradient.values if isinstance(gradient, tf.IndexedSlices) else gradient
    return tf.cast(tf.reduce_sum(values), tf.float32)

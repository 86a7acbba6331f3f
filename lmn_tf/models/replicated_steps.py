"""Steps of training and evaluation on several replicas."""

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, share_of_replicas, sum_over_replicas
from lmn_tf.layers.replicated_loss import own_losses


class ReplicatedSteps:
    """Mixin of models whose step on several replicas is that of one device on the whole batch.

    Keras averages the losses of replicas, however many rows each of them has: the rows of a last,
    short batch would count more or less than others. Here each row counts the same, in the
    gradient and in the loss that is logged. With one replica the steps are those of Keras.
    """

    @property
    def losses(self):
        """What the layers added to the loss; within a replica, what that replica added."""
        return own_losses(super().losses)

    def train_step(self, data):
        """One step of training."""
        if replica_count() == 1:
            return super().train_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        rows = _rows(x)
        with tf.GradientTape() as tape:
            y_pred = self(x, training=True)
            loss = self._shared_loss(x, y, y_pred, sample_weight, rows, training=True)
            loss = self.optimizer.scale_loss(loss)
        variables = self.trainable_weights
        self.optimizer.apply_gradients(zip(tape.gradient(loss, variables), variables, strict=True))
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def test_step(self, data):
        """One step of evaluation."""
        if replica_count() == 1:
            return super().test_step(data)
        x, y, sample_weight = keras.utils.unpack_x_y_sample_weight(data)
        y_pred = self(x, training=False)
        self._shared_loss(x, y, y_pred, sample_weight, _rows(x), training=False)
        return self.compute_metrics(x, y, y_pred, sample_weight=sample_weight)

    def _shared_loss(self, x, y, y_pred, sample_weight, rows, training):
        """The replica's part of the loss of the whole batch, which is noted for the logs."""
        share = share_of_replicas(rows)
        weights = tf.fill([rows], share) if sample_weight is None else sample_weight * share
        loss = self._compute_loss(x=x, y=y, y_pred=y_pred, sample_weight=weights, training=training)
        # The tracker adds up what replicas tell, times the weight, and divides by the weights.
        replicas = float(replica_count())
        everywhere = sum_over_replicas(tf.cast(rows, tf.float32))
        self._loss_tracker.update_state(loss * replicas, sample_weight=everywhere / replicas)
        return loss


def _rows(x):
    return tf.shape(tf.nest.flatten(x)[0])[0]

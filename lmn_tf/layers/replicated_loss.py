"""Losses that layers add to a model's, on several replicas."""

import tensorflow as tf


def add_replicated_loss(layer, loss):
    """Adds a loss to a model as `layer.add_loss` does, but on all replicas.

    Replicas are traced one after the other, and take turns where their variables meet. Keras
    forgets a layer's losses when a call of the model begins: without a meeting before it, the loss
    that one replica added would be forgotten when the next one begins.

    Args:
        layer: Keras layer, while it is being called.
        loss: Scalar tensor.
    """
    strategy = tf.distribute.get_strategy()
    if strategy.num_replicas_in_sync > 1 and not tf.distribute.in_cross_replica_context():
        tf.__internal__.distribute.interim.maybe_merge_call(lambda strategy: None, strategy)
    layer.add_loss(loss)

"""Losses that layers add to a model's, on several replicas."""

import tensorflow as tf

from lmn_tf.distribute.collectives import replica_count, replica_id, share_of_replicas

_REPLICA = "_lmn_tf_replica"


def add_replicated_loss(layer, loss, count=None):
    """Adds a loss to a model as `layer.add_loss` does, but on all replicas.

    Replicas are traced one after the other, and take turns where their variables meet. Keras
    forgets a layer's losses when a call of the model begins: without a meeting before it, the loss
    that one replica added would be forgotten when the next one begins.

    Args:
        layer: Keras layer, while it is being called.
        loss: Scalar tensor.
        count: Integer scalar tensor: what the loss is a mean of, so that replicas count in
            proportion; or `None` where they count alike. Defaults to `None`.
    """
    if replica_count() > 1:
        if count is not None:
            loss *= share_of_replicas(count)  # which is a meeting
        else:
            strategy = tf.distribute.get_strategy()
            tf.__internal__.distribute.interim.maybe_merge_call(lambda strategy: None, strategy)
            loss = tf.identity(loss)
        setattr(loss, _REPLICA, replica_id())
    layer.add_loss(loss)


def add_balance_loss(layer, loss):
    """Adds a replica's part of a loss that all replicas make together; see `add_replicated_loss`.

    Args:
        layer: Keras layer, while it is being called.
        loss: Scalar tensor: over all replicas these add up to the loss.
    """
    # Keras divides by the number of replicas.
    add_replicated_loss(layer, loss * float(replica_count()))


def own_losses(losses):
    """Leaves out what other replicas added to the same layers by `add_replicated_loss`."""
    if replica_count() == 1:
        return losses
    own = replica_id()
    return [loss for loss in losses if getattr(loss, _REPLICA, own) == own]

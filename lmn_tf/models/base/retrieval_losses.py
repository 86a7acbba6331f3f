"""Softmax losses of a batch of vectors of queries and candidates."""

import tensorflow as tf

from lmn_tf.distribute.collectives import gather_over_replicas
from lmn_tf.layers.retrieval.sampling_probability import SamplingProbability
from lmn_tf.ops.in_batch_softmax import in_batch_softmax


def retrieval_losses(
    query: tf.Tensor,
    candidate: tf.Tensor,
    ids: tf.Tensor,
    sampling_probability: SamplingProbability | None,
    temperature: float,
    remove_accidental_hits: bool = True,
    num_hard_negatives: int = 0,
) -> tf.Tensor:
    """Cross-entropy of each row's candidate among the candidates of the batch, on all replicas.

    Args:
        query: Float tensor of shape `(batch, d)`.
        candidate: Float tensor of shape `(batch, d)`.
        ids: Integer tensor of shape `(batch,)`. Ids of the candidates.
        sampling_probability: `SamplingProbability` that corrects scores by how often a candidate is
            in a batch, and counts this one; or `None` for no correction.
        temperature: Positive float. Divisor of the scores.
        remove_accidental_hits: Boolean. Whether other rows of the candidate's id are no negatives.
            Defaults to `True`.
        num_hard_negatives: Integer. As of `in_batch_softmax`. Defaults to `0`.

    Returns:
        Float32 tensor of shape `(batch,)`.
    """
    log_probabilities = None
    if sampling_probability is not None:
        log_probabilities = tf.math.log(sampling_probability(ids, training=True))
        log_probabilities, _ = gather_over_replicas(log_probabilities)
    candidates, start = gather_over_replicas(candidate)
    return in_batch_softmax(
        query,
        candidates,
        ids=gather_over_replicas(ids)[0] if remove_accidental_hits else None,
        log_probabilities=log_probabilities,
        temperature=temperature,
        num_hard_negatives=num_hard_negatives,
        start=start,
    )

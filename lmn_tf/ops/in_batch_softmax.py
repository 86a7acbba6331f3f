"""Softmax loss of retrieval over the candidates of a batch."""

import keras_rs
import tensorflow as tf


def in_batch_softmax(
    queries: tf.Tensor,
    candidates: tf.Tensor,
    ids: tf.Tensor | None = None,
    log_probabilities: tf.Tensor | None = None,
    temperature: float = 1.0,
    num_hard_negatives: int = 0,
    start: int | tf.Tensor = 0,
) -> tf.Tensor:
    """Cross-entropy of the true candidate of each query among all candidates of a batch.

    Computes `-log softmax(q_i . c_j / temperature - log p_j)` at the true candidate. Candidates of
    a batch are drawn by their popularity, so popular ones are negatives more often than others;
    subtracting the logarithm of `p_j`, the probability that `j` is in a batch, corrects that. A
    candidate of the same id as the true one in another row is an accidental hit, and has no share
    in the softmax. (`keras_rs.layers.RemoveAccidentalHits` 0.4 leaves it there: it adds 1e-40.)

    Args:
        queries: Float tensor of shape `(batch, d)`.
        candidates: Float tensor of shape `(candidates, d)`. The true candidate of query `i` is
            `start + i`; all others are its negatives.
        ids: Optional integer or string tensor of shape `(candidates,)`, to remove accidental hits.
        log_probabilities: Optional float tensor of shape `(candidates,)`.
        temperature: Positive float. Divisor of the scores. Defaults to `1.0`.
        num_hard_negatives: Integer. Number of negatives with the highest scores that count, or 0
            for all. Defaults to `0`.
        start: Integer. The place of the first query's candidate. Defaults to `0`.

    Returns:
        Float32 tensor of shape `(batch,)`.

    Raises:
        ValueError: If `temperature` is not positive.

    Example:

    >>> queries = candidates = np.eye(3, dtype="float32")
    >>> in_batch_softmax(queries, candidates).numpy().round(3)
    array([0.551, 0.551, 0.551], dtype=float32)
    >>> in_batch_softmax(queries, candidates, ids=[7, 7, 8]).numpy().round(3)
    array([0.313, 0.313, 0.551], dtype=float32)

    Reference:
        - Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
          Recommendations", RecSys 2019, eqs. 2-4; Bengio and Senécal, "Adaptive Importance
          Sampling to Accelerate Training of a Neural Probabilistic Language Model", 2008.
    """
    if not temperature > 0:
        raise ValueError(
            f"`temperature` must be a positive number. Received: temperature={temperature}"
        )
    queries, candidates = tf.cast(queries, tf.float32), tf.cast(candidates, tf.float32)
    scores = tf.matmul(queries, candidates, transpose_b=True) / temperature  # (batch, candidates)
    if log_probabilities is not None:
        scores -= tf.cast(log_probabilities, tf.float32)
    true_places = start + tf.range(tf.shape(queries)[0])
    is_true = true_places[:, None] == tf.range(tf.shape(candidates)[0])  # (batch, candidates)
    if ids is not None:
        ids = tf.convert_to_tensor(ids)
        is_hit = (tf.gather(ids, true_places)[:, None] == ids) & ~is_true
        scores = tf.where(is_hit, scores.dtype.min, scores)
    labels = tf.cast(is_true, tf.float32)
    if num_hard_negatives:
        scores, labels = keras_rs.layers.HardNegativeMining(num_hard_negatives)(scores, labels)
    return tf.nn.softmax_cross_entropy_with_logits(labels, scores)

import numpy as np

from lmn_tf.layers.retrieval.sampling_probability import SamplingProbability
from lmn_tf.models.base.retrieval_losses import retrieval_losses
from lmn_tf.ops import in_batch_softmax

RNG = np.random.default_rng(0)
QUERY, CANDIDATE = (RNG.normal(size=(4, 3)).astype("float32") for _ in range(2))
IDS = np.array([2, 3, 2, 4])


def test_is_the_softmax_in_the_batch():
    got = retrieval_losses(QUERY, CANDIDATE, IDS, None, 0.5, num_hard_negatives=1)
    want = in_batch_softmax(QUERY, CANDIDATE, IDS, temperature=0.5, num_hard_negatives=1)
    np.testing.assert_allclose(got, want)
    got = retrieval_losses(QUERY, CANDIDATE, IDS, None, 0.5, remove_accidental_hits=False)
    np.testing.assert_allclose(got, in_batch_softmax(QUERY, CANDIDATE, temperature=0.5))


def test_counts_the_batch_and_corrects_by_it():
    layer = SamplingProbability(5)
    layer(np.array([2]), training=True)
    got = retrieval_losses(QUERY, CANDIDATE, IDS, layer, 1.0)
    known = SamplingProbability(5)
    for batch in ([2], IDS):
        probabilities = known(np.array(batch), training=True)
    want = in_batch_softmax(QUERY, CANDIDATE, IDS, np.log(probabilities))
    np.testing.assert_allclose(got, want, rtol=1e-6)
    assert np.ptp(probabilities) > 0.1

import numpy as np
import pytest
import tensorflow as tf

from lmn_tf.ops import in_batch_softmax


def vectors(rows=5, candidates=7, width=3, seed=0):
    rng = np.random.default_rng(seed)
    queries, others = rng.normal(size=(rows, width)), rng.normal(size=(candidates, width))
    return queries.astype("float32"), others.astype("float32")


def slow_twin(queries, candidates, ids=None, log_p=None, temperature=1.0, hard=0, start=0):
    """Row by row, candidate by candidate."""
    losses = []
    for row, query in enumerate(queries):
        true, negatives = start + row, []
        scores = [
            float(query @ candidate) / temperature - (0.0 if log_p is None else log_p[place])
            for place, candidate in enumerate(candidates)
        ]
        for place, score in enumerate(scores):
            if place != true and (ids is None or ids[place] != ids[true]):
                negatives.append(score)
        negatives = sorted(negatives, reverse=True)[: hard or None]
        total = sum(np.exp(score) for score in [scores[true], *negatives])
        losses.append(np.log(total) - scores[true])
    return losses


IDS = np.array([4, 9, 4, 4, 2, 9, 1])
LOG_P = np.log([0.5, 0.1, 0.5, 0.5, 0.03, 0.1, 1.0])


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"ids": IDS},
        {"log_p": LOG_P},
        {"ids": IDS, "log_p": LOG_P, "temperature": 0.2, "start": 2},
        {"ids": IDS, "hard": 2},
        {"log_p": LOG_P, "hard": 3, "start": 1},
    ],
)
def test_each_row_by_hand(run_mode, options):
    queries, candidates = vectors()
    named = {"log_p": "log_probabilities", "hard": "num_hard_negatives"}
    arguments = {named.get(key, key): value for key, value in options.items()}
    got = run_mode(lambda q, c: in_batch_softmax(q, c, **arguments))(queries, candidates)
    np.testing.assert_allclose(got, slow_twin(queries, candidates, **options), rtol=1e-5)


def test_more_hard_negatives_than_candidates_are_all():
    queries, candidates = vectors()
    few, all_of_them = (
        in_batch_softmax(queries, candidates, num_hard_negatives=n) for n in (99, 0)
    )
    np.testing.assert_allclose(few, all_of_them, rtol=1e-5)


def test_an_accidental_hit_gets_no_gradient():
    queries, candidates = map(tf.constant, vectors(rows=1, candidates=3))
    with tf.GradientTape() as tape:
        tape.watch(candidates)
        loss = in_batch_softmax(queries, candidates, ids=[5, 5, 6])
    moved = np.abs(tape.gradient(loss, candidates)).sum(axis=1) > 0
    assert moved.tolist() == [True, False, True]


def test_a_row_alone_has_no_loss():
    queries, candidates = vectors(rows=1, candidates=1)
    np.testing.assert_array_equal(in_batch_softmax(queries, candidates), [0.0])
    np.testing.assert_array_equal(in_batch_softmax(queries, candidates, ids=[3]), [0.0])


def test_the_correction_recovers_the_softmax_over_the_corpus():
    """Popular candidates are drawn more often, and the corrected gradient forgets that."""
    rng = np.random.default_rng(0)
    corpus = rng.normal(size=(20, 4)).astype("float32")
    query = tf.constant(rng.normal(size=(1, 4)).astype("float32"))
    popularity = 1 / np.arange(1, 21)
    popularity /= popularity.sum()

    def gradient(ids, log_p=None):
        with tf.GradientTape() as tape:
            tape.watch(query)
            loss = in_batch_softmax(query, corpus[ids], ids=ids, log_probabilities=log_p)
        return tape.gradient(loss, query).numpy()[0]

    whole = gradient(np.arange(20))
    drawn = rng.choice(20, size=20_000, p=popularity)
    batch = np.concatenate([[0], drawn])
    # The true candidate stands for as many uniform draws as each of the others.
    log_p = np.log(np.concatenate([[20 / len(drawn)], 20 * popularity[drawn]]))
    corrected, plain = gradient(batch, log_p), gradient(batch)
    assert np.linalg.norm(corrected - whole) < 0.2 * np.linalg.norm(plain - whole)


def test_temperature_must_be_positive():
    with pytest.raises(ValueError, match="`temperature` must be a positive number. Received: temp"):
        in_batch_softmax(*vectors(), temperature=float("nan"))

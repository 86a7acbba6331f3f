import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec

from lmn_tf.models import ItemCorpus, TwoTower
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()


def make():
    model = TwoTower(SPEC, **SMALL_OPTIONS["two_tower"], normalize=False)
    model.build()
    return model


def batches(ids, values=(3, 2)):
    """Two batches, the lists of the second one shorter."""
    for seed, (some, count) in enumerate(zip(ids, values, strict=True)):
        features = random_features(SPEC, rows=len(some), values=count, seed=seed)
        yield {**features, "item": np.array(some, "int32")}


def dataset(parts, labels=None):
    def rows():
        for index, features in enumerate(parts):
            yield features if labels is None else (features, labels[index])

    shapes = {
        key: tf.TensorSpec((None,) * value.ndim, value.dtype) for key, value in parts[0].items()
    }
    signature = shapes if labels is None else (shapes, tf.TensorSpec((None, 1), tf.float32))
    return tf.data.Dataset.from_generator(rows, output_signature=signature)


IDS = ([9, 4, 9, 1, 0, 6], [4, 3, 12, 6, 2, 9])


def test_holds_each_item_once_as_it_was_first_seen():
    parts = list(batches(IDS))
    corpus = ItemCorpus(make(), dataset(parts))
    # Neither a missing item nor an unknown one is a candidate.
    assert corpus.ids.tolist() == [2, 3, 4, 6, 9, 12]
    assert corpus.features["item"].tolist() == corpus.ids.tolist()
    tags = [parts[1]["tags"][4], parts[1]["tags"][1], *parts[0]["tags"][[1, 5, 0]]]
    want = np.array([np.pad(row, (0, 3 - len(row))) for row in [*tags, parts[1]["tags"][2]]])
    np.testing.assert_array_equal(corpus.features["tags"], want)


def test_vectors_do_not_depend_on_blocks(monkeypatch):
    model, parts = make(), list(batches(IDS))
    corpus = ItemCorpus(model, dataset(parts))
    whole = corpus.vectors()
    monkeypatch.setattr("lmn_tf.models.base.item_corpus._BLOCK", 4)
    np.testing.assert_allclose(corpus.vectors(), whole, rtol=1e-5, atol=1e-6)
    assert whole.shape == (6, 4)


def test_counts_the_true_candidates_that_are_among_the_best():
    model, parts = make(), list(batches(IDS))
    labels = [random_labels(seed=seed) for seed in range(2)]
    data = dataset(parts, labels)
    corpus = ItemCorpus(model, data)
    got = [float(share) for share in corpus.top_k(data, ks=(1, 3)).result().values()]
    vectors, found = corpus.vectors(), []
    for features, clicks in zip(parts, labels, strict=True):
        queries, own = model.query_vectors(features), model.candidate_vectors(features)
        for row in np.flatnonzero(clicks):
            others = vectors[corpus.ids != features["item"][row]]
            better = np.sum(others @ queries[row].numpy() > np.sum(queries[row] * own[row]))
            is_known = features["item"][row] in corpus.ids
            found.append([better < 1 and is_known, better < 3 and is_known])
    np.testing.assert_allclose(got, np.mean(found, axis=0), rtol=1e-6)


def test_true_candidates_that_are_not_in_the_corpus_are_not_found():
    model, parts = make(), list(batches(IDS))
    corpus = ItemCorpus(model, dataset(parts[:1]))  # 4, 6 and 9
    rows = dataset(parts, [np.ones((6, 1), "float32")] * 2)
    best = float(corpus.top_k(rows, ks=(len(corpus.ids),)).result().popitem()[1])
    assert best == pytest.approx(7 / 12)


def test_data_without_items_are_told():
    with pytest.raises(UserError, match="must hold items. Received: no known id of `item`"):
        ItemCorpus(make(), dataset(list(batches([[0], [1]]))))

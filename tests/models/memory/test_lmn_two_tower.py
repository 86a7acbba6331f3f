import keras
import numpy as np
import pytest
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec
from passed_options import check_passed

from lmn_tf.models import LMNTwoTower
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["lmn_two_tower"]


def make(**options):
    keras.utils.set_random_seed(1)
    model = LMNTwoTower(SPEC, **{**SMALL, **options})
    model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
    model.build()
    return model


@pytest.mark.parametrize("memorize", ["history", "cross", "hidden"])
def test_the_memory_is_in_the_query_tower(memorize):
    model, features = make(memorize=memorize), random_features(SPEC)
    (memory,) = model.memories.values()
    queries, candidates = model.query_vectors(features), model.candidate_vectors(features)
    memory.memory.memory_values.assign(-memory.memory.memory_values)
    assert np.any(np.abs(model.query_vectors(features) - queries) > 1e-6)
    np.testing.assert_array_equal(model.candidate_vectors(features), candidates)
    other = {**features, "item": features["item"][::-1], "tags": features["tags"][::-1]}
    np.testing.assert_allclose(model.query_vectors(other), model.query_vectors(features), rtol=1e-5)


def test_the_softmax_trains_the_memory():
    model = make(memory_loss_weight=0.0)
    before = model.memories["clicks"].memory.memory_values.numpy()
    logs = model.train_on_batch(random_features(SPEC), random_labels(), return_dict=True)
    assert {"loss", "retrieval_loss", "memory_loss"} <= logs.keys()
    assert np.any(model.memories["clicks"].memory.memory_values.numpy() != before)


def test_options_reach_the_memory():
    options = {"num_keys": 5, "top_k": 3, "memory_pooling": "sum", "num_heads": 2}
    names = {"memory_pooling": "pooling"}
    check_passed("lmn_two_tower", make(**options).memories["clicks"], options, **names)


@pytest.mark.parametrize(
    ("key", "value"), [("memory_pooling", "target_attention"), ("query_target", True)]
)
def test_the_memory_may_not_read_the_candidate(key, value):
    with pytest.raises(
        UserError, match=f"`{key}` must not read the candidate, .* Received: {key}={value!r}"
    ):
        make(**{key: value})


def test_products_with_the_candidate_are_refused():
    with pytest.raises(UserError, match="`interaction` must not be 'product' for two towers"):
        make(interaction="product")


@pytest.mark.parametrize(
    ("key", "value"), [("num_experts", 2), ("tower_units", (4,)), ("wide", True)]
)
def test_options_of_the_heads_of_labels_are_refused(key, value):
    with pytest.raises(UserError, match=f"`{key}` must be left alone for two towers, .*{key}="):
        make(**{key: value})

import dataclasses

import pytest
from spec_edits import FEATURES, check_refused

from lmn_tf.specs.columns import (
    LIKED_KEYS,
    Feature,
    Field,
    ResolvedField,
    check_column,
    column_options,
)
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.transform import Bucketize


@pytest.fixture(scope="module")
def spec():
    return FeatureSpec.load(FEATURES)


@pytest.mark.parametrize(
    "kind, needed, others",
    [
        ("categorical", "lookup", "table default"),
        ("numeric", "", "table transform default"),
        ("multi_value", "lookup", "table default weights max_values separator"),
        ("cross", "lookup of", "table"),
        ("elapsed_time", "", "table num_buckets unit"),
        ("vector", "size", "separator"),
    ],
)
def test_options_of_each_kind(kind, needed, others):
    options = column_options(Feature)
    needs = [key for key, option in options.items() if kind in option.kinds and option.is_needed]
    rest = [key for key, option in options.items() if kind in option.kinds and key not in needs]
    assert (needs, rest) == (needed.split(), others.split())


def test_fields_have_the_options_of_features_but_crosses():
    options = column_options(Feature)
    assert {*options} == {*column_options(Field), "of"}
    assert all(options[key] == option for key, option in column_options(Field).items())


def test_a_liked_feature_tells_all_but_name_column_and_weights():
    own = {"name", "column", "weights", "like"}
    assert set(LIKED_KEYS) == {field.name for field in dataclasses.fields(Field)} - own


@pytest.mark.parametrize(
    "name, column, has_ids, needs_statistics",
    [
        ("user", "user_id", True, False),
        ("age", "age", True, True),
        ("income", "income", False, False),
        ("height", "height", True, False),
        ("score", "score", False, True),
        ("rank", "rank", False, True),
        ("picture", "picture", False, False),
        ("since_visit", "last_visit", True, False),
    ],
)
def test_questions(spec, name, column, has_ids, needs_statistics):
    feature = spec.feature(name)
    assert feature.data_column == column
    assert feature.has_ids is has_ids
    assert feature.needs_statistics is needs_statistics


def test_bucketize_is_the_last_step(spec):
    assert spec.feature("age").bucketize.learned
    assert spec.feature("score").bucketize is None
    assert spec.feature("user").bucketize is None


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("kind: vector, size: 3", "kind: vector", "`size` must be given for kind vector"),
        ("{hash: 1000}}", "null}", "`lookup` must be given for kind categorical. Received: noth"),
        (
            "transform: min_max",
            "lookup: {hash: 3}",
            "`lookup` must be given for kind categorical or multi_value or cross only.",
        ),
        ("transform: min_max", "of: [a, b]", "`of` must be given for kind cross only"),
        (
            "transform: min_max",
            "num_buckets: 3",
            "`num_buckets` must be given for kind elapsed_time only.",
        ),
        (
            "transform: min_max",
            "table: item",
            "`table` must be given for a numeric column only with `bucketize`.",
        ),
        (
            "default: 30",
            "default: old",
            "`default` of a numeric column must be a number. Received: default='old'",
        ),
        (
            "default: 12",
            "default: 24",
            "`default` must be an integer in [0, 24), as `identity` says.",
        ),
        (
            "default: 12",
            "default: noon",
            "`default` must be an integer in [0, 24), as `identity` says.",
        ),
        ("default: se", "default: dk", "`default` must be in the vocabulary. Received: default="),
        (
            "default: 2}",
            "default: 1.5}",
            "`default` of a multi_value column must be text or an integer. Received: default=1.5",
        ),
        ("[age, tags]", "[age]", "`of` must name two features or more. Received: ['age']"),
        ("[age, tags]", "[age, age]", "`of` must not repeat. Received: 'age' twice"),
        ("{hash: 50}", "{identity: 50}", "`lookup` of a cross must be `hash`. Received: identity"),
        (
            "of: [age, tags]",
            "column: a, of: [age, tags]",
            "`column` must not be given for kind cross, which is made of features.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)


def test_accepts_a_default_that_is_written_out():
    check_column(Feature(name="a", role="user", kind="numeric", max_values=16, separator="|"))


def test_key_tells_whose_ids_they_are():
    own = ResolvedField(sequence="s", name="a", column=None, like=None, kind="elapsed_time")
    assert (own.key, own.data_column, own.has_ids) == ("s.a", "a", True)
    liked = ResolvedField(sequence="s", name="a", column="c", like="b", kind="numeric")
    assert (liked.key, liked.data_column, liked.has_ids) == ("b", "c", False)
    assert own.of_pairs and not liked.of_pairs


def test_answers_like_a_feature():
    step = Bucketize(bucketize=(1.0,))
    field = ResolvedField(
        sequence="s", name="a", column=None, like=None, kind="numeric", transform=(step,)
    )
    assert field.bucketize == step
    assert (field.role, field.of) == ("sequence", ())

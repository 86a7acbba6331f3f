import pytest
from spec_edits import FEATURES

from lmn_tf.specs.column import DEFAULTS, KIND_KEYS, OPTIONAL_KEYS
from lmn_tf.specs.feature import Feature
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.field import Field


@pytest.fixture(scope="module")
def spec():
    return FeatureSpec.load(FEATURES)


def test_every_key_belongs_to_a_kind():
    assert {key for keys in KIND_KEYS.values() for key in keys} == set(OPTIONAL_KEYS)


@pytest.mark.parametrize("cls", [Feature, Field])
def test_the_listed_defaults_are_the_real_ones(cls):
    real = {name: field.default for name, field in cls.__dataclass_fields__.items()}
    for key in OPTIONAL_KEYS:
        if key in real:
            assert getattr(real[key], "default", real[key]) == DEFAULTS.get(key)


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

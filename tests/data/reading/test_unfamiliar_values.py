import types

from lmn_tf.data.reading.unfamiliar_values import UnfamiliarValues
from lmn_tf.specs.feature_spec import FeatureSpec


def told(*sentences):
    return types.SimpleNamespace(sentences=lambda: list(sentences))


def test_sentences_name_five_columns_of_each_kind():
    spec = {"spec_version": 1, "name": "some", "labels": [{"name": "click"}]}
    spec["features"] = [{"name": "price", "role": "item", "kind": "numeric"}]
    values = UnfamiliarValues(FeatureSpec.from_dict(spec))
    assert values.sentences() == [] and not values.is_complete
    values.unknown, values.outlying = told(*"abcde"), told(*"stuvwxyz")
    assert values.sentences() == [*"abcdestuv", "w, and some of 3 more columns"]

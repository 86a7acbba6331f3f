from kitchen_sink import kitchen_sink_spec

from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.specs.feature_spec import FeatureSpec


def names(spec, feature, *ids):
    return [IdNames(spec, spec.feature(feature))(id_) for id_ in ids]


def test_each_way_of_making_ids():
    spec = kitchen_sink_spec()
    assert names(spec, "hour", 0, 1, 2, 3) == ["(none)", "(unknown)", "early", "late"]
    assert names(spec, "item", 2, 41) == ["0", "39"]
    assert names(spec, "user", 2, 9) == ["hash 0", "hash 7"]
    assert names(spec, "age", 2, 3, 4) == ["below 1", "1 to 2", "2 or more"]
    assert names(spec, "since", 2, 3, 4, 6) == [
        "from 0 seconds",
        "from 1 second",
        "from 2 seconds",
        "from 8 seconds",
    ]


def test_what_was_learned():
    price = {"name": "price", "role": "item", "kind": "numeric"}
    spec = FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "x",
            "labels": [{"name": "click"}],
            "features": [
                {**price, "transform": [{"bucketize": {"quantiles": 3}}]},
                {"name": "item", "role": "item", "kind": "categorical", "lookup": {"learn": {}}},
            ],
        }
    )
    spec.assets.statistics["price"] = {"quantiles": [1.5, 4.0]}
    spec.assets.vocabularies["item"] = [70, 30]
    assert names(spec, "price", 2, 3, 4) == ["below 1.5", "1.5 to 4", "4 or more"]
    assert names(spec, "item", 2, 3) == ["70", "30"]

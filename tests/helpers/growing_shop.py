"""A shop whose items are a learned vocabulary, which may grow."""

from lmn_tf.specs.feature_spec import FeatureSpec


def shop(items, crosses=()):
    """The spec, with the vocabulary `items`."""
    columns = [("item", "item", {"learn": {}}), ("user", "user", {"hash": 5})]
    liked = {"name": "liked", "kind": "categorical", "lookup": {"identity": 2}}
    seen = {"name": "seen", "max_length": 3, "fields": [{"name": "item", "like": "item"}, liked]}
    spec = FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "shop",
            "labels": [{"name": "click"}],
            "features": [
                {"name": name, "role": role, "kind": "categorical", "lookup": lookup}
                for name, role, lookup in columns
            ],
            "sequences": [{**seen, "crosses": list(crosses)}],
        }
    )
    spec.assets.vocabularies["item"] = list(items)
    return spec

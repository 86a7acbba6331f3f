import json

import numpy as np
import pytest
from spec_edits import EXAMPLES

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import (
    check_fingerprint,
    check_same,
    difference,
    fingerprint,
    write_fingerprint,
)


def spec_of(*features):
    common = {"role": "item"}
    return FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "a",
            "labels": [{"name": "click"}],
            "features": [{**common, **feature} for feature in features],
        }
    )


ITEM = {"name": "item", "kind": "categorical", "lookup": {"learn": {}}}
PRICE = {"name": "price", "kind": "numeric", "transform": "standardize"}
AGENT = {"name": "agent", "kind": "categorical", "lookup": {"hash": 50}}
AGE = {"name": "age", "kind": "numeric", "transform": {"bucketize": [18, 25]}}


def learned(values=("a", "b"), mean=0.5):
    spec = spec_of(ITEM, PRICE, AGENT, AGE)
    spec.assets.vocabularies["item"] = list(values)
    spec.assets.statistics["price"] = {"mean": mean, "std": 1.0, "learned": {"rule": ()}}
    return spec


def test_each_part_that_decides_over_ids_and_numbers_is_told():
    assert sorted(fingerprint(learned())) == [
        "reading/text", "size/age", "size/agent", "statistics/price", "vocabulary/item",
    ]  # fmt: skip
    # What is still to be learned is left out.
    assert sorted(fingerprint(spec_of(ITEM, PRICE, AGENT))) == ["reading/text", "size/agent"]


@pytest.mark.parametrize(
    ("other", "key"),
    [
        (lambda: learned(["b", "a"]), "vocabulary/item"),
        (lambda: learned(["a", "b", "c"]), "vocabulary/item"),
        (lambda: learned(["ab", ""]), "vocabulary/item"),
        (lambda: learned(mean=0.25), "statistics/price"),
        (lambda: spec_of({**AGENT, "lookup": {"hash": 51}}), "size/agent"),
    ],
)
def test_what_differs_is_told(other, key):
    before, now = fingerprint(learned()), fingerprint(other())
    both = {key: before[key] for key in before if key in now}
    assert difference(both, now) == key
    with pytest.raises(UserError, match=f"the data must have the .* `{key.split('/')[1]}` that"):
        check_same(before, now, "the data")


def test_what_means_the_same_is_the_same():
    spec = learned(np.array([1, 2]), mean=np.float64(0.5))
    # Integers and their texts are one id; where statistics were learned from plays no part.
    spec.assets.statistics["price"]["learned"] = {"rule": []}
    assert fingerprint(spec) == fingerprint(learned(["1", "2"]))
    check_same(fingerprint(spec), fingerprint(spec_of(AGENT)), "the data")
    check_same({}, fingerprint(spec), "the data")


def test_how_cells_of_text_are_read_counts():
    spec = learned()
    spec.assets.text_ids = False
    with pytest.raises(UserError, match="the data must have the reading of `text` that"):
        check_same(fingerprint(spec), fingerprint(learned()), "the data")


def test_vocabularies_in_files_count():
    path = EXAMPLES / "feature_specs" / "movielens_1m.yaml"
    inline = FeatureSpec.load(path).to_dict()
    genres = (path.parent / "vocabularies" / "genres.txt").read_text().split()
    feature = next(one for one in inline["features"] if one["name"] == "genres")
    feature["lookup"]["vocabulary"] = genres
    found = fingerprint(FeatureSpec.from_dict(inline))["vocabulary/genres"]
    assert found == fingerprint(FeatureSpec.load(path))["vocabulary/genres"]


def test_a_folder_is_held_against_what_was_noted(tmp_path):
    check_fingerprint(learned(), tmp_path)  # of before there were notes
    (tmp_path / "feature_spec.yaml").write_text("name: ä\n")
    write_fingerprint(learned(), tmp_path, "name: ä\n")
    check_fingerprint(learned(), tmp_path)
    with pytest.raises(UserError, match="vocabularies/item.txt: the vocabulary of `item` must be"):
        check_fingerprint(learned(["b", "a"]), tmp_path)
    with pytest.raises(UserError, match="statistics.json: the statistics of `price` must be"):
        check_fingerprint(learned(mean=7.0), tmp_path)
    noted = json.loads((tmp_path / "fingerprints.json").read_text())
    noted["size/agent"] = "51"
    (tmp_path / "fingerprints.json").write_text(json.dumps(noted))
    with pytest.raises(UserError, match="feature_spec.yaml: the size of `agent` must be"):
        check_fingerprint(learned(), tmp_path)
    write_fingerprint(learned(), tmp_path, "name: a\n")
    with pytest.raises(
        UserError, match="feature_spec.yaml: the content of `feature_spec.yaml` must be"
    ):
        check_fingerprint(learned(), tmp_path)


@pytest.mark.parametrize(("text", "message"), [("[]", "hold a mapping"), ("{", "must be JSON")])
def test_a_damaged_note_is_told(text, message, tmp_path):
    (tmp_path / "fingerprints.json").write_text(text)
    with pytest.raises(UserError, match=f"fingerprints.json.*{message}"):
        check_fingerprint(learned(), tmp_path)

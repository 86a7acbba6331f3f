import pytest
from spec_edits import EXAMPLES

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.spec_folder import load_spec, resolved_spec, write_spec


@pytest.fixture
def spec():
    spec = FeatureSpec.load(EXAMPLES / "feature_specs" / "movielens_1m.yaml")
    spec.assets.vocabularies["user_id"] = ["08", "1e-3", "no"]
    spec.assets.vocabularies["item_id"] = [5, 3]
    spec.assets.statistics["age"] = {"mean": 0.5}
    return spec


def test_a_folder_holds_all_that_ids_mean(spec, tmp_path):
    write_spec(spec, tmp_path / "run")
    again = load_spec(tmp_path / "run")
    assert again.assets == spec.assets or again.assets.vocabularies.items() >= (
        spec.assets.vocabularies.items()
    )
    for view, other in zip(spec.views(), again.views(), strict=True):
        assert again.vocabulary(other) == spec.vocabulary(view)
        if view.has_ids:
            assert again.input_size(other) == spec.input_size(view)


def test_vocabulary_files_move_along(spec):
    document, files = resolved_spec(spec)
    assert document["features"][3]["lookup"]["vocabulary"] == "vocabularies/genres.txt"
    assert files == {"vocabularies/genres.txt": spec.base_dir / "vocabularies/genres.txt"}
    # The spec itself still names the file where it lies.
    assert spec.feature("genres").lookup.vocabulary == "vocabularies/genres.txt"


def test_writing_again_changes_nothing(spec, tmp_path):
    write_spec(spec, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    write_spec(load_spec(tmp_path), tmp_path)
    after = {path: path.read_bytes() for path in tmp_path.rglob("*.*")}
    assert after == before


def test_a_folder_without_a_spec_is_refused(tmp_path):
    with pytest.raises(UserError, match="feature_spec.yaml: file must exist."):
        load_spec(tmp_path)


def test_lists_of_text_that_looks_like_numbers_stay_text(tmp_path):
    words = ["08", "1e-3", "1e5", "no", "~", "12:30"]
    spec = FeatureSpec.from_dict(
        {
            "spec_version": 1,
            "name": "a",
            "labels": [{"name": "click"}],
            "features": [
                {
                    "name": "zip",
                    "role": "user",
                    "kind": "categorical",
                    "lookup": {"vocabulary": words},
                }
            ],
        }
    )
    write_spec(spec, tmp_path)
    assert load_spec(tmp_path) == spec

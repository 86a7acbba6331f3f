import own_shop
import pytest
from spec_edits import EXAMPLES

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import load_spec, resolved_spec, write_spec


@pytest.fixture
def spec():
    path = EXAMPLES / "feature_specs" / "movielens_1m.yaml"
    document = FeatureSpec.load(path).to_dict()
    price = {"name": "price", "role": "item", "kind": "numeric", "transform": ["standardize"]}
    document["features"].append(price)
    spec = FeatureSpec.from_dict(document, base_dir=path.parent)
    spec.assets.vocabularies["user_id"] = ["08", "1e-3", "no"]
    spec.assets.vocabularies["item_id"] = [5, 3]
    spec.assets.statistics["price"] = {"mean": 0.5}
    return spec


def test_a_folder_holds_all_that_ids_mean(spec, tmp_path):
    write_spec(spec, tmp_path / "run")
    again = load_spec(tmp_path / "run")
    assert again.assets == spec.assets or again.assets.vocabularies.items() >= (
        spec.assets.vocabularies.items()
    )
    for column, other in zip(spec.features_and_fields(), again.features_and_fields(), strict=True):
        assert again.vocabulary(other) == spec.vocabulary(column)
        if column.has_ids:
            assert again.input_size(other) == spec.input_size(column)


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


@pytest.mark.parametrize("mark", ["fingerprints.json", "checkpoints", "saved_model"])
def test_a_spec_of_a_run_or_an_export_finds_what_was_learned(mark, spec, tmp_path):
    write_spec(spec, tmp_path)
    if mark != "fingerprints.json":  # of before there were any
        (tmp_path / "fingerprints.json").unlink()
        (tmp_path / mark).mkdir()
    path = tmp_path / "feature_spec.yaml"
    found = FeatureSpec.load(path)
    assert found.assets == load_spec(tmp_path).assets
    assert found.assets.vocabularies["item_id"] == [5, 3]
    assert not FeatureSpec.load(path, learned=False).assets.vocabularies


def test_a_spec_of_another_name_is_no_runs_own(spec, tmp_path):
    write_spec(spec, tmp_path)
    (tmp_path / "checkpoints").mkdir()
    path = (tmp_path / "feature_spec.yaml").rename(tmp_path / "mine.yaml")
    assert not FeatureSpec.load(path).assets.vocabularies


def test_a_spec_beside_data_is_still_to_be_learned(spec, tmp_path):
    write_spec(spec, tmp_path)
    (tmp_path / "fingerprints.json").unlink()
    assert not FeatureSpec.load(tmp_path / "feature_spec.yaml").assets.vocabularies


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("vocabularies/user_id.txt", lambda text: text.replace("08", "09")),
        ("vocabularies/user_id.txt", lambda text: "\n".join(reversed(text.split()))),
        ("vocabularies/user_id.txt", None),
        ("vocabularies/item_id.json", lambda text: text.replace("5", "4")),
        ("vocabularies/genres.txt", lambda text: text.replace("Drama", "Opera")),
        ("statistics.json", lambda text: text.replace("0.5", "0.7")),
        ("statistics.json", None),
        ("feature_spec.yaml", lambda text: text.replace("max_length: 200", "max_length: 201")),
    ],
)
def test_a_changed_file_is_told(name, change, spec, tmp_path):
    write_spec(spec, tmp_path)
    path = tmp_path / name
    if change is None:
        path.unlink()
    else:
        text = path.read_text()
        path.write_text(change(text))
        assert path.read_text() != text
    for load in (load_spec, lambda folder: FeatureSpec.load(folder / "feature_spec.yaml")):
        with pytest.raises(UserError, match=name.partition(".")[0]):
            load(tmp_path)


def test_optimizers_of_users_are_written_as_paths(spec, tmp_path, monkeypatch):
    own_shop.register(tmp_path, "mine", {"lmn_tf.optimizers": {"plain": "a.b:Plain"}})
    monkeypatch.syspath_prepend(tmp_path)
    document = spec.to_dict()
    names = list(document["tables"])
    document["tables"][names[0]]["optimizer"] = {"plain": 0.1}
    document["tables"][names[1]]["optimizer"] = {"adam": 0.1}
    named = FeatureSpec.from_dict(document, base_dir=spec.base_dir)
    tables = resolved_spec(named)[0]["tables"]
    assert tables[names[0]]["optimizer"] == {"a.b:Plain": 0.1}
    assert tables[names[1]]["optimizer"] == {"adam": 0.1}

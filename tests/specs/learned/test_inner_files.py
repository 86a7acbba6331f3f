import os

import pytest
from spec_edits import EXAMPLES

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import load_spec, write_spec


@pytest.fixture
def secret(tmp_path):
    path = tmp_path / "secret.txt"
    path.write_text("top secret\n")
    return path


@pytest.fixture
def folder(tmp_path):
    spec = FeatureSpec.load(EXAMPLES / "feature_specs" / "movielens_1m.yaml")
    spec.assets.vocabularies["user_id"] = ["a", "b"]
    write_spec(spec, tmp_path / "run")
    return tmp_path / "run"


@pytest.mark.parametrize("kind", ["absolute", "..", "link"])
def test_a_vocabulary_outside_is_refused(folder, secret, kind):
    given = {"absolute": str(secret), "..": "../secret.txt", "link": "inner.txt"}[kind]
    if kind == "link":
        os.symlink(secret, folder / "inner.txt")
    text = (folder / "feature_spec.yaml").read_text()
    assert "vocabularies/genres.txt" in text
    text = text.replace("vocabularies/genres.txt", given)
    (folder / "feature_spec.yaml").write_text(text)
    match = "feature_spec.yaml: `vocabulary` of `genres` must be a file in the folder of its run"
    with pytest.raises(UserError, match=match) as caught:
        load_spec(folder)
    assert "top secret" not in str(caught.value)


@pytest.mark.parametrize(
    "name", ["vocabularies/user_id.txt", "vocabularies/genres.txt", "statistics.json"]
)
def test_a_file_that_is_a_link_out_is_refused(folder, secret, name):
    (folder / name).unlink()
    os.symlink(secret, folder / name)
    with pytest.raises(UserError, match=f"{name}: the file must lie in the folder of its run or"):
        load_spec(folder)


def test_a_folder_that_is_a_link_out_is_refused(folder, tmp_path):
    os.rename(folder / "vocabularies", tmp_path / "elsewhere")
    os.symlink(tmp_path / "elsewhere", folder / "vocabularies")
    with pytest.raises(UserError, match="vocabularies: the file must lie in the folder of its run"):
        load_spec(folder)


def test_a_run_reached_by_a_link_is_read(folder, tmp_path):
    os.symlink(folder, tmp_path / "latest")
    assert load_spec(tmp_path / "latest") == load_spec(folder)


def test_a_spec_of_the_user_may_name_files_anywhere(secret, folder):
    text = (folder / "feature_spec.yaml").read_text()
    own = folder.parent / "own.yaml"
    own.write_text(text.replace("vocabularies/genres.txt", str(secret)))
    spec = FeatureSpec.load(own)
    assert spec.vocabulary(spec.feature("genres")) == ["top secret"]


def test_a_link_in_circles_is_refused(folder):
    os.symlink("zz.txt", folder / "vocabularies" / "zz.txt")
    with pytest.raises(UserError, match="zz.txt: .*Received: a link that leads nowhere"):
        load_spec(folder)

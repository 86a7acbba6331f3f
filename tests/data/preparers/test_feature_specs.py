import pytest

from lmn_tf.data.preparers import prepare
from lmn_tf.data.preparers import report as feature_specs
from lmn_tf.specs.errors import UserError

NAMED = {"user": "user_id", "item": "item_id", "time": "time", "category": ("category",)}


def test_vocabularies_are_learned_for_the_named_spec(log, tmp_path, root):
    spec = root / "feature_specs" / "interactions_example.yaml"
    prepare("interactions", log, tmp_path / "out", spec=spec, **NAMED)
    assert (tmp_path / "out" / "statistics.json").is_file()
    names = {path.stem for path in (tmp_path / "out" / "vocabularies").iterdir()}
    assert names == {"user_id", "item_id", "category"}


def test_the_named_spec_must_fit(log, tmp_path, root):
    spec = root / "feature_specs" / "interactions_example.yaml"
    named = NAMED | {"category": ()}
    message = "interactions_example.yaml: column `category` must be in the rows"
    with pytest.raises(UserError, match=message):
        prepare("interactions", log, tmp_path / "out", spec=spec, **named)
    with pytest.raises(UserError, match="reads events.arrow, which was not written"):
        prepare("interactions", log, tmp_path / "out", spec=spec, history="inline", **NAMED)
    assert not (tmp_path / "out").exists()


def test_the_shipped_spec_may_not_fit(log, tmp_path, root, monkeypatch):
    spec = root / "feature_specs" / "movielens_1m.yaml"
    monkeypatch.setattr(feature_specs, "shipped_spec", lambda name: spec)
    report = prepare("interactions", log, tmp_path / "out", **NAMED)
    assert report["vocabularies"].startswith("not learned: the shipped movielens_1m.yaml")


def test_shipped_spec_is_found_here_or_beside_the_package(tmp_path, root, monkeypatch):
    monkeypatch.chdir(tmp_path)
    # As in a checkout, wherever the tested package is installed.
    module = root / "lmn_tf" / "data" / "preparers" / "feature_specs.py"
    monkeypatch.setattr(feature_specs, "__file__", str(module))
    shipped = root / "feature_specs" / "mind.yaml"
    assert feature_specs.shipped_spec("mind").samefile(shipped)
    (tmp_path / "feature_specs").mkdir()
    (tmp_path / "feature_specs" / "mind.yaml").touch()
    assert feature_specs.shipped_spec("mind") == tmp_path / "feature_specs" / "mind.yaml"
    assert feature_specs.shipped_spec("unheard_of") is None

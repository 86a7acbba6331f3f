import pytest
from tiny_run import document

from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.saving.grown_specs import GrownSpecs


@pytest.fixture
def spec():
    return PipelineSpec.from_dict(document("run")).load_feature_spec()


def written(folder, spec, days):
    grown = GrownSpecs(folder)
    for day in days:
        spec.assets.vocabularies["item_id"] = [day]
        grown.write(spec, day)
    return grown


def loaded(grown, state):
    spec = grown.load(state)
    return spec and spec.assets.vocabularies["item_id"]


def test_a_checkpoint_gets_the_spec_of_its_day(tmp_path, spec):
    grown = written(tmp_path / "days", spec, ["2024-01-02", "2024-01-04"])
    history = [{"day": "2024-01-01"}, {"day": "2024-01-02"}, {"day": "2024-01-03"}]
    assert loaded(grown, None) is None
    assert loaded(grown, {"history": [], "opening": {}}) is None
    assert loaded(grown, {"history": history[:1], "opening": {}}) is None
    opened = {"history": history[:1], "opening": {"day": "2024-01-02"}}
    assert loaded(grown, opened) == ["2024-01-02"]
    assert loaded(grown, {"history": history, "opening": {}}) == ["2024-01-02"]
    opened = {"history": history, "opening": {"day": "2024-01-04"}}
    assert loaded(grown, opened) == ["2024-01-04"]


def test_a_run_without_days_has_none(tmp_path):
    state = {"history": [{"epoch": 0, "loss": 0.5}], "opening": {}}
    assert GrownSpecs(tmp_path / "days").load(state) is None


def test_two_are_kept_and_later_ones_can_be_dropped(tmp_path, spec):
    grown = written(tmp_path / "days", spec, ["2024-01-02", "2024-01-03", "2024-01-04"])
    names = ["2024-01-03", "2024-01-04"]
    assert sorted(path.name for path in grown.path.iterdir()) == names
    grown.drop_later({"history": [], "opening": {"day": "2024-01-03"}})
    assert [path.name for path in grown.path.iterdir()] == names[:1]
    grown.drop_later(None)
    assert not list(grown.path.iterdir())
    grown.clear()
    assert not grown.path.exists()

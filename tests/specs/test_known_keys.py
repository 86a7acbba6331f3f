import pytest

from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.known_keys import known_keys
from lmn_tf.specs.pipeline_spec import PipelineSpec


@pytest.mark.parametrize(
    "cls, path, some",
    [
        (FeatureSpec, (), "labels"),
        (FeatureSpec, ("tables", "any"), "combiner"),
        (FeatureSpec, ("features", 0, "lookup", "learn"), "min_count"),
        (FeatureSpec, ("features", 0, "transform", "bucketize"), "quantiles"),
        (FeatureSpec, ("features", 0, "transform", 1, "bucketize"), "quantiles"),
        (FeatureSpec, ("sequences", 0, "events"), "count"),
        (PipelineSpec, ("train", "schedule"), "warmup_steps"),
    ],
)
def test_keys_of_nested_sections(cls, path, some):
    assert some in known_keys(cls, path)


def test_free_mappings_know_no_keys():
    assert known_keys(PipelineSpec, ("model",)) == []
    assert known_keys(PipelineSpec, ("no", "such")) == []
    assert known_keys(PipelineSpec, ("run_dir", 0)) == []

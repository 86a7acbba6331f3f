import keras
import numpy as np
import pytest
from tiny_run import DNN, pipeline, trained_run, write_pipeline

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.build_model import build_model
from lmn_tf.training.saving.run_directory import RunDirectory


def test_tables_have_the_optimizers_that_the_feature_spec_names(tmp_path):
    spec = RunDirectory(trained_run()).load_spec()
    document = spec.to_dict()
    name = next(iter(document["tables"]))
    document["tables"][name]["optimizer"] = {"sgd": 0.125}
    changed = FeatureSpec.from_dict(document)
    changed.assets.vocabularies.update(spec.assets.vocabularies)
    changed.assets.statistics.update(spec.assets.statistics)
    optimizer = build_model(pipeline(tmp_path), changed, 10).optimizer
    [(path, named)] = optimizer.named.items()
    assert path == f"feature_encoder/{name}"
    assert isinstance(named, keras.optimizers.SGD)
    assert float(named.learning_rate) == 0.125


def test_arguments_of_optimizers_come_from_the_file_and_mistakes_have_their_line(tmp_path):
    spec = RunDirectory(trained_run()).load_spec()

    def build(**arguments):
        optimizer = {"tables": {"row_wise_adam": arguments}}
        path = write_pipeline(tmp_path / "pipeline.yaml", tmp_path, DNN, optimizer=optimizer)
        return build_model(PipelineSpec.load(path), spec, 10)

    assert build(frequency_rate=True).optimizer.tables.frequency_rate is True
    refused = r"pipeline.yaml:\d+: `row_wise_adam` refuses its arguments: `frequency_rate` must be"
    with pytest.raises(UserError, match=refused):
        build(frequency_rate=1)
    with pytest.raises(UserError, match=r"pipeline.yaml:\d+: .*Did you mean `frequency_rate`"):
        build(frequency_rates=True)


def test_equal_seeds_start_with_equal_weights(tmp_path):
    spec = RunDirectory(trained_run()).load_spec()

    def weights(seed):
        keras.utils.set_random_seed(seed)
        return [np.asarray(v) for v in build_model(pipeline(tmp_path), spec, 10).trainable_weights]

    first, again, other = weights(1), weights(1), weights(2)
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not all(np.array_equal(a, b) for a, b in zip(first, other, strict=True))

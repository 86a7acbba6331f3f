import json
import shutil
import zipfile

import pyarrow.parquet as pq
import pytest
from tiny_run import ROOT, document, market

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.comparison.comparison_run import ComparisonRun
from lmn_tf.training.comparison.finished_runs import FinishedRuns, made_with
from lmn_tf.training.saving.data_notes import content_digests

RUN = ComparisonRun("dnn", None, 1)
METRICS = {"train": {"seconds": 1.5}, "test": {"auc": 0.7}}


def pipeline(model=None, train=None, data=None):
    keys = document("run", model or {"name": "dnn", "hidden_units": [8]}, **(train or {}))
    keys["data"] |= data or {}
    return PipelineSpec.from_dict(keys)


def features():
    return FeatureSpec.load(ROOT / "feature_specs" / "synthetic.yaml", learned=False)


@pytest.fixture
def finished(tmp_path):
    finished = FinishedRuns(tmp_path / "finished", features())
    finished.write(RUN, pipeline(), METRICS)
    return finished


def test_a_file_is_what_the_run_measured_and_what_that_depends_on(finished):
    document = finished.read(RUN)
    assert document["metrics"] == METRICS and document["label"] == "dnn" and document["seed"] == 1
    assert set(document["values"]) == {"train", "valid", "test"}
    assert document["made_with"] == made_with() and "tensorflow" in document["made_with"]
    assert document["pipeline"]["model"] == {"name": "dnn", "hidden_units": [8]}
    assert finished.path(RUN).name == "dnn-seed1.json"
    assert finished.path(RUN).stat().st_size < 10_000
    finished.check(RUN, pipeline())


def test_a_run_without_a_file_has_none(finished):
    other = ComparisonRun("dnn", None, 2)
    assert finished.read(other) is None
    finished.check(other, pipeline())


def moved_market(tmp_path):
    """The market in another folder, and the keys of the pipeline with the paths in it."""
    folder = tmp_path / "moved"
    shutil.copytree(market(), folder)
    return folder, {part: f"{folder}/{part}-*.parquet" for part in ("train", "valid", "test")}


def test_what_does_not_change_results_may_differ(finished, tmp_path):
    _, paths = moved_market(tmp_path)
    finished.check(RUN, pipeline(train={"checkpoint_steps": 99}, data=paths))


def written_anew(folder):
    """Writes the rows of a market as another machine may: the same values in other bytes."""
    for path in folder.glob("*.parquet"):
        pq.write_table(pq.read_table(path), path, compression="none", row_group_size=100)


def test_the_same_rows_in_other_bytes_are_the_same(finished, tmp_path):
    folder, paths = moved_market(tmp_path)
    written_anew(folder)
    again = FinishedRuns(finished.folder, features())
    again.check(RUN, pipeline(data=paths))
    path = next(folder.glob("test-*.parquet"))
    pq.write_table(pq.read_table(path).slice(1), path)
    with pytest.raises(UserError, match="`digest of data.test` must stay"):
        FinishedRuns(finished.folder, features()).check(RUN, pipeline(data=paths))


def test_earlier_files_have_digests_of_the_bytes(finished, tmp_path):
    document = json.loads(finished.path(RUN).read_text())
    del document["values"]
    document["data"] = content_digests(pipeline(), features(), of_values=False)
    finished.path(RUN).write_text(json.dumps(document))
    finished.check(RUN, pipeline())
    folder, paths = moved_market(tmp_path)
    written_anew(folder)
    with pytest.raises(UserError, match="`digest of data.test` must stay"):
        FinishedRuns(finished.folder, features()).check(RUN, pipeline(data=paths))


def test_data_that_are_not_there_are_not_compared(finished, tmp_path):
    paths = {part: f"{tmp_path}/{part}-*.parquet" for part in ("train", "valid", "test")}
    FinishedRuns(finished.folder, features()).check(RUN, pipeline(data=paths))


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"train": {"seed": 2}}, "`train.seed` must stay as in the run whose figures the file"),
        ({"train": {"epochs": 9}}, r"file holds, 2. Received: train.epochs=9. Take it back, or"),
        ({"model": {"name": "dnn"}}, "`model.hidden_units` must stay"),
        ({"data": {"train_rows": 9}}, "`data.train_rows` must stay"),
    ],
)
def test_another_pipeline_is_refused(finished, changed, message):
    with pytest.raises(UserError, match=f"dnn-seed1.json: .*{message}"):
        finished.check(RUN, pipeline(**changed))


def with_options(finished, **options):
    """Makes the file that of a version with other options."""
    document = json.loads(finished.path(RUN).read_text())
    kept = {key: value for key, value in document["options"].items() if key not in options}
    document["options"] = kept | {key: value for key, value in options.items() if value is not None}
    finished.path(RUN).write_text(json.dumps(document))


def test_another_default_than_then_is_refused(finished):
    with_options(finished, wide=True)
    with pytest.raises(UserError, match="`model.wide` must stay as .* True. Received: .*=False"):
        finished.check(RUN, pipeline())
    finished.check(RUN, pipeline({"name": "dnn", "hidden_units": [8], "wide": True}))


def test_a_default_may_be_written_out(finished):
    finished.check(RUN, pipeline({"name": "dnn", "hidden_units": [8], "wide": False}))


def test_options_that_one_of_two_versions_does_not_have_are_not_compared(finished):
    with_options(finished, wide=None, earlier=3)
    finished.check(RUN, pipeline())


def test_an_option_that_came_later_has_the_value_of_runs_before_it(tmp_path):
    finished = FinishedRuns(tmp_path / "finished", features())
    model = {"name": "strong_pooling", "hidden_units": [8], "newest_events": 0}
    finished.write(RUN, pipeline(model), METRICS)
    with_options(finished, history_counts=None)
    message = "`model.history_counts` must stay as .* False. Received: .*=True"
    with pytest.raises(UserError, match=message):
        finished.check(RUN, pipeline(model))
    finished.check(RUN, pipeline({**model, "history_counts": False}))
    document = json.loads(finished.path(RUN).read_text())
    del document["options"]  # of an earlier version still
    finished.path(RUN).write_text(json.dumps(document))
    finished.check(RUN, pipeline({**model, "history_counts": False}))
    for changed in (model, {**model, "history_counts": True}):  # as a default, and written out
        with pytest.raises(UserError, match=message):
            finished.check(RUN, pipeline(changed))


def test_an_option_that_is_older_than_such_files_has_its_default_in_them(tmp_path):
    finished = FinishedRuns(tmp_path / "finished", features())
    model = {"name": "lmn_control"}
    finished.write(RUN, pipeline(model), METRICS)
    document = json.loads(finished.path(RUN).read_text())
    del document["options"]
    finished.path(RUN).write_text(json.dumps(document))
    finished.check(RUN, pipeline(model))
    message = "`model.memory_fields` must stay .*, None. Received: .*all"
    with pytest.raises(UserError, match=message):
        finished.check(RUN, pipeline({**model, "memory_fields": "all"}))


def test_files_without_options_are_those_of_rows_as_they_are_written(finished):
    document = json.loads(finished.path(RUN).read_text())
    del document["options"]
    finished.path(RUN).write_text(json.dumps(document))
    finished.check(RUN, pipeline())
    with pytest.raises(UserError, match="`model.wide` must stay as .* None. Received: .*=False"):
        finished.check(RUN, pipeline({"name": "dnn", "hidden_units": [8], "wide": False}))


def test_other_data_are_refused(finished, tmp_path):
    folder, paths = moved_market(tmp_path)
    file = sorted(folder.glob("test-*.parquet"))[0]
    shutil.copy(sorted(folder.glob("valid-*.parquet"))[0], file)
    with pytest.raises(UserError, match="`digest of data.test` must stay"):
        finished.check(RUN, pipeline(data=paths))


def write_weights(folder, text):
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / "model.keras", "w") as archive:
        archive.writestr("model.weights.h5", text)


def test_other_weights_of_a_warm_start_are_refused(finished, tmp_path):
    start = tmp_path / "start"
    warm = PipelineSpec.from_dict(pipeline().to_dict() | {"warm_start": {"run": str(start)}})
    finished.write(RUN, warm, METRICS)
    write_weights(start, "first")
    finished.check(RUN, warm)  # written where that run is not
    finished.write(RUN, warm, METRICS)
    finished.check(RUN, warm)
    write_weights(start, "trained again")
    with pytest.raises(UserError, match="`digest of data.warm_start` must stay"):
        finished.check(RUN, warm)
    shutil.rmtree(start)
    finished.check(RUN, warm)


def test_another_feature_spec_is_refused(finished):
    changed = FeatureSpec.from_dict(features().to_dict() | {"embedding_dim": 8})
    with pytest.raises(UserError, match="`digest of feature_spec` must stay"):
        FinishedRuns(finished.folder, changed).check(RUN, pipeline())


@pytest.mark.parametrize("text", ["[]", "{}", '{"finished_run_version": 2}'])
def test_a_file_of_something_else_is_refused(finished, text):
    finished.path(RUN).write_text(text)
    with pytest.raises(UserError, match="dnn-seed1.json: the file must hold what a run of a comp"):
        finished.check(RUN, pipeline())


def test_a_file_with_the_keys_of_a_later_version_is_refused_by_name(finished):
    document = json.loads(finished.path(RUN).read_text())
    document["pipeline"]["train"]["later"] = 1
    finished.path(RUN).write_text(json.dumps(document))
    with pytest.raises(UserError, match="dnn-seed1.json: unknown key `later`"):
        finished.check(RUN, pipeline())

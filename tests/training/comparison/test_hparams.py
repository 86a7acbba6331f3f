from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams import metadata, plugin_data_pb2

from lmn_tf.training.comparison.hparams import RunOptions, write_hparams


def read(run):
    events = EventAccumulator(str(run.folder / "tensorboard" / "hparams"))
    events.Reload()
    content = events.SummaryMetadata(metadata.SESSION_START_INFO_TAG).plugin_data.content
    start = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    options = {
        name: getattr(value, value.WhichOneof("kind")) for name, value in start.hparams.items()
    }
    return start.group_name, options, events


def test_options_that_differ_and_results(tmp_path):
    figures = {"auc": 0.75, "gauc": None, "memory": {"slots_used": 50.0}}
    metrics = {"train": {"steps": 9, "examples_per_second": 5.0}, "test": figures}
    runs = [
        RunOptions(
            tmp_path / label,
            {"label": label, "seed": 1, "trial": None, "units": [8], "deep": deep, "keys": keys},
            metrics if label == "a" else {**metrics, "valid": {"auc": 0.5}},
        )
        for label, deep, keys in (("a", True, None), ("b", False, 0.5))
    ]
    write_hparams(runs)
    write_hparams(runs)  # once more, as when a comparison is continued
    assert read(runs[0])[:2] == ("a", {"label": "a", "deep": True})
    assert read(runs[1])[:2] == ("b", {"label": "b", "deep": False, "keys": 0.5})
    *_, events = read(runs[0])
    assert len(list((runs[0].folder / "tensorboard" / "hparams").iterdir())) == 1
    found = {
        tag: [(e.step, e.value) for e in events.Scalars(tag)] for tag in events.Tags()["scalars"]
    }
    assert found == {
        "test/auc": [(9, 0.75)],
        "test/slots_used": [(9, 50.0)],
        "train/examples_per_second": [(9, 5.0)],
    }
    content = events.SummaryMetadata(metadata.SESSION_END_INFO_TAG).plugin_data.content
    end = plugin_data_pb2.HParamsPluginData.FromString(content).session_end_info
    assert end.status == 1


def test_without_a_test_set_the_validation_set_counts(tmp_path):
    metrics = {"train": {"steps": 9, "examples_per_second": 5.0}, "valid": {"auc": 0.5}}
    run = RunOptions(tmp_path / "a", {"seed": 1}, metrics)
    write_hparams([run])
    _, options, events = read(run)
    assert options == {} and events.Scalars("valid/auc")[0].value == 0.5

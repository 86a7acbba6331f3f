"""Runs of a comparison in the HParams dashboard of TensorBoard."""

import shutil
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from lmn_tf.metrics.descriptions import describe
from lmn_tf.metrics.figures import QUALITY, SLOTS

_FILE = "events.out.tfevents.0.hparams.v2"  # by its name TensorBoard knows a file of events


class RunOptions(NamedTuple):
    """A finished run of a comparison.

    Attributes:
        folder: Run directory.
        options: Dictionary from the name of an option to its value.
        metrics: Content of `metrics.json`.
    """

    folder: Path
    options: dict
    metrics: dict


def write_hparams(runs: Sequence[RunOptions]) -> None:
    """Writes options and results of runs for the HParams dashboard, without TensorFlow.

    Each run gets the folder `tensorboard/hparams`, which replaces an earlier one. Options with the
    same value in all runs are left out.

    Args:
        runs: The finished runs.
    """
    names = sorted({name for run in runs for name in run.options})
    names = [name for name in names if len({_plain(run.options.get(name)) for run in runs}) > 1]
    for run in runs:
        options = {name: run.options[name] for name in names if run.options.get(name) is not None}
        _write(run, {name: _plain(value) for name, value in options.items()})


def flat_options(document: Mapping, prefix: str = "") -> dict:
    """Returns the options of a pipeline by their path.

    Args:
        document: Nested mappings.
        prefix: String before the names. Defaults to `""`.

    Example:

    >>> flat_options({"model": {"name": "lmn", "hidden_units": [8, 4]}})
    {'model.name': 'lmn', 'model.hidden_units': [8, 4]}
    """
    options = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            options |= flat_options(value, f"{prefix}{key}.")
        else:
            options[f"{prefix}{key}"] = value
    return options


def _write(run, options) -> None:
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.record_writer import RecordWriter

    folder = run.folder / "tensorboard" / "hparams"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    now, step = time.time(), run.metrics["train"].get("steps", 0)
    with open(folder / _FILE, "wb") as file:
        writer = RecordWriter(file)
        writer.write(Event(wall_time=now, file_version="brain.Event:2").SerializeToString())
        for value in (*_session(run, options, now), *_scalars(run.metrics)):
            event = Event(wall_time=now, step=step, summary=Summary(value=[value]))
            writer.write(event.SerializeToString())


def _session(run, options, now) -> Iterator:
    """Yields the values of which the dashboard makes one row."""
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.plugins.hparams import api_pb2, metadata, plugin_data_pb2

    start = plugin_data_pb2.SessionStartInfo(group_name=run.folder.name, start_time_secs=now)
    for name, value in options.items():
        kind = "bool_value" if isinstance(value, bool) else "number_value"
        setattr(start.hparams[name], "string_value" if isinstance(value, str) else kind, value)
    end = plugin_data_pb2.SessionEndInfo(status=api_pb2.STATUS_SUCCESS, end_time_secs=now)
    for tag, data in (
        (metadata.SESSION_START_INFO_TAG, {"session_start_info": start}),
        (metadata.SESSION_END_INFO_TAG, {"session_end_info": end}),
    ):
        note = metadata.create_summary_metadata(plugin_data_pb2.HParamsPluginData(**data))
        yield Summary.Value(tag=tag, metadata=note, tensor=metadata.NULL_TENSOR)


def _scalars(metrics) -> Iterator:
    from tensorboard.compat.proto.summary_pb2 import Summary, SummaryMetadata

    part = "test" if "test" in metrics else "valid"
    figures = metrics.get(part, {})
    found = {figure.name: figures.get(figure.name) for figure in QUALITY}
    found |= {figure.name: (figures.get("memory") or {}).get(figure.name) for figure in SLOTS}
    found = {f"{part}/{name}": value for name, value in found.items() if value is not None}
    if "examples_per_second" in metrics["train"]:  # a run without a network has none
        found["train/examples_per_second"] = metrics["train"]["examples_per_second"]
    for tag, value in found.items():
        note = SummaryMetadata(summary_description=describe(tag))
        yield Summary.Value(tag=tag, simple_value=value, metadata=note)


def _plain(value):
    """Returns a value as the dashboard shows it: a number, a boolean or text."""
    return value if isinstance(value, bool | int | float | str) else str(value)

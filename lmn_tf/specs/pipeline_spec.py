"""Spec of a run: data, model and training."""

import datetime
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic

from lmn_tf.specs.delimiter import Delimiter
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.parts.metric import MetricRules
from lmn_tf.specs.pipeline_base import inherited
from lmn_tf.specs.train import Train
from lmn_tf.specs.yaml import overrides
from lmn_tf.specs.yaml.document import Document
from lmn_tf.specs.yaml.section import (
    Count,
    Date,
    Flag,
    Options,
    PathText,
    Positive,
    PositiveNumber,
    Problem,
    Text,
    Version,
    path_beside,
    section,
)
from lmn_tf.specs.yaml.strict_yaml import Marks

MARK = "{day}"
_MOST_DAYS = 36_525  # a century


@section
class Days:
    """Days that a run trains on in order, once each.

    Args:
        first: First day, such as `2024-01-31`.
        last: Last day.
        format: Format of `{day}` in `data.train`, with the codes of `strftime`. Defaults to
            `"%Y-%m-%d"`.
        missing: Treatment of days without files: `"error"` or `"skip"`. Defaults to `"error"`.
        vocabularies: `"first_day"`: learned once, from the first day; or `"grow"`: before training
            on a day, its new values get rows. Defaults to `"first_day"`.

    Example:

    >>> Days(first="2024-02-29", last="2024-03-01", format="%m%d").paths("logs/{day}/*.csv")
    {'2024-02-29': 'logs/0229/*.csv', '2024-03-01': 'logs/0301/*.csv'}
    """

    first: Date
    last: Date
    format: Text = "%Y-%m-%d"
    missing: Literal["error", "skip"] = "error"
    vocabularies: Literal["first_day", "grow"] = "first_day"

    @pydantic.model_validator(mode="after")
    def _check(self):
        first, last = (_date(key, getattr(self, key)) for key in ("first", "last"))
        if last < first:
            raise Problem(
                ("last",), f"`last` must not be before `first`, {first}. Received: last={last}"
            )
        if (last - first).days >= _MOST_DAYS:
            raise Problem(
                ("last",),
                f"`last` must be less than {_MOST_DAYS:,} days after `first`, {first}. "
                f"Received: last={last}",
            )
        if first.strftime(self.format) == (first + datetime.timedelta(1)).strftime(self.format):
            raise Problem(
                ("format",),
                "`format` must write each day differently, as '%Y-%m-%d' does. "
                f"Received: format={short(self.format)}",
            )
        return self

    def paths(self, pattern: str) -> dict[str, str]:
        """Returns the pattern of each day's files, by day (such as `2024-01-31`), in order."""
        first, last = (datetime.date.fromisoformat(day) for day in (self.first, self.last))
        days = [first + datetime.timedelta(n) for n in range((last - first).days + 1)]
        return {str(day): pattern.replace(MARK, day.strftime(self.format)) for day in days}


def _date(key, text):
    try:
        return datetime.date.fromisoformat(text)
    except ValueError:
        raise Problem((key,), f"`{key}` must be a day there is. Received: {key}={text}") from None


def check_rows(rows: Any) -> Any:
    """Returns `rows` if it is a number of rows, or a share of all rows such as `"10%"`.

    Raises:
        Problem: If it is neither.
    """
    share = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)%", rows) if isinstance(rows, str) else None
    is_count = isinstance(rows, int) and not isinstance(rows, bool) and 1 <= rows < 2**63
    if not is_count and not (share and 0 < float(share[1]) <= 100):
        raise Problem(
            (), f"must be at least 1, or a share of all rows such as '10%'. Received: {short(rows)}"
        )
    return rows


Rows = Annotated[
    Annotated[int, pydantic.Field(strict=True)] | Text,
    pydantic.AfterValidator(check_rows),
    pydantic.Field(
        json_schema_extra={
            "anyOf": [
                {"type": "integer", "minimum": 1},
                {"type": "string", "pattern": r"^[0-9]+(\.[0-9]+)?%$"},
            ]
        }
    ),
]


@section
class PipelineData:
    """Data files of a run, and sizes of its batches.

    Args:
        train: Glob of training files, relative to the current folder. With `days`, `{day}` is
            replaced by the day.
        days: `Days`, to evaluate each day and then train on it. Defaults to `None`.
        valid: Glob of validation files. Defaults to `None`.
        test: Glob of test files. Defaults to `None`.
        delimiter: String. Delimiter of CSV files. Defaults to `None`: a tab in files whose name
            ends in `.tsv`, else a comma.
        batch_size: Integer. Rows per training step. Defaults to `512`.
        eval_batch_size: Integer. Rows per batch of an evaluation. Defaults to `4096`.
        shuffle_buffer: Integer. Number of rows shuffled together. Defaults to `100_000`.
        rows_per_group: Integer. Number of rows of one user that stay together when training rows
            are shuffled, gathered from `shuffle_buffer` rows. With histories by reference they
            share their events, which are read and computed once: with 16, a step takes a fraction
            of the time. The rows of a batch are less independent of each other, so small batches
            of few users have noisier gradients; see `make_dataset`. Defaults to `1`: each row is
            shuffled by itself.
        synthetic: Mapping of arguments of the synthetic market, which is generated in `directory`
            if missing. Defaults to `None`.
        directory: Folder of the generated data. Defaults to `None`.
        train_rows: Integer, or text such as `10%`. Number or share of the rows to train on; with
            `days`, of each day. Defaults to `None`: all.
        draw_rows: Boolean. Whether `train_rows` are drawn at random by `train.seed`, instead of the
            first ones. Fewer rows are part of more rows of the same seed. Defaults to `False`.
        eval_rows: Integer. Number of first rows to evaluate. Defaults to `None`: all.
    """

    train: PathText
    days: Days | None = None
    valid: PathText | None = None
    test: PathText | None = None
    delimiter: Delimiter | None = None
    batch_size: Count = 512
    eval_batch_size: Count = 4096
    shuffle_buffer: Positive = 100_000
    rows_per_group: Positive = 1
    synthetic: Options | None = None
    directory: PathText | None = None
    train_rows: Rows | None = None
    draw_rows: Flag = False
    eval_rows: Positive | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.synthetic is not None and self.directory is None:
            raise Problem(
                ("synthetic",), "`directory` must be given with `synthetic`. Received: nothing"
            )
        if self.draw_rows and self.train_rows is None:
            raise Problem(
                ("draw_rows",), "`train_rows` must be given with `draw_rows`. Received: nothing"
            )
        if self.days is None and MARK in self.train:
            raise Problem(
                ("train",), f"`days` must be given for `{MARK}` in `train`. Received: nothing"
            )
        if self.days is not None and MARK not in self.train:
            raise Problem(
                ("train",),
                f"`train` must name the day as `{MARK}`, with `days`. Received: train={self.train}",
            )
        if self.days is not None and self.valid is not None:
            raise Problem(
                ("valid",),
                "`valid` must not be given with `days`: each day is evaluated before it is trained "
                f"on. Received: valid={self.valid}",
            )
        return self


def _refuse_multi_worker(strategy):
    if strategy == "multi_worker":
        raise Problem(
            (),
            "must be parameter_server to train on several machines, or mirrored for several "
            "devices of one; in Python, `model.fit` takes a MultiWorkerMirroredStrategy. "
            "Received: strategy='multi_worker'",
        )
    return strategy


@section
class Distribute:
    """Devices and machines of a run.

    Args:
        strategy: `"none"`, `"mirrored"` or `"parameter_server"`. Defaults to `"none"`.
        replicas: Integer. For `mirrored`, number of devices of this machine: GPUs or, without GPUs,
            parts of the CPU. Each trains on its share of a batch. Defaults to `None`: all GPUs.
        steps_in_flight: Integer. On parameter servers, largest number of steps that are scheduled
            on workers at a time. Defaults to `None`: twice the number of workers.
        hang_seconds: Float. On parameter servers, number of seconds without a finished step after
            which unresponsive processes are reported; `lmn-tf launch` restarts a worker that has
            not responded for that long. Defaults to `60.0`.
    """

    strategy: Annotated[
        Literal["none", "mirrored", "parameter_server"],
        pydantic.BeforeValidator(_refuse_multi_worker),
    ] = "none"
    replicas: Positive | None = None
    steps_in_flight: Positive | None = None
    hang_seconds: PositiveNumber = 60.0


@section
class WarmStart:
    """Start of a run with the weights of another run of the same model.

    Args:
        run: Folder of the other run, relative to the current folder.
        opening_steps: Integer. Number of training steps over which the new keys of a larger memory
            are opened one by one. Defaults to `None`: half of the run's steps.
        row_state: Boolean. Whether to keep the row state of row-wise optimizers. Defaults to
            `True`.
    """

    run: PathText
    opening_steps: Positive | None = None
    row_state: Flag = True


def check_model(model: Mapping[str, Any], path: tuple[str | int, ...] = ("model",)) -> None:
    """Raises `Problem` unless `model` has a name; the registry checks name and options."""
    name = model.get("name")
    if name is None:
        raise Problem(path, "`name` must be given in `model`. Received: nothing")
    if not isinstance(name, str) or not name:
        raise Problem((*path, "name"), f"`name` must be text. Received: name={short(name)}")


@section
class PipelineSpec(Document):
    """A run from data to a trained model.

    A file with a `base` inherits the keys of that pipeline and overrides some of them. Mappings are
    merged key by key, except that another model, optimizer or kind of generated data replaces the
    previous one with all of its options. Other values are replaced, including lists as a whole;
    `null` unsets an optional key. A base may have a base.

    Args:
        pipeline_version: `1`.
        base: Path of another pipeline, relative to this file. Defaults to `None`; a spec that was
            read has inherited all keys and has no base.
        feature_spec: Path of the feature spec, relative to this file.
        data: `PipelineData`.
        model: Mapping with the model's `name` and its options. A model of your own is named by
            `module:Class`, or by an entry point of its package.
        train: `Train`.
        metrics: Tuple of names of metrics of your own, or of mappings from a name to arguments, for
            evaluations. Defaults to `()`: only those that are computed in any case.
        warm_start: `WarmStart`. Defaults to `None`: random initial weights.
        distribute: `Distribute`.
        run_dir: Folder of the run's files, relative to the current folder.

    `${NAME}` and `${NAME:-default}` in paths are replaced by environment variables when the file is
    read.
    """

    pipeline_version: Version
    base: PathText | None = None
    feature_spec: PathText
    data: PipelineData
    model: Options
    train: Train = pydantic.Field(default_factory=Train)
    metrics: MetricRules = ()
    warm_start: WarmStart | None = None
    distribute: Distribute = pydantic.Field(default_factory=Distribute)
    run_dir: PathText

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_model(self.model)
        if self.base is not None:
            raise Problem(
                ("base",),
                "`base` must be in the file of a pipeline, with the path of another one. "
                f"Received: base={short(self.base)}",
            )
        if self.data.days is not None and self.train.epochs != 1:
            raise Problem(
                ("train", "epochs"),
                "`train.epochs` must be 1 with `data.days`: each day is trained on once. "
                f"Received: epochs={self.train.epochs}",
            )
        if self.train.early_stopping is not None and self.data.valid is None:
            raise Problem(
                ("train", "early_stopping"),
                "`data.valid` must be given for `train.early_stopping`. Received: nothing",
            )
        if self.train.fresh_tables:
            self._check_fresh_tables()
        return self

    def _check_fresh_tables(self):
        conflicts = {
            "with `data.days`, each of which is trained on once": self.data.days,
            "with one epoch: tables start anew with later ones": self.train.epochs == 1,
            "with `warm_start`, whose tables would be lost after one epoch": self.warm_start,
            "with `train.schedule`, as optimizers of tables count their steps anew in each epoch": (
                self.train.schedule
            ),
            "on parameter servers": self.distribute.strategy == "parameter_server",
        }
        for conflict, is_given in conflicts.items():
            if is_given:
                raise Problem(
                    ("train", "fresh_tables"),
                    f"`train.fresh_tables` must be false {conflict}. Received: fresh_tables=True",
                )

    @classmethod
    def from_dict(
        cls,
        data: Any,
        base_dir: str | os.PathLike = ".",
        file: str | os.PathLike | None = None,
        marks: Marks | None = None,
    ) -> "PipelineSpec":
        """Creates the spec from the result of `to_dict`, or from data with a `base`."""
        data, marks = inherited(data, base_dir, file, marks)
        return super().from_dict(data, base_dir, file, marks)

    def with_overrides(self, settings: Sequence[str]) -> "PipelineSpec":
        """Returns the spec with some values replaced.

        Args:
            settings: Sequence of `"train.epochs=2"`; values are read as YAML.

        Raises:
            UserError: If a key is unknown or a value is invalid.
        """
        paths = overrides.paths(settings)
        if ("base",) in paths:
            raise UserError(
                f"`--set {settings[paths.index(('base',))]}`: `base` must be in the file of a "
                "pipeline. Train with that file, and set the values that differ."
            )
        data = overrides.apply(self.to_dict(), settings, PipelineSpec)
        spec = overrides.explained(
            settings, lambda: PipelineSpec.from_dict(data, base_dir=self.base_dir)
        )
        file, marks = self.source
        return spec.with_source(self.base_dir, file, marks and marks.without(paths))

    @property
    def feature_spec_path(self) -> pathlib.Path:
        """Path of the feature spec from the current folder."""
        return path_beside(self.base_dir, self.feature_spec)

    def load_feature_spec(self) -> FeatureSpec:
        """Returns the `FeatureSpec` of the pipeline, without learned assets.

        Its delimiter is that of the pipeline.
        """
        spec = FeatureSpec.load(self.feature_spec_path, learned=False)
        spec.assets.delimiter = self.data.delimiter
        return spec

    def check_features(self, features: FeatureSpec) -> None:
        """Raises `UserError` if the `FeatureSpec` lacks what the run needs."""
        stopping = self.train.early_stopping
        if stopping is not None and stopping.monitor == "gauc" and features.group is None:
            raise UserError(
                "`train.early_stopping.monitor` must be auc or logloss where the feature spec names"
                " no `group`. Received: monitor='gauc'"
            )

    @property
    def model_name(self) -> str:
        """Name of the model in the registry."""
        return self.model["name"]

    @property
    def model_options(self) -> dict[str, Any]:
        """Options of the model, without its name."""
        return {key: value for key, value in self.model.items() if key != "name"}

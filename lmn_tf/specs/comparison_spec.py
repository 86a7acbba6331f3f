"""Spec of a comparison: several models on one dataset."""

import dataclasses
import pathlib
import random
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

import pydantic

from lmn_tf.specs import grid as grids
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.grid import ROWS, Grid, Vary
from lmn_tf.specs.pipeline_spec import PipelineSpec, check_model
from lmn_tf.specs.yaml import overrides
from lmn_tf.specs.yaml.document import Document
from lmn_tf.specs.yaml.section import (
    Count,
    Flag,
    Options,
    PathText,
    Positive,
    Problem,
    Text,
    Version,
    path_beside,
    section,
)

Seed = Annotated[int, pydantic.Field(strict=True, ge=0, le=2**32 - 1)]


@section
class TrainingBatches:
    """How the batches of a row of the table are made, where that differs from the pipeline.

    All rows are trained and tested on the same data, so nothing else of `data` may differ.

    Args:
        batch_size: Integer. As of the pipeline's `data`. Defaults to `None`: the pipeline's.
        rows_per_group: Integer. Likewise. Defaults to `None`: the pipeline's.
        shuffle_buffer: Integer. Likewise. Defaults to `None`: the pipeline's.
    """

    batch_size: Count | None = None
    rows_per_group: Positive | None = None
    shuffle_buffer: Positive | None = None


@section
class ComparisonModel:
    """A row of the table of a comparison.

    Args:
        label: String. Label of the row.
        model: Mapping with the model's `name` and its options, which replaces that of the pipeline.
        train: Mapping merged into the pipeline's `train`, like that of a pipeline into its `base`.
            Defaults to none.
        data: `TrainingBatches`. Defaults to the batches of the pipeline.
        grid: Mapping from `train.KEY` or `model.OPTION` to a list of values, merged into the grid
            of the `search`. Defaults to none.
    """

    label: Text
    model: Options
    train: Options = pydantic.Field(default_factory=dict)
    data: TrainingBatches = TrainingBatches()
    grid: Grid = pydantic.Field(default_factory=dict)


@section
class Search:
    """A random search over a grid, with the same number of trials for every network.

    Each network gets exactly `trials` different configurations, drawn from the product of its grid:
    the applicable keys of the search's grid, and its own `grid`. They are trained with `seed` and
    compared on the validation set only; the test set is not read. The best configuration is then
    trained with every seed of the comparison and tested once. The grid of a network with fewer than
    `trials` configurations is refused, since the budgets would not be equal. A row without a
    network, which has few options, then has all configurations of its grid.

    A trial is scored by its last epoch, or by the best one with `train.early_stopping`. In the
    latter case, use a `patience` of 2 or more: the validation set is evaluated after whole epochs,
    a single bad epoch is common, and a patience of 1 stops some models too early.

    Args:
        trials: Integer. Number of configurations of each network, and the most of other rows.
        seed: Integer in `[0, 2**32)`. Seed to draw the configurations and to train them. Defaults
            to `1`.
        monitor: `"auc"`, `"gauc"` or `"logloss"` of the validation set. Defaults to `"auc"`.
        grid: Mapping from `train.KEY` or `model.OPTION` to a list of values. An option applies to
            the models that have it. Defaults to none.
    """

    trials: Positive
    seed: Seed = 1
    monitor: Literal["auc", "gauc", "logloss"] = "auc"
    grid: Grid = pydantic.Field(default_factory=dict)

    def draw(self, grid: Mapping[str, Sequence[Any]]) -> list[dict[str, Any]]:
        """Returns `trials` different configurations of `grid`, the same for the same seed.

        More trials begin with those of fewer. The order of the keys does not matter, that of the
        values does.

        Args:
            grid: Mapping from key to values, of `trials` configurations or more.

        Raises:
            ValueError: when the grid is smaller.

        Example:

        >>> Search(trials=2).draw({"model.dropout": (0, 0.1, 0.2)})
        [{'model.dropout': 0}, {'model.dropout': 0.2}]
        """
        grid = dict(sorted(grid.items()))
        count = grids.size(grid)
        if count < self.trials:
            raise ValueError(
                f"`grid` must have {self.trials} configurations or more. Received: {count}"
            )
        # Only `random()` is guaranteed to return the same numbers in every version of Python.
        generator = random.Random(self.seed)
        moved, drawn = {}, []
        for index in range(self.trials):
            other = index + int(generator.random() * (count - index))
            drawn.append(moved.get(other, other))
            moved[other] = moved.get(index, index)
        return [grids.configuration(grid, number) for number in drawn]


@section
class ComparisonSpec(Document):
    """Comparison of several models on one dataset, each trained with several seeds.

    Args:
        comparison_version: `1`.
        name: String. Title of the table.
        pipeline: Path of the pipeline on which all runs are based, relative to this file.
        models: Tuple of `ComparisonModel`.
        seeds: Tuple of integers. Defaults to `(1,)`.
        output: Folder for runs, relative to the current folder.
        results: Folder for tables and for a file of each finished run, relative to the current
            folder. Where it is committed, the comparison goes on from these files on another
            machine. Defaults to `None`: `output`.
        base: Label of the model that others are compared with. Defaults to `None`: the first.
        search: `Search`. Defaults to `None`: models are trained with the given options.
        vary: Mapping from `data.train_rows`, `model.OPTION` or `train.KEY` to a list of values, for
            a learning curve: each model that has the option is trained with each value, and the
            table is that of the last one. Training rows are drawn by the seed, and fewer are part
            of more. Defaults to `None`.
        diagnostics: Boolean. Whether to diagnose what models owe to their memories, and to rows of
            known pairs: the test set is evaluated three times for models with a memory, and the
            training rows are read once more for all. Defaults to `True`.
        keep_runs: Boolean. Whether the run directory of a run stays when its file is in `results`.
            Without it, tables with millions of rows do not fill the disk, and TensorBoard has
            nothing to show. Defaults to `True`.
    """

    comparison_version: Version
    name: Text
    pipeline: PathText
    models: Annotated[tuple[ComparisonModel, ...], pydantic.Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], pydantic.Field(min_length=1)] = (1,)
    output: PathText
    results: PathText | None = None
    base: Text | None = None
    search: Search | None = None
    vary: Vary | None = None
    diagnostics: Flag = True
    keep_runs: Flag = True

    @pydantic.model_validator(mode="after")
    def _check(self):
        labels = {}
        for index, entry in enumerate(self.models):
            if labels.setdefault(entry.label, index) != index:
                raise Problem(
                    ("models", index, "label"),
                    f"labels of models must differ. Received: {entry.label!r} twice",
                )
            check_model(entry.model, ("models", index, "model"))
            if entry.grid and self.search is None:
                raise Problem(
                    ("models", index, "grid"),
                    "`search` must be given for the `grid` of a model. Received: nothing",
                )
        if self.vary is not None and self.search is not None:
            raise Problem(("vary",), "`search` must not be given with `vary`. Received: both")
        first = {}
        for index, seed in enumerate(self.seeds):
            if first.setdefault(seed, index) != index:
                raise Problem(("seeds", index), f"`seeds` must not repeat. Received: {seed} twice")
        if self.base is not None and self.base not in labels:
            raise Problem(
                ("base",),
                f"`base` must be a model's label. Received: base={self.base!r}."
                f"{did_you_mean(self.base, labels)}",
            )
        return self

    @property
    def base_label(self) -> str:
        """Label of the model that others are compared with."""
        return self.base if self.base is not None else self.models[0].label

    @property
    def varied(self) -> tuple[str | None, tuple[Any, ...]]:
        """Key of `vary` and its values; `(None, ())` without one."""
        return next(iter(self.vary.items())) if self.vary else (None, ())

    @property
    def pipeline_path(self) -> pathlib.Path:
        """Path of the base pipeline from the current folder."""
        return path_beside(self.base_dir, self.pipeline)

    def load_pipeline(self) -> PipelineSpec:
        """Returns the `PipelineSpec` on which all runs are based."""
        return PipelineSpec.load(self.pipeline_path)

    def run_pipeline(
        self,
        label: str,
        seed: int | None = None,
        base: PipelineSpec | None = None,
        configuration: Mapping[str, Any] | None = None,
    ) -> PipelineSpec:
        """Returns the `PipelineSpec` of one model and seed.

        Args:
            label: Label of one of `models`.
            seed: Integer. Defaults to `None`: the pipeline's.
            base: `PipelineSpec` of the base. Defaults to `None`: `load_pipeline()`.
            configuration: Mapping from `train.KEY` or `model.OPTION` to the value of a trial, or
                from the key of `vary` to one of its values. Defaults to `None`.

        Raises:
            UserError: If the model's `train` or the configuration is invalid.
        """
        labels = [entry.label for entry in self.models]
        if label not in labels:
            raise KeyError(f"`{label}` must be a model's label.{did_you_mean(label, labels)}")
        index = labels.index(label)
        base = base if base is not None else self.load_pipeline()
        data = base.to_dict()
        data["model"] = dict(self.models[index].model)
        data["train"] = overrides.merge(data["train"], self.models[index].train, ("train",))
        batches = dataclasses.asdict(self.models[index].data)
        data["data"].update((key, value) for key, value in batches.items() if value is not None)
        if seed is not None:
            data["train"]["seed"] = seed
        try:
            for key, value in (configuration or {}).items():
                data["data"]["draw_rows"] |= key == ROWS
                overrides.write(data, key.split("."), value, PipelineSpec, source="grid: ")
            return PipelineSpec.from_dict(data, base_dir=base.base_dir)
        except UserError as error:
            file, marks = self.source
            line = None if marks is None else marks.line(("models", index, "train"))
            raise UserError(f"model `{label}`: {error.message}", file, line) from None

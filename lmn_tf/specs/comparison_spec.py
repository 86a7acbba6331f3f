"""The spec of a comparison: several models on one data set."""

from typing import Annotated

import pydantic

from lmn_tf.specs import overrides
from lmn_tf.specs.comparison_model import ComparisonModel
from lmn_tf.specs.document import Document
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.pipeline_spec import PipelineSpec, check_model
from lmn_tf.specs.search import Search
from lmn_tf.specs.section import PathText, Problem, Text, Version, path_beside, section

Seed = Annotated[int, pydantic.Field(strict=True, ge=0, le=2**32 - 1)]


@section
class ComparisonSpec(Document):
    """Several models on one data set, each trained with several seeds.

    Args:
        comparison_version: `1`.
        name: String. Title of the table.
        pipeline: Path of the pipeline that all runs start from, relative to this file.
        models: Tuple of `ComparisonModel`.
        seeds: Tuple of integers. Defaults to `(1,)`.
        output: Folder for runs and tables, relative to the current folder.
        base: Label that the others are compared with. Defaults to `None`: the first.
        search: `Search`. Defaults to `None`: every model is trained as it is written.
    """

    comparison_version: Version
    name: Text
    pipeline: PathText
    models: Annotated[tuple[ComparisonModel, ...], pydantic.Field(min_length=1)]
    seeds: Annotated[tuple[Seed, ...], pydantic.Field(min_length=1)] = (1,)
    output: PathText
    base: Text | None = None
    search: Search | None = None

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
    def base_label(self):
        """Label of the model that the others are compared with."""
        return self.base if self.base is not None else self.models[0].label

    @property
    def pipeline_path(self):
        """Path of the base pipeline from the current folder."""
        return path_beside(self.base_dir, self.pipeline)

    def load_pipeline(self):
        """Returns the `PipelineSpec` that all runs start from."""
        return PipelineSpec.load(self.pipeline_path)

    def run_pipeline(self, label, seed=None, base=None, configuration=None):
        """Returns the `PipelineSpec` of one model and seed.

        Args:
            label: Label of one of `models`.
            seed: Integer. Defaults to `None`: the pipeline's.
            base: `PipelineSpec` to start from. Defaults to `None`: `load_pipeline()`.
            configuration: Mapping from `train.KEY` or `model.OPTION` to the value that the search
                chose. Defaults to `None`.

        Raises:
            UserError: when the model's `train` or the configuration breaks a rule of the
                pipeline's.
        """
        labels = [entry.label for entry in self.models]
        if label not in labels:
            raise KeyError(f"`{label}` must be a model's label.{did_you_mean(label, labels)}")
        index = labels.index(label)
        base = base if base is not None else self.load_pipeline()
        data = base.to_dict()
        data["model"] = dict(self.models[index].model)
        data["train"] = overrides.merge(data["train"], self.models[index].train, ("train",))
        if seed is not None:
            data["train"]["seed"] = seed
        try:
            for key, value in (configuration or {}).items():
                overrides.write(data, key.split("."), value, PipelineSpec, source="grid: ")
            return PipelineSpec.from_dict(data, base_dir=base.base_dir)
        except UserError as error:
            file, marks = self.place
            line = None if marks is None else marks.line(("models", index, "train"))
            raise UserError(f"model `{label}`: {error.message}", file, line) from None

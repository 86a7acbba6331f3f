"""The spec of a run: data, model, training."""

import pydantic

from lmn_tf.specs import overrides
from lmn_tf.specs.distribute import Distribute
from lmn_tf.specs.document import Document
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_base import inherited
from lmn_tf.specs.pipeline_data import PipelineData
from lmn_tf.specs.section import Options, PathText, Problem, Version, path_beside, section
from lmn_tf.specs.train import Train
from lmn_tf.specs.warm_start import WarmStart


def check_model(model, path=("model",)):
    """Raises `Problem` unless `model` names a model; its options are the registry's to check."""
    name = model.get("name")
    if name is None:
        raise Problem(path, "`name` must be given in `model`. Received: nothing")
    if not isinstance(name, str) or not name:
        raise Problem((*path, "name"), f"`name` must be text. Received: name={short(name)}")


@section
class PipelineSpec(Document):
    """A run from data to a trained model.

    A file with a `base` takes over the keys of that other pipeline and writes its own over them.
    Mappings are merged key by key, but a model, an optimizer or a kind of generated data by another
    one is replaced with all of its options. All else is replaced: lists as a whole, and a value by
    `null`, which stands for nothing given where a key allows that. A base may have a base.

    Args:
        pipeline_version: `1`.
        base: Path of another pipeline, relative to this file. A spec that was read has taken over
            its keys and has none. Defaults to `None`.
        feature_spec: Path of the feature spec, relative to this file.
        data: `PipelineData`.
        model: Mapping with the model's `name` and its options.
        train: `Train`.
        warm_start: `WarmStart`. Defaults to `None`: the run starts with random weights.
        distribute: `Distribute`.
        run_dir: Folder for all that the run writes, relative to the current folder.

    `${NAME}` and `${NAME:-default}` in paths are taken from the environment when the file is read.
    """

    pipeline_version: Version
    base: PathText | None = None
    feature_spec: PathText
    data: PipelineData
    model: Options
    train: Train = pydantic.Field(default_factory=Train)
    warm_start: WarmStart | None = None
    distribute: Distribute = pydantic.Field(default_factory=Distribute)
    run_dir: PathText

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_model(self.model)
        if self.base is not None:
            raise Problem(
                ("base",),
                "`base` must stand in the file of a pipeline, with the path of another one. "
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
        return self

    @classmethod
    def from_dict(cls, data, base_dir=".", file=None, marks=None):
        """Returns the spec that `to_dict` gave, or that of data with a `base`."""
        data, marks = inherited(data, base_dir, file, marks)
        return super().from_dict(data, base_dir, file, marks)

    def with_overrides(self, settings):
        """Returns the spec with some values replaced.

        Args:
            settings: Sequence of `"train.epochs=2"`; values are read as YAML.

        Raises:
            UserError: when a key is unknown (with the nearest one) or a value breaks its rule.
        """
        paths = overrides.paths(settings)
        if ("base",) in paths:
            raise UserError(
                f"`--set {settings[paths.index(('base',))]}`: `base` must stand in the file of a "
                "pipeline. Train with that file, and set the values that differ."
            )
        data = overrides.apply(self.to_dict(), settings, PipelineSpec)
        spec = overrides.explained(
            settings, lambda: PipelineSpec.from_dict(data, base_dir=self.base_dir)
        )
        file, marks = self.place
        if marks is not None:
            spec.__dict__["_place"] = file, marks.without(paths)
        return spec

    @property
    def feature_spec_path(self):
        """Path of the feature spec from the current folder."""
        return path_beside(self.base_dir, self.feature_spec)

    def load_feature_spec(self):
        """Returns the `FeatureSpec` that the pipeline names, with all of it still to be learned.

        It is told how the pipeline's data are delimited.
        """
        spec = FeatureSpec.load(self.feature_spec_path, learned=False)
        spec.assets.delimiter = self.data.delimiter
        return spec

    def check_features(self, features):
        """Raises `UserError` when the run needs what the `FeatureSpec` does not have."""
        stopping = self.train.early_stopping
        if stopping is not None and stopping.monitor == "gauc" and features.group is None:
            raise UserError(
                "`train.early_stopping.monitor` must be auc or logloss where the feature spec names"
                " no `group`. Received: monitor='gauc'"
            )

    @property
    def model_name(self):
        """Name of the model in the registry."""
        return self.model["name"]

    @property
    def model_options(self):
        """Options of the model, without its name."""
        return {key: value for key, value in self.model.items() if key != "name"}

"""Files of what the finished runs of a comparison measured."""

import hashlib
import importlib.metadata
import json
import os
import platform
from pathlib import Path
from typing import Any

from lmn_tf import atomic_files
from lmn_tf.data.reading.checksum import file_digest
from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.assets import read_json
from lmn_tf.specs.learned.spec_folder import resolved_spec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.comparison.comparison_run import ComparisonRun
from lmn_tf.training.saving.data_notes import content_digests
from lmn_tf.training.saving.resolved_pipeline import (
    FREE_KEYS,
    PATH_KEYS,
    difference,
    resolved_pipeline,
)
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.saving.weights_digest import weights_digest
from lmn_tf.version import __version__

_VERSION = 1
# Digests of the data: of the values, or, in earlier files, of the bytes.
_VALUES, _BYTES = "values", "data"
_PACKAGES = ("tensorflow", "keras", "numpy")
# Options with an implied value, for older models, that are older than these files.
_OLDER = ("memory_fields",)


class FinishedRuns:
    """Files of what the finished runs of a comparison measured, one for each.

    A file is small, can be committed, and replaces the run directory where the comparison goes on
    elsewhere. It holds the run's metrics, and all that they depend on: the pipeline with model and
    seed, and digests of the feature spec, of the values of the data and of the weights of a warm
    start. A file counts for a run only if these are the same. Options of the model are those with
    all defaults, as they were then and are now; one that came later has the value that the model
    had before it. Where the data are, and what does not change results, may differ. Data that are
    not there are not compared. Versions of packages are noted, and not compared.

    Args:
        folder: Path of the folder.
        features: The `FeatureSpec` of the comparison, without learned assets.
    """

    def __init__(self, folder: str | os.PathLike, features: FeatureSpec) -> None:
        self.folder = Path(folder)
        self._features = features
        self._features_digest = _spec_digest(features)
        self._data_digests: dict[str, dict[str, str]] = {}

    def path(self, run: ComparisonRun) -> Path:
        """Returns the path of the file of a run."""
        return self.folder / f"{run.folder}.json"

    def read(self, run: ComparisonRun) -> dict | None:
        """Returns the file of a run, or `None` if there is none.

        Returns:
            Dictionary of `pipeline`, `options` (all of the model; not in earlier files),
            `feature_spec` and `values` (digests; in earlier files `data`, which are of bytes),
            `made_with` (versions of packages) and `metrics`, the content of `metrics.json`.

        Raises:
            UserError: If the file is damaged.
        """
        path = self.path(run)
        if not path.is_file():
            return None
        document = read_json(path)
        sections = ("pipeline", "made_with", "metrics")
        if (
            not isinstance(document, dict)
            or document.get("finished_run_version") != _VERSION
            or not all(isinstance(document.get(section), dict) for section in sections)
            or not isinstance(document.get(_VALUES, document.get(_BYTES)), dict)
            or not isinstance(document["metrics"].get("train"), dict)
        ):
            raise UserError(
                "the file must hold what a run of a comparison measured, as `lmn-tf compare` "
                f"writes it. Received: {short(document)}. Remove it to train the run again.",
                file=path,
            )
        return document

    def check(self, run: ComparisonRun, pipeline: PipelineSpec) -> None:
        """Checks that the file of a run, if there is one, is of this pipeline and these data.

        Args:
            run: A `ComparisonRun`.
            pipeline: Its `PipelineSpec`.

        Raises:
            UserError: If the file is damaged, or of another run.
        """
        document = self.read(run)
        if document is None:
            return
        path = self.path(run)
        before = PipelineSpec.from_dict(
            document["pipeline"], base_dir=pipeline.base_dir, file=path
        )  # as it reads now: options that came later have their defaults
        before, now = _settings(before), _settings(pipeline)
        implied = registry.record(pipeline.model_name).all_implied()
        options = _options(pipeline)
        if "options" in document:  # whether a row writes them out or has them as defaults
            _fill_in(before["model"], {**implied, **document["options"]}, now["model"], options)
        for key in implied.keys() - set(_OLDER):  # which came after a file without options
            before["model"].setdefault(key, implied[key])
            now["model"].setdefault(key, options[key])
        found = difference(before, now, FREE_KEYS)
        if found is None and document.get("feature_spec") != self._features_digest:
            found = "digest of feature_spec", document.get("feature_spec"), self._features_digest
        if found is None:
            key = _VALUES if _VALUES in document else _BYTES
            now = self._digests(pipeline, key)
            both = {part: digest for part, digest in document[key].items() if part in now}
            now = {part: now[part] for part in both}
            found = difference({"digest of data": both}, {"digest of data": now})
        if found is not None:
            key, measured, value = found
            raise UserError(
                f"`{key}` must stay as in the run whose figures the file holds, {short(measured)}. "
                f"Received: {key}={short(value)}. Take it back, or remove the file to train the "
                "run again.",
                file=path,
            )

    def write(self, run: ComparisonRun, pipeline: PipelineSpec, metrics: dict[str, Any]) -> None:
        """Writes the file of a run.

        Args:
            run: A `ComparisonRun`.
            pipeline: Its `PipelineSpec`.
            metrics: The content of its `metrics.json`.
        """
        document = {
            "finished_run_version": _VERSION,
            **run._asdict(),
            "pipeline": pipeline.to_dict(),
            "options": _options(pipeline),
            "feature_spec": self._features_digest,
            _VALUES: self._digests(pipeline, _VALUES),
            "made_with": made_with(),
            "metrics": metrics,
        }
        atomic_files.write_json(self.path(run), document)

    def _digests(self, pipeline, kind) -> dict[str, str]:
        key = kind, json.dumps(pipeline.to_dict()["data"], sort_keys=True)
        if not self._data_digests.get(key):  # not yet known: generated data come with a run
            self._data_digests[key] = content_digests(pipeline, self._features, kind == _VALUES)
        start = pipeline.warm_start and weights_digest(RunDirectory(pipeline.warm_start.run))
        return self._data_digests[key] | ({"warm_start": start} if start else {})


def made_with() -> dict[str, str]:
    """Returns the versions of Python and of the packages that results depend on.

    Example:

    >>> list(made_with())[:2]
    ['python', 'lmn_tf']
    """
    versions = {"python": platform.python_version(), "lmn_tf": __version__}
    for package in _PACKAGES:
        try:
            versions[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:  # another distribution of the module
            versions[package] = "unknown"
    return versions


def _options(pipeline) -> dict:
    """Returns all options of the model: a default may change between two versions."""
    return registry.record(pipeline.model_name).make(pipeline.model_options).values()


def _fill_in(before, options_before, now, options_now) -> None:
    """Adds the options to both models, without those that one of the versions does not have."""
    for key in options_before.keys() & options_now.keys():
        before[key], now[key] = options_before[key], options_now[key]


def _settings(pipeline) -> dict:
    """Returns what the results of a run depend on, without places of files."""
    document = resolved_pipeline(pipeline)
    document["data"] = {
        key: value for key, value in document["data"].items() if key not in PATH_KEYS
    }
    if pipeline.warm_start is not None:
        document["warm_start"] = {**document["warm_start"], "run": pipeline.warm_start.run}
    return document


def _spec_digest(features) -> str:
    """Returns a digest of a feature spec; options that came later, and are unset, do not count."""
    document, vocabularies = resolved_spec(features)
    files = {path: file_digest(file) for path, file in vocabularies.items() if file.is_file()}
    text = json.dumps([_given(document), files], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def _given(value):
    """Returns plain data without unset options."""
    if isinstance(value, dict):
        given = {key: _given(item) for key, item in value.items()}
        return {
            key: item for key, item in given.items() if item or (item == 0 and item is not False)
        }
    return [_given(item) for item in value] if isinstance(value, list | tuple) else value

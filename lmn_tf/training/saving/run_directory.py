"""Run directory: its files, lock and checks."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import filecmp
import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from lmn_tf import atomic_files
from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError, short
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.assets import read_json
from lmn_tf.specs.learned.spec_folder import load_spec, resolved_spec, write_spec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.specs.yaml.document import located
from lmn_tf.training.saving.data_notes import DataNotes, read_files, read_test_files
from lmn_tf.training.saving.resolved_pipeline import (
    PATH_KEYS,
    check_same_document,
    resolved_pipeline,
)
from lmn_tf.training.saving.zip_files import check_unpacked_size, check_zip

if TYPE_CHECKING:
    import keras

_OPENING = {"vocabularies", "statistics.json", "fingerprints.json"}
_UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)


class RunDirectory:
    """Folder of a run, in which each file is written atomically.

    `pipeline.yaml` and `feature_spec.yaml` are fully resolved: paths are absolute or within the
    folder, and vocabularies are in `vocabularies/`, so that the folder suffices to repeat the run.
    Of the files written at the start, `pipeline.yaml` is the last: if it exists, the run can be
    continued. `metrics.json` is the last file of all: if it exists, the run is finished.

    Args:
        path: Path of the folder.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)
        self.pipeline_file = self.path / "pipeline.yaml"
        self.feature_spec_file = self.path / "feature_spec.yaml"
        self.metrics_file = self.path / "metrics.json"
        self.model_file = self.path / "model.keras"
        self.checkpoints = self.path / "checkpoints"
        self.grown_specs = self.path / "days"
        self.tensorboard = self.path / "tensorboard"
        self.data_file = self.checkpoints / "data.json"

    @classmethod
    def open(cls, path: str | os.PathLike) -> RunDirectory:
        """Opens the directory of a run that has a trained model.

        Raises:
            UserError: If `path` is not a run directory, or its training has not ended.
        """
        directory = cls(path)
        if not directory.path.is_dir():
            raise UserError(
                f"`RUN_DIR` must be the folder of a run. Received: {path}, not a folder"
            )
        if not directory.is_started:
            raise UserError(
                f"`RUN_DIR` must be the folder of a run. Received: {path}, without pipeline.yaml"
            )
        if not directory.model_file.exists():
            if not directory.has_network:
                raise UserError(
                    f"`RUN_DIR` must hold a network. Received: {path}, a run of the model "
                    f"`{directory.load_pipeline().model_name}`, which has none and leaves only its "
                    "metrics"
                )
            raise UserError(
                f"`RUN_DIR` must hold a trained model. Received: {path}, without model.keras. "
                "Continue its training with `lmn-tf train --resume`."
            )
        return directory

    @property
    def is_started(self) -> bool:
        """Whether there is a run to continue."""
        return self.pipeline_file.exists()

    @property
    def is_finished(self) -> bool:
        """Whether the run has its metrics, which are written last."""
        return self.metrics_file.exists()

    @property
    def has_network(self) -> bool:
        """Whether the run is that of a network, which leaves a file with its weights."""
        return not registry.is_baseline(self.load_pipeline().model_name)

    @property
    def run_id(self) -> str:
        """Name of the folder with a digest of its pipeline, for runs of the same name."""
        digest = hashlib.sha256(self.pipeline_file.read_bytes()).hexdigest()
        return f"{self.path.resolve().name}-{digest[:8]}"

    @property
    def data_fingerprint(self) -> str | None:
        """Digest of the training and validation files; `None` where the run has noted none."""
        return DataNotes(self.data_file).fingerprint()

    def check_free(self) -> None:
        """Raises a `UserError` unless the folder is empty or does not exist."""
        if self.path.exists() and not self.path.is_dir():
            raise UserError(f"`run_dir` must be a folder. Received: {self.path}, a file")
        if self.is_started:
            raise UserError(
                f"`run_dir` must be a new folder, and {self.path} holds a run. "
                "Continue it with --resume, or name another folder with --run-dir."
            )
        if self.path.is_dir() and any(self.path.iterdir()):
            raise UserError(
                f"`run_dir` must be a new or empty folder, and {self.path} is not empty. "
                "Name another folder with --run-dir, or continue a run that died at its very "
                "start with --resume."
            )

    def check_opening(self) -> None:
        """Raises a `UserError` if a folder without a run has files other than those of an opening.

        A run that was killed before `pipeline.yaml` was written has left some of these.
        """
        names = {path.name for path in self.path.iterdir()}
        foreign = names - _OPENING
        if "statistics.json" in names:  # Otherwise the spec is one of the user.
            foreign.discard(self.feature_spec_file.name)
        if foreign:
            raise UserError(
                f"`run_dir` must be the folder of a run, or empty, to continue. Received: "
                f"{self.path}, without pipeline.yaml and with {min(foreign)}. Name another folder "
                "with --run-dir."
            )

    @contextlib.contextmanager
    def held(self) -> Iterator[None]:
        """Creates the folder if missing, and locks it against training by other processes.

        The lock is one of the operating system, and ends with the process in any case. File systems
        without locks are not locked. If the block raises a `UserError` before there is any
        progress, the folder is left as it was, so that the corrected command can be started.

        Raises:
            UserError: If the folder cannot be created or written to, another process has locked it,
                or it becomes unwritable in the block.
        """
        is_new, was_free = not self.path.exists(), False
        try:
            self.path.mkdir(parents=True, exist_ok=True)
            folder = os.open(self.path, os.O_RDONLY)
        except OSError as error:
            raise UserError(
                f"`run_dir` must be a folder that can be made. Received: {self.path}: "
                f"{error.strerror}"
            ) from error
        try:
            self._lock(folder)
            was_free = not any(self.path.iterdir())
            yield
        except BaseException as error:
            if isinstance(error, UserError) and was_free and not self._has_progress():
                self._clear()
            if is_new:
                with contextlib.suppress(OSError):  # Not empty: it holds a run to continue.
                    self.path.rmdir()
            if getattr(error, "errno", None) in _UNWRITABLE:
                raise UserError(
                    f"`run_dir` must have room and stay writable. Received: {error.strerror} in "
                    f"{self.path}. What was saved last is whole: make room, and go on with "
                    "--resume."
                ) from error
            raise
        finally:
            os.close(folder)

    def _has_progress(self) -> bool:
        return self.model_file.exists() or any(self.checkpoints.glob("step-*"))

    def _clear(self) -> None:
        for path in self.path.iterdir() if self.path.is_dir() else ():
            shutil.rmtree(path) if path.is_dir() else path.unlink()

    def _lock(self, folder: int) -> None:
        if not os.access(self.path, os.W_OK | os.X_OK):
            raise UserError(
                f"`run_dir` must be a folder that can be written to. Received: {self.path}"
            )
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(
                f"`run_dir` must be trained by one process at a time, and another one trains in "
                f"{self.path}. Wait for its end, or name another folder with --run-dir."
            ) from None
        except OSError:
            return

    def check_same(self, pipeline: PipelineSpec, spec: FeatureSpec) -> None:
        """Raises a `UserError` if a pipeline or spec differs from those of the run.

        Data may be at another place if their content was noted, by which `check_data` and
        `check_kept_data` compare them.
        """
        # As it reads now: options that came later have their defaults.
        begun, now = resolved_pipeline(self.load_pipeline()), resolved_pipeline(pipeline)
        for part in self._movable():
            if begun["data"].get(part) and now["data"].get(part):
                begun["data"][part] = now["data"][part]
        check_same_document(self.pipeline_file, begun, now)
        document, vocabularies = resolved_spec(spec)
        begun, _ = strict_yaml.load(self.feature_spec_file)
        check_same_document(self.feature_spec_file, begun, document)
        for path, source in vocabularies.items():
            stored = self.path / path
            # The run uses its own copy. The source may be missing, but must not differ.
            if all(file.is_file() for file in (stored, source)) and not filecmp.cmp(
                stored, source, shallow=False
            ):
                raise UserError(
                    f"{source} must stay as in the run to be continued, {stored}. Received: other "
                    "content. Take it back, or start a new run with another --run-dir."
                )

    def write_opening(self, pipeline: PipelineSpec, spec: FeatureSpec) -> None:
        """Writes vocabularies and resolved specs, `pipeline.yaml` last.

        Args:
            pipeline: A `PipelineSpec`.
            spec: A `FeatureSpec` with its assets learned.
        """
        self.path.mkdir(parents=True, exist_ok=True)
        atomic_files.remove_leftovers(self.path)
        write_spec(spec, self.path)
        text = strict_yaml.dump(resolved_pipeline(pipeline))
        atomic_files.write_text(self.pipeline_file, text)

    def check_data(
        self,
        pipeline: PipelineSpec,
        spec: FeatureSpec,
        ids: Mapping[str, str] | None = None,
        unread: tuple[str, ...] = (),
    ) -> None:
        """Notes the content of training and validation files, or refuses files that differ.

        Args:
            pipeline: A `PipelineSpec`.
            spec: Its `FeatureSpec`.
            ids: As in `DataNotes.check`. Defaults to `None`.
            unread: As in `DataNotes.check`. Defaults to `()`.
        """
        DataNotes(self.data_file).check(read_files(pipeline, spec), ids, unread)

    def check_kept_data(self, pipeline: PipelineSpec, spec: FeatureSpec) -> None:
        """Like `check_data`, also for the test data, where the run has figures of them.

        Data that are missing where the run read them are accepted: it no longer needs them.
        """
        if not self.data_file.exists():
            return
        notes = DataNotes(self.data_file)
        try:
            files = read_files(pipeline, spec)
            if "test" in notes.parts():
                files |= read_test_files(pipeline, spec)
        except UserError:
            before, now = (
                resolved_pipeline(one)["data"] for one in (self.load_pipeline(), pipeline)
            )
            if any(before.get(key) != now.get(key) for key in PATH_KEYS):
                raise
            return
        notes.check(files)

    def _movable(self) -> list[str]:
        """Returns the keys of `data` whose paths need not be those of the run."""
        noted = DataNotes(self.data_file).parts()
        movable = [*noted, "directory"] if "train" in noted else []
        try:
            is_tested = self.is_finished and "test" in self.read_metrics()
        except UserError:  # damaged, so that it is written anew
            is_tested = False
        return movable if is_tested else [*movable, "test"]

    def check_present(self) -> None:
        """Raises a `UserError` if specs of the run have been removed since it began."""
        for path in (self.feature_spec_file, self.pipeline_file):
            if not path.is_file():
                raise UserError(
                    "`run_dir` must keep its files while a run is trained in it. Received: "
                    f"{path}, which is gone. Start a new run."
                )

    def damage(self) -> UserError | None:
        """Returns the error of damaged files of a finished run, or `None`."""
        try:
            self.read_metrics()
            if self.has_network:
                check_zip(self.model_file)
        except UserError as error:
            return error
        return None

    def write_metrics(self, metrics: dict, pipeline: PipelineSpec, spec: FeatureSpec) -> None:
        """Writes `metrics.json`, after it has noted the test files if there are figures of them."""
        if "test" in metrics:
            notes = DataNotes(self.data_file)
            notes.check(read_test_files(pipeline, spec), unread=("test",))
        atomic_files.write_json(self.metrics_file, metrics)

    def read_metrics(self) -> dict:
        """Reads `metrics.json`.

        Raises:
            UserError: If the file is missing or damaged.
        """
        metrics = read_json(self.metrics_file)
        if not isinstance(metrics, dict):
            raise UserError("file must hold a mapping.", file=self.metrics_file)
        return metrics

    def load_pipeline(self) -> PipelineSpec:
        """Reads `pipeline.yaml`.

        Raises:
            UserError: If the file is damaged, or names a `base`: a run holds all of its keys, and
                a run of unknown origin must not make other files be read.
        """
        data, marks = strict_yaml.load(self.pipeline_file)
        if isinstance(data, dict) and data.get("base") is not None:
            raise UserError(
                "`base` must not be given in the pipeline of a run, which holds all of its keys. "
                f"Received: base={short(data['base'])}",
                *marks.location(("base",), self.pipeline_file),
            )
        return PipelineSpec.from_dict(
            data, base_dir=self.path, file=self.pipeline_file, marks=marks
        )

    def load_spec(self) -> FeatureSpec:
        """Reads `feature_spec.yaml` with its learned assets."""
        return load_spec(self.path)

    def load_model(self) -> keras.Model:
        """Loads `model.keras`.

        The pipeline names the class of the model; its module is the only one that is imported.

        Raises:
            UserError: If the class cannot be imported, or the file is damaged, is not a model of
                this version, or holds weights that are not finite.
        """
        model_class = self._model_class()
        import keras

        from lmn_tf.training.saving.finite_weights import check_finite
        from lmn_tf.training.saving.variable_paths import keyed_variables

        # Classes of users need not be registered with Keras.
        known = {keras.saving.get_registered_name(model_class): model_class}
        check_unpacked_size(self.model_file)
        check_zip(self.model_file)
        try:
            model = keras.saving.load_model(self.model_file, known, compile=False)
        except (UserError, MemoryError):
            raise
        except Exception as error:  # intact, but not a model: Keras raises errors of any kind
            raise UserError(
                "the file must hold a model that this version loads. Received: "
                f"{type(error).__name__}: {error}",
                file=self.model_file,
            ) from error
        check_finite(keyed_variables(model), str(self.model_file))
        return model

    def _model_class(self) -> type[keras.Model]:
        pipeline = self.load_pipeline()
        try:
            return registry.model_class(pipeline.model_name)
        except UserError as error:
            raise located(error.message, pipeline.source, ("model", "name")) from error

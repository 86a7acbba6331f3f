"""Several models on one data set, each with several seeds."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path

from lmn_tf import atomic_files
from lmn_tf.models import registry
from lmn_tf.specs import strict_yaml
from lmn_tf.specs.errors import UserError
from lmn_tf.training.comparison_report import markdown, picture, summary
from lmn_tf.training.run_directory import RunDirectory


class Comparison:
    """Runs a comparison: each model and seed, then one table.

    Runs go to `OUTPUT/LABEL-seedK` with `lmn-tf train --resume`, so a comparison that was stopped
    goes on where it stopped, and a finished run is not repeated. Then come `comparison.json`,
    `comparison.md` and `comparison.png`.

    Each run has a process of its own, so that one which dies takes no other with it and none
    finds memory taken. `in_process` runs them here, to the same results, which spares small
    comparisons the seconds that each process takes to load TensorFlow; the peak memory of a run
    then counts the runs before it.

    Args:
        spec: A `ComparisonSpec`.
        seeds: Seeds to use instead of those of the spec. Defaults to `None`.
        say: Function that gets a line to show. Defaults to `None`, which prints to stderr.
        in_process: Whether runs share this process. Defaults to `False`.

    Raises:
        UserError: When a model, an option or a training key of any run is not valid.
    """

    def __init__(self, spec, seeds=None, say=None, in_process: bool = False):
        self.spec = spec
        self.seeds = tuple(seeds or spec.seeds)
        self.output = Path(spec.output)
        self.in_process = in_process
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        base = spec.load_pipeline()
        features = base.load_feature_spec()
        self.pipelines = {
            (entry.label, seed): spec.run_pipeline(entry.label, seed, base)
            for entry in spec.models
            for seed in self.seeds
        }
        for pipeline in self.pipelines.values():
            registry.check_options(pipeline.model_name, pipeline.model_options)
            pipeline.check_features(features)
        folders = {self.folder(*key).name: key for key in self.pipelines}
        if len(folders) < len(self.pipelines):
            raise UserError("labels of models must differ in their letters and digits.")

    def folder(self, label: str, seed: int) -> Path:
        """Gives the run directory of a model and seed."""
        return self.output / f"{re.sub(r'[^A-Za-z0-9._-]+', '_', label)}-seed{seed}"

    def run(self) -> dict:
        """Trains what is missing and writes the table.

        Returns:
            The content of `comparison.json`.

        Raises:
            UserError: When a run refuses what it was given.
            RuntimeError: When a run fails otherwise.
        """
        for number, (label, seed) in enumerate(self.pipelines, 1):
            head = f"[{number}/{len(self.pipelines)}] {label}, seed {seed}"
            if RunDirectory(self.folder(label, seed)).is_finished:
                self._check_finished(label, seed)
                self._say(f"{head}: finished before")
            else:
                self._say(f"{head}: training")
                self._train(label, seed)
        result = summary(self.spec, self.seeds, self._metrics(), self._oracle())
        atomic_files.write_json(self.output / "comparison.json", result)
        atomic_files.write_text(self.output / "comparison.md", markdown(result))
        with atomic_files.atomic_path(self.output / "comparison.png") as temporary:
            picture(result, temporary)
        return result

    def _check_finished(self, label: str, seed: int) -> None:
        """A run of another model or other data under the same name must not enter the table."""
        pipeline = self.pipelines[label, seed]
        directory = RunDirectory(self.folder(label, seed))
        directory.check_same(pipeline, pipeline.load_feature_spec())

    def _train(self, label: str, seed: int) -> None:
        folder = self.folder(label, seed)
        document = self.pipelines[label, seed].to_dict()
        document["run_dir"] = os.path.abspath(folder)
        document["feature_spec"] = os.path.abspath(self.pipelines[label, seed].feature_spec_path)
        file = self.output / "pipelines" / f"{folder.name}.yaml"
        atomic_files.write_text(file, strict_yaml.dump(document))
        if self.in_process:
            _train_here(file)
            return
        command = [sys.executable, "-m", "lmn_tf.cli.main", "train", str(file), "--resume"]
        done = subprocess.run(command, stdout=subprocess.DEVNULL, check=False)
        if done.returncode == 2:
            raise UserError(f"the run of `{label}` with seed {seed} was refused: see above.")
        if done.returncode:
            raise RuntimeError(
                f"the run of `{label}` with seed {seed} must end well. "
                f"Received: exit status {done.returncode}; the message is above"
            )

    def _metrics(self) -> dict:
        """Gives the metrics of each run by label, in the order of the seeds."""
        found = {}
        for label, seed in self.pipelines:
            text = RunDirectory(self.folder(label, seed)).metrics_file.read_text(encoding="utf-8")
            found.setdefault(label, []).append(json.loads(text))
        return found

    def _oracle(self) -> dict | None:
        """Gives what generated data say of the best that any model can reach, where they do."""
        data = next(iter(self.pipelines.values())).data
        folder = data.directory or os.path.dirname(data.test or data.train)
        path = Path(folder) / "oracle.json"
        if not path.is_file():
            return None
        oracle = json.loads(path.read_text(encoding="utf-8"))
        return oracle.get("test" if data.test else "valid")


def _train_here(file) -> None:
    import keras

    from lmn_tf.specs.pipeline_spec import PipelineSpec
    from lmn_tf.training.trainer import Trainer

    # Frees the run before, and counts the names of layers from the start as a new process does.
    keras.backend.clear_session()
    Trainer(PipelineSpec.load(file), resume=True).train()

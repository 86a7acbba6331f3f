"""Comparison of several models on one dataset, each with several seeds."""

import functools
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from lmn_tf import atomic_files
from lmn_tf.models import registry
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison import comparison_checks
from lmn_tf.training.comparison.comparison_picture import picture
from lmn_tf.training.comparison.comparison_report import markdown, summary
from lmn_tf.training.comparison.comparison_run import ComparisonRun
from lmn_tf.training.comparison.finished_runs import FinishedRuns
from lmn_tf.training.comparison.search_report import best_trial, search_summary
from lmn_tf.training.saving.run_directory import RunDirectory


class Comparison:
    """Trains several models with several seeds, and writes one table.

    With a `search`, each model first trains its configurations with one seed, without reading the
    test set. The configuration with the best validation result is trained with every seed and
    tested. Its run of the search counts as the run of that seed.

    Runs are trained in `OUTPUT/LABEL-seedK`, or `OUTPUT/LABEL-trialN-seedK` with a search, by
    `lmn-tf train --resume`: a stopped comparison continues where it stopped, and finished runs are
    not repeated. More `trials` or `seeds` keep existing runs. The first seed of every model comes
    first, then the second one. After each run, `comparison.json`, `comparison.md` and
    `comparison.png` are written to the folder of results, so that a stopped comparison leaves a
    table of the runs so far.

    What a finished run measured is kept in `RESULTS/finished/LABEL-seedK.json`. With these files a
    comparison goes on where there are no run directories, such as on another machine. A folder or
    a file of another configuration or of other data is refused before any training.

    A failed run does not stop the others, and is reported at the end. A failed trial uses up its
    budget; it is tried again when the comparison is started again.

    Rows without a network (`rates`, `svd`, `ease`, `item_knn`) do not depend on a seed: each is
    fitted once, with the first seed, and has the same figures for every seed. In a search they have
    as many trials as their grid has configurations, if these are fewer.

    Each run has its own process, so that a crash does not affect other runs, and memory is free at
    the start of each. With `in_process`, runs share this process and give the same results; small
    comparisons then save the seconds that each process takes to load TensorFlow. The peak memory
    of a run then includes the runs before it.

    Args:
        spec: A `ComparisonSpec`.
        seeds: Seeds that replace those of the spec. Defaults to `None`.
        say: Function called with each line of the log. Defaults to `None`: print to stderr.
        in_process: Boolean. Whether runs share this process. Defaults to `False`.

    Raises:
        UserError: If a model, an option, a training key or a grid of any run is invalid.
    """

    def __init__(
        self,
        spec: ComparisonSpec,
        seeds: Sequence[int] | None = None,
        say: Callable[[str], None] | None = None,
        in_process: bool = False,
    ) -> None:
        self.spec = spec
        self.seeds = tuple(seeds or spec.seeds)
        self.output = Path(spec.output)
        self.results = Path(spec.results or spec.output)
        self.in_process = in_process
        self._say = say or (lambda text: print(text, file=sys.stderr, flush=True))
        self._base = spec.load_pipeline()
        self._features = self._base.load_feature_spec()
        comparison_checks.check_runs(spec, self._base, self._features)
        self._finished = FinishedRuns(self.results / "finished", self._features)
        # By label and trial, which is None without a search.
        self.configurations = {
            (entry.label, trial): configuration
            for entry in spec.models
            for trial, configuration in self._numbered(entry)
        }
        runs = [
            ComparisonRun(label, trial, seed)
            for label, trial in self.configurations
            for seed in self.seeds
        ]
        for run in runs:
            self.pipeline(run)  # Refuses configurations that are invalid as a whole.
        if len({run.folder for run in runs}) < len(runs):
            raise UserError("labels of models must differ in their letters and digits.")
        self._begun, self._failed = 0, {}

    def _numbered(self, entry):
        if self.spec.search is None:
            return [(None, {})]
        return list(enumerate(comparison_checks.trials(self.spec, entry), 1))

    @functools.cached_property
    def _total(self) -> int:
        tried = len(self.configurations) if self.spec.search else 0
        return tried + sum(len(self._own_seeds(entry.label)) for entry in self.spec.models)

    def _own_seeds(self, label) -> tuple[int, ...]:
        """Returns the seeds with which a model is trained."""
        if not self._is_baseline(label):
            return self.seeds
        return self.seeds[:1] if self.spec.search is None else (self.spec.search.seed,)

    def _is_baseline(self, label) -> bool:
        models = {entry.label: entry.model["name"] for entry in self.spec.models}
        return registry.is_baseline(models[label])

    def pipeline(self, run: ComparisonRun) -> PipelineSpec:
        """Returns the `PipelineSpec` of a run."""
        configuration = self.configurations[run.label, run.trial]
        return self.spec.run_pipeline(run.label, run.seed, self._base, configuration)

    def folder(self, run: ComparisonRun) -> Path:
        """Returns the run directory of a run."""
        return self.output / run.folder

    def run(self) -> dict:
        """Trains missing runs and writes the table, after each of them.

        Returns:
            The content of `comparison.json`, whose `failed` lists the failed runs. Nothing is
            written if no model has a result.

        Raises:
            UserError: If a folder or a file of the comparison holds a run of another configuration.
        """
        self._check_earlier()
        self._begun, self._failed = 0, {}
        labels = [entry.label for entry in self.spec.models]
        chosen = dict.fromkeys(labels) if self.spec.search is None else self._search(labels)
        runs = [
            ComparisonRun(label, trial, seed)
            for place in range(len(self.seeds))
            for label, trial in chosen.items()
            for seed in self._own_seeds(label)[place : place + 1]
        ]
        for run in runs:
            was_finished = self._has(run, test=True)
            if self._done(run, test=True) and not was_finished:
                self._report(runs, chosen)
        self._write_hparams()
        return self._report(runs, chosen)

    def _check_earlier(self) -> None:
        """Refuses folders and files with a run of another model or other data of the same name."""
        searched = () if self.spec.search is None else (self.spec.search.seed,)
        for label, trial in self.configurations:
            for seed in sorted({*self._own_seeds(label), *searched}):
                run = ComparisonRun(label, trial, seed)
                self._check_folder(run)
                self._finished.check(run, self.pipeline(run))

    def _check_folder(self, run) -> None:
        directory = RunDirectory(self.folder(run))
        if not directory.is_started:
            return
        try:
            directory.check_same(self.pipeline(run), self._features)
            directory.check_kept_data(self.pipeline(run), self._features)
        except UserError as error:
            difference = re.split(" Take (?:it|them) back", error.message)[0]
            file = self._finished.path(run)
            raise UserError(
                f"{directory.path} holds another run: {difference} Take it back, remove "
                f"the folder{f' and {file}' if file.exists() else ''}, or name another one with "
                "--output."
            ) from None

    def _search(self, labels) -> dict:
        """Trains the configurations of each model; returns the best trial by label."""
        seed, chosen = self.spec.search.seed, {}
        for label in labels:
            for run in self._trials(label):
                self._done(run, test=False)
            scores = {run.trial: self._valid(run) for run in self._trials(label)}
            best = best_trial(scores, self.spec.search.monitor)
            if best is not None:
                chosen[label] = best
                self._say(f"{ComparisonRun(label, best, seed)}: chosen")
        return chosen

    def _trials(self, label):
        seed = self.spec.search.seed
        return [ComparisonRun(*key, seed) for key in self.configurations if key[0] == label]

    def _done(self, run: ComparisonRun, test: bool) -> bool:
        """Trains or tests a run unless that is done; returns whether it succeeded."""
        self._begun += 1
        head = f"[{self._begun}/{self._total}] {run}"
        if self._has(run, test):
            self._keep(run)
            self._say(f"{head}: finished before")
            return True
        is_trained = RunDirectory(self.folder(run)).is_finished
        self._say(f"{head}: {'testing' if is_trained else 'training'}")
        reason = self._train(run, test)
        if reason is None and not self._has(run, test):
            reason = "it left no metrics"
        if reason is not None:
            self._failed[run] = reason
            self._say(f"{head}: failed: {reason}")
            return False
        self._keep(run)
        return True

    def _has(self, run: ComparisonRun, test: bool) -> bool:
        metrics = self._metrics(run)
        if metrics is None:
            return False
        return not test or self._base.data.test is None or "test" in metrics

    def _keep(self, run: ComparisonRun) -> None:
        """Writes the file of a finished run, unless there is one."""
        document, metrics = self._finished.read(run), self._metrics(run)
        if document is None or document["metrics"] != metrics:
            self._finished.write(run, self.pipeline(run), metrics)

    def _train(self, run: ComparisonRun, test: bool) -> str | None:
        """Trains a run; returns the reason if it failed, else `None`."""
        folder, pipeline = self.folder(run), self.pipeline(run)
        document = pipeline.to_dict()
        document["run_dir"] = os.path.abspath(folder)
        document["feature_spec"] = os.path.abspath(pipeline.feature_spec_path)
        file = self.output / "pipelines" / f"{folder.name}.yaml"
        atomic_files.write_text(file, strict_yaml.dump(document))
        if self.in_process:
            return _train_here(file, test)
        command = [sys.executable, "-m", "lmn_tf.cli.main", "train", str(file), "--resume"]
        command += [] if test else ["--no-test"]
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if status < 0:
            return f"ended by signal {-status}"
        return f"exit status {status}, see its message above" if status else None

    def _metrics(self, run: ComparisonRun) -> dict | None:
        """Returns what a finished run measured, by its file or its folder; `None` if neither is."""
        document, directory = self._finished.read(run), RunDirectory(self.folder(run))
        kept = None if document is None else document["metrics"]
        if kept is not None and ("test" in kept or not directory.is_finished):
            return kept
        try:
            return directory.read_metrics() if directory.is_finished else None
        except UserError:  # damaged: `train --resume` repairs it, or says why it cannot
            return kept

    def _valid(self, run: ComparisonRun) -> dict | None:
        """Returns the validation figures of a trial, or `None` if it failed."""
        metrics = self._metrics(run)
        return None if metrics is None else metrics.get("valid", {})

    def _report(self, runs: Sequence[ComparisonRun], chosen: dict) -> dict:
        """Writes the table of the runs that are finished so far; returns `comparison.json`."""
        metrics, pending = {}, []
        for run in runs:
            if self._has(run, test=True):
                same = self.seeds if self._is_baseline(run.label) else (run.seed,)
                found = dict.fromkeys(same, self._metrics(run))
                metrics.setdefault(run.label, {}).update(found)
            elif run not in self._failed:
                pending.append(run)
        failed = [
            {**run._asdict(), "folder": run.folder, "reason": reason}
            for run, reason in self._failed.items()
        ]
        result = summary(
            self.spec,
            self.seeds,
            {label: metrics[label] for label in chosen if label in metrics},
            self._oracle(),
            self._search_summary(chosen),
            failed,
            [run.folder for run in pending],
        )
        if metrics:
            atomic_files.write_json(self.results / "comparison.json", result)
            atomic_files.write_text(self.results / "comparison.md", markdown(result))
            with atomic_files.atomic_path(self.results / "comparison.png") as temporary:
                picture(result, temporary)
        return result

    def _search_summary(self, chosen) -> dict | None:
        if self.spec.search is None:
            return None
        trials = {
            entry.label: [
                (self.configurations[run[:2]], self._valid(run))
                for run in self._trials(entry.label)
            ]
            for entry in self.spec.models
        }
        return search_summary(self.spec, trials, chosen)

    def _write_hparams(self) -> None:
        """Writes all runs finished here, including those of a search, for TensorBoard."""
        from lmn_tf.training.comparison.hparams import RunOptions, flat_options, write_hparams

        if not self._base.train.tensorboard:
            return
        search = [] if self.spec.search is None else [self.spec.search.seed]
        runs = []
        for label, trial in self.configurations:
            for seed in dict.fromkeys([*self.seeds, *search]):
                run = ComparisonRun(label, trial, seed)
                if RunDirectory(self.folder(run)).is_finished and self._has(run, test=False):
                    pipeline = self.pipeline(run).to_dict()
                    # As text: the dashboard then lists seeds, instead of a range of numbers.
                    options = {"label": label, "trial": trial, "seed": str(seed)}
                    options |= flat_options({"model": pipeline["model"]})
                    options |= self.configurations[label, trial]
                    runs.append(RunOptions(self.folder(run), options, self._metrics(run)))
        write_hparams(runs)

    def _oracle(self) -> dict | None:
        """Returns the best possible metrics on generated data, or `None`."""
        data = self._base.data
        folder = data.directory or os.path.dirname(data.test or data.train)
        path = Path(folder) / "oracle.json"
        if not path.is_file():
            return None
        oracle = json.loads(path.read_text(encoding="utf-8"))
        return oracle.get("test" if data.test else "valid")


def _train_here(file, test: bool) -> str | None:
    import keras

    from lmn_tf.training.daily_trainer import make_trainer

    # Frees the previous run, and restarts the counters of layer names as in a new process.
    keras.backend.clear_session()
    try:
        make_trainer(PipelineSpec.load(file), resume=True, test=test).train()
    except Exception as error:
        words = str(error).strip().splitlines() or ["no message"]
        return words[0] if isinstance(error, UserError) else f"{type(error).__name__}: {words[0]}"
    return None

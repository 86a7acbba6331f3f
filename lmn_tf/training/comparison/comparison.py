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
from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison.comparison_picture import picture
from lmn_tf.training.comparison.comparison_plan import ComparisonPlan
from lmn_tf.training.comparison.comparison_report import markdown, summary
from lmn_tf.training.comparison.comparison_run import ComparisonRun
from lmn_tf.training.comparison.curve_picture import curve_picture
from lmn_tf.training.comparison.curve_report import curve_summary
from lmn_tf.training.comparison.diagnostics_report import diagnostics_summary
from lmn_tf.training.comparison.finished_runs import FinishedRuns
from lmn_tf.training.comparison.oracle import find_oracle
from lmn_tf.training.comparison.search_report import best_trial, search_summary
from lmn_tf.training.saving.resolved_pipeline import continued
from lmn_tf.training.saving.run_directory import RunDirectory


class Comparison:
    """Trains several models with several seeds, and writes one table.

    With `vary`, each model is trained with each value of an option, such as the number of training
    rows. The table is that of the last value, and `curve.png` draws all.

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
    a file of another configuration or of other data is refused before any training. With
    `keep_runs: false`, the run directory is removed when the run has been tested, or has not been
    chosen.

    A failed run does not stop the others, and is reported at the end. A failed trial uses up its
    budget; it is tried again when the comparison is started again. A model none of whose trials has
    the monitored figure is reported as failed by the first one that finished.

    Rows without a network (`rates`, `svd`, `ease`, `item_knn`) do not depend on a seed, unless it
    draws the training rows: each is fitted once, with the first seed, and has the same figures for
    every seed. In a search they have as many trials as their grid has configurations, if these are
    fewer.

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
        self.plan = ComparisonPlan(spec, self.seeds)
        self._finished = FinishedRuns(self.results / "finished", self.plan.features)
        self._begun, self._failed = 0, {}

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
        atomic_files.remove_leftovers(self.output)
        self._begun, self._failed = 0, {}
        chosen = {} if self.spec.search is None else self._search()
        runs = self.plan.finals(chosen)
        for run in runs:
            was_finished = self._has(run, test=True)
            is_finished = self._done(run, test=True)
            if is_finished and not was_finished:
                self._report(runs, chosen)
            if is_finished:
                self._drop(run)
        self._write_hparams()
        return self._report(runs, chosen)

    def _check_earlier(self) -> None:
        """Refuses folders and files with a run of another model or other data of the same name."""
        for run in self.plan.everything():
            self._check_folder(run)
            self._finished.check(run, self.plan.pipeline(run))

    def _check_folder(self, run) -> None:
        directory = RunDirectory(self.folder(run))
        if not directory.is_started:
            return
        pipeline = self.plan.pipeline(run)
        try:
            if pipeline.warm_start is not None:  # a memory that grows: the run has its `open_keys`
                pipeline = continued(pipeline, directory.load_pipeline())
            directory.check_same(pipeline, self.plan.features)
            directory.check_kept_data(pipeline, self.plan.features)
        except UserError as error:
            difference = re.split(" Take (?:it|them) back", error.message)[0]
            file = self._finished.path(run)
            raise UserError(
                f"{directory.path} holds another run: {difference} Take it back, remove "
                f"the folder{f' and {file}' if file.exists() else ''}, or name another one with "
                "--output."
            ) from None

    def _search(self) -> dict:
        """Trains the configurations of each model; returns the best trial by label."""
        chosen, monitor = {}, self.spec.search.monitor
        for label in [entry.label for entry in self.spec.models]:
            trials = self.plan.trials(label)
            for run in trials:
                self._done(run, test=False)
            scores = {run.trial: self._valid(run) for run in trials}
            best = best_trial(scores, monitor)
            finished = [run for run in trials if scores[run.trial] is not None]
            if best is None:
                for run in finished[:1]:
                    self._fail(run, f"no trial has a finite `{monitor}` on the validation set")
                continue
            chosen[label] = best
            self._say(f"{trials[best - 1]}: chosen")
            for run in finished:
                if run.trial != best:  # it is yet to be tested
                    self._drop(run)
        return chosen

    def _done(self, run: ComparisonRun, test: bool) -> bool:
        """Trains or tests a run unless that is done; returns whether it succeeded."""
        self._begun += 1
        head = f"[{self._begun}/{len(self.plan)}] {run}"
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
            self._fail(run, reason, head)
            return False
        self._keep(run)
        return True

    def _fail(self, run: ComparisonRun, reason: str, head: str | None = None) -> None:
        self._failed[run] = reason
        self._say(f"{head or run}: failed: {reason}")

    def _has(self, run: ComparisonRun, test: bool) -> bool:
        metrics = self._metrics(run)
        if metrics is None or not test or self.plan.base.data.test is None:
            return metrics is not None
        # What a run elsewhere has not diagnosed would have to be trained again.
        is_here = RunDirectory(self.folder(run)).is_finished
        lacks = self.spec.diagnostics and is_here and "diagnostics" not in metrics
        return "test" in metrics and not lacks

    def _keep(self, run: ComparisonRun) -> None:
        """Writes the file of a finished run, unless there is one."""
        document, metrics = self._finished.read(run), self._metrics(run)
        if document is None or document["metrics"] != metrics:
            self._finished.write(run, self.plan.pipeline(run), metrics)

    def _drop(self, run: ComparisonRun) -> None:
        """Removes the run directory of a finished run, unless runs are kept."""
        folder = self.folder(run)
        if not self.spec.keep_runs and RunDirectory(folder).is_finished:
            atomic_files.remove(folder)

    def _train(self, run: ComparisonRun, test: bool) -> str | None:
        """Trains a run; returns the reason if it failed, else `None`."""
        folder, pipeline = self.folder(run), self.plan.pipeline(run)
        document = pipeline.to_dict()
        document["run_dir"] = os.path.abspath(folder)
        document["feature_spec"] = os.path.abspath(pipeline.feature_spec_path)
        file = self.output / "pipelines" / f"{folder.name}.yaml"
        atomic_files.write_text(file, strict_yaml.dump(document))
        diagnoses = test and self.spec.diagnostics
        if self.in_process:
            return _train_here(file, test, diagnoses)
        command = [sys.executable, "-m", "lmn_tf.cli.main", "train", str(file), "--resume"]
        command += ["--diagnostics"] * diagnoses + ["--no-test"] * (not test)
        status = subprocess.run(command, stdout=subprocess.DEVNULL, check=False).returncode
        if status < 0:
            return f"ended by signal {-status}"
        return f"exit status {status}, see its message above" if status else None

    def _metrics(self, run: ComparisonRun) -> dict | None:
        """Returns what a finished run measured, by its file or its folder; `None` if neither is."""
        document, directory = self._finished.read(run), RunDirectory(self.folder(run))
        kept = None if document is None else document["metrics"]
        try:
            here = directory.read_metrics() if directory.is_finished else None
        except UserError:  # damaged: `train --resume` repairs it, or says why it cannot
            here = None
        if kept is None or here is None:
            return kept if here is None else here
        return here if here.keys() - kept.keys() else kept

    def _valid(self, run: ComparisonRun) -> dict | None:
        """Returns the validation figures of a trial, or `None` if it failed."""
        metrics = self._metrics(run)
        return None if metrics is None else metrics.get("valid", {})

    def _report(self, runs: Sequence[ComparisonRun], chosen: dict) -> dict:
        """Writes the table of the runs that are finished so far; returns `comparison.json`."""
        failed = [
            {**run._asdict(), "folder": run.folder, "reason": reason}
            for run, reason in self._failed.items()
        ]
        pending = [
            run.folder for run in runs if run not in self._failed and not self._has(run, test=True)
        ]
        search = None if self.spec.search is None else self._search_summary(chosen)
        by_value = self._by_value(runs)
        metrics = by_value[-1]
        result = summary(self.spec, self.seeds, metrics, None, search, failed, pending)
        summaries = [summary(self.spec, self.seeds, of_value) for of_value in by_value]
        known = [one["set"] for one in summaries if one["models"]]
        result["set"] = known[-1] if known else result["set"]
        result["curve"] = curve_summary(self.spec, summaries, by_value)
        result["fitted"] = self.plan.fitted_labels()
        result["oracle"] = find_oracle(self.plan.base, self._earlier, result)
        result["diagnostics"] = diagnostics_summary(metrics)
        if any(by_value):
            self._write(result)
        return result

    @functools.cached_property
    def _earlier(self) -> dict | None:
        """The `comparison.json` from before this one is written, if there is an intact one."""
        try:
            return json.loads((self.results / "comparison.json").read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None

    def _by_value(self, runs) -> list[dict]:
        """Returns what finished runs measured, by label and seed, for each value that is varied."""
        names = self.plan.value_names
        metrics = {name: {entry.label: {} for entry in self.spec.models} for name in names}
        for run in runs:
            if self._has(run, test=True):
                found = dict.fromkeys(self.plan.seeds_of(run), self._metrics(run))
                # What has no such option has the same figures for each value.
                for name in names if run.value is None else [run.value]:
                    metrics[name][run.label] |= found
        return [{label: found for label, found in metrics[name].items() if found} for name in names]

    def _write(self, result) -> None:
        atomic_files.write_json(self.results / "comparison.json", result)
        atomic_files.write_text(self.results / "comparison.md", markdown(result))
        with atomic_files.atomic_path(self.results / "comparison.png") as temporary:
            picture(result, temporary)
        if result["curve"] is not None:
            with atomic_files.atomic_path(self.results / "curve.png") as temporary:
                curve_picture(result, temporary)

    def _search_summary(self, chosen) -> dict:
        trials = {
            entry.label: [
                (self.plan.configuration(run), self._valid(run))
                for run in self.plan.trials(entry.label)
            ]
            for entry in self.spec.models
        }
        return search_summary(self.spec, trials, chosen)

    def _write_hparams(self) -> None:
        """Writes all runs finished here, including those of a search, for TensorBoard."""
        from lmn_tf.training.comparison.hparams import RunOptions, flat_options, write_hparams

        if not self.plan.base.train.tensorboard:
            return
        runs = []
        for run in self.plan.everything():
            if RunDirectory(self.folder(run)).is_finished and self._has(run, test=False):
                pipeline = self.plan.pipeline(run).to_dict()
                # As text: the dashboard then lists seeds, instead of a range of numbers.
                options = {"label": run.label, "trial": run.trial, "seed": str(run.seed)}
                options |= flat_options({"model": pipeline["model"]})
                options |= self.plan.configuration(run)
                runs.append(RunOptions(self.folder(run), options, self._metrics(run)))
        write_hparams(runs)


def _train_here(file, test: bool, diagnostics: bool) -> str | None:
    import keras

    from lmn_tf.training.daily_trainer import make_trainer

    # Frees the previous run, and restarts the counters of layer names as in a new process.
    keras.backend.clear_session()
    try:
        pipeline = PipelineSpec.load(file)
        make_trainer(pipeline, resume=True, test=test, diagnostics=diagnostics).train()
    except Exception as error:
        words = str(error).strip().splitlines() or ["no message"]
        return words[0] if isinstance(error, UserError) else f"{type(error).__name__}: {words[0]}"
    return None

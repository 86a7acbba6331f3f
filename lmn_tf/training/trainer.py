"""Trainer: from a pipeline to a finished run directory."""

import contextlib
import sys
from typing import Any

import keras
import tensorflow as tf

from lmn_tf import atomic_files
from lmn_tf.data.dataset import evaluation_dataset, reader_dataset, user_errors
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.models import registry
from lmn_tf.models.run_checks import check_run
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.fingerprint import fingerprint
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.build_model import build_model
from lmn_tf.training.distribution import Distribution
from lmn_tf.training.early_stopping import EarlyStopping
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.run_diagnosis import RunDiagnosis
from lmn_tf.training.fresh_tables import FreshTables
from lmn_tf.training.generated_data import generate_missing
from lmn_tf.training.growth.warm_start import WarmStart
from lmn_tf.training.monitor.memory_board import MemoryBoard
from lmn_tf.training.monitor.peak_memory import peak_memory
from lmn_tf.training.monitor.progress import Watcher
from lmn_tf.training.monitor.tensorboard_writer import TensorBoardWriter
from lmn_tf.training.own_parts import load_parts
from lmn_tf.training.saving.checkpoints import Checkpoints
from lmn_tf.training.saving.resolved_pipeline import continued
from lmn_tf.training.saving.run_directory import RunDirectory
from lmn_tf.training.terms.written_terms import write_terms
from lmn_tf.training.train_figures import train_figures
from lmn_tf.training.training_loop import TrainingLoop


class Trainer:
    """Trains the model of a pipeline and writes its run directory.

    Learns the vocabularies from the training files, trains with `model.fit`, evaluates the
    validation set after each epoch, keeps the weights of the best epoch if the pipeline has early
    stopping (else the last ones), evaluates the test set, and finally writes `metrics.json`. With
    `resume`, it continues where an earlier process died, with the same result.

    Args:
        pipeline: A `PipelineSpec`.
        resume: Boolean. Whether to continue the run in the pipeline's `run_dir`, if there is one.
            Defaults to `False`.
        test: Boolean. Whether to evaluate the test set. A finished run without test metrics gets
            them when it is resumed with `test`. Defaults to `True`.
        diagnostics: Boolean. Whether to diagnose what the model owes to its memories, and to rows
            of known pairs, while the test set is evaluated; see `diagnose`. Not on parameter
            servers. Defaults to `False`.
        stream: Stream of the log. Defaults to `None`: stderr.

    Raises:
        UserError: If the run directory is not empty or not writable, another process trains in it,
            or it holds another run.
    """

    def __init__(
        self,
        pipeline: PipelineSpec,
        resume: bool = False,
        test: bool = True,
        diagnostics: bool = False,
        stream: Any = None,
    ) -> None:
        self.distribution = Distribution(pipeline.distribute)
        self.pipeline = pipeline
        self.resume = resume
        self.test, self.diagnostics = test, diagnostics
        self.stream = stream if stream is not None else sys.stderr
        self.directory = RunDirectory(pipeline.run_dir)
        self.model = self.spec = self.warm_start = None

    def train(self) -> dict:
        """Trains to the end.

        Returns:
            The content of `metrics.json`.
        """
        spec = self.pipeline.load_feature_spec()
        self.pipeline.check_features(spec)
        self._prepare_start()
        if self.resume and self.directory.is_finished:
            self.directory.check_same(self.pipeline, spec)
            self.directory.check_kept_data(self.pipeline, spec)
            self.directory.load_spec()
            damage = self.directory.damage()
            if damage is None:
                return self._with_test(self.directory.read_metrics())
            self._say(f"warning: {self._mendable(damage)}. Writing it anew.")
        if not self.resume:
            self.directory.check_free()
        # Imports of a model may draw random numbers, which must not affect those of the run.
        load_parts(self.pipeline, spec)
        with self.directory.held():
            self._open(spec)
            generate_missing(self.pipeline.data, self._say)
            with self._settings(), user_errors(), self.distribution.connected(self._say):
                return self._train(spec)

    def _prepare_start(self) -> None:
        """Opens the run of a warm start, and adapts the pipeline to it."""
        if self.resume and self.directory.is_started:
            self.pipeline = continued(self.pipeline, self.directory.load_pipeline())
        elif self.pipeline.warm_start:
            self.warm_start = WarmStart(self.pipeline.warm_start)
            self.pipeline = self.warm_start.adapted(self.pipeline)

    def _mendable(self, damage) -> UserError:
        """Returns the error of a damaged finished run if its newest checkpoint can restore it."""
        checkpoint = Checkpoints(self.directory.checkpoints).latest(tidy=False)
        if checkpoint is None or not checkpoint[1].get("finished"):
            raise UserError(
                f"{damage.message}. There is no checkpoint of the finished run to write it anew "
                "from: start a new run with another --run-dir.",
                file=damage.file,
            ) from damage
        return damage

    def _open(self, spec) -> None:
        if not self.resume:
            self.directory.check_free()  # Again, now that it is locked.
            return
        atomic_files.remove_leftovers(self.directory.path)
        if self.directory.is_started:
            self.directory.check_same(self.pipeline, spec)
        else:
            self.directory.check_opening()
            self._say(f"No run to continue in {self.directory.path}: starting one.")

    def _train(self, spec) -> dict:
        check_run(self.pipeline, spec)
        self.spec = self._learn(spec)
        data, train = self.pipeline.data, self.pipeline.train
        reader = self._reader(data.train)
        total = train.epochs * -(-reader.num_rows // data.batch_size)
        total = min(total, train.max_steps) if train.max_steps else total
        self.model = self._build(total)
        if self.warm_start:
            self._say(self.warm_start.apply(self.model, self.pipeline))
        valid, test = self._dataset(data.valid), self._test_dataset()
        # Written after all checks, so that a mistake of the user leaves the folder empty.
        if not self.directory.is_started:
            self.directory.write_opening(self.pipeline, self.spec)
        evaluator = self._evaluator()
        unfamiliar = {"train": reader.unfamiliar_values}
        unfamiliar |= {} if valid is None else {"valid": valid.unfamiliar_values}
        watcher = Watcher(total, self.stream, unfamiliar)
        with (
            contextlib.closing(watcher),
            self._tensorboard(lambda: evaluator.scores) as tensorboard,
        ):
            listeners = [watcher, *tensorboard, *self._alarms(evaluator, watcher)]
            listeners += self._diagnosis.listeners(evaluator) if self._diagnosis else []
            if train.fresh_tables:
                listeners.append(FreshTables(lambda: self._build(total), train.seed))
            loop = self._loop(reader, valid, evaluator, listeners, total)
            self._restore(loop, total)
            state = loop.run()
        written = self._write_terms(valid, evaluator)
        return self._finish(loop, state, test, evaluator, written)

    def _restore(self, loop, total) -> None:
        """Restores the newest checkpoint, if there is one, and compares the data with its notes."""
        is_restored = loop.restore()
        # Validation data may be corrected as long as the run has not used them.
        is_validated = any("valid" in figures for figures in loop.state.history)
        unread = () if is_validated else ("valid",)
        self.directory.check_data(self.pipeline, self.spec, fingerprint(self.spec), unread)
        if is_restored:
            self._say(f"Continuing at step {loop.state.step} of {total}.")
        elif self.pipeline.warm_start and not self.warm_start:  # killed before a checkpoint
            self._say(WarmStart(self.pipeline.warm_start).apply(self.model, self.pipeline))

    def _write_terms(self, valid, evaluator) -> dict | None:
        """Writes terms of the logits that are not trained; returns the new figures of `valid`."""
        if not self.model.writes_terms:
            return None
        limit = RowLimit.of_training(self.pipeline)
        self._say(write_terms(self.model, self._first_files(), valid, limit))
        return dict(evaluator.evaluate(valid))

    def _with_test(self, metrics: dict) -> dict:
        """Adds test metrics to those of a finished run, if missing."""
        if not self._lacks_test(metrics):
            return metrics
        with self.directory.held(), self._settings(), user_errors():
            generate_missing(self.pipeline.data, self._say)
            self.spec, self.model = self.directory.load_spec(), self.directory.load_model()
            evaluator, test = self._evaluator(), self._test_dataset()
            metrics |= self._test_figures(evaluator, test, metrics["train"])
            self.directory.write_metrics(metrics, self.pipeline, self.spec)
        return self.directory.read_metrics()

    def _lacks_test(self, metrics) -> bool:
        lacks = "test" not in metrics or (self.diagnostics and "diagnostics" not in metrics)
        return lacks and self.test and self.pipeline.data.test is not None

    @property
    def _diagnosis(self) -> RunDiagnosis | None:
        """What is diagnosed, if anything is; a parameter server run has only counts of reads."""
        if not self.diagnostics or self.pipeline.distribute.strategy == "parameter_server":
            return None
        return RunDiagnosis(self.pipeline, self.spec)

    def _test_figures(self, evaluator, test, train) -> dict:
        """Returns the entries of `metrics.json` about the test set."""
        if self._diagnosis is None:
            none = {"diagnostics": {}} if self.diagnostics else {}
            figures = {"test": evaluator.evaluate(test), **none}
        else:
            if not self._reads_histories:
                evaluator = self._evaluator()  # The graph of the other one has no histories.
            figures = self._diagnosis.figures(evaluator, test, train)
        for sentence in test.unfamiliar_values.sentences():
            self._say(f"test data: {sentence}")
        return figures

    def _evaluator(self) -> Evaluator:
        labels = [label.name for label in self.spec.labels]
        return Evaluator(self.model, labels, self.spec.group is not None, self.pipeline.metrics)

    def _learn(self, spec):
        """Returns the spec with its vocabularies; those of the run if it is resumed."""
        if self.directory.is_started:
            return self.directory.load_spec()
        from lmn_tf.data.learning import vocabulary

        vocabulary.learn(spec, self._first_files(), limit=RowLimit.of_training(self.pipeline))
        if self.warm_start:
            self.warm_start.adapt_assets(spec)
        return spec

    @contextlib.contextmanager
    def _tensorboard(self, scores):
        """Yields the listeners that write to TensorBoard: one, or none if there should be none."""
        if not self.pipeline.train.tensorboard:
            yield []
            return
        writer = TensorBoardWriter(self.directory.tensorboard / "train", scores=scores)
        with contextlib.closing(writer):
            yield [writer]

    def _alarms(self, evaluator, watcher) -> list:
        """Returns listeners that warn of failing runs."""
        if not evaluator.memories:
            return []
        from lmn_tf.callbacks import CollapseAlarm

        return [CollapseAlarm(say=lambda text: watcher.line(f"warning: {text}"))]

    def _first_files(self):
        """Returns the files from which vocabularies are learned."""
        return self.pipeline.data.train

    def _loop(self, reader, valid, evaluator, listeners, total, epochs=None) -> TrainingLoop:
        data, train = self.pipeline.data, self.pipeline.train
        stopping, callbacks = train.early_stopping, self._board(evaluator).callbacks()
        if self.pipeline.model_options.get("open_keys"):
            from lmn_tf.callbacks import OpenKeys

            start = self.pipeline.warm_start
            callbacks.append(OpenKeys((start and start.opening_steps) or max(total // 2, 1)))
        return TrainingLoop(
            self.model,
            lambda start: reader_dataset(reader, start=start),
            num_rows=reader.num_rows,
            batch_size=data.batch_size,
            epochs=epochs or train.epochs,
            checkpoints=Checkpoints(self.directory.checkpoints, guard=self.directory.check_present),
            evaluate=None if valid is None else lambda: evaluator.evaluate(valid),
            early_stopping=stopping and EarlyStopping(stopping.monitor, stopping.patience),
            checkpoint_steps=train.checkpoint_steps,
            max_steps=train.max_steps,
            listeners=listeners,
            callbacks=callbacks,
        )

    def _board(self, evaluator) -> MemoryBoard:
        folder = self.directory.tensorboard / "memory"
        return MemoryBoard(self.pipeline, self.spec, evaluator, self._first_files(), folder)

    def _reader(self, files) -> BatchReader:
        """Returns the reader of training files."""
        data = self.pipeline.data
        return BatchReader(
            self.spec,
            files,
            batch_size=data.batch_size,
            shuffle=True,
            seed=self.pipeline.train.seed,
            shuffle_buffer=data.shuffle_buffer,
            rows_per_group=data.rows_per_group,
            limit=RowLimit.of_training(self.pipeline),
            histories=self._reads_histories,
        )

    def _test_dataset(self):
        """Returns the test set, with histories if these are diagnosed; `None` without one."""
        return self._dataset(self.pipeline.data.test if self.test else None, bool(self._diagnosis))

    def _dataset(self, files, histories=False):
        if files is None:
            return None
        data, histories = self.pipeline.data, histories or self._reads_histories
        return evaluation_dataset(self.spec, files, data.eval_batch_size, data.eval_rows, histories)

    @property
    def _reads_histories(self) -> bool:
        return registry.model_class(self.pipeline.model_name).reads_histories

    def _finish(self, loop, state, test, evaluator, written=None) -> dict:
        self.directory.check_present()
        with atomic_files.atomic_path(self.directory.model_file) as temporary:
            self.model.save(temporary)
        metrics = {
            "model": self.pipeline.model_name,
            "seed": self.pipeline.train.seed,
            "parameters": int(self.model.count_params()),
            "train": train_figures(loop, state) | peak_memory(),
        }
        best = state.early_stopping.get("best_epoch") if state.best_file else None
        epoch = state.history[-1] if best is None else state.history[best]
        metrics["train"]["best_epoch"] = epoch["epoch"]
        if "valid" in epoch:
            metrics["valid"] = written or epoch["valid"]
        if test is not None:
            metrics |= self._test_figures(evaluator, test, metrics["train"])
        metrics.update(self._more_figures(state))
        self._board(evaluator).finish(state.step)
        # A run is finished only if every command can load it.
        self.directory.load_pipeline()
        self.directory.load_spec()
        self.directory.write_metrics(metrics, self.pipeline, self.spec)
        return self.directory.read_metrics()

    def _more_figures(self, state) -> dict:
        """Returns further entries of `metrics.json`."""
        return {}

    def _build(self, total):
        with self.distribution.scope():
            model = build_model(self.pipeline, self.spec, total)
        self.distribution.set_up(model)
        return model

    def _settings(self):
        return _settings(self.pipeline.train, self.distribution.is_asynchronous)

    def _say(self, text: str) -> None:
        print(text, file=self.stream, flush=True)


@contextlib.contextmanager
def _settings(train, is_asynchronous):
    """Sets seeds, precision and determinism of a run; restores the precision afterwards."""
    keras.utils.set_random_seed(train.seed)
    if train.deterministic and not is_asynchronous:
        tf.config.experimental.enable_op_determinism()
    before = keras.config.dtype_policy()
    keras.config.set_dtype_policy(train.precision)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)

"""Trainer of models without a network."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.metrics.named_metric import own_metric
from lmn_tf.models import registry
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.baselines.rates import Rates
from lmn_tf.models.run_checks import check_run
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import fingerprint
from lmn_tf.training.evaluation.evaluator import quality_figures, quality_metrics
from lmn_tf.training.evaluation.pair_support import PairSupport
from lmn_tf.training.evaluation.support_quartiles import SupportQuartiles
from lmn_tf.training.generated_data import generate_missing
from lmn_tf.training.monitor.peak_memory import peak_memory
from lmn_tf.training.trainer import Trainer

_CHUNK = 65_536


class BaselineTrainer(Trainer):
    """Fits a model without a network, and writes the run directory of a `Trainer`.

    Each label has its own model. `metrics.json` has the same figures of the validation and the test
    set, and the weights of the scores in `weights`. There are no checkpoints and no `model.keras`:
    a run that was killed, or lacks the figures of the test set, is fitted again, which takes
    seconds and gives the same result for any seed.

    Args:
        pipeline: A `PipelineSpec` of a model without a network.
        **kwargs: Arguments of `Trainer`.

    Raises:
        UserError: As in `Trainer`, and if the pipeline asks for what only a network can do.
    """

    def _train(self, spec) -> dict:
        check_run(self.pipeline, spec)
        self.spec = self._learn(spec)
        started = time.perf_counter()
        # One model reads the data of all: their columns are the same.
        models = [self._create() for _ in self.spec.labels]
        data = self.pipeline.data
        train = self._read(models[0], data.train, RowLimit.of_training(self.pipeline))
        valid = self._read(models[0], data.valid, data.eval_rows)
        test = self._read(models[0], data.test if self.test else None, data.eval_rows)
        if not self.directory.is_started:
            self.directory.write_opening(self.pipeline, self.spec)
        self.directory.check_data(self.pipeline, self.spec, fingerprint(self.spec))
        for label, model in enumerate(models):
            model.fit(train, valid, label)
        metrics = {
            "model": self.pipeline.model_name,
            "seed": self.pipeline.train.seed,
            "parameters": int(sum(model.num_parameters for model in models)),
            "train": {
                "rows": len(train),
                "examples": len(train),
                "seconds": time.perf_counter() - started,
            },
            "weights": _of_labels([model.weights for model in models], self.spec),
        }
        for name, rows in (("valid", valid), ("test", test)):
            if rows is not None:
                metrics[name] = evaluate(models, rows, self.spec, self.pipeline.metrics)
        if self.diagnostics and test is not None:
            metrics["diagnostics"] = _diagnose(models[0], train, test)
        metrics["train"] |= peak_memory()
        self.directory.check_present()
        self.directory.write_metrics(metrics, self.pipeline, self.spec)
        return self.directory.read_metrics()

    def _create(self):
        name = self.pipeline.model_name
        return registry.model_class(name)(self.spec, **self.pipeline.model_options)

    def _read(self, model, files, limit):
        if files is None:
            return None
        return Interactions.read(self.spec, model.columns, files, limit)

    def _mendable(self, damage) -> UserError:
        return damage

    def _with_test(self, metrics: dict) -> dict:
        if not self._lacks_test(metrics):
            return metrics
        with self.directory.held():
            generate_missing(self.pipeline.data, self._say)
            return self._train(self.pipeline.load_feature_spec())


def _diagnose(model, train, test) -> dict:
    """Returns the diagnostics of a model without a memory: the AUC by support of pairs, if any."""
    test = test.weighted()
    if model.columns.sequence is None or not len(test):
        return {}
    quartiles = SupportQuartiles(model.columns)
    quartiles.add_interactions(test, model.logits(test)[:, None])
    return {"support": quartiles.figures(PairSupport(train))}


def evaluate(
    models: Sequence[Rates], rows: Interactions, spec: FeatureSpec, own_metrics: Sequence[Any] = ()
) -> dict:
    """Returns the figures of an `Evaluator`: those of the first label, and in `labels` of each.

    Args:
        models: One fitted model for each label.
        rows: `Interactions` to score.
        spec: Their `FeatureSpec`.
        own_metrics: As in `Evaluator`. Defaults to `()`.
    """
    started = time.perf_counter()
    rows = rows.weighted()
    logits = np.stack([model.logits(rows) for model in models], axis=1)  # (rows, labels)
    figures = []
    for label in range(len(models)):
        scorer = quality_metrics(label, rows.groups is not None)
        own = [own_metric(rule, label) for rule in own_metrics]
        for start in range(0, len(rows), _CHUNK):
            part = slice(start, start + _CHUNK)
            weights = None if rows.weights is None else rows.weights[part]
            groups = None if rows.groups is None else rows.groups[part]
            for metric in (*scorer.values(), *own):
                extra = {"groups": groups} if metric.needs_groups else {}
                metric.update_state(rows.labels[part], logits[part], weights, **extra)
        figures.append(quality_figures(scorer, own))
    seconds = time.perf_counter() - started
    result = {**figures[0], "examples": len(rows), "examples_per_second": len(rows) / seconds}
    if len(figures) > 1:
        result["labels"] = _of_labels(figures, spec)
    return result


def _of_labels(values, spec):
    """Returns the only value, or a mapping from labels to values."""
    names = [label.name for label in spec.labels]
    return values[0] if len(values) == 1 else dict(zip(names, values, strict=True))

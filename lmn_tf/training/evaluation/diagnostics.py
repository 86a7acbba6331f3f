"""Diagnostics of a trained model: what it owes to its memories, and to rows of known pairs."""

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import get_rows, set_rows
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.evaluation.pair_support import PairSupport
from lmn_tf.training.evaluation.support_quartiles import SupportQuartiles

FEW_READS = 10
_SEED = 0  # of the permutation of addresses


def diagnose(
    evaluator: Evaluator,
    spec: FeatureSpec,
    dataset: tf.data.Dataset,
    train: Callable[[SupportQuartiles], Interactions],
) -> tuple[dict, dict]:
    """Evaluates a model with diagnostics.

    A model with memories is evaluated three times: as it is, with the values of all slots permuted
    among the slots of a memory (shuffled addresses), and with values of 0. A memory on which
    nothing depends can be shuffled and zeroed without loss.

    Args:
        evaluator: `Evaluator` of the model.
        spec: The model's `FeatureSpec`, with its assets.
        dataset: Batches of features, with histories, and labels.
        train: Function that returns the training rows, given what to count in them.

    Returns:
        Pair of the result of `evaluator.evaluate` and the diagnostics: `support`, the result of
        `SupportQuartiles.figures`, if a history has events like the candidate; and `memory` if the
        model has memories: `auc_shuffled` and `auc_zeroed` of the first label, the mean openness of
        the `gate` over some rows (`None` without a `MemoryGate`), `reads_per_slot`, the mean number
        of reads of a slot by all rows, and `slots_below_10`, the percentage of slots with fewer
        reads than 10.
    """
    quartiles = SupportQuartiles.of(spec)
    reads = [np.zeros(memory.memory_size) for memory in evaluator.memories]

    def watch(features, labels, weights, logits, batch_reads):
        if quartiles is not None:
            quartiles.add_batch(features, labels, weights, logits)
        for counts, (slots, _, mask) in zip(reads, batch_reads, strict=True):
            counts += _counts(slots, mask, len(counts))

    figures = evaluator.evaluate(dataset, watch=watch)
    diagnostics = {}
    if quartiles is not None:
        diagnostics["support"] = quartiles.figures(PairSupport(train(quartiles)))
    if evaluator.memories:
        diagnostics["memory"] = {
            "auc_shuffled": _auc_with(_shuffled, evaluator, dataset),
            "auc_zeroed": _auc_with(np.zeros_like, evaluator, dataset),
            "gate": _gate(evaluator, dataset),
            "reads_per_slot": float(np.mean(np.concatenate(reads))),
            "slots_below_10": 100 * float(np.mean(np.concatenate(reads) < FEW_READS)),
        }
    return figures, diagnostics


@contextlib.contextmanager
def changed_tables(
    tables: Sequence[Any], change: Callable[[np.ndarray], np.ndarray]
) -> Iterator[None]:
    """Changes the values of tables within the block; afterwards, they have their values again.

    Args:
        tables: Variables of shape `(rows, dim)`, or tables that are split over devices.
        change: Function from the values of a table to those within the block.
    """
    kept = [get_rows(table, 0, table.shape[0]) for table in tables]
    try:
        for table, values in zip(tables, kept, strict=True):
            set_rows(table, 0, change(values))
        yield
    finally:
        for table, values in zip(tables, kept, strict=True):
            set_rows(table, 0, values)


def _auc_with(change, evaluator, dataset) -> float | None:
    tables = [memory.memory_values for memory in evaluator.memories]
    with changed_tables(tables, change):
        return evaluator.evaluate(dataset)["auc"]


def _shuffled(values):
    return values[np.random.default_rng(_SEED).permutation(len(values))]


def _counts(slots, mask, size) -> np.ndarray:
    """Returns the number of reads of each slot by the queries of a batch that count."""
    slots = np.asarray(slots)
    per_query = np.ones(len(slots)) if mask is None else np.asarray(mask).astype("float64")
    times = np.repeat(per_query, slots[0].size) if len(slots) else per_query
    return np.bincount(slots.reshape(-1), times, size)


def _gate(evaluator, dataset) -> float | None:
    """Returns the mean openness of the gates over the rows of the probe."""
    probe = evaluator.probe(lambda: next(iter(dataset.map(lambda features, *_: features))))
    openness = probe.measure().openness if probe.has_gates else {}
    return float(np.mean(list(openness.values()))) if openness else None

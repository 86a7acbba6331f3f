"""Diagnostics of a trained model: what it owes to its memories, and to rows of known pairs."""

import contextlib
import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.distribute.tables.rows import copy_rows, get_rows
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

    A model with memories is evaluated three times: as it is, with the values of the slots that were
    read permuted among them (shuffled addresses), and with values of 0. A memory on which nothing
    depends can be shuffled and zeroed without loss. Values of other slots take no part: many of
    them were never trained.

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
        of reads of a slot by all rows, and `slots_read` and `slots_below_10`, the percentages of
        slots with any read, and with fewer reads than 10.
    """
    quartiles = SupportQuartiles.of(spec)
    tables = [memory.memory_values for memory in evaluator.slot_memories]
    reads = [np.zeros(table.shape[0], np.int32) for table in tables]

    def watch(features, labels, weights, logits, batch_reads):
        if quartiles is not None:
            quartiles.add_batch(features, labels, weights, logits)
        for counts, (slots, _, mask) in zip(reads, batch_reads, strict=True):
            _count(counts, slots, mask)

    figures = evaluator.evaluate(dataset, watch=watch)
    diagnostics = {}
    if quartiles is not None:
        diagnostics["support"] = quartiles.figures(PairSupport(train(quartiles)))
    if tables:
        shuffles = [functools.partial(_shuffled, np.flatnonzero(counts)) for counts in reads]
        counts = np.concatenate(reads)
        with changed_tables(tables, shuffles):
            auc_shuffled = evaluator.evaluate(dataset)["auc"]
        with changed_tables(tables, [np.zeros_like] * len(tables)):
            auc_zeroed = evaluator.evaluate(dataset)["auc"]
        diagnostics["memory"] = {
            "auc_shuffled": auc_shuffled,
            "auc_zeroed": auc_zeroed,
            "gate": _gate(evaluator, dataset),
            "reads_per_slot": float(np.mean(counts)),
            "slots_read": 100 * float(np.mean(counts > 0)),
            "slots_below_10": 100 * float(np.mean(counts < FEW_READS)),
        }
    return figures, diagnostics


@contextlib.contextmanager
def changed_tables(
    tables: Sequence[Any], changes: Sequence[Callable[[np.ndarray], np.ndarray]]
) -> Iterator[None]:
    """Changes the values of tables within the block; afterwards, they have their values again.

    Args:
        tables: Variables of shape `(rows, dim)`, or tables that are split over devices.
        changes: For each table, a function from its values to those within the block.
    """
    kept = [get_rows(table, 0, table.shape[0]) for table in tables]
    try:
        for table, values, change in zip(tables, kept, changes, strict=True):
            copy_rows(change(values), table)
        yield
    finally:
        for table, values in zip(tables, kept, strict=True):
            copy_rows(values, table)


def _shuffled(slots, values):
    """Permutes the values of some slots among them."""
    shuffled = values.copy()
    shuffled[slots] = values[np.random.default_rng(_SEED).permutation(slots)]
    return shuffled


def _count(counts, slots, mask) -> None:
    """Adds the reads of each slot by the queries of a batch that count."""
    slots = np.asarray(slots)
    per_query = np.ones(len(slots)) if mask is None else np.asarray(mask)
    times = np.broadcast_to(per_query[:, None, None], slots.shape).astype(counts.dtype)
    np.add.at(counts, slots.reshape(-1), times.reshape(-1))


def _gate(evaluator, dataset) -> float | None:
    """Returns the mean openness of the gates over the rows of the probe."""
    probe = evaluator.probe(lambda: next(iter(dataset.map(lambda features, *_: features))))
    openness = probe.measure().openness if probe.has_gates else {}
    return float(np.mean(list(openness.values()))) if openness else None

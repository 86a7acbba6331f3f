"""Rates of items and users, counted in training rows."""

import dataclasses
import os
from collections.abc import Sequence

import numpy as np

from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.distribute.tables.rows import copy_rows
from lmn_tf.models.baselines.interactions import Interactions
from lmn_tf.models.baselines.rates import Rates
from lmn_tf.models.terms.rate_terms import SHRINKAGE, RateTerms


def write_rates(
    terms: RateTerms,
    train: str | os.PathLike | Sequence[str | os.PathLike],
    limit: int | RowLimit | None = None,
) -> str:
    """Writes the rates of items and users in the training rows into a layer.

    They are those of `Rates` for each label, but for missing values (id 0), which have none. Values
    that are not in the training rows have the rate of all rows, and so do unknown users; rows of
    weight 0 do not count. With `terms.counts`, the numbers of rows of these values are written as
    well: 0 for those that are not in the training rows.

    Args:
        terms: Built `RateTerms`.
        train: Glob, path, or list of them. Training rows.
        limit: Integer or `RowLimit` of the training rows. Defaults to `None`: all.

    Returns:
        Sentence for the log.

    Raises:
        UserError: As in `BatchReader`.
    """
    options = {"item": terms.item, "user": terms.user, "shrinkage": SHRINKAGE}
    fitted = [Rates(terms.spec, **options) for _ in range(terms.num_labels)]
    columns = dataclasses.replace(fitted[0].columns, sequence=None, events=None)
    rows = Interactions.read(terms.spec, columns, train, limit)
    rows = rows.take(np.flatnonzero(rows.row_weights > 0))
    for label, rates in enumerate(fitted):
        rates.fit_scores(rows, label)
    terms.rate.assign(np.array([rates.rate for rates in fitted], np.float32))
    first = fitted[0]
    values = {terms.item: len(np.unique(rows.items))}
    _write(terms, terms.item, [rates.item_offsets for rates in fitted], first.item_counts)
    if terms.user is not None:
        values[terms.user] = len(first.user_keys)
        of_labels = [_by_id(terms, first, rates.user_offsets) for rates in fitted]
        _write(terms, terms.user, of_labels, _by_id(terms, first, first.user_counts))
    texts = " and ".join(f"{count:,} values of {name}" for name, count in values.items())
    return f"Counted the rates of {texts}."


def _by_id(terms, rates, by_row):
    by_id = np.zeros(terms.tables[terms.user].vocabulary_size)
    by_id[rates.user_keys] = by_row[:-1]
    return by_id


def _write(terms, name, rates, counts):
    columns = [*rates, counts] if terms.counts else rates
    copy_rows(np.stack(columns, axis=1).astype(np.float32), terms.tables[name].embeddings)

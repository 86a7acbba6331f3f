"""Parity check of an export against the model that it was made from.

An export runs on kernels that every server has, the live model on the fastest ones of this machine.
They round differently. That alone changes a probability by about 1e-7; but if two slots of a
memory, or two candidates of a search, have equal scores up to rounding, the two may select
different ones, and the probability of that row changes by more. So each row is compared with the
live model twice: as it trains, and traced with the kernels of the export. The row agrees if one of
the two does. A wrong weight or input differs from both. Ties are rare: kernels that disagree on
more than one row in twenty cannot be explained by rounding, and are refused.
"""

from collections.abc import Callable, Iterable, Iterator

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.data.encoding.ragged import flat_index
from lmn_tf.ops.compile import plain_kernels

_LARGEST_SHARE = 0.05
# Rows that stand for the candidates of one user.
CANDIDATES_OF_A_USER = 64


class ExportError(RuntimeError):
    """An export that does not score like the trained model.

    Example:

    >>> str(ExportError("the export must store each variable once"))
    'the export must store each variable once'
    """


def check_parity(
    model: keras.Model,
    served: Callable[[dict[str, tf.Tensor]], np.ndarray],
    dataset: Iterable[dict[str, tf.Tensor]],
    tolerance: float,
    padded: bool = True,
) -> dict:
    """Compares an export with the live model.

    Args:
        model: The live model.
        served: Function from a batch of features to probabilities, an array of shape
            `(batch, labels)`.
        dataset: Batches of features.
        tolerance: Largest difference of two probabilities that counts as none.
        padded: Boolean. Whether both take histories in their padded form, else as windows into
            events. Defaults to `True`.

    Returns:
        Dictionary of `rows`, `largest_difference` and `mean_difference` (of probabilities, from
        the live model as it trains), and `rows_rounded` (how many of them differ by more than
        `tolerance`, but not from the live model on the export's kernels).

    Raises:
        ExportError: When the two differ, the model's probabilities are not finite, or there are no
            rows.
    """
    signature = model.encoder.signature(padded)

    @tf.function(input_signature=[signature], autograph=False)
    def plain(features):
        return _probabilities(model, features)

    served_probabilities, live, same = [], [], []
    for features in dataset:
        if padded:
            features = model.fit_driver.batches.padded(features)
        features = {key: features[key] for key in signature}
        served_probabilities.append(served(features))
        live.append(_probabilities(model, features).numpy())
        same.append(live[-1])
        if np.any(_difference(served_probabilities[-1], live[-1]) > tolerance):
            with plain_kernels():
                same[-1] = plain(features).numpy()
    if not served_probabilities:
        raise ExportError("the export must be compared on real rows. Received: no row")
    served_probabilities, live, same = (
        np.concatenate(parts) for parts in (served_probabilities, live, same)
    )
    finite = np.isfinite(live).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        raise ExportError(
            "the model must give finite probabilities: its training has diverged. "
            f"Received: {live[row].tolist()} in row {row + 1}"
        )
    difference = _difference(served_probabilities, live)
    wrong = np.minimum(difference, _difference(served_probabilities, same)) > tolerance
    rounded = np.any(difference > tolerance, axis=1)
    if not wrong.any() and rounded.sum() > max(1, _LARGEST_SHARE * len(served_probabilities)):
        wrong = difference > tolerance
    if wrong.any():
        raise _error(model, served_probabilities, live, np.where(wrong, difference, 0), tolerance)
    return {
        "rows": len(served_probabilities),
        "largest_difference": float(difference.max()),
        "mean_difference": float(difference.mean()),
        "rows_rounded": int(rounded.sum()),
    }


def one_user_batches(
    model: keras.Model, dataset: Iterable[dict[str, tf.Tensor]]
) -> Iterator[dict[str, tf.Tensor]]:
    """Makes batches of windows in which runs of rows are candidates of one user.

    A run has 64 rows, the last one of a batch may have fewer. Its user is that of its first row.

    Args:
        model: The live model.
        dataset: Batches of features, with histories as windows.

    Yields:
        Batches like them, the rows of a run with its first row's user features and history.
    """
    columns = model.encoder.request_signature()
    for features in dataset:
        features = {key: np.asarray(values) for key, values in features.items()}
        rows = len(next(features[key] for key in columns.candidates))
        heads = np.arange(0, rows, CANDIDATES_OF_A_USER)
        counts = np.diff(np.append(heads, rows))
        batch = {key: features[key] for key in columns.candidates}
        for key in columns.user:
            batch[key] = np.repeat(features[key][heads], counts, axis=0)
        for sequence in model.spec.sequences:
            batch |= _shared(features, sequence.name, columns, heads, counts)
        yield {key: tf.convert_to_tensor(values) for key, values in batch.items()}


def _shared(features, name, columns, heads, counts):
    """Returns the columns of a sequence with the events of some rows, each for a run of rows."""
    lengths, first = features[f"{name}/length"], features[f"{name}/first"][heads]
    kept, before = lengths[heads], (np.cumsum(lengths) - lengths)[heads]
    events = flat_index(first, kept)
    pairs = flat_index(np.repeat(before, counts), np.repeat(kept, counts))
    starts = np.cumsum(kept) - kept
    shared = {
        f"{name}/first": np.repeat(starts, counts).astype(np.int32),
        f"{name}/length": np.repeat(kept, counts),
    }
    shared |= {key: features[key][events] for key in columns.events if key.startswith(f"{name}/")}
    shared |= {key: features[key][pairs] for key in columns.pairs if key.startswith(f"{name}/")}
    return shared


def _probabilities(model, features):
    return tf.sigmoid(tf.cast(model(features, training=False), tf.float32))


def _difference(served, want):
    # A NaN on either side must count as a difference.
    difference = np.abs(served - want)
    return np.where(np.isnan(difference), np.inf, difference)


def _error(model, served, live, difference, tolerance):
    row, index = np.unravel_index(np.argmax(difference), difference.shape)
    rows = int(np.any(difference, axis=1).sum())
    return ExportError(
        f"the reloaded export must score like the model, within {tolerance:g}. Received: a "
        f"difference of {difference[row, index]:.3g} in row {row + 1} "
        f"(`{model.spec.labels[index].name}` {live[row, index]:.8g}, exported "
        f"{served[row, index]:.8g}), differences in {rows:,} of {len(served):,} rows. Where so "
        "small a difference does no harm, give a larger `tolerance`."
    )

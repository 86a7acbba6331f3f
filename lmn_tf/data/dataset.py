"""Batches as a `tf.data.Dataset`."""

import collections
import contextlib
import os
import weakref
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.data.learning import vocabulary
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.delimiter import as_delimiter
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import fingerprint

_MOST_RUNNING = 16


def make_dataset(
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    batch_size: int = 512,
    shuffle: bool = False,
    seed: int | None = None,
    epochs: int = 1,
    shuffle_buffer: int = 100_000,
    start: tuple[int, int] | Callable[[], tuple[int, int]] = (0, 0),
    shard: tuple[int, int] = (0, 1),
    drop_remainder: bool = False,
    limit: int | None = None,
    prefetch: int = 2,
    labels: bool = True,
    histories: bool = True,
    delimiter: str | None = None,
    learn: bool | None = None,
    rows_per_group: int = 1,
) -> tf.data.Dataset:
    """Returns a dataset of encoded batches from Parquet, CSV or TFRecord files.

    Missing vocabularies and statistics are learned from the training data: create the (shuffled)
    training dataset before any other. A dataset that is not shuffled, for evaluation, reads the
    learned files in the folder of its data, and raises an error if they are incomplete: ids learned
    from other data would differ from those of the model.

    Consecutive rows of one user in a batch share the events of their histories, which are then
    read, embedded and processed once. `rows_per_group` reads up to this number of rows of a user
    together, in the order of time. It is useful if histories are long and in an events file (lists
    in rows are shared only if they are equal), and a batch has many groups. It makes the rows of a
    batch less independent: with few groups per batch, gradients have more noise, and batch
    normalization sees few users. Keep 1 if users have only a few rows. Files may be in any order: a
    user's rows are gathered from each `shuffle_buffer` rows, so the more, the closer in time are
    the rows of a group. Users are identified by the first history by reference, otherwise by
    `group`, otherwise by the features of role user.

    Batches depend on (seed, epoch) only. Each new iteration over a shuffled dataset continues with
    the next epochs, as in `tf.data.Dataset.shuffle`, unless `start` is a function.

    Args:
        spec: `FeatureSpec`.
        files: Glob, path, or list of them.
        batch_size: Integer. Number of rows per batch. Defaults to `512`.
        shuffle: Boolean. Defaults to `False`.
        seed: Integer in `[0, 2**64)` or `None`. Seed of the order. Defaults to `None`: 0.
        epochs: Integer. Number of passes over the data in one iteration. Defaults to `1`.
        shuffle_buffer: Integer. Number of rows that are shuffled, or gathered by user, together.
            Defaults to `100_000`.
        start: Pair (epoch, batch) where reading starts, or a function that returns it, called
            at the beginning of each iteration. Defaults to `(0, 0)`.
        shard: Pair (index, count). Part of the rows to read. Defaults to `(0, 1)`.
        drop_remainder: Boolean. Whether the last, smaller batch is dropped. Defaults to `False`.
        limit: Integer or `None`. Number of rows to use, from the first. Defaults to `None`: all.
        prefetch: Integer. Number of batches to prefetch. Defaults to `2`.
        labels: Boolean. Whether labels and row weights are read; otherwise elements are features
            only. Defaults to `True`.
        histories: Boolean. Whether sequences are read. Models whose `reads_histories` is `False` do
            not need them. Defaults to `True`.
        delimiter: String. Delimiter of CSV files, which is stored in `spec.assets` for later
            datasets. Defaults to `None`: the stored one, otherwise a tab in files whose name ends
            in `.tsv` and a comma in others.
        learn: Boolean. Whether to learn from these data. Defaults to `None`: the value
            of `shuffle`.
        rows_per_group: Integer. Maximum number of rows of one user that are read together. With
            `shuffle`, groups are shuffled instead of rows; without, users are in the order of their
            first rows. Defaults to `1`: rows stay by themselves, and in order without `shuffle`.

    Returns:
        `tf.data.Dataset` of `(features, labels)`, or `(features, labels, weights)` if the spec has
        a weight column. `features` maps

        - a categorical, cross, bucketized or elapsed_time feature to int32 `(batch,)`,
        - a numeric feature to float32 `(batch,)`, a vector to float32 `(batch, size)`,
        - a multi_value feature (or a cross with one) to int32 `(batch, values)`, 0 behind the
          last value, and `NAME/weights` to float32 of that shape,
        - `SEQUENCE/first` and `SEQUENCE/length` to int32 `(batch,)`: the history of row `r` is
          `events[first[r] : first[r] + length[r]]` of each field, oldest event first; `first` never
          decreases from row to row,
        - `SEQUENCE/FIELD` to `(events,)`, or with `values` or `size` as second axis: the events of
          the batch, each once for consecutive rows that share it,
        - `SEQUENCE/FIELD` of kind elapsed_time, which depends on the row, to `(pairs,)`: the events
          of the first row, those of the second row and so on, `length.sum()` in total,
        - `group` to int64 `(batch,)` if the spec has a group column.

        Labels are float32 `(batch, labels)`, weights float32 `(batch,)`.

    Raises:
        UserError: If no file matches, if the data do not match the spec, or if a vocabulary or
            statistic is missing and these are not training data.
    """
    if delimiter is not None:
        spec.assets.delimiter = as_delimiter(delimiter)
    if not vocabulary.is_learned(spec):
        if shuffle if learn is None else learn:
            vocabulary.learn(spec, files, seed=seed, limit=limit)
        else:
            _take_learned(spec, files)
    reader = BatchReader(
        spec,
        files,
        batch_size=batch_size,
        shuffle=shuffle,
        seed=seed,
        shuffle_buffer=shuffle_buffer,
        shard=shard,
        drop_remainder=drop_remainder,
        limit=limit,
        labels=labels,
        histories=histories,
        rows_per_group=rows_per_group,
    )
    dataset = reader_dataset(reader, epochs=epochs, start=start, prefetch=prefetch)
    dataset.spec_fingerprint = fingerprint(spec)
    return dataset


def evaluation_dataset(
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    batch_size: int,
    limit: int | None = None,
    histories: bool = True,
    delimiter: str | None = None,
) -> tf.data.Dataset:
    """Returns labeled batches in an order in which rows share events, for metrics.

    Args:
        spec: `FeatureSpec`.
        files: Glob, path, or list of them.
        batch_size: Integer.
        limit: Integer or `None`. Number of rows to use, from the first. Defaults to `None`: all.
        histories: Boolean. Whether sequences are read. Defaults to `True`.
        delimiter: String. Delimiter of CSV files. Defaults to `None`; see `make_dataset`.
    """
    shares = histories and any(sequence.events is not None for sequence in spec.sequences)
    return make_dataset(
        spec,
        files,
        batch_size,
        limit=limit,
        histories=histories,
        delimiter=delimiter,
        rows_per_group=batch_size if shares else 1,
    )


def reader_dataset(
    reader: BatchReader,
    epochs: int = 1,
    start: tuple[int, int] | Callable[[], tuple[int, int]] = (0, 0),
    prefetch: int = 2,
) -> tf.data.Dataset:
    """Returns the batches of a `BatchReader` as a dataset; see `make_dataset` for arguments.

    Its attribute `unfamiliar_values` is that of the reader. The reader is kept as long as the
    dataset, the datasets made from it and their iterators.
    """
    source = tf.data.Dataset.from_tensors(0)
    begin, pull_arrays = _calls(source, _Iterations(reader, epochs, start))
    structure = signature(reader)
    specs = tf.nest.flatten(structure)

    # Calls into Python are declared stateless, since each batch is requested once, by its number.
    # For stateful calls, `enable_op_determinism` removes all prefetching from the pipeline, since
    # it could change their order.
    def pull(key, number):
        arrays = tf.numpy_function(
            pull_arrays, [key, number], [spec.dtype for spec in specs], stateful=False
        )
        for array, spec in zip(arrays, specs, strict=True):
            array.set_shape(spec.shape)
        return tf.nest.pack_sequence_as(structure, arrays)

    def open_iteration(zero):
        key, count = tf.numpy_function(begin, [zero], [tf.int64, tf.int64], stateful=False)
        key.set_shape(())
        count.set_shape(())
        # Not `from_tensors(key).repeat(count)`: TensorFlow 2.21 crashes on it.
        return tf.data.Dataset.range(count).map(lambda number: (key, number))

    # One call into Python per batch takes a third of the time of `from_generator`, which checks
    # and converts each array in Python.
    dataset = source.flat_map(open_iteration).map(pull)
    options = tf.data.Options()
    # Otherwise, TensorFlow would request several batches of a sequential reader in parallel.
    options.experimental_optimization.map_parallelization = False
    if reader.is_sharded:
        # The reader has its shard of the rows; a strategy must not split it again.
        options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.OFF
    if not callable(start) and tuple(start) == (0, 0):
        count = epochs * reader.batches_per_epoch
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(count))
    dataset = dataset.prefetch(prefetch).with_options(options)
    dataset.unfamiliar_values = reader.unfamiliar_values
    return dataset


def dataset_fingerprint(dataset: Any) -> dict[str, str]:
    """Returns the `fingerprint` of the spec of a dataset.

    Args:
        dataset: Result of `make_dataset`, or a dataset derived from it by methods of
            `tf.data.Dataset`. For others, the result is an empty dictionary.
    """
    waiting = [dataset]
    while waiting:
        current = waiting.pop()
        if not isinstance(current, tf.data.Dataset):
            continue
        if hasattr(current, "spec_fingerprint"):
            return current.spec_fingerprint
        waiting += current._inputs()
    return {}


def _take_learned(spec, files):
    vocabulary.find_learned(spec, files)
    if not vocabulary.is_learned(spec):
        raise UserError(
            "`spec` must have its vocabularies and statistics before data to evaluate on are read: "
            "they are learned from training data alone. Load the spec of the run, as by "
            'FeatureSpec.load("RUN_DIR/feature_spec.yaml"), or make the training dataset first '
            "(shuffle=True, or learn=True for one in the order of its rows). Received: a spec with "
            "something still to be learned"
        )


@contextlib.contextmanager
def user_errors() -> Iterator[None]:
    """Re-raises errors of a reader as the original `UserError`.

    TensorFlow wraps exceptions of a dataset into another error with a long report. Use this context
    manager around code that iterates over a dataset of `make_dataset`.

    Example:

    >>> with user_errors():
    ...     pass  # model.fit(dataset)
    """
    try:
        yield
    except tf.errors.OpError as error:
        for user_error in list(_found_errors):
            if str(user_error) in str(error):
                raise user_error from None
        raise


# The last few errors of readers, for `user_errors`.
_found_errors: collections.deque = collections.deque(maxlen=8)


def _calls(source, iterations):
    """Returns the functions `begin` and `pull` of iterations that live as long as a dataset.

    TensorFlow frees no Python function of a dataset before the process ends, and with it would keep
    the reader and its rows. Datasets keep those that they are made from, and iterators theirs.
    """
    if not tf.executing_eagerly():  # within a function, which outlives the datasets it makes
        return iterations.begin, iterations.pull
    source.iterations = iterations
    found = weakref.ref(iterations)

    def alive():
        iterations = found()
        if iterations is None:
            raise RuntimeError(
                "the dataset must be kept while batches are read. Received: one that is gone"
            )
        return iterations

    return lambda zero: alive().begin(zero), lambda *batch: alive().pull(*batch)


class _Iterations:
    """Python part of a dataset, with one running reader for each iteration."""

    def __init__(self, reader, epochs, start):
        self._reader, self._epochs, self._start = reader, epochs, start
        self._begun = 0
        self._running: dict[int, collections.abc.Iterator] = {}

    def begin(self, _=None):
        """Opens the next iteration; returns its key and its number of batches."""
        first, last, batch = self._epoch_range()
        key = self._begun
        self._begun += 1
        # TensorFlow does not report abandoned iterations: beyond a limit, the oldest is closed.
        if len(self._running) >= _MOST_RUNNING:
            self._running.pop(min(self._running)).close()
        count = max((last - first) * self._reader.batches_per_epoch - batch, 0)
        if count:
            self._running[key] = self._batches(first, last, batch, count)
        return np.int64(key), np.int64(count)

    def pull(self, key, number):
        """Returns the arrays of the next batch of an iteration, which is batch `number`."""
        key = int(key)
        if key not in self._running:
            raise RuntimeError(
                f"at most {_MOST_RUNNING} iterations over one dataset must run at the same time."
            )
        try:
            next_number, arrays, is_last = next(self._running[key])
        except UserError as error:
            _found_errors.append(error)
            raise
        if next_number != number:
            raise RuntimeError(
                "batches must be pulled one after the other: leave `map_parallelization` off. "
                f"Received: batch {int(number)} when {next_number} was next"
            )
        if is_last:
            self._running.pop(key).close()
        return arrays

    def _epoch_range(self):
        if callable(self._start):
            first, batch = self._start()
            return first, first + self._epochs, batch
        first, batch = self._start
        last = max(first + 1, self._epochs)
        if not self._begun:
            return first, last, batch
        first = last + (self._begun - 1) * self._epochs
        return first, first + self._epochs, 0

    def _batches(self, first, last, batch, count):
        number = 0
        for epoch in range(first, last):
            for features, labels, weights in self._reader.read(epoch, batch):
                parts = (features,)
                if labels is not None:
                    parts = (features, labels) if weights is None else (features, labels, weights)
                yield number, tf.nest.flatten(parts), number == count - 1
                number += 1
            batch = 0


def signature(reader: BatchReader) -> Any:
    """Returns the element spec of batches, with variable numbers of rows, events and values."""
    spec, size = reader.spec, reader.batch_size if reader.drop_remainder else None
    features: dict[str, tf.TensorSpec] = {}

    def put(name, column, rows):
        dtype = tf.int32 if column.has_ids else tf.float32
        inner = ()
        if column.kind == "vector":
            inner = (column.size,)
        elif column.kind == "multi_value" or (
            column.kind == "cross"
            and any(spec.feature(part).kind == "multi_value" for part in column.of)
        ):
            inner = (None,)
        features[name] = tf.TensorSpec((rows, *inner), dtype)
        if column.weights is not None:
            features[f"{name}/weights"] = tf.TensorSpec((rows, *inner), tf.float32)

    for column in spec.features:
        put(column.name, column, size)
    if spec.group is not None:
        features["group"] = tf.TensorSpec((size,), tf.int64)
    for sequence in reader.sequences:
        for part in ("first", "length"):
            features[f"{sequence.name}/{part}"] = tf.TensorSpec((size,), tf.int32)
        for field in sequence.fields:
            put(f"{sequence.name}/{field.name}", spec.resolved_field(sequence, field), None)
    if not reader.has_labels:
        return features
    labels = tf.TensorSpec((size, len(spec.labels)), tf.float32)
    if spec.weight is None:
        return features, labels
    return features, labels, tf.TensorSpec((size,), tf.float32)

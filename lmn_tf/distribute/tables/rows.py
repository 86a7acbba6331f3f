"""Reading, writing, storing and initializing rows of variables in bounded memory."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.keras_internals import check_stored_variables, h5_group, own_variables

_OF_ONE_VALUE = (
    keras.initializers.Zeros,
    keras.initializers.Ones,
    keras.initializers.Constant,
)
_DRAWS = 4  # numbers that the generator draws for each step of its counter
CHUNK_BYTES = 2**24  # of the largest array that rows are copied through


def row_chunks(
    shape: tuple[int, ...], itemsize: int, chunk_bytes: int | None = None
) -> list[tuple[int, int]]:
    """Cuts an array into runs of rows of a bounded size.

    Args:
        shape: Tuple of integers.
        itemsize: Integer. Bytes of an element.
        chunk_bytes: Integer, or `None` for `CHUNK_BYTES`. Defaults to `None`.

    Returns:
        List of slices `(start, stop)` of the first axis, of at least one row each; one slice for a
        scalar.

    Example:

    >>> row_chunks((5, 2), itemsize=4, chunk_bytes=16)
    [(0, 2), (2, 4), (4, 5)]
    """
    if not shape or not shape[0]:
        return [(0, shape[0] if shape else 1)]
    row_bytes = math.prod(shape[1:]) * itemsize
    step = max((CHUNK_BYTES if chunk_bytes is None else chunk_bytes) // max(row_bytes, 1), 1)
    return [(start, min(start + step, shape[0])) for start in range(0, shape[0], step)]


def get_rows(variable: Any, start: int, stop: int) -> np.ndarray:
    """Reads rows of a variable.

    Args:
        variable: Keras variable, `tf.Variable`, or object with a `get_rows` method; not a scalar.
        start: Integer. The first row.
        stop: Integer. The row after the last one.

    Returns:
        numpy array of shape `(stop - start, ...)`.
    """
    if hasattr(variable, "get_rows"):
        return variable.get_rows(start, stop)
    resource = _resource(variable)
    copies = getattr(resource, "values", None)
    if copies is None:
        return read_run(resource, start, stop)
    if resource.synchronization != tf.VariableSynchronization.ON_READ:
        return read_run(copies[0], start, stop)
    return tf.convert_to_tensor(resource)[start:stop].numpy()


def row_lengths(variable: Any) -> np.ndarray:
    """Returns the Euclidean length of each row of a table, which may be split over devices.

    Args:
        variable: As of `get_rows`, of shape `(rows, dim)`.

    Returns:
        float32 array of shape `(rows,)`.

    Example:

    >>> row_lengths(keras.Variable([[3.0, 4.0], [0.0, 0.0]])).tolist()
    [5.0, 0.0]
    """
    chunks = row_chunks(tuple(variable.shape), itemsize=4)
    rows = (get_rows(variable, *chunk).astype("float32") for chunk in chunks)
    return np.concatenate([np.linalg.norm(part, axis=-1) for part in rows])


def read_run(variable: tf.Variable, start: int, stop: int) -> np.ndarray:
    """Reads consecutive rows, without reading the whole variable.

    A slice of a variable first reads all of it, which copies it after a sparse update, and sends
    it over the network from another machine.

    Args:
        variable: `tf.Variable`.
        start: Integer. The first row.
        stop: Integer. The row after the last one.

    Returns:
        numpy array of shape `(stop - start, ...)`.
    """
    if variable.dtype.is_floating:
        return tf.gather(variable, tf.range(start, stop)).numpy()
    return tf.convert_to_tensor(variable)[start:stop].numpy()  # integers are never on a GPU


def set_rows(variable: Any, start: int, rows: np.ndarray | tf.Tensor) -> None:
    """Writes rows of a variable, on each replica that holds a copy.

    Args:
        variable: As of `get_rows`.
        start: Integer. The first row.
        rows: Array of shape `(rows, ...)`.
    """
    if hasattr(variable, "set_rows"):
        variable.set_rows(start, rows)
        return
    resource = _resource(variable)
    for copy in getattr(resource, "values", (resource,)):
        write_run(copy, start, tf.cast(rows, copy.dtype))


def write_run(variable: tf.Variable, start: int, rows: np.ndarray | tf.Tensor) -> None:
    """Writes consecutive rows in place; `assign` of a slice would read the whole variable first.

    Args:
        variable: `tf.Variable`.
        start: Integer. The first row.
        rows: Tensor of shape `(rows, ...)` and the variable's type.
    """
    stop = start + len(rows)
    if variable.dtype.is_floating:
        variable.scatter_update(tf.IndexedSlices(rows, tf.range(start, stop)))
    else:
        variable[start:stop].assign(rows)


def row_pieces(variable: Any) -> Iterator[np.ndarray]:
    """Yields the rows of a variable or array, in chunks if it is large.

    Args:
        variable: As of `get_rows`, or numpy array; a scalar may be, too.

    Yields:
        numpy arrays that are together the value of the variable.

    Example:

    >>> [rows.shape for rows in row_pieces(np.zeros((3, 2)))]
    [(3, 2)]
    """
    chunks = row_chunks(tuple(variable.shape), itemsize=4)
    if len(chunks) < 2:
        yield np.asarray(variable)
        return
    for start, stop in chunks:
        is_array = isinstance(variable, np.ndarray)  # a map of a file, where it is large
        yield variable[start:stop] if is_array else get_rows(variable, start, stop)


def copy_rows(source: Any, variable: Any) -> None:
    """Fills a variable from an array, in chunks if it is large.

    Args:
        source: Object with a shape that can be sliced by rows, such as an array or a dataset of an
            HDF5 file.
        variable: As of `get_rows`, of the same shape.
    """
    chunks = row_chunks(tuple(variable.shape), itemsize=4)
    if len(chunks) == 1 and not hasattr(variable, "set_rows"):
        variable.assign(np.asarray(source))
        return
    for start, stop in chunks:
        # A copy: arrays in files may not be aligned.
        set_rows(variable, start, np.array(source[start:stop]))


def _resource(variable):
    # Not for `tf.Variable`, whose `value` is a method.
    return variable if isinstance(variable, tf.Variable) else variable.value


class RowSplit:
    """View of `P` parts as one table, whose row `i` is row `i // P` of part `i % P`.

    Neighboring ids, of which the most frequent often have the lowest, are in different parts. If
    `P` does not divide the rows, the first parts have one row more.

    Args:
        parts: Sequence of `tf.Variable`, each on the device of its rows.

    Attributes:
        parts: Tuple of the same variables.
        shape: Tuple, the shape of the table.

    Example:

    >>> table = RowSplit([tf.Variable([[0.0], [2.0]]), tf.Variable([[1.0]])])
    >>> table.shape, table.get_rows(1, 3).ravel().tolist()
    ((3, 1), [1.0, 2.0])
    """

    def __init__(self, parts: Sequence[tf.Variable]) -> None:
        self.parts = tuple(parts)
        rows = sum(int(part.shape[0]) for part in self.parts)
        self.shape = (rows, *self.parts[0].shape[1:])

    @property
    def dtype(self) -> str:
        """Name of the type of the elements."""
        return tf.as_dtype(self.parts[0].dtype).name

    def get_rows(self, start: int, stop: int) -> np.ndarray:
        """Reads rows `start` to `stop` as one numpy array."""
        rows = None
        for offset, part, first, last in self._runs(start, stop):
            read = read_run(part, first, last)
            if rows is None:
                rows = np.empty((stop - start, *self.shape[1:]), read.dtype)
            rows[offset :: len(self.parts)] = read
        return np.empty((0, *self.shape[1:]), self.dtype) if rows is None else rows

    def set_rows(self, start: int, rows: np.ndarray | tf.Tensor) -> None:
        """Writes rows from `start` on."""
        rows = tf.convert_to_tensor(rows)
        for offset, part, first, _ in self._runs(start, start + len(rows)):
            write_run(part, first, tf.cast(rows[offset :: len(self.parts)], part.dtype))

    def _runs(self, start, stop):
        """Yields (offset from `start`, part, first row of the part, row after the last)."""
        count = len(self.parts)
        for index, part in enumerate(self.parts):
            offset = (index - start) % count
            first, last = (start + offset) // count, (stop - index + count - 1) // count
            if first < last:
                yield offset, part, first, last

    def lookup(self, ids: tf.Tensor) -> tf.Tensor:
        """Gathers rows from all parts to the caller's device.

        Args:
            ids: Integer tensor of shape `(M,)`.

        Returns:
            Tensor of shape `(M, ...)`; the gradient of each part is sparse.
        """
        count = len(self.parts)
        part_indices = tf.cast(ids % count, tf.int32)
        split = tf.dynamic_partition(ids // count, part_indices, count)
        order = tf.dynamic_partition(tf.range(tf.size(ids)), part_indices, count)
        rows = [tf.gather(part, local) for part, local in zip(self.parts, split, strict=True)]
        return tf.ensure_shape(tf.dynamic_stitch(order, rows), [None, *self.shape[1:]])


def part_sizes(num_rows: int, count: int) -> list[int]:
    """Returns the number of rows of each of the `count` parts of a `RowSplit`."""
    return [(num_rows - index + count - 1) // count for index in range(count)]


class ChunkedStorageMixin:
    """Mixin of Keras layers that saves and loads tables in chunks of bounded size.

    Keras reads and writes whole variables, for which a sharded table may be too large. The files
    are the same.
    """

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the layer."""
        for index, variable in enumerate(own_variables(self)):
            store_rows(store, str(index), variable)

    def load_own_variables(self, store: Any) -> None:
        """Loads the state of the layer."""
        check_stored_variables(self, store)
        for index, variable in enumerate(own_variables(self)):
            load_rows(store, str(index), variable)


def store_rows(store: Any, key: str, variable: keras.Variable) -> None:
    """Writes a variable to a store of Keras, in chunks if it is large.

    Args:
        store: The store that Keras passes to `save_own_variables`.
        key: String.
        variable: Keras variable.
    """
    shape, dtype = tuple(variable.shape), variable.dtype
    chunks = row_chunks(shape, 4)
    group = None if len(chunks) == 1 or dtype == "bfloat16" else h5_group(store)
    if group is None:
        store[key] = np.asarray(variable)
        return
    stored = group.create_dataset(key, shape=shape, dtype=dtype)
    for start, stop in chunks:
        stored[start:stop] = get_rows(variable, start, stop)


def load_rows(store: Any, key: str, variable: keras.Variable) -> None:
    """Fills a variable from a store of Keras, in chunks if it is large.

    Args:
        store: The store that Keras passes to `load_own_variables`.
        key: String.
        variable: Keras variable.
    """
    group = h5_group(store)
    is_plain = group is not None and "dtype" not in group[key].attrs
    stored = group[key] if is_plain else store[key]
    if tuple(stored.shape) != tuple(variable.shape):
        variable.assign(store[key])  # raises Keras' own error
    copy_rows(stored, variable)


def initial_rows(
    initializer: keras.initializers.Initializer, shape: tuple[int, ...], rows_at_a_time: int
) -> Iterator[tuple[int, tf.Tensor]]:
    """Yields the initial rows of a table in chunks.

    For constants and Keras' plain normal and uniform initializers, the chunks are exactly those of
    the whole table: the generator is counter-based, and can start anywhere. Other initializers
    create the whole table at once.

    Args:
        initializer: Keras initializer.
        shape: Tuple, `(n,)` or `(n, d)`.
        rows_at_a_time: Integer.

    Yields:
        Pairs `(start, rows)` of an integer and a float32 tensor of shape `(rows, ...)`.
    """
    step = max(rows_at_a_time // _DRAWS, 1) * _DRAWS
    draw = _drawer(initializer, shape)
    if draw is None:
        yield 0, tf.convert_to_tensor(initializer(shape, dtype="float32"))
        return
    for start in range(0, shape[0], step):
        yield start, draw(start, min(start + step, shape[0]))


def _drawer(initializer, shape):
    """Returns the function from (start, stop) to rows, or `None` if the initializer has none."""
    if type(initializer) in _OF_ONE_VALUE:
        return lambda start, stop: tf.convert_to_tensor(
            initializer((stop - start, *shape[1:]), dtype="float32")
        )
    if not isinstance(getattr(initializer, "seed", None), int):
        return None
    if type(initializer) is keras.initializers.RandomNormal:
        op, scale, shift = "StatelessRandomNormalV2", initializer.stddev, initializer.mean
    elif type(initializer) is keras.initializers.RandomUniform:
        op, shift = "StatelessRandomUniformV2", initializer.minval
        scale = tf.constant(initializer.maxval, tf.float32) - tf.constant(shift, tf.float32)
    else:
        return None
    width = 1 if len(shape) == 1 else shape[1]
    # Keras converts integers to seeds of TensorFlow in this way.
    seed = tf.constant([initializer.seed % (tf.int32.max - 1), 0], tf.int32)
    generator = tf.raw_ops.StatelessRandomGetKeyCounter(seed=seed)

    def draw(start, stop):
        drawn = getattr(tf.raw_ops, op)(
            shape=(stop - start, *shape[1:]),
            key=generator.key,
            counter=generator.counter + tf.constant([start * width // _DRAWS, 0], tf.uint64),
            alg=tf.raw_ops.StatelessRandomGetAlg(),
            dtype=tf.float32,
        )
        return drawn * scale + shift

    return draw

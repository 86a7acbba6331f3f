"""Reads and writes some rows of a variable at a time, wherever they are."""

import math

import numpy as np
import tensorflow as tf

CHUNK_BYTES = 2**24  # of the largest array that rows pass through


def row_chunks(shape, itemsize, chunk_bytes=None):
    """Cuts an array into runs of rows of a bounded size.

    Args:
        shape: Tuple of integers.
        itemsize: Integer. Bytes of an element.
        chunk_bytes: Integer, or `None` for `CHUNK_BYTES`. Defaults to `None`.

    Returns:
        List of slices `(start, stop)` of the first axis, at least one row each; one slice for a
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


def get_rows(variable, start, stop):
    """Reads rows of a variable.

    Args:
        variable: Keras variable, `tf.Variable`, or what has a `get_rows` of its own; not a scalar.
        start: Integer. The first row.
        stop: Integer. Behind the last row.

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


def read_run(variable, start, stop):
    """Reads rows that follow each other, and nothing but these.

    A variable that some rows were written to is copied whenever it is read as a whole, and one of
    another machine is sent over: a slice of it would cost as much as all of it.

    Args:
        variable: `tf.Variable`.
        start: Integer. The first row.
        stop: Integer. Behind the last row.

    Returns:
        numpy array of shape `(stop - start, ...)`.
    """
    if variable.dtype.is_floating:
        return tf.gather(variable, tf.range(start, stop)).numpy()
    return tf.convert_to_tensor(variable)[start:stop].numpy()  # integers lie on no GPU


def set_rows(variable, start, rows):
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


def write_run(variable, start, rows):
    """Writes rows that follow each other where they are; a slice's `assign` reads the whole first.

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


def copy_rows(source, variable):
    """Fills a variable from an array, in pieces where it is large.

    Args:
        source: What can be sliced by rows and has a shape, such as an array or a data set of an
            HDF5 file.
        variable: As of `get_rows`, of the same shape.
    """
    chunks = row_chunks(tuple(variable.shape), itemsize=4)
    if len(chunks) == 1 and not hasattr(variable, "set_rows"):
        variable.assign(np.asarray(source))
        return
    for start, stop in chunks:
        # A copy: what stands in a file may begin at any byte.
        set_rows(variable, start, np.array(source[start:stop]))


def _resource(variable):
    # Not for `tf.Variable`, whose `value` is a method.
    return variable if isinstance(variable, tf.Variable) else variable.value

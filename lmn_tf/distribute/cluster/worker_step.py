"""What becomes of Keras variables inside a step that runs on a worker."""

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.keras_internals import resource_variable, set_tf_variable, tf_variable

_WORD = 8  # bytes of each number of a shape


class WorkerScope(keras.StatelessScope):
    """Traces one step so that steps of several workers at once add up right.

    Keras variables are written by reading, adding and writing back. When two workers do so at once,
    one of the two is lost. Inside this scope

    - metrics start from zero and are not written: what the step added to them is in `added`, to be
      summed by the coordinator;
    - counters are incremented where they are, in one operation;
    - every other variable is written as usual: of two moving averages written at once, one counts.

    Args:
        metrics: List of the `keras.Variable`s of metrics.
        counters: List of the `keras.Variable`s that count steps.

    Example:

    >>> total, steps = keras.Variable(5.0), keras.Variable(1)
    >>> with WorkerScope([total], [steps]) as scope:
    ...     total.assign(total + 2.0)
    ...     steps.assign(steps + 1)
    <tf.Tensor: shape=(), dtype=float32, numpy=2.0>
    <tf.Tensor: shape=(), dtype=int32, numpy=2>
    >>> float(scope.added()[0]), float(total.numpy()), int(steps.numpy())
    (2.0, 5.0, 2)
    """

    def __init__(self, metrics, counters):
        super().__init__(
            [(one, tf.zeros(one.shape, one.dtype)) for one in metrics],
            collect_losses=True,
            initialize_variables=False,
        )
        self._metrics = list(metrics)
        self._counters = {id(one) for one in counters}

    def add_update(self, update):
        variable, value = update
        if id(variable) in self.state_mapping:
            self.state_mapping[id(variable)] = value
        elif id(variable) in self._counters:
            resource = tf_variable(variable)
            resource.assign_add(tf.ones(resource.shape, resource.dtype))
        else:
            tf_variable(variable).assign(tf.cast(value, variable.dtype))

    def get_current_value(self, variable):
        return self.state_mapping.get(id(variable), tf_variable(variable))

    def added(self):
        """Returns what the metrics' variables would have gained, as a list of tensors."""
        return [self.state_mapping[id(one)] for one in self._metrics]


def local_variable(value):
    """Makes a `tf.Variable` of the coordinator itself.

    `tf.Variable` would be placed on a parameter server inside a strategy's scope; constructors of
    the class behind it are left alone.

    Args:
        value: Array.
    """
    with tf.init_scope(), tf.device("/device:CPU:0"):
        return resource_variable(value)


def keep_here(metrics):
    """Moves the variables of metrics from the servers to the coordinator, which adds them up.

    Args:
        metrics: List of `keras.Variable`s.
    """
    for variable in metrics:
        if "/job:ps" in (tf_variable(variable).device or ""):
            set_tf_variable(variable, local_variable(tf_variable(variable).numpy()))


def counters(optimizer):
    """Returns the `keras.Variable`s in which an optimizer counts its steps."""
    return [one for one in optimizer.variables if one.path.split("/")[-1] == "iteration"]


def can_be_packed(spec):
    """Says whether batches of an element spec can be packed.

    Args:
        spec: Structure of `tf.TensorSpec`.
    """
    return all(
        isinstance(one, tf.TensorSpec)
        and one.shape.rank is not None
        and (one.dtype.is_floating or one.dtype.is_integer or one.dtype.is_bool)
        for one in tf.nest.flatten(spec)
    )


def pack(batch):
    """Puts the tensors of a batch behind each other, after their shapes.

    Args:
        batch: Structure of eager tensors.

    Returns:
        uint8 tensor of shape `(bytes,)`.

    Example:

    >>> batch = {"a": tf.ones((2, 3)), "b": tf.constant([True, False])}
    >>> spec = {"a": tf.TensorSpec((None, 3)), "b": tf.TensorSpec((None,), tf.bool)}
    >>> unpack(pack(batch), spec)["b"].numpy().tolist()
    [True, False]
    """
    arrays = [np.asarray(one, order="C") for one in tf.nest.flatten(batch)]
    shapes = np.array([size for array in arrays for size in array.shape], np.int64)
    parts = [shapes, *arrays]
    return tf.constant(np.concatenate([part.reshape(-1).view(np.uint8) for part in parts]))


def unpack(packed, spec):
    """Takes apart what `pack` made.

    Args:
        packed: uint8 tensor of shape `(bytes,)`.
        spec: Structure of `tf.TensorSpec` of the batch.

    Returns:
        Structure of tensors.
    """
    specs = tf.nest.flatten(spec)
    ranks = [one.shape.rank for one in specs]
    start = _WORD * sum(ranks)
    shapes = tf.split(_cast(packed[:start], tf.int64), ranks)
    tensors = []
    for one, shape in zip(specs, shapes, strict=True):
        stop = start + tf.reduce_prod(shape) * one.dtype.size
        tensor = tf.reshape(_cast(packed[start:stop], one.dtype), shape)
        tensors.append(tf.ensure_shape(tensor, one.shape))
        start = stop
    return tf.nest.pack_sequence_as(spec, tensors)


def _cast(packed, dtype):
    if dtype == tf.bool:
        return tf.cast(packed, tf.bool)
    if dtype.size == 1:
        return tf.bitcast(packed, dtype)
    return tf.bitcast(tf.reshape(packed, [-1, dtype.size]), dtype)

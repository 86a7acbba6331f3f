"""Keras variables and packed batches of a step that runs on a worker."""

from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.keras_internals import resource_variable, set_tf_variable, tf_variable

_WORD = 8  # bytes of each number of a shape


class WorkerScope(keras.StatelessScope):
    """Scope for tracing a step that several workers run concurrently.

    Keras updates a variable by reading, adding and writing back. When two workers do so at once,
    one of the two updates is lost. Inside this scope

    - metrics start from zero and are not written: `added` returns what the step added to them, to
      be summed by the coordinator;
    - counters are incremented on their server, in one operation;
    - every other variable is written as usual: of two concurrent moving averages, the last wins.

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

    def __init__(self, metrics: list[keras.Variable], counters: list[keras.Variable]) -> None:
        super().__init__(
            [(variable, tf.zeros(variable.shape, variable.dtype)) for variable in metrics],
            collect_losses=True,
            initialize_variables=False,
        )
        self._metrics = list(metrics)
        self._counters = {id(variable) for variable in counters}

    def add_update(self, update: tuple[keras.Variable, tf.Tensor]) -> None:
        variable, value = update
        if id(variable) in self.state_mapping:
            self.state_mapping[id(variable)] = value
        elif id(variable) in self._counters:
            resource = tf_variable(variable)
            resource.assign_add(tf.ones(resource.shape, resource.dtype))
        else:
            tf_variable(variable).assign(tf.cast(value, variable.dtype))

    def get_current_value(self, variable: keras.Variable) -> tf.Tensor:
        return self.state_mapping.get(id(variable), tf_variable(variable))

    def added(self) -> list[tf.Tensor]:
        """Returns what the step added to the metrics' variables, as a list of tensors."""
        return [self.state_mapping[id(variable)] for variable in self._metrics]


def local_variable(value: np.ndarray) -> tf.Variable:
    """Creates a `tf.Variable` on the coordinator itself.

    Inside a strategy's scope, `tf.Variable` would be placed on a parameter server; the class behind
    it is not affected by the scope.

    Args:
        value: Array.
    """
    with tf.init_scope(), tf.device("/device:CPU:0"):
        return resource_variable(value)


def keep_here(metrics: list[keras.Variable]) -> None:
    """Moves the variables of metrics from the servers to the coordinator, which sums them.

    Args:
        metrics: List of `keras.Variable`s.
    """
    for variable in metrics:
        if "/job:ps" in (tf_variable(variable).device or ""):
            set_tf_variable(variable, local_variable(tf_variable(variable).numpy()))


def counters(optimizer: keras.optimizers.Optimizer) -> list[keras.Variable]:
    """Returns the `keras.Variable`s in which an optimizer counts its steps."""
    return [
        variable for variable in optimizer.variables if variable.path.split("/")[-1] == "iteration"
    ]


def can_be_packed(spec: Any) -> bool:
    """Returns whether batches of an element spec can be packed.

    Args:
        spec: Structure of `tf.TensorSpec`.
    """
    return all(
        isinstance(tensor_spec, tf.TensorSpec)
        and tensor_spec.shape.rank is not None
        and (
            tensor_spec.dtype.is_floating
            or tensor_spec.dtype.is_integer
            or tensor_spec.dtype.is_bool
        )
        for tensor_spec in tf.nest.flatten(spec)
    )


def pack(batch: Any) -> tf.Tensor:
    """Packs the shapes and tensors of a batch into one tensor.

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
    arrays = [np.asarray(tensor, order="C") for tensor in tf.nest.flatten(batch)]
    shapes = np.array([size for array in arrays for size in array.shape], np.int64)
    parts = [shapes, *arrays]
    return tf.constant(np.concatenate([part.reshape(-1).view(np.uint8) for part in parts]))


def unpack(packed: tf.Tensor, spec: Any) -> Any:
    """Unpacks the result of `pack`.

    Args:
        packed: uint8 tensor of shape `(bytes,)`.
        spec: Structure of `tf.TensorSpec` of the batch.

    Returns:
        Structure of tensors.
    """
    specs = tf.nest.flatten(spec)
    ranks = [tensor_spec.shape.rank for tensor_spec in specs]
    start = _WORD * sum(ranks)
    shapes = tf.split(_cast(packed[:start], tf.int64), ranks)
    tensors = []
    for tensor_spec, shape in zip(specs, shapes, strict=True):
        stop = start + tf.reduce_prod(shape) * tensor_spec.dtype.size
        tensor = tf.reshape(_cast(packed[start:stop], tensor_spec.dtype), shape)
        tensors.append(tf.ensure_shape(tensor, tensor_spec.shape))
        start = stop
    return tf.nest.pack_sequence_as(spec, tensors)


def _cast(packed, dtype):
    if dtype == tf.bool:
        return tf.cast(packed, tf.bool)
    if dtype.size == 1:
        return tf.bitcast(packed, dtype)
    return tf.bitcast(tf.reshape(packed, [-1, dtype.size]), dtype)

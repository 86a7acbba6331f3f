"""Recurrence of a step function over a history, with a custom gradient."""

import functools
from collections.abc import Callable

import tensorflow as tf

from lmn_tf.ops.compile import compiles_for_cpu

# Shorter histories take less time than their compilation.
_LONG = 16


def recurrence(
    step: Callable,
    state: dict[str, tf.Tensor],
    inputs: tf.Tensor,
    parameters: dict[str, tf.Tensor],
    mask: tf.Tensor | None = None,
) -> dict[str, tf.Tensor]:
    """Applies `state = step(state, inputs[t], parameters)` for each step, and returns all states.

    Masked steps carry the state over. Only the states are kept for the gradient: the backward pass
    recomputes each step from the state before it. Second-order gradients are not supported. On
    CPUs, long histories are compiled by XLA, once for each length: steps of many small operations
    were measured to take a third of the time.

    Args:
        step: Function of the state, `(B, ...)` inputs and `parameters` that returns the next
            state, row by row. It must not read any other tensor that has a gradient, and should be
            the same object from call to call, as it is compiled once for each.
        state: Dictionary of float tensors of shape `(B, ...)`, the state before the first step.
        inputs: Float tensor of shape `(L, B, ...)`, finite at masked steps, too.
        parameters: Dictionary of float tensors.
        mask: Boolean tensor of shape `(L, B)`, or `None` when every step is valid. Defaults to
            `None`.

    Returns:
        Dictionary like `state` of tensors of shape `(L, B, ...)`: the state after each step.

    Example:

    >>> def decay(state, x, parameters):
    ...     return {"sum": parameters["rate"] * state["sum"] + x}
    >>> start, rate = {"sum": tf.zeros([1])}, {"rate": tf.constant(0.5)}
    >>> recurrence(decay, start, tf.ones([3, 1]), rate)["sum"][:, 0].numpy()
    array([1.  , 1.5 , 1.75], dtype=float32)
    """
    if mask is None:
        mask = tf.ones(tf.shape(inputs)[:2], bool)
    names, parameter_names = tuple(sorted(state)), tuple(sorted(parameters))
    is_long = inputs.shape[0] is None or inputs.shape[0] >= _LONG
    forwards, backwards = _functions(step, names, parameter_names, is_long and compiles_for_cpu())

    @tf.custom_gradient
    def run(inputs, *tensors):
        initial, values = list(tensors[: len(names)]), list(tensors[len(names) :])
        # Without `stop_gradient`, a tape would have XLA return the tensors of every step.
        states = forwards(*tf.nest.map_structure(tf.stop_gradient, [inputs, mask, initial, values]))

        def gradient(*upstream):
            return backwards(inputs, mask, initial, values, states, list(upstream))

        return states, gradient

    values = [tf.convert_to_tensor(parameters[name]) for name in parameter_names]
    return dict(zip(names, run(inputs, *(state[name] for name in names), *values), strict=True))


@functools.cache
def _functions(step, names, parameter_names, compiled):
    """Returns the forward and the backward function."""

    def one_step(state, x, valid, parameters):
        new = step(
            dict(zip(names, state, strict=True)),
            x,
            dict(zip(parameter_names, parameters, strict=True)),
        )
        return [_carried(valid, new[name], old) for name, old in zip(names, state, strict=True)]

    both = _forwards(one_step), _backwards(one_step)
    if not compiled:
        return both
    return tuple(tf.function(run, jit_compile=True, autograph=False) for run in both)


def _forwards(one_step):
    def forwards(inputs, mask, initial, parameters):
        length = tf.shape(inputs)[0]

        def body(time, state, states):
            state = one_step(state, inputs[time], mask[time], parameters)
            arrays = [array.write(time, new) for array, new in zip(states, state, strict=True)]
            return time + 1, state, arrays

        arrays = [_steps(length, tensor) for tensor in initial]
        _, _, arrays = _loop(length, body, (0, initial, arrays))
        return [array.stack() for array in arrays]  # each (length, batch, ...)

    return forwards


def _backwards(one_step):
    def backwards(inputs, mask, initial, parameters, states, upstream):
        length, width = tf.shape(inputs)[0], len(initial)
        before = [
            tf.concat([first[None], kept[:-1]], axis=0)
            for first, kept in zip(initial, states, strict=True)
        ]

        def body(passed, of_state, of_parameters, of_inputs):
            time = length - 1 - passed
            of_state = [
                later + direct[time] for later, direct in zip(of_state, upstream, strict=True)
            ]
            state, x = [states[time] for states in before], inputs[time]
            sources = [*state, x, *parameters]
            with tf.GradientTape() as tape:
                tape.watch(sources)
                after = one_step(state, x, mask[time], parameters)
            gradients = tape.gradient(after, sources, of_state, tf.UnconnectedGradients.ZERO)
            of_parameters = [
                total + gradient
                for total, gradient in zip(of_parameters, gradients[width + 1 :], strict=True)
            ]
            of_inputs = of_inputs.write(time, gradients[width])
            return passed + 1, gradients[:width], of_parameters, of_inputs

        start = (
            0,
            [tf.zeros_like(state) for state in initial],
            [tf.zeros_like(parameter) for parameter in parameters],
            _steps(length, inputs[0]),
        )
        _, of_state, of_parameters, of_inputs = _loop(length, body, start)
        return [of_inputs.stack(), *of_state, *of_parameters]

    return backwards


def _carried(valid, new, old):
    return tf.where(tf.reshape(valid, [-1] + [1] * (old.shape.rank - 1)), new, old)


def _steps(length, like):
    return tf.TensorArray(like.dtype, length, element_shape=like.shape)


def _loop(length, body, initial):
    return tf.while_loop(
        lambda passed, *_: passed < length, body, initial, maximum_iterations=length
    )

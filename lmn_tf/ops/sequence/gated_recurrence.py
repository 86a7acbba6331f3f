"""The recurrence of gated recurrent units, with a gradient of its own."""

import tensorflow as tf

from lmn_tf.ops.compile import is_compiling_with_xla


def gated_recurrence(
    inputs: tf.Tensor,
    kernel: tf.Tensor,
    bias: tf.Tensor,
    base: tf.Tensor,
    scale: tf.Tensor,
    rows: tf.Tensor,
) -> tf.Tensor:
    """Runs gated recurrent units over time, from states of 0.

    From the projected inputs `x_t = [x_z; x_r; x_c]` and the state `s` of the step before:

    ```text
    [m_z; m_r; m_c] = s @ kernel + bias
    z = sigmoid(x_z + m_z);  r = sigmoid(x_r + m_r);  c = tanh(x_c + r * m_c)
    u = base_t + scale_t * (1 - z)
    s_t = s + u * (c - s)
    ```

    `z` is Keras' keep gate, with the reset after the product. `base = 0` and `scale = 1` give the
    plain unit, other numbers its attentional forms; both 0 carry the state through a step.

    Rows are ordered by step; a step has one row for each sequence that reaches it: see `StepOrder`.

    Only the states are kept for the gradient. The gates of all steps are recomputed from them in
    one product, which leaves one product per step for the loop back in time. Second-order gradients
    are not supported. The function can be compiled by XLA, but does not compile itself: no gain was
    measured.

    Args:
        inputs: Float tensor of shape `(N, 3 * units)`, finite.
        kernel: Float tensor of shape `(units, 3 * units)`.
        bias: Float tensor of shape `(3 * units,)`.
        base: Float tensor of shape `(N,)`.
        scale: Float tensor of shape `(N,)`.
        rows: Integer tensor. The number of rows of each step, not increasing, `(steps,)`; or one
            number for all steps. XLA needs the latter.

    Returns:
        Float tensor of shape `(N, units)`: the state after each step.

    Example:

    >>> x, steps = tf.zeros([5, 3]), tf.ones([5])
    >>> gated_recurrence(x, tf.ones([1, 3]), tf.zeros([3]), 0 * steps, steps, [3, 2]).shape
    TensorShape([5, 1])
    """
    steps = _Steps(tf.convert_to_tensor(rows, tf.int32), tf.shape(inputs)[0])

    @tf.custom_gradient
    def run(inputs, kernel, bias, base, scale):
        arguments = inputs, kernel, bias, base[:, None], scale[:, None]
        states = _states(steps, *arguments)
        return states, lambda upstream: _gradients(steps, *arguments, states, upstream)

    return run(*(tf.convert_to_tensor(tensor) for tensor in (inputs, kernel, bias, base, scale)))


class _Steps:
    """Rows ordered by step."""

    def __init__(self, rows, total):
        self._rows, self._total = rows, total
        self._is_even = rows.shape.rank == 0
        if self._is_even:
            self.count = total // tf.maximum(rows, 1)
        else:
            self.count = tf.size(rows)

    def reader(self, flat):
        """Returns the function from a step to its rows."""
        width = flat.shape[-1]
        if self._is_even:
            steps = tf.reshape(flat, [self.count, self._rows, width])
            array = tf.TensorArray(flat.dtype, self.count, element_shape=steps.shape[1:])
            return array.unstack(steps).read
        array = tf.TensorArray(
            flat.dtype, self.count, element_shape=[None, width], infer_shape=False
        )
        return array.split(flat, self._rows).read

    def empty(self, width, dtype):
        """States of 0 of the rows that the first step has."""
        if self._is_even:
            return tf.zeros([self._rows, width], dtype)
        # The static shape of a loop variable must not change between iterations.
        return tf.compat.v1.placeholder_with_default(
            tf.zeros([self._rows[0], width], dtype), [None, width]
        )

    def truncated(self, states, step):
        """Keeps the states of the rows that reach this step."""
        return states if self._is_even else states[: self._rows[step]]

    def last(self, initial):
        """The rows of the last step."""
        return initial if self._is_even else initial[: self._rows[-1]]

    def extended(self, gradients, step):
        """Pads gradients of the rows of the next step to the rows of this step."""
        if self._is_even:
            return gradients
        missing = self._rows[step] - tf.shape(gradients)[0]
        return tf.pad(gradients, [[0, missing], [0, 0]])

    def before(self, states):
        """The state before each one."""
        width = states.shape[-1]
        zeros = self.empty(width, states.dtype)
        first = tf.shape(zeros)[0]
        if self._is_even:
            return tf.concat([zeros, states[: self._total - first]], axis=0)
        indices = tf.range(first, self._total) - tf.repeat(self._rows[:-1], self._rows[1:])
        return tf.concat([zeros, tf.gather(states, indices)], axis=0)

    def array(self, like):
        """Returns a `tf.TensorArray` for the rows of each step."""
        shape = like.shape if self._is_even else [None, like.shape[-1]]
        return tf.TensorArray(like.dtype, self.count, element_shape=shape, infer_shape=False)

    def joined(self, array):
        """Concatenates the rows of a `tf.TensorArray`, ordered by step."""
        # A stack of no steps would have to know the number of rows, which XLA does.
        is_known = array.element_shape.is_fully_defined() or is_compiling_with_xla()
        if not (self._is_even and is_known):
            return array.concat()
        steps = array.stack()
        return tf.reshape(steps, [self._total, steps.shape[-1]])


def _states(steps, inputs, kernel, bias, base, scale):
    units = kernel.shape[0]
    initial = steps.empty(units, inputs.dtype)
    readers = [steps.reader(sequence) for sequence in (inputs, base, scale)]

    def body(step, state, states):
        x, lift, share = (read(step) for read in readers)
        state = steps.truncated(state, step)
        recurrent = tf.matmul(state, kernel) + bias
        gates = tf.sigmoid(x[:, : 2 * units] + recurrent[:, : 2 * units])
        candidate = tf.tanh(x[:, 2 * units :] + gates[:, units:] * recurrent[:, 2 * units :])
        update = lift + share * (1 - gates[:, :units])
        state += update * (candidate - state)
        return step + 1, state, states.write(step, state)

    states = _loop(steps, body, initial, steps.array(initial))[-1]
    return steps.joined(states)


def _gradients(steps, inputs, kernel, bias, base, scale, states, upstream):
    units = kernel.shape[0]
    before = steps.before(states)  # (N, units)
    recurrent = tf.matmul(before, kernel) + bias  # (N, 3 * units)
    gates = tf.sigmoid(inputs[:, : 2 * units] + recurrent[:, : 2 * units])
    keep, reset = gates[:, :units], gates[:, units:]  # (N, units) each
    candidate = tf.tanh(inputs[:, 2 * units :] + reset * recurrent[:, 2 * units :])
    update = base + scale * (1 - keep)
    # A change of the state times these is the change of each product with the kernel.
    to_candidate = update * (1 - tf.square(candidate))
    to_recurrent = tf.concat(
        [
            (before - candidate) * scale * keep * (1 - keep),
            to_candidate * recurrent[:, 2 * units :] * reset * (1 - reset),
            to_candidate * reset,
        ],
        axis=-1,
    )
    of_states = _back_in_time(steps, upstream, 1 - update, to_recurrent, kernel)
    of_recurrent = tf.tile(of_states, [1, 3]) * to_recurrent
    of_update = of_states * (candidate - before)
    return (
        tf.concat([of_recurrent[:, : 2 * units], of_states * to_candidate], axis=-1),
        tf.matmul(before, of_recurrent, transpose_a=True),
        tf.reduce_sum(of_recurrent, axis=0),
        tf.reduce_sum(of_update, axis=-1),
        tf.reduce_sum(of_update * (1 - keep), axis=-1),
    )


def _back_in_time(steps, upstream, kept, to_recurrent, kernel):
    """Gradients of the states after each step."""
    initial = steps.empty(upstream.shape[-1], upstream.dtype)
    readers = [steps.reader(sequence) for sequence in (upstream, kept, to_recurrent)]

    def body(passed, gradient, gradients):
        step = steps.count - 1 - passed
        direct, share, product = (read(step) for read in readers)
        gradient = direct + steps.extended(gradient, step)
        gradients = gradients.write(step, gradient)
        of_recurrent = tf.tile(gradient, [1, 3]) * product
        gradient = gradient * share + tf.matmul(of_recurrent, kernel, transpose_b=True)
        return passed + 1, gradient, gradients

    return steps.joined(_loop(steps, body, steps.last(initial), steps.array(initial))[-1])


def _loop(steps, body, state, array):
    return tf.while_loop(
        lambda passed, *_: passed < steps.count,
        body,
        (0, state, array),
        maximum_iterations=steps.count,
    )

"""One step of the memory network that MIMN keeps for each user."""

import functools
import typing
from collections.abc import Callable

import tensorflow as tf

_LIMIT = 20.0
_NEARLY_ZERO = 1e-8
# What the released code divides the accumulated write weights by before it reads them.
_WRITES_SCALE = 400.0
# Weights are compared in steps of one over this.
_ROUNDING = 4096.0


class InterestMemorySettings(typing.NamedTuple):
    """Settings that determine the shapes of a step.

    Args:
        num_slots: Integer.
        num_read_heads: Integer.
        num_write_heads: Integer.
        utilization: `"paper"`, `"released"` or `"none"`.
        induction_top_k: Integer. Channels that a step updates; 0 for none.

    Example:

    >>> InterestMemorySettings(4, 1, 1, "paper", 1).num_slots
    4
    """

    num_slots: int
    num_read_heads: int
    num_write_heads: int
    utilization: str
    induction_top_k: int

    def head_widths(self, width: int) -> list[int]:
        """Widths of the parts of the linear layer that controls all heads, in order.

        Args:
            width: Integer. Width of a slot.

        Returns:
            List of integers: keys, sharpness, erase, add and, released, shift and power.
        """
        heads = self.num_read_heads + self.num_write_heads
        widths = [heads * width, heads, self.num_write_heads * width, self.num_write_heads * width]
        if self.utilization == "released":
            widths += [3 * self.num_write_heads, self.num_write_heads]
        return widths


def content_weights(
    memory: tf.Tensor, keys: tf.Tensor, sharpness: tf.Tensor, static_keys: tf.Tensor | None = None
) -> tf.Tensor:
    """Weights of the slots by their similarity to keys: `softmax_i(sharpness * cos(k, M_i))`.

    Args:
        memory: Float tensor of shape `(B, m, D)`.
        keys: Float tensor of shape `(B, heads, D)`.
        sharpness: Float tensor of shape `(B, heads)`.
        static_keys: Float tensor of shape `(m, D)`, to average the cosine with that of these; or
            `None` for the memory's alone. Defaults to `None`.

    Returns:
        Float tensor of shape `(B, heads, m)` that sums to 1 over the slots.
    """
    key_norm = _norm(keys)[..., None]  # (B, heads, 1)
    cosine = tf.reduce_sum(keys[:, :, None] * memory[:, None], axis=-1)  # (B, heads, m)
    cosine /= key_norm * _norm(memory)[:, None] + _NEARLY_ZERO
    if static_keys is not None:
        other = tf.tensordot(keys, static_keys, [[2], [1]])  # (B, heads, m)
        cosine = 0.5 * (cosine + other / (key_norm * _norm(static_keys) + _NEARLY_ZERO))
    return tf.nn.softmax(sharpness[..., None] * cosine, axis=-1)


def shifted(weights: tf.Tensor, kernel: tf.Tensor) -> tf.Tensor:
    """Moves weights over the slots, cyclically.

    Args:
        weights: Float tensor of shape `(B, heads, m)`.
        kernel: Float tensor of shape `(B, heads, 3)`: the shares that stay, that move one slot up
            and that move one slot down.

    Returns:
        Float tensor like `weights`.
    """
    stay, up, down = (share[..., None] for share in tf.unstack(kernel, axis=-1))
    return stay * weights + up * tf.roll(weights, 1, -1) + down * tf.roll(weights, -1, -1)


def sharpened(weights: tf.Tensor, power: tf.Tensor) -> tf.Tensor:
    """Raises weights to a power, and normalizes them to sum to 1.

    Args:
        weights: Float tensor of shape `(B, heads, m)`, not negative.
        power: Float tensor of shape `(B, heads)`.

    Returns:
        Float tensor like `weights`.
    """
    raised = tf.pow(tf.maximum(weights, _NEARLY_ZERO), power[..., None])
    return raised / tf.maximum(tf.reduce_sum(raised, axis=-1, keepdims=True), 1e-30)


def written(
    memory: tf.Tensor, weights: tf.Tensor, erase: tf.Tensor, add: tf.Tensor
) -> tuple[tf.Tensor, tf.Tensor]:
    """Erases and adds: `(1 - w * e) * M + w * a`, first all heads erase, then all add.

    Args:
        memory: Float tensor of shape `(B, m, D)`.
        weights: Float tensor of shape `(B, heads, m)`.
        erase: Float tensor of shape `(B, heads, D)`, from 0 to 1.
        add: Float tensor of shape `(B, heads, D)`.

    Returns:
        Tuple `(memory, added)` of two tensors like `memory`.
    """
    added = _spread(weights, add)
    for weight, share in zip(tf.unstack(weights, axis=1), tf.unstack(erase, axis=1), strict=True):
        memory *= 1 - weight[..., None] * share[:, None]
    return memory + added, added


@functools.cache
def interest_memory_step(settings: InterestMemorySettings) -> Callable:
    """Returns the step function of a memory network, for `recurrence`.

    The state holds `memory` `(B, m, D)`, `controller` `(B, units)`, `read` `(B, read heads * D)`,
    `writes` `(B, m)`, the accumulated write weights, `added` `(B, D)`, the accumulated vectors that
    were added to the slots, averaged over these, and with induction `channels` `(B, m, D)`.

    The inputs are the behavior times the controller's kernel plus bias, concatenated, with
    induction, with the behavior times the channels' kernel plus bias.

    Args:
        settings: `InterestMemorySettings`.

    Returns:
        Function of a state, `(B, ...)` inputs and parameters that returns the next state.
    """

    def step(state, inputs, parameters):
        units = state["controller"].shape[-1]
        controller = _controller_step(state, inputs[:, : 3 * units], parameters)
        heads = _heads(settings, state, controller, parameters)
        weights = content_weights(
            state["memory"], heads["keys"], heads["sharpness"], parameters.get("static_keys")
        )
        reading = weights[:, : settings.num_read_heads]
        writing, counted = _write_weights(
            settings, weights[:, settings.num_read_heads :], state, heads, parameters
        )
        memory, added = written(state["memory"], writing, heads["erase"], heads["add"])
        read = _weighted(reading, state["memory"])  # (B, read heads, D)
        new = {
            "memory": memory,
            "controller": controller,
            "read": tf.reshape(read, [-1, state["read"].shape[-1]]),
            "writes": state["writes"] + tf.reduce_sum(counted, axis=1),
            "added": state["added"] + tf.reduce_mean(added, axis=1),
        }
        if settings.induction_top_k:
            chosen = _chosen(tf.reduce_mean(reading, axis=1), settings.induction_top_k)
            new["channels"] = _channel_step(
                state["channels"], memory, chosen, inputs[:, 3 * units :], parameters
            )
        return new

    return step


def _controller_step(state, x, parameters):
    """A gated recurrent unit on `[x; read]`; its four products with the state are one."""
    units = state["controller"].shape[-1]
    before = tf.concat([state["read"], state["controller"]], axis=-1)
    # Both gates, the candidate's part of the read vector, and its part of the state.
    products = tf.matmul(before, parameters["controller"]) + parameters["controller_bias"]
    gates = tf.sigmoid(x[:, : 2 * units] + products[:, : 2 * units])
    keep, reset = gates[:, :units], gates[:, units:]
    of_read, of_state = products[:, 2 * units : 3 * units], products[:, 3 * units :]
    candidate = tf.tanh(x[:, 2 * units :] + of_read + reset * of_state)
    return candidate + keep * (state["controller"] - candidate)


def _heads(settings, state, controller, parameters):
    """Computes the keys, gates and vectors of all heads from the controller's state."""
    width = state["memory"].shape[-1]
    if settings.utilization == "released":
        writes = tf.stop_gradient(state["writes"]) / _WRITES_SCALE
        controller = tf.concat([controller, writes], axis=-1)
    outputs = tf.matmul(controller, parameters["heads"]) + parameters["heads_bias"]
    outputs = tf.clip_by_value(outputs, -_LIMIT, _LIMIT)
    keys, sharpness, erase, add, *released_parts = tf.split(
        outputs, settings.head_widths(width), axis=-1
    )
    writers = settings.num_write_heads
    heads = {
        "keys": tf.reshape(tf.tanh(keys), [-1, settings.num_read_heads + writers, width]),
        "sharpness": 2 * (tf.nn.softplus(sharpness) + 1),
        "erase": tf.reshape(tf.sigmoid(erase), [-1, writers, width]),
        "add": tf.reshape(tf.tanh(add), [-1, writers, width]),
    }
    if released_parts:
        heads["shift"] = tf.nn.softmax(tf.reshape(released_parts[0], [-1, writers, 3]))
        heads["power"] = 4 * (tf.nn.softplus(released_parts[1]) + 1)
    return heads


def _write_weights(settings, weights, state, heads, parameters):
    """Weights to write with, and those that are accumulated, `(B, write heads, m)` both."""
    slots = settings.num_slots
    if settings.utilization == "paper":
        transfer = tf.matmul(state["writes"], parameters["transfer"])
        transfer = tf.nn.softmax(tf.reshape(transfer, [-1, slots, slots]))
        weights = _weighted(weights, transfer)
        return weights, weights
    if settings.utilization == "released":
        moved = sharpened(shifted(weights, heads["shift"]), heads["power"])
        counted = shifted(tf.stop_gradient(weights), heads["shift"])
        return moved, sharpened(counted, heads["power"])
    return weights, weights


def _chosen(weights, top_k):
    """One-hot rows of the channels with the largest weights, `(B, top_k, m)`.

    Weights that differ only by rounding count as equal, and the first of equal slots is chosen:
    otherwise the choice would depend on how the step is compiled.
    """
    indices = tf.math.top_k(tf.round(weights * _ROUNDING), top_k).indices
    return tf.one_hot(indices, weights.shape[-1], dtype=weights.dtype)


def _channel_step(channels, memory, chosen, x, parameters):
    """A gated recurrent unit on `[x; M_i]` for the chosen channels; the others stay."""
    units = channels.shape[-1]
    slots, before = _weighted(chosen, memory), _weighted(chosen, channels)  # (B, top_k, D) each
    # Both gates, the candidate's part of the slot, and its part of the channel.
    products = tf.tensordot(tf.concat([slots, before], axis=-1), parameters["channel"], [[2], [0]])
    products += parameters["channel_bias"]
    x = x[:, None]
    gates = tf.sigmoid(x[..., : 2 * units] + products[..., : 2 * units])
    keep, reset = gates[..., :units], gates[..., units:]
    of_slot, of_state = products[..., 2 * units : 3 * units], products[..., 3 * units :]
    candidate = tf.tanh(x[..., 2 * units :] + of_slot + reset * of_state)
    change = (1 - keep) * (candidate - before)
    return channels + _spread(chosen, change)


def _weighted(weights, vectors):
    """Sums of `(B, m, D)` vectors by `(B, heads, m)` weights.

    These matrices are so small that a product of them for each row takes longer.
    """
    return tf.reduce_sum(weights[..., None] * vectors[:, None], axis=2)


def _spread(weights, vectors):
    """Sums of `(B, heads, D)` vectors for each slot, by `(B, heads, m)` weights."""
    return tf.reduce_sum(weights[..., None] * vectors[:, :, None], axis=1)


def _norm(vectors):
    """Lengths of vectors, with a gradient at 0."""
    return tf.sqrt(tf.reduce_sum(tf.square(vectors), axis=-1) + 1e-16)

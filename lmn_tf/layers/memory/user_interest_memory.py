"""The memory that MIMN keeps for each user."""

from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.target_attention import TargetAttention
from lmn_tf.layers.base import (
    RunningMean,
    add_replicated_loss,
    check_axes,
    check_choice,
    check_hidden_units,
    check_not_negative,
    check_positive_integer,
)
from lmn_tf.layers.evolution.next_behavior_loss import NextBehaviorLoss
from lmn_tf.layers.history_layer import HistoryLayer, mask_of
from lmn_tf.ops.sequence.chains import Chains
from lmn_tf.ops.sequence.interest_memory_step import InterestMemorySettings, interest_memory_step
from lmn_tf.ops.sequence.masked import masked_sum, row_mean, zero_padding
from lmn_tf.ops.sequence.recurrence import recurrence
from lmn_tf.ops.sequence.valid_positions import ValidPositions

_LIMIT = 20.0
# Entries of a state that do not belong to the cell.
_COUNTED = ("behaviors", "count")


@keras.saving.register_keras_serializable(package="lmn_tf")
class UserInterestMemory(HistoryLayer):
    """Writes each user's behaviors into a small memory, and reads it for candidates.

    A controller, a GRU on the behavior and the previous read vector, drives the
    heads: they read and write the slots by cosine similarity, and erase and add
    `M = (1 - w * sigmoid(e)) * M + w * tanh(a)`. With induction, each slot has a
    channel, a second GRU on the behavior and the slot, and each step updates the
    `induction_top_k` channels with the largest read weights.

    For a candidate the layer returns `[sum of behaviors; o; mean added * target;
    channels]`. `o` is the output of one more step with the candidate as input.
    `mean added` is the sum of all vectors added to the memory, averaged over the
    slots. `channels`, with induction only, are read by the attention of DIN.

    The state of a user is a dictionary of tensors that does not depend on the
    candidate: `initial_state`, `advance` and `step` compute it, and `read` scores
    with it. Masked steps leave the state unchanged. A user without behaviors gives
    exactly 0. The state is float32 whatever the precision of the layer.

    Where the paper is silent, we chose:

    - The transfer of write weights reads the weights accumulated before the step.
      It is initialized to 0.1 times the identity, so that slots do not collapse.
    - Several read vectors are concatenated, and channels are selected by the mean
      of their read weights.
    - All write heads erase before any of them adds.
    - The memory starts as a trained matrix of standard deviation 0.1, and the rest
      of the state as zeros.
    - Both GRUs are those of Keras.
    - Read weights are rounded to 1 / 4096 to select channels, and the first of
      equal slots wins. Otherwise rounding errors, which differ between compilers,
      would decide.

    The code released with the paper resets the state at masked steps, averages the
    cosine with that to trained keys (here with `static_keys` only), and starts from
    a memory of almost 0 that is not trained.

    During training the layer tracks running means that Keras logs:
    `utilization_loss` (without its weight) and those of the auxiliary loss.

    Args:
        num_slots: Integer. Number of slots of a user's memory. Defaults to `4`.
        units: Integer. Width of the controller's state, or `None` for the width of
            the behaviors. Defaults to `None`.
        num_read_heads: Integer. Number of read heads. Defaults to `1`.
        num_write_heads: Integer. Number of write heads. Defaults to `1`.
        utilization: How writes are spread over the slots. `"paper"`: the write
            weights `w` become `w softmax(W g)` with the accumulated weights `g`;
            `"released"`: the controller, which reads `g`, shifts and sharpens
            them; `"none"`. Defaults to `"paper"`.
        utilization_weight: Float. Weight of a loss that balances the accumulated
            write weights `g`: `sum_i (g_i - mean g)^2`, averaged over rows;
            `"released"` uses the mean over slots, divided by their number,
            instead of the sum. Defaults to `1e-05`.
        induction_top_k: Integer. Number of channels updated at each step; 0
            disables induction. Defaults to `1`.
        attention_units: Tuple of integers. Hidden layers of the attention over the
            channels. Defaults to `(80, 40)`.
        static_keys: Boolean. Whether slots are also addressed by trained keys, as
            in the released code. Defaults to `False`.
        auxiliary_units: Tuple of integers. Hidden layers of the auxiliary loss
            between the outputs and the next behaviors. Defaults to `(100, 50)`.
        auxiliary_weight: Float. Weight of that loss; 0 turns it off. Defaults to
            `0.0`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`; with `windows`
            `(events, d)`.
        target: Float tensor of shape `(batch, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where
            valid. Defaults to the Keras mask of `history`.
        training: Boolean. Whether to add the auxiliary loss.
        windows: Optional `Windows` of the rows into the events. Rows whose windows
            begin with the same event share one memory, which each reads as of its
            own last event: exactly what it would have written by itself.

    Returns:
        Float tensor of shape `(batch, 4 * d)`, or `(batch, 3 * d)` without
        induction.

    Raises:
        ValueError: If an argument is out of its range.

    Example:

    >>> layer = UserInterestMemory()
    >>> history, target = np.ones((2, 5, 8), "float32"), np.ones((2, 8), "float32")
    >>> at_once = layer(history, target)
    >>> state = layer.advance(layer.initial_state(2), history[:, :4])
    >>> state = layer.step(state, history[:, 4])
    >>> np.allclose(layer.read(state, target), at_once, atol=1e-5)
    True

    Reference:
        - Pi et al., "Practice on Long Sequential User Behavior Modeling for
          Click-Through Rate Prediction", KDD 2019, section 4.
    """

    def __init__(
        self,
        num_slots: int = 4,
        units: int | None = None,
        num_read_heads: int = 1,
        num_write_heads: int = 1,
        utilization: str = "paper",
        utilization_weight: float = 1e-05,
        induction_top_k: int = 1,
        attention_units: Sequence[int] = (80, 40),
        static_keys: bool = False,
        auxiliary_units: Sequence[int] = (100, 50),
        auxiliary_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_sizes(num_slots, units, num_read_heads, num_write_heads, induction_top_k)
        check_choice("utilization", utilization, ("paper", "released", "none"))
        check_not_negative("utilization_weight", utilization_weight)
        check_not_negative("auxiliary_weight", auxiliary_weight)
        self.num_slots = num_slots
        self.units = units
        self.num_read_heads = num_read_heads
        self.num_write_heads = num_write_heads
        self.utilization = utilization
        self.utilization_weight = utilization_weight
        self.induction_top_k = induction_top_k
        self.attention_units = check_hidden_units("attention_units", attention_units)
        self.static_keys = static_keys
        self.auxiliary_units = check_hidden_units("auxiliary_units", auxiliary_units)
        self.auxiliary_weight = auxiliary_weight
        self._settings = InterestMemorySettings(
            num_slots, num_read_heads, num_write_heads, utilization, induction_top_k
        )
        self.attention = self.auxiliary_loss = None
        if induction_top_k:
            self.attention = TargetAttention(
                self.attention_units, name="attention", dtype=self.dtype_policy
            )
        if auxiliary_weight:
            self.auxiliary_loss = NextBehaviorLoss(
                self.auxiliary_units,
                weight=auxiliary_weight,
                name="auxiliary_loss",
                dtype=self.dtype_policy,
            )
        self.utilization_loss_tracker = None
        if utilization != "none":
            self.utilization_loss_tracker = RunningMean(name="utilization_loss")

    def build(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...] | None = None,
    ) -> None:
        width = history_shape[-1]
        units = width if self.units is None else self.units
        read, slots = self.num_read_heads * width, (self.num_slots, width)
        self._weight("initial_memory", slots, keras.initializers.RandomNormal(stddev=0.1))
        self._gru_weights("controller", width + read, units)
        head_inputs = units + (self.num_slots if self.utilization == "released" else 0)
        self._weight("head_kernel", (head_inputs, sum(self._settings.head_widths(width))))
        self._weight("head_bias", self.head_kernel.shape[1:], "zeros")
        self._weight("output_kernel", (units + read, width))
        self._weight("output_bias", (width,), "zeros")
        if self.utilization == "paper":
            self._weight("transfer_kernel", (self.num_slots, self.num_slots**2), _transfer_start)
        if self.static_keys:
            self._weight("slot_keys", slots, keras.initializers.RandomNormal(stddev=0.5))
        if self.induction_top_k:
            self._gru_weights("channel", 2 * width, width)
            self.attention.build((None, self.num_slots, width), (None, width))
        if self.auxiliary_loss is not None:
            self.auxiliary_loss.build(history_shape, history_shape)

    def _gru_weights(self, name, width, units):
        self._weight(f"{name}_kernel", (width, 3 * units))
        self._weight(f"{name}_recurrent_kernel", (units, 3 * units), "orthogonal")
        self._weight(f"{name}_bias", (2, 3 * units), "zeros")

    def _weight(self, name, shape, initializer="glorot_uniform"):
        weight = self.add_weight(shape, initializer, autocast=False, name=name)
        setattr(self, name, weight)

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        check_axes("history", history.shape, *(() if windows is None else ("(events, d)",)))
        if windows is None:
            mask, counts = mask_of(history, mask), None
            start = self.initial_state(tf.shape(history)[0])
            state, states = self._run(start, history, mask)
        else:
            events, chains = history, Chains(windows, is_compiled=True)
            history, mask, counts = chains.padded(events), chains.mask, chains.counts
            _, states = self._run(self.initial_state(tf.shape(history)[0]), history, mask)
            state = self._state_of_rows(chains, states, events, windows)
        self._add_losses(state, states, history, mask, counts, training)
        return self.read(state, target)

    def initial_state(self, batch_size: int) -> dict[str, tf.Tensor]:
        """Returns the state of users without behaviors.

        Args:
            batch_size: Integer, or scalar integer tensor.

        Returns:
            Dictionary of float tensors of shape `(batch_size, ...)`: `memory`, `controller`,
            `read`, `writes`, `added`, `channels` (with induction), `behaviors` (their sum) and
            `count`.
        """
        slots, width = self.initial_memory.shape
        widths = {
            "controller": self.controller_recurrent_kernel.shape[0],
            "read": self.num_read_heads * width,
            "writes": slots,
            "added": width,
            "behaviors": width,
            "count": 1,
        }
        dtype = self.initial_memory.dtype
        state = {name: tf.zeros([batch_size, size], dtype) for name, size in widths.items()}
        state["memory"] = tf.tile(self.initial_memory[None], [batch_size, 1, 1])
        if self.induction_top_k:
            state["channels"] = tf.zeros([batch_size, slots, width], dtype)
        return state

    def advance(
        self, state: dict[str, tf.Tensor], history: tf.Tensor, mask: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Updates the state with behaviors, oldest first.

        Args:
            state: Dictionary of tensors, as `initial_state` returns it.
            history: Float tensor of shape `(batch, length, d)`.
            mask: Optional boolean tensor of shape `(batch, length)`. Defaults to `None`.

        Returns:
            Dictionary like `state`.
        """
        return self._run(state, history, mask)[0]

    def step(
        self, state: dict[str, tf.Tensor], behavior: tf.Tensor, valid: tf.Tensor | None = None
    ) -> dict[str, tf.Tensor]:
        """Updates the state with one behavior.

        Args:
            state: Dictionary of tensors, as `initial_state` returns it.
            behavior: Float tensor of shape `(batch, d)`.
            valid: Optional boolean tensor of shape `(batch,)`, true for rows with a behavior.
                Defaults to `None`.

        Returns:
            Dictionary like `state`.
        """
        mask = None if valid is None else tf.convert_to_tensor(valid)[:, None]
        return self.advance(state, tf.convert_to_tensor(behavior)[:, None], mask)

    def read(self, state: dict[str, tf.Tensor], target: tf.Tensor) -> tf.Tensor:
        """Reads the states of users for candidates.

        Args:
            state: Dictionary of tensors, as `initial_state` returns it.
            target: Float tensor of shape `(batch, d)`.

        Returns:
            The output of the layer, of shape `(batch, 4 * d)` or `(batch, 3 * d)`.
        """
        target = tf.cast(target, self.initial_memory.dtype)
        cell = {name: tensor for name, tensor in state.items() if name not in _COUNTED}
        step = interest_memory_step(self._settings)
        cell = step(cell, self._projected(target), self._parameters())
        output = tf.where(state["count"] > 0, self._output(cell), 0)  # (batch, d)
        parts = [state["behaviors"], output, state["added"] * target]
        parts = [tf.cast(part, self.compute_dtype) for part in parts]
        if self.attention is not None:
            channels = tf.cast(state["channels"], self.compute_dtype)
            parts.append(self.attention(channels, tf.cast(target, self.compute_dtype)))
        return tf.concat(parts, axis=-1)

    def _run(self, state, history, mask):
        """Returns the state after a history, and the states of the cell after each step."""
        history = zero_padding(tf.cast(history, self.initial_memory.dtype), mask)
        cell = {name: tensor for name, tensor in state.items() if name not in _COUNTED}
        if mask is None:
            mask = tf.ones(tf.shape(history)[:2], bool)
        mask = tf.cast(mask, bool)
        states = recurrence(
            interest_memory_step(self._settings),
            cell,
            self._projected(tf.transpose(history, [1, 0, 2])),
            self._parameters(),
            tf.transpose(mask),
        )
        last = {name: tensor[-1] for name, tensor in states.items()}
        last["behaviors"] = state["behaviors"] + masked_sum(history, mask)
        last["count"] = state["count"] + masked_sum(tf.ones_like(history[..., :1]), mask)
        return last, states

    def _state_of_rows(self, chains, states, events, windows):
        """Returns the state of each row after its last event, of the states of its chain."""
        initial = self.initial_state(windows.batch)
        state = {name: chains.last(steps, initial[name]) for name, steps in states.items()}
        events = tf.cast(events, self.initial_memory.dtype)
        state["behaviors"] = windows.event_sum(events)
        state["count"] = windows.event_sum(tf.ones_like(events[:, :1]))
        return state

    def _projected(self, behaviors):
        """Projects the behaviors of all steps at once; this does not depend on the state."""
        width = self.initial_memory.shape[-1]
        kernel, bias = self.controller_kernel[:width], self._gate_bias("controller")[0]
        if self.induction_top_k:
            kernel = tf.concat([kernel, self.channel_kernel[:width]], axis=-1)
            bias = tf.concat([bias, self._gate_bias("channel")[0]], axis=-1)
        return tf.tensordot(behaviors, kernel, 1) + bias

    def _parameters(self):
        """Weights that a step reads; kernels are split so that a GRU multiplies its state once."""
        parameters = {"heads": self.head_kernel, "heads_bias": self.head_bias}
        for name in ("controller", "channel") if self.induction_top_k else ("controller",):
            parameters[name] = self._state_kernel(name)
            parameters[f"{name}_bias"] = self._gate_bias(name)[1]
        if self.utilization == "paper":
            parameters["transfer"] = self.transfer_kernel
        if self.static_keys:
            parameters["static_keys"] = self.slot_keys
        return {name: tf.convert_to_tensor(weight) for name, weight in parameters.items()}

    def _state_kernel(self, name):
        """Kernel of a GRU on `[read or slot; state]`, with separate candidates for the two."""
        recurrent = tf.convert_to_tensor(getattr(self, f"{name}_recurrent_kernel"))
        units, width = recurrent.shape[0], self.initial_memory.shape[-1]
        read = getattr(self, f"{name}_kernel")[width:]  # (width of read or slot, 3 * units)
        gates, candidate = recurrent[:, : 2 * units], recurrent[:, 2 * units :]
        zeros = tf.zeros_like(candidate)
        return tf.concat(
            [
                tf.concat([read, tf.zeros([read.shape[0], units], read.dtype)], axis=1),
                tf.concat([gates, zeros, candidate], axis=1),
            ],
            axis=0,
        )

    def _gate_bias(self, name):
        """Biases of a GRU for the projected behaviors, and for the product within a step."""
        bias, recurrent = tf.unstack(tf.convert_to_tensor(getattr(self, f"{name}_bias")))
        units = bias.shape[0] // 3
        gates, candidate = recurrent[: 2 * units], recurrent[2 * units :]
        zeros = tf.zeros_like(candidate)
        return (
            bias + tf.concat([gates, zeros], axis=0),
            tf.concat([zeros, zeros, zeros, candidate], axis=0),
        )

    def _output(self, cell):
        inputs = tf.concat([cell["controller"], cell["read"]], axis=-1)
        output = tf.tensordot(inputs, self.output_kernel, 1) + self.output_bias
        return tf.clip_by_value(output, -_LIMIT, _LIMIT)

    def _add_losses(self, state, states, history, mask, counts, training):
        if self.utilization != "none":
            writes = state["writes"]
            deviation = tf.square(writes - tf.reduce_mean(writes, axis=1, keepdims=True))
            spread = row_mean(tf.reduce_sum(deviation, axis=1))
            if self.utilization == "released":
                spread /= self.num_slots**2
            if self.utilization_weight:
                rows = tf.shape(writes)[0]
                add_replicated_loss(self, self.utilization_weight * spread, count=rows)
            if training:
                self.utilization_loss_tracker.update_state(spread)
        if self.auxiliary_loss is not None:
            outputs = tf.transpose(self._output(states), [1, 0, 2])
            self.auxiliary_loss(outputs, history, mask=mask, training=training, counts=counts)

    def compute_output_shape(
        self,
        history_shape: tuple[int | None, ...],
        target_shape: tuple[int | None, ...] | None = None,
    ) -> tuple[int | None, ...]:
        return (history_shape[0], (4 if self.induction_top_k else 3) * history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        names = ("units", "utilization_weight", "static_keys", "auxiliary_weight")
        return {
            **super().get_config(),
            **self._settings._asdict(),
            **{name: getattr(self, name) for name in names},
            "attention_units": list(self.attention_units),
            "auxiliary_units": list(self.auxiliary_units),
        }


def _transfer_start(shape, dtype):
    """Identity transfers: the longer the history, the more a slot keeps its own weight."""
    return 0.1 * tf.tile(tf.reshape(tf.eye(shape[0], dtype=dtype), [1, -1]), [shape[0], 1])


def _check_sizes(num_slots, units, num_read_heads, num_write_heads, induction_top_k):
    check_positive_integer("num_slots", num_slots)
    check_positive_integer("num_read_heads", num_read_heads)
    check_positive_integer("num_write_heads", num_write_heads)
    if units is not None:
        check_positive_integer("units", units)
    if induction_top_k not in range(num_slots + 1):
        raise ValueError(
            f"`induction_top_k` must be an integer from 0 to `num_slots`, {num_slots}. "
            f"Received: induction_top_k={induction_top_k}"
        )

"""The iterative memory of IMN as one layer."""

from collections.abc import Callable
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.history_layer import HistoryLayer, events_of
from lmn_tf.layers.memory.multi_way_attention import MultiWayAttention
from lmn_tf.layers.watched import WatchedMixin
from lmn_tf.ops.sequence.valid_positions import ValidPositions


@keras.saving.register_keras_serializable(package="lmn_tf")
class IterativeMemory(WatchedMixin, HistoryLayer):
    """Reads a history several times, each time with the memory of the previous read.

    The memory starts as the candidate, `m_0 = v`. In each of `num_walks` walks, every behavior is
    weighted by its similarity to candidate and memory, and the weighted sum `r_t` updates the
    memory: `m_t = GRU(r_t, m_{t-1})`. Then `num_enhancements` steps of another GRU relate the
    memory to the candidate: `u_t = GRU([W u_{t-1}; v], u_{t-1})`, where `u_0` is the last memory.
    The last `u` is returned. The paper's IMN 2P, 3P and 3P+ are 2, 3 and 3 walks with 0, 0 and 3
    enhancements.

    Both GRUs have as many units as the history's width, since the memory is subtracted from
    behaviors. Padded positions get weight exactly 0. The read-out of an empty history is 0, and
    the result depends on the candidate alone: it is finite, but not 0. Time and memory are linear
    in the length.

    Where the layer is `watched`, it reports the weights of its walks: a list of float32 tensors of
    shape `(batch, length)`, and the mask, which is `None` if all positions are valid.

    Args:
        num_walks: Integer, 0 or more. Defaults to `3`.
        num_enhancements: Integer, 0 or more. Defaults to `3`.
        hidden_units: Integer. Width of the attention's hidden layer. Defaults to `64`.
        activation: Activation of that layer. Defaults to `"sigmoid"`.
        weight_normalization: `"sigmoid"` or `"softmax"` weights. Defaults to `"sigmoid"`.
        normalize: `"none"`, as in the paper, or `"length"`, which divides sigmoid weights by the
            number of valid positions. Defaults to `"none"`.
        share_iterations: Boolean. Whether all walks share the attention and the GRU, as in the
            paper's equations; enhancements always share theirs. Defaults to `True`.
        cross: `"full"`, or `"delayed"`, an ablation: weights without the candidate, and a memory
            that starts as the average of the history. Defaults to `"full"`.
        euclidean: Boolean. Whether the attention uses differences; `False` is an ablation.
            Defaults to `True`.
        attention: Boolean. `False` is an ablation that averages the history. Defaults to `True`.
        iterative: Boolean. `False` is an ablation that returns the first read-out `r_1`.
            Defaults to `True`.
        **kwargs: Base layer arguments, such as `name` and `dtype`.

    Call arguments:
        history: Float tensor of shape `(batch, length, d)`; or `(events, d)` with `windows`.
        target: Float tensor of shape `(batch, d)`.
        mask: Optional boolean tensor of shape `(batch, length)`, true where valid. Defaults to
            the Keras mask of `history`.
        windows: Optional `Windows` of the rows into events that they share.

    Returns:
        Float tensor of shape `(batch, d)`.

    Raises:
        ValueError: If an argument is out of its range, or the widths of history and target
            differ.

    Example:

    >>> IterativeMemory()(np.ones((2, 5, 8)), np.ones((2, 8))).shape
    TensorShape([2, 8])

    Reference:
        - "Iterative Memory Network for Long Sequential User Behavior Modeling in Recommender
          Systems", eqs. 2-7 and section 5.4 for the ablations.
    """

    def __init__(
        self,
        num_walks: int = 3,
        num_enhancements: int = 3,
        hidden_units: int = 64,
        activation: str | Callable = "sigmoid",
        weight_normalization: str = "sigmoid",
        normalize: str = "none",
        share_iterations: bool = True,
        cross: str = "full",
        euclidean: bool = True,
        attention: bool = True,
        iterative: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        _check_count("num_walks", num_walks)
        _check_count("num_enhancements", num_enhancements)
        self.num_walks = num_walks
        self.num_enhancements = num_enhancements
        self.share_iterations = share_iterations
        self.attention = attention
        self.iterative = iterative
        self._attention_config = {
            "hidden_units": hidden_units,
            "activation": activation,
            "weight_normalization": weight_normalization,
            "normalize": normalize,
            "cross": cross,
            "euclidean": euclidean,
        }
        first = self._make_attention("attention")  # checks the arguments
        count = min(self.num_reads, 1) if share_iterations else self.num_reads
        self.attentions = [first][:count]
        self.attentions += [self._make_attention(f"attention_{walk}") for walk in range(1, count)]

    def _make_attention(self, name):
        return MultiWayAttention(**self._attention_config, name=name, dtype=self.dtype_policy)

    @property
    def num_reads(self) -> int:
        """Number of reads with attention: `num_walks`, except for ablations."""
        if not self.attention:
            return 0
        return self.num_walks if self.iterative else 1

    def build(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> None:
        width = history_shape[-1]
        if target_shape[-1] != width:
            raise ValueError(
                "`target` must be as wide as `history`. "
                f"Received: target width={target_shape[-1]}, history width={width}"
            )
        for attention in self.attentions:
            attention.build(history_shape, target_shape, target_shape)
        self.update_cells, self.enhancement_cell = [], None
        if self.attention and self.iterative:
            names = ["update", *(f"update_{walk}" for walk in range(1, self.num_walks))]
            count = len(self.attentions)
            self.update_cells = [self._make_cell(width, width, name) for name in names[:count]]
            if self.num_enhancements:
                self.enhancement_cell = self._make_cell(2 * width, width, "enhancement")
                self.enhancement_query = keras.layers.Dense(
                    width, use_bias=False, name="enhancement_query", dtype=self.dtype_policy
                )
                self.enhancement_query.build((None, width))
        self.built = True

    def _make_cell(self, input_width, units, name):
        cell = keras.layers.GRUCell(units, reset_after=True, name=name, dtype=self.dtype_policy)
        cell.build((None, input_width))
        return cell

    def call(
        self,
        history: tf.Tensor,
        target: tf.Tensor,
        mask: tf.Tensor | None = None,
        windows: ValidPositions | None = None,
    ) -> tf.Tensor:
        events, positions = events_of(history, mask, windows)
        if not self.attention:
            return positions.event_mean(events)
        items = positions.pairs(events)  # (N, d): the valid pairs
        target = tf.cast(target, items.dtype)
        return self._enhance(self._walk(items, target, positions), target)

    def _walk(self, items, target, positions):
        delayed = self._attention_config["cross"] == "delayed"
        memory = positions.row_mean(items) if delayed else target
        weighers = [attention.prepare(items, target, positions) for attention in self.attentions]
        weights_of_walks = []
        for walk in range(self.num_reads):
            weights = weighers[walk % len(weighers)](memory)  # (N,)
            weights_of_walks.append(weights)
            weights = tf.cast(weights, items.dtype)
            read_out = positions.row_sum(weights[:, None] * items)  # (batch, d)
            if not self.iterative:
                return self._report(weights_of_walks, positions, read_out)
            cell = self.update_cells[walk % len(self.update_cells)]
            memory, _ = cell(read_out, [memory])
        return self._report(weights_of_walks, positions, memory)

    def _report(self, weights, positions, memory):
        if self._watcher is not None and weights:
            self._watcher([positions.put(walk) for walk in weights], positions.mask)
        return memory

    def _enhance(self, memory, target):
        if self.enhancement_cell is None:
            return memory
        for _ in range(self.num_enhancements):
            inputs = tf.concat([self.enhancement_query(memory), target], axis=-1)
            memory, _ = self.enhancement_cell(inputs, [memory])
        return memory

    def compute_output_shape(
        self, history_shape: tuple[int | None, ...], target_shape: tuple[int | None, ...]
    ) -> tuple[int | None, ...]:
        return (history_shape[0], history_shape[-1])

    def get_config(self) -> dict[str, Any]:
        activation = keras.activations.get(self._attention_config["activation"])
        return {
            **super().get_config(),
            "num_walks": self.num_walks,
            "num_enhancements": self.num_enhancements,
            **self._attention_config,
            "activation": keras.activations.serialize(activation),
            "share_iterations": self.share_iterations,
            "attention": self.attention,
            "iterative": self.iterative,
        }


def _check_count(name, value):
    if isinstance(value, bool) or not isinstance(value, int) or value < 0:
        raise ValueError(f"`{name}` must be an integer, 0 or more. Received: {name}={value!r}")

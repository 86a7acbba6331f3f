"""The memory of MSN as one layer."""

import contextlib
from collections.abc import Iterator
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import check_choice, check_positive_integer, stacked_glorot
from lmn_tf.layers.history_layer import mask_of
from lmn_tf.layers.memory.memory_gate import MemoryGate
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.ops.sequence.masked import masked_mean, zero_padding


@keras.saving.register_keras_serializable(package="lmn_tf")
class SparseMemory(ProductKeyMemory):
    """Reads a large memory for each token, and gates the read-out into the token.

    This is a reconstruction of the memory of MSN. Only the abstract, the titles of the figures and
    summaries by others were available. They describe product-key retrieval, layer-normalized
    queries and keys, over-parameterized keys and a memory gate. The formulas are ours, and follow
    other product-key memories.

    For tokens `X`, queries `q = LN(h Wq + bq)` with `h = X`, and keys `LN(K~ Wk)`, the read-out is
    `r = sum softmax(scores / temperature) * values` over the `top_k` best of `num_keys ** 2` slots,
    summed over heads. The output is `gate(X, r)`; see `MemoryGate`. Since keys are normalized, no
    key can attract all queries by its length: scaling `K~` changes nothing. Since keys are
    over-parameterized, keys that no query selects are not dead: `Wk` receives a gradient at each
    step and moves all of them.

    The normalization of keys has a gain and no bias; a bias would add the same number to the
    scores of all keys of an axis. Padded tokens (mask false) read nothing and give 0. They do not
    enter the query statistics, nor the mean of `query_source="mean"`.

    Args:
        num_keys: Integer above 1. Number of row keys and of column keys. Defaults to `128`.
        top_k: Integer above 1. Number of slots that each head reads, capped at all slots. Defaults
            to `16`.
        key_dim: Integer. Width of a row key and of a column key, or `None` for the input width of
            the query maps. Defaults to `32`.
        query_norm: `"layer"`, `"batch"` or `"none"`. Defaults to `"layer"`.
        key_expansion: Integer. Width of `K~` as a multiple of `key_dim`, or `None` for plain keys
            without `Wk`. Defaults to `4`.
        query_source: Input of the query maps. `"token"`: each token; `"mean"`: the mean of a row's
            tokens, which share one read-out; `"user_aware"`: each token concatenated with the
            user. Defaults to `"token"`.
        gate: `"swiglu"`, `"sigmoid"`, `"residual"` or `"scalar"`. Defaults to `"swiglu"`.
        zero_output: Boolean. Whether the initial output is 0. Defaults to `False`.
        **kwargs: Other arguments of `ProductKeyMemory`, such as `num_heads`, `value_dim`,
            `key_norm`, `key_balance_weight`, `temperature`, `memory_placement` and `open_keys`,
            and base layer arguments, such as `name` and `dtype`.

    Call arguments:
        inputs: Float tensor of shape `(batch, tokens, D)` or `(batch, D)`.
        user: Float tensor of shape `(batch, du)`, for `query_source="user_aware"`.
        mask: Optional boolean tensor of shape `(batch, tokens)`, true where valid.
        training: Boolean. Whether to use query statistics of the batch, and to add the loss.

    Returns:
        Float tensor shaped like `inputs`.

    Raises:
        ValueError: If an argument is out of its range, or `user` is missing.

    Example:

    >>> SparseMemory(num_keys=10, top_k=4)(np.ones((2, 3, 8))).shape
    TensorShape([2, 3, 8])

    Reference:
        - Wu et al., "MSN: A Memory-based Sparse Activation Scaling Framework for Large-scale
          Industrial Recommendation", 2026 (reconstruction); Lample et al., "Large Memory Layers
          with Product Keys", NeurIPS 2019; Huang et al., "Ultra-Sparse Memory Network", ICLR 2025
          (normalized keys, key-balance loss).
    """

    _layer_norm_epsilon = 1e-6

    def __init__(
        self,
        num_keys: int = 128,
        top_k: int = 16,
        *,
        key_dim: int | None = 32,
        query_norm: str = "layer",
        key_expansion: int | None = 4,
        query_source: str = "token",
        gate: str = "swiglu",
        zero_output: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(num_keys, top_k, key_dim=key_dim, query_norm=query_norm, **kwargs)
        if key_expansion is not None:
            check_positive_integer("key_expansion", key_expansion)
        check_choice("query_source", query_source, ("token", "mean", "user_aware"))
        self.key_expansion = key_expansion
        self.query_source = query_source
        self.gate = gate
        self.zero_output = zero_output
        self.memory_gate = MemoryGate(
            gate, zero_output, name="memory_gate", dtype=self.dtype_policy
        )
        self._folded_keys = None

    def build(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> None:
        width = inputs_shape[-1]
        value_dim = self.value_dim or width
        query_width = width
        if self.query_source == "user_aware":
            _check_user(user_shape)
            query_width += user_shape[-1]
        self._build_memory(query_width, value_dim)
        self.memory_gate.build(inputs_shape, (*inputs_shape[:-1], value_dim))

    def _build_keys(self):
        if self.key_expansion is None:
            super()._build_keys()
        else:
            width = self.key_expansion * self._key_dim
            for axis in ("row", "column"):
                expanded = self.add_weight(
                    shape=(self.num_heads, self.num_keys, width),
                    initializer=keras.initializers.RandomNormal(stddev=width**-0.5),
                    name=f"expanded_{axis}_keys",
                    autocast=False,
                )
                kernel = self.add_weight(
                    shape=(self.num_heads, width, self._key_dim),
                    initializer=stacked_glorot(width, self._key_dim),
                    name=f"{axis}_key_kernel",
                    autocast=False,
                )
                setattr(self, f"expanded_{axis}_keys", expanded)
                setattr(self, f"{axis}_key_kernel", kernel)

    def _free_keys(self):
        if self.key_expansion is None:
            return super()._free_keys()
        return (
            tf.matmul(self.expanded_row_keys, self.row_key_kernel),
            tf.matmul(self.expanded_column_keys, self.column_key_kernel),
        )

    def scored_keys(self) -> tuple[tf.Tensor, tf.Tensor]:
        if self._folded_keys is not None:
            return tuple(tf.constant(keys) for keys in self._folded_keys)
        return super().scored_keys()

    def call(
        self,
        inputs: tf.Tensor,
        user: tf.Tensor | None = None,
        mask: tf.Tensor | None = None,
        training: bool | None = None,
    ) -> tf.Tensor:
        mask = mask_of(inputs, mask)  # Keras leaves it out in calls with `user`.
        inputs = zero_padding(inputs, mask)
        sources, valid = self._sources(inputs, user, mask)  # (..., width)
        flat_valid = None if valid is None else tf.reshape(tf.cast(valid, tf.bool), [-1])
        reading = self.read(tf.reshape(sources, [-1, sources.shape[-1]]), flat_valid, training)
        shape = tf.concat([tf.shape(sources)[:-1], [self._value_dim]], axis=0)
        output = self.memory_gate(inputs, tf.reshape(reading.read_out, shape))
        return tf.ensure_shape(zero_padding(output, mask), inputs.shape)

    def _sources(self, inputs, user, mask):
        """Returns the inputs of the query maps, and their mask."""
        if self.query_source == "user_aware":
            _check_user(user)
            user = tf.cast(user, inputs.dtype)
            if inputs.shape.rank == 3:
                shape = [tf.shape(inputs)[0], tf.shape(inputs)[1], user.shape[-1]]
                user = tf.broadcast_to(user[:, None, :], shape)  # (batch, tokens, du)
            return tf.concat([inputs, user], axis=-1), mask
        if self.query_source == "mean" and inputs.shape.rank == 3:
            valid = None if mask is None else tf.reduce_any(tf.cast(mask, tf.bool), axis=1)
            return masked_mean(inputs, mask)[:, None, :], valid  # (batch, 1, D)
        return inputs, mask

    @contextlib.contextmanager
    def folded(self) -> Iterator[None]:
        """Makes the keys constants while the layer, or a model with it, runs or is traced.

        For exports: graphs traced in the block hold `LN(K~ Wk)` instead of computing it.
        """
        before = self._folded_keys
        self._folded_keys = tuple(keys.numpy() for keys in self.scored_keys())
        try:
            yield
        finally:
            self._folded_keys = before

    def fold(self) -> "SparseMemory":
        """Returns a copy of the built layer with plain keys `LN(K~ Wk)`.

        Returns:
            A `SparseMemory` with `key_expansion=None` and `key_norm=False` that computes the same
            outputs.
        """
        config = {**self.get_config(), "key_expansion": None, "key_norm": False}
        copy = type(self).from_config(config)
        copy.build_from_config(self.get_build_config())
        weights = {_relative_path(self, weight): weight for weight in self.weights}
        for weight in copy.weights:
            if _relative_path(copy, weight) in weights:
                weight.assign(weights[_relative_path(copy, weight)])
        for weight, keys in zip((copy.row_keys, copy.column_keys), self.scored_keys(), strict=True):
            weight.assign(keys)
        return copy

    def compute_output_shape(
        self, inputs_shape: tuple[int | None, ...], user_shape: tuple[int | None, ...] | None = None
    ) -> tuple[int | None, ...]:
        return tuple(inputs_shape)

    def get_config(self) -> dict[str, Any]:
        names = ("key_expansion", "query_source", "gate", "zero_output")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


def _check_user(user):
    if user is None:
        raise ValueError(
            "`user` must be given for `query_source='user_aware'`. Received: user=None"
        )


def _relative_path(layer, weight):
    return weight.path.removeprefix(f"{layer.path}/")

"""Measurement of how a fixed batch reads the memories of a model."""

import contextlib
import functools
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.iterative_memory import IterativeMemory
from lmn_tf.layers.memory.large_memory import LargeMemory
from lmn_tf.layers.memory.memory_gate import MemoryGate
from lmn_tf.layers.memory.product_key_memory import ProductKeyMemory
from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.metrics.attention_entropy import attention_entropies


class ProbeValues(NamedTuple):
    """What a `MemoryProbe` measured.

    Attributes:
        reads: Dictionary from the name of a memory to the read weight of each slot.
        query_lengths: Dictionary from the name of a memory to the lengths of its queries.
        openness: Dictionary from the name of a memory to the mean openness of its gate.
        entropies: Dictionary from the name of an iterative memory to the attention entropy of each
            walk.
    """

    reads: dict[str, np.ndarray]
    query_lengths: dict[str, np.ndarray]
    openness: dict[str, float]
    entropies: dict[str, list[float]]


class MemoryProbe:
    """Measures how the rows of one batch read the memories of a model.

    The batch is the same at each measurement, so that a curve shows changes of the model, not of
    the data. A measurement is a forward pass in inference mode: it changes no state of the model.
    The graph of the pass is built at the first one.

    Args:
        model: Any `keras.Model`.
        batch: Input of the model, or a function without arguments that returns it and is called at
            the first measurement.

    Example:

    >>> inputs = keras.Input((4, 3))
    >>> memory = lmn_tf.layers.LargeMemory(num_keys=3, top_k=2, name="slots")
    >>> probe = MemoryProbe(keras.Model(inputs, memory(inputs)), np.ones((2, 4, 3)))
    >>> probe.measure().reads["slots"].shape
    (9,)
    """

    def __init__(self, model: keras.Model, batch: Any | Callable[[], Any]) -> None:
        self._model = model
        self._batch = batch
        self._memories = named_memories(model)
        self._gates = {
            name: memory.memory_gate
            for name, memory in self._memories.items()
            if isinstance(memory, SparseMemory)
        }
        inside = {id(gate) for gate in self._gates.values()}
        layers = all_layers(model)
        self._gates |= {
            layer.name: layer
            for layer in layers
            if isinstance(layer, MemoryGate) and id(layer) not in inside
        }
        self._walks = {
            layer.name: layer
            for layer in layers
            if isinstance(layer, IterativeMemory) and layer.num_reads
        }
        self._forward = None

    @property
    def graph(self) -> tf.Graph | None:
        """The graph of the forward pass, `None` before the first measurement."""
        return None if self._forward is None else self._forward.graph

    @property
    def has_gates(self) -> bool:
        """Whether the model has gates."""
        return bool(self._gates)

    def measure(self) -> ProbeValues:
        """Runs the model on the batch."""
        if self._forward is None:
            batch = self._batch() if callable(self._batch) else self._batch
            self._batch = tf.nest.map_structure(tf.convert_to_tensor, batch)
            if not self._model.built:  # Keras would call it in another graph while it is traced.
                self._model(self._batch, training=False)
            self._forward = tf.function(self._run, autograph=False).get_concrete_function(
                self._batch
            )
        found = tf.nest.map_structure(np.asarray, self._forward(self._batch))
        values = ProbeValues({}, {}, {}, {})
        for name, readings in found["reads"].items():
            values.reads[name] = sum(_by_slot(self._memories[name], *read) for read in readings)
            lengths = [lengths[np.nonzero(counts)] for _, _, lengths, counts in readings]
            values.query_lengths[name] = np.concatenate([part.reshape(-1) for part in lengths])
        for name, means in found["gates"].items():
            values.openness[name] = float(np.mean(means))
        for name, walks in found["walks"].items():
            values.entropies[name] = np.mean(walks, axis=0).tolist()
        return values

    def _run(self, batch):
        found = {"reads": {}, "gates": {}, "walks": {}}
        with contextlib.ExitStack() as stack:
            for kind, layers, describe in (
                ("reads", self._memories, _reading),
                ("gates", self._gates, tf.reduce_mean),
                ("walks", self._walks, _entropies),
            ):
                for name, layer in layers.items():
                    note = functools.partial(_note, found[kind], name, describe)
                    stack.enter_context(layer.watched(note))
            self._model(batch, training=False)
        return found


def named_memories(model: keras.Model) -> Mapping[str, ProductKeyMemory]:
    """Returns the memories of a model by name: that of the `LargeMemory` around it, or its own."""
    layers = all_layers(model)
    owners = {id(layer.memory): layer for layer in layers if isinstance(layer, LargeMemory)}
    return {
        owners.get(id(layer), layer).name: layer
        for layer in layers
        if isinstance(layer, ProductKeyMemory)
    }


def _note(found, name, describe, *values):
    found.setdefault(name, []).append(describe(*values))


def _reading(reading, mask):
    lengths = tf.norm(reading.queries, axis=-1)  # (N, 2, H)
    counts = tf.ones([tf.shape(lengths)[0]]) if mask is None else tf.cast(mask, tf.float32)
    return reading.slots, reading.weights, lengths, counts


def _entropies(weights, mask):
    entropy, has_weight = attention_entropies(weights, mask)
    rows = tf.reduce_sum(tf.cast(has_weight, tf.float32), axis=1)
    return tf.math.divide_no_nan(tf.reduce_sum(entropy, axis=1), rows)  # (num_walks,)


def _by_slot(memory, slots, weights, lengths, counts):
    # Not a product alone: what does not count may be no number.
    counts = counts[:, None, None]
    weights = np.where(counts > 0, weights, 0.0) * counts
    return np.bincount(slots.reshape(-1), weights.reshape(-1), memory.memory_size)

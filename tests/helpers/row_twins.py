"""Slow twins of the row optimizers, and sparse gradients to feed both."""

import math

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.optimizers import RowWiseAdagrad, RowWiseAdam, SparseAdagrad


class SlowRows:
    """A row optimizer in float64, row by row: slow and obvious."""

    def __init__(self, table, rate, weight_decay=0.0, idle_decay=0.0, frequency_rate=False):
        self.table = np.array(table, np.float64)
        self.rate, self.weight_decay, self.idle_decay = rate, weight_decay, idle_decay
        self.frequency_rate = frequency_rate
        self.state = [self.start(len(row)) for row in self.table]
        self.counts = [0] * len(self.table)
        self.steps = 0
        for state in self.state if idle_decay else ():
            state["last_read"] = 0

    def step(self, ids, parts, rate=None, scale=1.0):
        rate = self.rate if rate is None else rate
        self.steps += 1
        for row in set(np.asarray(ids).tolist()):
            self.counts[row] += 1
        for row, gradient in merged(ids, parts).items():
            own = rate * self.share(row)
            step = self.row_step(scale * gradient, self.state[row], own)
            decay = own * self.weight_decay + self.forgotten(self.state[row])
            self.table[row] -= decay * self.table[row] + step

    def share(self, row):
        if not self.frequency_rate:
            return 1.0
        return math.log(1 + self.counts[row]) / math.log(1 + max(self.counts))

    def remembered(self, name):
        """What an optimizer remembers under a name of a table."""
        if name == "most_reads":
            return max(self.counts)
        return self.counts if name == "reads" else np.array([state[name] for state in self.state])

    def forgotten(self, state):
        if not self.idle_decay:
            return 0.0
        last, state["last_read"] = state["last_read"], self.steps
        return min(1.0, self.idle_decay * (self.steps - last)) if last else 0.0


class SlowRowWiseSGD(SlowRows):
    def start(self, width):
        return {}

    def row_step(self, g, state, rate):
        return rate * g


class SlowRowWiseAdagrad(SlowRows):
    epsilon, initial = 1e-8, 0.0

    def start(self, width):
        return {"accumulator": self.initial}

    def row_step(self, g, state, rate):
        state["accumulator"] += np.mean(g**2)
        return rate * g / (np.sqrt(state["accumulator"]) + self.epsilon)


class SlowSparseAdagrad(SlowRows):
    epsilon, initial = 1e-7, 0.1

    def start(self, width):
        return {"accumulator": np.full(width, self.initial)}

    def row_step(self, g, state, rate):
        state["accumulator"] += g**2
        return rate * g / np.sqrt(state["accumulator"] + self.epsilon)


class SlowRowWiseAdam(SlowRows):
    beta_1, beta_2, epsilon = 0.9, 0.999, 1e-8

    def start(self, width):
        return {"first_moment": np.zeros(width), "second_moment": 0.0, "reads": 0}

    def row_step(self, g, state, rate):
        state["reads"] += 1
        for name, beta, value in (
            ("first_moment", self.beta_1, g),
            ("second_moment", self.beta_2, np.mean(g**2)),
        ):
            state[name] = beta * state[name] + (1 - beta) * value
        first = state["first_moment"] / (1 - self.beta_1 ** state["reads"])
        second = state["second_moment"] / (1 - self.beta_2 ** state["reads"])
        return rate * first / (np.sqrt(second) + self.epsilon)


TWINS = {
    RowWiseAdagrad: SlowRowWiseAdagrad,
    SparseAdagrad: SlowSparseAdagrad,
    RowWiseAdam: SlowRowWiseAdam,
}


def merged(ids, parts):
    """The gradient of each row that was read, duplicates added up."""
    ids, parts = np.asarray(ids), np.asarray(parts, np.float64)
    return {row: parts[ids == row].sum(axis=0) for row in sorted(set(ids.tolist()))}


def slices(ids, parts, rows):
    """A sparse gradient of a table of `rows` rows."""
    parts = np.asarray(parts, "float32")
    return tf.IndexedSlices(
        tf.constant(parts), tf.constant(ids), tf.constant([rows, *parts.shape[1:]])
    )


def batches(seed, rows=12, width=4, steps=5, hits=9):
    """A table, and `(ids, parts)` for some steps; the last four rows are never read."""
    rng = np.random.default_rng(seed)
    table = rng.normal(size=(rows, width)).astype("float32")
    steps = [
        (rng.integers(0, rows - 4, hits).astype("int32"), rng.normal(size=(hits, width)))
        for _ in range(steps)
    ]
    return table, steps


def assert_same_state(optimizer, variable, twin):
    """Compares all that an optimizer remembers of a table with what its twin does."""
    for name, got in optimizer.state_of(variable).items():
        want = twin.remembered(name)
        np.testing.assert_allclose(got.numpy(), want, rtol=2e-5, atol=1e-6, err_msg=name)


def pooled_model(optimizer, rows=20, width=4, seed=0, dtype=None, jit_compile=False):
    """Five ids, the mean of their rows, one output.

    Keras would choose XLA, which takes longer to compile the model than to train it.
    """
    keras.utils.set_random_seed(seed)
    inputs = keras.Input((5,), dtype="int32")
    pooled = keras.ops.mean(keras.layers.Embedding(rows, width, dtype=dtype)(inputs), 1)
    model = keras.Model(inputs, keras.layers.Dense(1, dtype=dtype)(pooled))
    loss = keras.losses.BinaryCrossentropy(from_logits=True)
    model.compile(optimizer=optimizer, loss=loss, jit_compile=jit_compile)
    optimizer.build(model.trainable_variables)  # else the step is traced twice
    return model

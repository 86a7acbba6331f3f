"""Time of a training step of an embedding table with each optimizer, by size of the table.

The model is an embedding, its mean and a dense unit; the benchmark times the function that `fit`
calls for each batch. The optimizers of Keras update every row of the table, the row-wise ones only
the rows that the batch has read. All use the `EmbeddingTable` of this package;
`keras.layers.Embedding` copies the whole table in each step, which a separate case shows.
"""

import sys

from timer import Benchmark, Contender, Work

OURS = ("RowWiseAdagrad", "SparseAdagrad", "RowWiseAdam")


def build(optimizer, rows, dim, batch, length, keras_embedding=False):
    """A step of `fit` on random ids."""
    import keras
    import numpy as np
    import tensorflow as tf

    import lmn_tf.features

    module = keras.optimizers if optimizer in ("Adam", "Adagrad") else lmn_tf.optimizers

    class Mean(keras.Model):
        """Mean of embeddings, and a dense unit."""

        def __init__(self):
            super().__init__()
            kind = keras.layers.Embedding if keras_embedding else lmn_tf.features.EmbeddingTable
            self.table, self.dense = kind(rows, dim), keras.layers.Dense(1)

        def call(self, ids):
            return self.dense(tf.reduce_mean(self.table(ids), axis=1))

    model = Mean()
    # One optimizer for all variables, as in plain Keras.
    model.compile(getattr(module, optimizer)(0.01), loss="mse", jit_compile=False)
    random = np.random.default_rng(1)
    ids = random.integers(rows, size=(8, batch, length), dtype=np.int32)
    targets = random.standard_normal((8, batch, 1), np.float32)
    batches = iter(tf.data.Dataset.from_tensor_slices((ids, targets)).repeat())
    model(ids[0])
    model.optimizer.build(model.trainable_variables)
    model.make_train_function()

    def step():
        model.train_function(batches)
        tf.test.experimental.sync_devices()

    return Work(step, examples=batch, facts={"rows": rows})


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    sizes = {"rows": 1_000, "dim": 8, "batch": 16, "length": 5}
    tables = (500, 1_000)
    if not quick:
        sizes = {"rows": 1_000_000, "dim": 64, "batch": 512, "length": 50}
        tables = (10_000, 100_000, 1_000_000, 4_000_000)
    ids = f"batch {sizes['batch']} x {sizes['length']} ids"
    benchmark.compare(
        f"{sizes['rows']:,} x {sizes['dim']}, {ids}",
        Contender("keras Adam", build, {"optimizer": "Adam", **sizes}),
        Contender("keras Adagrad", build, {"optimizer": "Adagrad", **sizes}),
        *(Contender(name, build, {"optimizer": name, **sizes}, at_least=10.0) for name in OURS),
    )
    benchmark.compare(
        f"{sizes['rows']:,} x {sizes['dim']}, keras.layers.Embedding, {ids}",
        *(
            Contender(name, build, {"optimizer": optimizer, "keras_embedding": True, **sizes})
            for name, optimizer in (("keras Adam", "Adam"), ("RowWiseAdagrad", "RowWiseAdagrad"))
        ),
    )
    for name in OURS:
        benchmark.compare(
            f"{name}, growing table x {sizes['dim']}, {ids}",
            *(
                Contender(f"{rows:,} rows", build, {**sizes, "optimizer": name, "rows": rows})
                for rows in tables
            ),
            ratio="time",
        )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

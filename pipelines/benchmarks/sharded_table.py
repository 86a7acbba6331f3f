"""Memory, communication and time of a table that is split over devices.

A step reads weighted sums of 32 rows per query of a table of a million rows (d 32 and 64), forward
and backward, and updates the rows that were read with row-wise Adagrad. Devices are logical devices
of one CPU and share its cores: memory and bytes are as on GPUs, whereas times only show the cost of
routing in addition to the same work, not the speed-up by devices. Bytes are counted in an eager
step; the target is a third of the bytes of sending rows at d 32, and a fifth at d 64.
"""

import sys

from timer import Benchmark, Contender, Work

LABELS = {
    "one": "one device",
    "replicated": "a copy each",
    "rows": "shards, rows sent",
    "sums": "shards, sums sent",
}


def build(kind, devices, rows, dim, queries, hits):
    """A step that reads and trains a table."""
    import numpy as np
    import tensorflow as tf

    from lmn_tf.distribute.collectives import counted_bytes, replica_id
    from lmn_tf.distribute.strategy import mirrored
    from lmn_tf.distribute.tables.sharded_table import ShardedTable

    count = 1 if kind == "one" else devices
    strategy = mirrored(count)
    table, optimizer = make_table(kind, strategy, rows, dim)
    random = np.random.default_rng(1)
    ids = random.integers(rows, size=(count, queries // count, hits), dtype=np.int32)
    weights = random.random((count, queries // count, hits), np.float32)

    def on_replica():
        replica = replica_id()
        replica_weights = tf.constant(weights[replica])
        with tf.GradientTape() as tape:
            tape.watch(replica_weights)
            sums = read(table, tf.constant(ids[replica]), replica_weights)
            loss = tf.reduce_sum(tf.square(sums))
        of_table, of_weights = tape.gradient(loss, [table, replica_weights])
        optimizer.apply([of_table], [table])
        return tf.reduce_sum(of_weights)

    with counted_bytes() as sent:
        if isinstance(table, ShardedTable):
            strategy.run(on_replica)
    run = tf.function(lambda: strategy.run(on_replica))

    def step():
        run()
        tf.test.experimental.sync_devices()

    facts = {
        "MiB a device": round(bytes_per_device([table, *optimizer.variables], count) / 2**20, 3)
    }
    if sent:
        facts["MiB sent a step"] = round(sum(sent) / 2**20, 3)
        facts["bytes a query"] = round(sum(sent) / (count * ids.shape[1]))
    return Work(step, examples=queries, facts=facts)


def make_table(kind, strategy, rows, dim):
    """The table and its optimizer."""
    import keras

    from lmn_tf.distribute.tables.sharded_table import ShardedTable
    from lmn_tf.optimizers import RowWiseAdagrad

    normal = keras.initializers.RandomNormal(seed=1)
    with strategy.scope():
        if kind in ("rows", "sums"):
            table = ShardedTable((rows, dim), normal, exchange=kind, name="embeddings")
        else:
            table = keras.Variable(normal, shape=(rows, dim), name="embeddings")
        optimizer = RowWiseAdagrad(0.05)
        optimizer.build([table])
    return table, optimizer


def read(table, ids, weights):
    """Weighted sums of rows of a table of any kind."""
    from lmn_tf.distribute.tables.placement import read_weighted_sum

    return read_weighted_sum(table, ids, weights)


def bytes_per_device(variables, devices):
    """Size of the variables on the first device, which has the most rows."""
    import numpy as np

    from lmn_tf.distribute.tables.sharded_table import ShardedTable

    total = 0
    for variable in variables:
        local = variable.shards[0] if isinstance(variable, ShardedTable) else variable
        total += int(np.prod(local.shape)) * 4
    return total


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    sizes = {"devices": 4, "rows": 1_000_000, "queries": 6_400, "hits": 32}
    if benchmark.quick:
        sizes = {"devices": 2, "rows": 1_000, "queries": 16, "hits": 8}
    for dim, target in ((32, 3), (64, 5)):
        result = benchmark.compare(
            f"{sizes['rows']:,} x {dim}, {sizes['queries']:,} queries x {sizes['hits']} rows, "
            f"{sizes['devices']} devices",
            *(
                Contender(label, build, {"kind": kind, "dim": dim, **sizes})
                for kind, label in LABELS.items()
            ),
            ratio="time",
        )
        add_note(benchmark, result, dim, target)
    return benchmark.finish()


def add_note(benchmark, result, dim, target):
    """Adds a note on the ratio of bytes between rows and sums."""
    facts = [row.get("facts", {}) for row in (result or {}).get("contenders", [])]
    sent = [fact["bytes a query"] for fact in facts if "bytes a query" in fact]
    if len(sent) == 2:
        times = sent[0] / sent[1]
        met = "" if benchmark.quick else f": {'met' if times >= target else 'missed'}"
        ratio = f"At d {dim} rows take {times:.1f} times the bytes of sums"
        benchmark.note(f"{ratio}; target {target}{met}.")


if __name__ == "__main__":
    sys.exit(main())

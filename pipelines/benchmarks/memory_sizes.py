"""What a training step of LMN costs as its memory grows from thousands to millions of slots.

One step of `fit` on batches that are kept in memory: batch 512, histories of 50, memory values 32
wide, 32 slots a read. The cost should hardly grow with the memory, and less than the number of keys
on an axis, since every query scores all of them.
"""

import math
import statistics
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

GIB = 12  # memory within which the largest must train


def build(folder, num_keys, top_k, batch, length):
    """A training step of LMN."""
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    model = compiled_model("lmn", spec, num_keys=num_keys, top_k=top_k)
    step = training_steps(model, dataset, 4)
    return Work(step, examples=batch, facts={"slots": num_keys**2})


def growth(rows, keys):
    """The exponent of the number of keys with which the time grew: a straight line in logs."""
    times = [math.log(row["seconds"]["median"]) for row in rows]
    return statistics.linear_regression([math.log(key) for key in keys], times).slope


def tell(benchmark, found, keys):
    """Notes how time and memory grew."""
    rows = found["contenders"]
    found["growth"] = {}
    for which, first in (("all sizes", 0), (f"√n {keys[-3]:,} and more", len(keys) - 3)):
        if first < 0 or any("seconds" not in row for row in rows[first:]):
            continue
        exponent = found["growth"][which] = growth(rows[first:], keys[first:])
        met = "met" if exponent < 1 else "missed"
        benchmark.note(f"Over {which} the time grew as (√n)^{exponent:.2f}; target < 1: {met}.")
    peak = rows[-1].get("peak_mib")
    if peak:
        met = "met" if peak < 1024 * GIB else "missed"
        benchmark.note(f"The largest trained within {peak / 1024:.1f} GiB; target < {GIB}: {met}.")


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    sizes = {"top_k": 32, "batch": 512, "length": 50}
    keys = (100, 50, 300, 1_000, 2_048, 4_096)  # the first is what others are held against
    if quick:
        sizes, keys = {"top_k": 4, "batch": 16, "length": 8}, (10, 20, 30)
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=8 * sizes["batch"], length=sizes["length"])
        found = benchmark.compare(
            f"LMN, batch {sizes['batch']}, history {sizes['length']}",
            *(
                Contender(
                    f"√n {key:,}",
                    build,
                    {"folder": folder, "num_keys": key, **sizes},
                    at_most=1.3 if key == 1_000 else None,
                )
                for key in keys
            ),
            ratio="time",
        )
    if found:
        tell(benchmark, found, keys)
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

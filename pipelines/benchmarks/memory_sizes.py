"""Time of a training step of LMN with thousands to millions of slots.

One step of `fit` on batches in memory: batch 512, histories of 50, memory values of width 32, 32
slots per read. The time should hardly grow with the memory, and slower than the number of keys of
an axis, since every query scores all of them.
"""

import math
import statistics
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

GIB = 12  # limit for training the largest size


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
    """Exponent of the time as a power of the number of keys, by linear regression of logarithms."""
    times = [math.log(row["seconds"]["median"]) for row in rows]
    return statistics.linear_regression([math.log(key) for key in keys], times).slope


def add_notes(benchmark, result, keys):
    """Adds notes on the growth of time and memory."""
    rows = result["contenders"]
    result["growth"] = {}
    for which, first in (("all sizes", 0), (f"√n {keys[-3]:,} and more", len(keys) - 3)):
        if first < 0 or any("seconds" not in row for row in rows[first:]):
            continue
        exponent = result["growth"][which] = growth(rows[first:], keys[first:])
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
    keys = (100, 50, 300, 1_000, 2_048, 4_096)  # others are compared with the first
    if quick:
        sizes, keys = {"top_k": 4, "batch": 16, "length": 8}, (10, 20, 30)
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=8 * sizes["batch"], length=sizes["length"])
        result = benchmark.compare(
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
    if result:
        add_notes(benchmark, result, keys)
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

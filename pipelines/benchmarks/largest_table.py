"""The largest memory that trains on this machine when its rows are split over four devices.

Training steps of LMN with memory values of width 32, trained by row-wise Adagrad, on four logical
devices of the CPU, each with a quarter of the rows; batch 64, histories of 50. Each size is tried
in a separate process, until one does not fit: it is left out if it would take more memory than is
free, estimated from the smaller sizes. No other process should allocate memory meanwhile.
"""

import os
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

GIB = 2**30
RESERVE = GIB // 2  # of the free memory, left to other processes


def build(folder, num_keys, devices, top_k, batch, length):
    """A training step of LMN with a row-wise memory."""
    import lmn_tf
    from lmn_tf.distribute.strategy import mirrored

    strategy = mirrored(devices)
    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    options = {"num_keys": num_keys, "top_k": top_k, "memory_placement": "row_wise"}
    with strategy.scope():
        model = compiled_model("lmn", spec, **options)
    step = training_steps(model, dataset, 4)
    facts = {"slots": num_keys**2, **gib_held(model, devices)}
    return Work(step, examples=batch, facts=facts)


def gib_held(model, devices):
    """Sizes of a model's variables: of split rows and in all on one device, and on all devices."""
    from lmn_tf.distribute.tables.sharded_table import ShardedTable

    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    rows = rest = whole = 0
    for variable in {id(variable): variable for variable in variables}.values():
        if isinstance(variable, ShardedTable):
            rows += size_of(variable.shards[0])
            whole += size_of(variable)
        else:
            rest += size_of(variable)
            whole += size_of(variable) * devices
    return {
        "GiB of rows a device": rows / GIB,
        "GiB a device": (rows + rest) / GIB,
        "GiB of all devices": whole / GIB,
    }


def size_of(variable):
    """Bytes of a variable."""
    import math

    import tensorflow as tf

    return math.prod(variable.shape) * tf.as_dtype(variable.dtype).size


def estimated_peak(rows, slots):
    """Estimates the peak memory of a process, in GiB, from smaller sizes.

    Args:
        rows: List of rows of the table, from small to large.
        slots: Integer. Number of slots.
    """
    # Within this process, as in tests, the peak is unknown, and the size of the variables is used.
    sizes = [(row["facts"]["slots"], row.get("peak_mib", 0) / 1024) for row in rows]
    last, peak = sizes[-1]
    gib_per_slot = rows[-1]["facts"]["GiB of all devices"] / last
    if len(sizes) > 1:
        before, lower = sizes[-2]
        gib_per_slot = max(gib_per_slot, (peak - lower) / (last - before))
    return peak + gib_per_slot * (slots - last)


def free_bytes():
    """Memory that can be allocated without swapping."""
    try:
        lines = Path("/proc/meminfo").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if "MemAvailable" in line) * 1024
    except (OSError, StopIteration):
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    keys = (1_000, 2_048, 4_096, 8_192, 10_000, 11_585, 12_288, 13_000)
    sizes = {"devices": 4, "top_k": 32, "batch": 64, "length": 50}
    if benchmark.quick:
        keys, sizes = (10, 20, 10**6), {"devices": 2, "top_k": 4, "batch": 16, "length": 8}
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=8 * sizes["batch"], length=sizes["length"])
        for key in keys:
            case, label = f"√n {key:,}", f"{sizes['devices']} devices"
            free = (free_bytes() - RESERVE) / GIB
            if rows and estimated_peak(rows, key**2) > free:
                takes = f"{estimated_peak(rows, key**2):,.1f} GiB at its peak"
                benchmark.leave_out(case, label, f"would take {takes}; {free:.1f} GiB are free")
                break
            arguments = {"folder": folder, "num_keys": key, **sizes}
            result = benchmark.compare(case, Contender(label, build, arguments))
            if result and "failed" in result["contenders"][0]:
                break
            rows += result["contenders"] if result else []
    add_note(benchmark, rows)
    return benchmark.finish()


def add_note(benchmark, rows):
    """Adds a note on the largest memory that was trained."""
    if not rows:
        return
    row = rows[-1]
    facts, total = row["facts"], os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    text = f"The largest that trained has {facts['slots']:,} slots"
    if "peak_mib" in row:
        text += f", within {row['peak_mib'] / 1024:.1f} GiB of a machine of {total:.1f} GiB"
    benchmark.note(f"{text}; its variables take {facts['GiB of all devices']:.1f} GiB.")


if __name__ == "__main__":
    sys.exit(main())

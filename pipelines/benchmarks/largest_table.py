"""The largest memory that trains on this machine when its rows are split over four devices.

Training steps of LMN whose memory values (32 wide, trained by row-wise Adagrad) lie on four parts
of the CPU, a quarter of the rows on each; batch 64, histories of 50. Each size is tried alone, in a
process of its own, until one does not fit: it is left out when less memory is free than it will
take, as told from the sizes before. So nothing else should want memory meanwhile.
"""

import os
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

GIB = 2**30
RESERVE = GIB // 2  # of the free memory, for what other processes come to want


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
    """Counts what the variables of a model take: of split rows on one device, and of all."""
    from lmn_tf.distribute.tables.sharded_table import ShardedTable

    variables = [*model.variables, *model.metrics_variables, *model.optimizer.variables]
    rows = rest = whole = 0
    for variable in {id(one): one for one in variables}.values():
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


def foretold(tried, slots):
    """What a process will take at its peak, in GiB, told from smaller sizes.

    Args:
        tried: List of rows of the table, from small to large.
        slots: Integer.
    """
    # Within this process, as in tests, the peak is not known: then what variables take counts.
    sizes = [(row["facts"]["slots"], row.get("peak_mib", 0) / 1024) for row in tried]
    last, peak = sizes[-1]
    a_slot = tried[-1]["facts"]["GiB of all devices"] / last
    if len(sizes) > 1:
        before, lower = sizes[-2]
        a_slot = max(a_slot, (peak - lower) / (last - before))
    return peak + a_slot * (slots - last)


def free_bytes():
    """Memory that processes can still take without others being put aside."""
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
    tried = []
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=8 * sizes["batch"], length=sizes["length"])
        for key in keys:
            case, label = f"√n {key:,}", f"{sizes['devices']} devices"
            free = (free_bytes() - RESERVE) / GIB
            if tried and foretold(tried, key**2) > free:
                takes = f"{foretold(tried, key**2):,.1f} GiB at its peak"
                benchmark.leave_out(case, label, f"would take {takes}; {free:.1f} GiB are free")
                break
            arguments = {"folder": folder, "num_keys": key, **sizes}
            found = benchmark.compare(case, Contender(label, build, arguments))
            if found and "failed" in found["contenders"][0]:
                break
            tried += found["contenders"] if found else []
    tell(benchmark, tried)
    return benchmark.finish()


def tell(benchmark, tried):
    """Notes the largest that trained."""
    if not tried:
        return
    row = tried[-1]
    facts, total = row["facts"], os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / GIB
    text = f"The largest that trained has {facts['slots']:,} slots"
    if "peak_mib" in row:
        text += f", within {row['peak_mib'] / 1024:.1f} GiB of a machine of {total:.1f} GiB"
    benchmark.note(f"{text}; its variables take {facts['GiB of all devices']:.1f} GiB.")


if __name__ == "__main__":
    sys.exit(main())

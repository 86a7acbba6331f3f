"""Parts of a training step of LMN, in percent of the time in kernels.

One step of `fit` on batches in memory: batch 512, histories of 50, memory values of width 32.
`--before FOLDER` also profiles the step of another checkout of the package; for example,
`git worktree add FOLDER 10aea9e` creates one of commit 10aea9e.
"""

import collections
import subprocess
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

PROFILED_STEPS = 5
XLA = "CpuExecutable::ExecuteAsyncOnStream"
# Prefixes of the names of kernels, by kind of work; the first match counts.
KINDS = {
    "search compiled by XLA": (XLA,),
    "top-k": ("TopK",),
    "matrix products": ("_MklEinsum", "Einsum", "_Mkl", "MatMul", "BatchMatMul"),
    "sparse products": ("Sparse", "CSRSparse"),
    "gathers": ("Gather", "ResourceGather"),
    "scatters and segment sums": ("Scatter", "ResourceScatter", "TensorScatter", "Unsorted"),
    "duplicates": ("Unique",),
    "optimizers": ("ResourceApply", "Assign"),
    "slices, stacks and copies": ("Slice", "Strided", "Pack", "Unpack", "Concat", "Tile", "Pad")
    + ("Transpose", "Reshape", "Fill", "ZerosLike", "Cast", "Tensor"),
}
OTHER = "element-wise and other"


def build(folder, num_keys, top_k, batch, length, checkout):
    """A training step of LMN that is profiled after the last turn."""
    if checkout:
        sys.path.insert(0, checkout)
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    model = compiled_model("lmn", spec, num_keys=num_keys, top_k=top_k)
    step = training_steps(model, dataset, 4)
    return Work(step, examples=batch, finish=lambda: shares(step))


def shares(step):
    """Percentage of the time in kernels, by kind of work."""
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            for _ in range(PROFILED_STEPS):
                step()
        spent = time_by_kind(folder)
    total = sum(spent.values())
    return {f"{kind} %": round(100 * spent[kind] / total, 1) for kind in (*KINDS, OTHER)}


def time_by_kind(folder):
    """Time in kernels by kind of work, over all threads, from the files of the profiler."""
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    spent = collections.Counter()
    for file in Path(folder).rglob("*.xplane.pb"):
        space = xplane_pb2.XSpace.FromString(file.read_bytes())
        for plane in space.planes:
            for line in plane.lines:
                for event in line.events:
                    kind = kind_of(plane.event_metadata[event.metadata_id].name)
                    if kind:
                        spent[kind] += event.duration_ps
    return spent


def kind_of(name):
    """The kind of work of an event, or `None` if it is no kernel (`NAME:KERNEL#...`)."""
    if name.startswith(XLA):
        return "search compiled by XLA"
    node, colon, kernel = name.split("#")[0].rpartition(":")
    is_kernel = colon and not node.endswith(":") and kernel.isidentifier()
    # Calls contain kernels that have separate events.
    if not is_kernel or kernel.endswith(("Call", "If", "While")):
        return None
    for kind, starts in KINDS.items():
        if kernel.startswith(starts):
            return kind
    return OTHER


def name_of(folder):
    """Label of a checkout: its commit, if it is a Git repository."""
    command = ["git", "-C", folder, "rev-parse", "--short=7", "HEAD"]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    return f"before ({process.stdout.strip()})" if process.returncode == 0 else "before"


def options_of(parser):
    parser.add_argument("--before", help="folder of another checkout that is profiled as well")


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv, options_of)
    before = benchmark.options.before
    sizes, memories = {"batch": 512, "length": 50}, ((50, 8), (300, 32), (1_000, 32))
    if benchmark.quick:
        sizes, memories = {"batch": 16, "length": 8}, ((10, 4),)
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows=8 * sizes["batch"], length=sizes["length"])
        for num_keys, top_k in memories:
            arguments = {"folder": folder, "num_keys": num_keys, "top_k": top_k, **sizes}
            checkouts = {"now": None}
            if before is not None:
                checkouts = {name_of(before): before, **checkouts}
            benchmark.compare(
                f"√n {num_keys:,}, k {top_k}",
                *(
                    Contender(label, build, {**arguments, "checkout": checkout})
                    for label, checkout in checkouts.items()
                ),
            )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

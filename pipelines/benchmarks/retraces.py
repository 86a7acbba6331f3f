"""Number of traces of the training step in an epoch with histories of all lengths.

Batches contain events and windows of rows. Their shapes are unknown in the graph, so that the step
is traced at most twice for all lengths. Each trace takes seconds; later epochs need none.
"""

import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, write_log

MOST_TRACES = 2


def build(folder, length, batch, model, options):
    """An epoch of `fit`."""
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, learn=True)
    seen = {features["history/item_id"].shape[0] for features, _ in dataset}
    network = compiled_model(model, spec, **options)
    traces, traces_by_epoch = [], []
    train_step = network.train_step

    def counted(data):
        traces.append(data)
        return train_step(data)

    network.train_step = counted  # called during tracing only

    def epoch():
        network.fit(dataset, epochs=1, verbose=0)
        traces_by_epoch.append(len(traces))

    def figures():
        return {
            "traces, first epoch": traces_by_epoch[0],
            "traces, further epochs": traces_by_epoch[-1] - traces_by_epoch[0],
            "batches": int(dataset.cardinality()),
            "numbers of events seen": len(seen),
        }

    return Work(epoch, finish=figures)


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    quick = benchmark.quick
    rows, batch, length = (60, 4, 24) if quick else (5_000, 32, 200)
    memory = {"num_keys": 10, "top_k": 4} if quick else {"num_keys": 50, "top_k": 8}
    with tempfile.TemporaryDirectory() as folder:
        write_log(folder, rows, length, shortest=0)
        sizes = {"folder": folder, "length": length, "batch": batch}
        result = benchmark.compare(
            f"an epoch, histories of 0 to {length}, batch {batch}",
            Contender("LMN", build, {"model": "lmn", "options": memory, **sizes}),
            Contender("DIN", build, {"model": "din", "options": {}, **sizes}),
            rounds=1,
            seconds=1e-9,
        )
    for row in result["contenders"] if result else ():
        if "facts" in row:
            traces = row["facts"]["traces, first epoch"]
            met = "met" if traces <= MOST_TRACES else "missed"
            benchmark.note(
                f"{row['contender']}: {traces} traces; target: at most {MOST_TRACES}, {met}."
            )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

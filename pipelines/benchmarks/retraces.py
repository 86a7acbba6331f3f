"""How often the training step is traced in an epoch whose histories have all lengths.

Batches are padded to a few lengths (buckets), so that the step is traced at most once for each of
them. Every trace costs seconds, every further epoch none.
"""

import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, write_log


def build(folder, length, batch, model, options):
    """An epoch of `fit`."""
    import lmn_tf
    from lmn_tf.data.encoding.row_block import length_buckets

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, learn=True)
    seen = {features["history/mask"].shape[1] for features, _ in dataset}
    made = compiled_model(model, spec, **options)
    traces, after = [], []
    train_step = made.train_step

    def counted(data):
        traces.append(data)
        return train_step(data)

    made.train_step = counted  # runs while TensorFlow traces, and only then

    def epoch():
        made.fit(dataset, epochs=1, verbose=0)
        after.append(len(traces))

    def figures():
        return {
            "traces, first epoch": after[0],
            "traces, further epochs": after[-1] - after[0],
            "batches": int(dataset.cardinality()),
            "lengths seen": len(seen),
            "buckets": len(length_buckets(length)),
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
        found = benchmark.compare(
            f"an epoch, histories of 0 to {length}, batch {batch}",
            Contender("LMN", build, {"model": "lmn", "options": memory, **sizes}),
            Contender("DIN", build, {"model": "din", "options": {}, **sizes}),
            rounds=1,
            seconds=1e-9,
        )
    for row in found["contenders"] if found else ():
        if "facts" in row:
            traces, buckets = row["facts"]["traces, first epoch"], row["facts"]["buckets"]
            met = "met" if traces <= buckets else "missed"
            benchmark.note(
                f"{row['contender']}: {traces} traces; target: at most one for each of the "
                f"{buckets} buckets, {met}."
            )
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

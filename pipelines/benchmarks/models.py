"""Time of a training step and a forward pass of each model, with short and long histories.

Batches are in memory and have 256 rows, or 64 with histories of 1,000, so that all models fit into
memory together. Events have a width of 32; models have their default options. Each row is of
another user, or 16 rows are of one user and share events, as with `rows_per_group: 16`. Models take
turns in training steps; after the last turn, each model scores the same batches (median of nine
passes).
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, options_of, spec_of, training_steps, write_log

# The others are compared with this model.
BASE = "din"
PASSES = 9


def build(folder, name, length, batch, options):
    """A training step of one model, followed by forward passes."""
    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True, learn=True)
    model = compiled_model(name, spec, **options)
    facts = {"parameters": f"{model.count_params():,}"}
    return Work(
        training_steps(model, dataset, 2),
        examples=batch,
        facts=facts,
        finish=lambda: {"forward ms": 1e3 * forward_seconds(model, dataset)},
    )


def forward_seconds(model, dataset):
    """Median time of a forward pass."""
    import tensorflow as tf

    batches = list(dataset.take(2))
    model.make_predict_function()
    seconds = []
    for number in range(PASSES + 2):  # the first two trace
        started = time.perf_counter()
        model.predict_function([batches[number % 2]])
        tf.test.experimental.sync_devices()
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds[2:])


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    # No TensorFlow in this process.
    from lmn_tf.models import registry

    quick = benchmark.quick
    sizes = (
        ((16, 8, 1),) if quick else ((256, 50, 1), (256, 200, 1), (256, 200, 16), (64, 1_000, 1))
    )
    names = [BASE, *(name for name in registry.names() if name != BASE)]
    for batch, length, rows_per_user in sizes:
        shared = f", {rows_per_user} rows a user" if rows_per_user > 1 else ""
        with tempfile.TemporaryDirectory() as folder:
            write_log(folder, rows=2 * batch, length=length, rows_per_user=rows_per_user)
            common = {"folder": folder, "length": length, "batch": batch}
            result = benchmark.compare(
                f"histories of {length:,}{shared}",
                *(
                    Contender(
                        name,
                        build,
                        {**common, "name": name, "options": options_of(name, quick)},
                    )
                    for name in names
                ),
                rounds=3,
                ratio="time",
            )
        _add_ratios(result)
    return benchmark.finish()


def _add_ratios(result):
    """Adds the ratio of each model's forward pass to that of DIN."""
    rows = {row["contender"]: row.get("facts", {}) for row in (result or {}).get("contenders", ())}
    base = rows.get(BASE, {}).get("forward ms")
    for facts in rows.values():
        if base and "forward ms" in facts:
            facts["forward ×"] = facts["forward ms"] / base


if __name__ == "__main__":
    sys.exit(main())

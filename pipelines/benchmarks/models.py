"""What a training step and a forward pass of every model cost, against DIN, as histories grow.

Batches are kept in memory: of 256 rows, at 1,000 events of 64, so that all models fit beside each
other; events 32 wide, the options that each model has by default.
"""

import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import compiled_model, spec_of, training_steps, write_log

# What others are held against, first.
BASE = "din"
QUICK = {"num_keys": 10, "top_k": 4}


def build(folder, name, length, batch, training, options):
    """A training step or a forward pass of one model."""
    import tensorflow as tf

    import lmn_tf

    spec = spec_of(length)
    files = str(Path(folder) / "train-*.parquet")
    dataset = lmn_tf.make_dataset(spec, files, batch_size=batch, drop_remainder=True)
    model = compiled_model(name, spec, **options)
    facts = {"parameters": f"{model.count_params():,}"}
    if training:
        return Work(training_steps(model, dataset, 2), examples=batch, facts=facts)
    iterator = iter(dataset.take(2).cache().repeat())
    model.make_predict_function()

    def forward():
        model.predict_function(iterator)
        tf.test.experimental.sync_devices()

    return Work(forward, examples=batch, facts=facts)


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    # No TensorFlow in this process.
    from lmn_tf.models import registry

    quick = benchmark.quick
    sizes = ((16, 8),) if quick else ((256, 50), (256, 200), (64, 1_000))
    names = [BASE, *(name for name in registry.names() if name != BASE)]
    for batch, length in sizes:
        with tempfile.TemporaryDirectory() as folder:
            write_log(folder, rows=2 * batch, length=length)
            for training in (True, False):
                kind = "training step" if training else "forward pass"
                benchmark.compare(
                    f"{kind}, histories of {length:,}",
                    *(
                        Contender(
                            name,
                            build,
                            {
                                "folder": folder,
                                "name": name,
                                "length": length,
                                "batch": batch,
                                "training": training,
                                "options": _quick(registry.options(name)) if quick else {},
                            },
                        )
                        for name in names
                    ),
                    rounds=3,
                    ratio="time",
                )
    return benchmark.finish()


def _quick(options):
    return {name: value for name, value in QUICK.items() if name in options}


if __name__ == "__main__":
    sys.exit(main())

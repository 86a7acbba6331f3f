"""Bytes, AUC and time of the exports of a memory of a million slots, in float32 and fewer bits.

An LMN with 1,000,000 x 64 values is trained, and exported with its values as float32, bfloat16 and
int8; in one more export the embedding tables are int8 as well. `bytes ×` is all that a SavedModel
takes on disk, relative to the variables of the model. AUC is that of the reloaded SavedModel on
the first test rows, and the differences are those from the model as it was trained. A step scores a
batch of 512 rows.

Planted pairs are generated: there a model without a memory loses 0.09 of the AUC. MovieLens 1M
needs the output of `lmn-tf prepare movielens-1m`, in `movielens_1m` of the folder named by
LMN_TF_PREPARED, else in `data/movielens_1m`, and is left out without it.
"""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from workload import movielens_spec

ROOT = Path(__file__).resolve().parents[2]
PRECISIONS = {
    "float32": {},
    "bfloat16": {"values": "bfloat16"},
    "int8": {"values": "int8"},
    "int8, embeddings too": {"values": "int8", "embeddings": "int8"},
}
MEMORY = {"name": "lmn", "num_keys": 1000, "top_k": 8, "num_heads": 2}
BATCH = 512


def build(folder, precision, rows):
    """The export of a trained run in one precision, and what it costs."""
    import tensorflow as tf

    import lmn_tf
    from lmn_tf.serving import export
    from lmn_tf.serving.quantization_loss import check_loss
    from lmn_tf.serving.saved_model import MODEL_FOLDER, load
    from lmn_tf.serving.signature_parity import WINDOWS, served_probabilities
    from lmn_tf.training.saving.run_directory import RunDirectory

    run = RunDirectory.open(Path(folder) / "run")
    model, spec, files = run.load_model(), run.load_spec(), run.load_pipeline().data.test
    with tempfile.TemporaryDirectory() as scratch:
        exported = Path(scratch) / "exported"
        report = export(
            model, spec, exported, files, BATCH, max_auc_loss=1, **PRECISIONS[precision]
        )
        stored = [path for path in (exported / MODEL_FOLDER).rglob("*") if path.is_file()]
        size = sum(path.stat().st_size for path in stored)
        loaded = load(exported / MODEL_FOLDER)
    served = served_probabilities(model, loaded, WINDOWS)
    loss = check_loss(model, served, lmn_tf.make_dataset(spec, files, BATCH, limit=rows), 1.0)
    [auc] = loss["auc"].values()
    features = next(iter(lmn_tf.make_dataset(spec, files, BATCH, labels=False)))
    features = {key: tf.constant(features[key]) for key in model.encoder.signature(padded=False)}
    facts = {
        "MiB": size / 2**20,
        "bytes ×": size / report["variable_bytes"],
        "AUC": f"{auc['exported']:.5f}",
        "AUC lost": f"{auc['loss']:.5f}",
        "largest difference": f"{loss['largest_difference']:.1g}",
        "rows": loss["rows"],
    }
    return Work(lambda: served(features), examples=len(next(iter(features.values()))), facts=facts)


def train(folder, spec, base, changes):
    """Trains a pipeline with another spec and other keys, in `folder/run`."""
    from lmn_tf.specs.yaml import strict_yaml

    (folder / "spec.yaml").write_text(strict_yaml.dump(spec.to_dict()))
    pipeline = {"pipeline_version": 1, "base": str(base), "feature_spec": "spec.yaml"}
    pipeline |= {"run_dir": str(folder / "run"), **changes}
    (folder / "pipeline.yaml").write_text(strict_yaml.dump(pipeline))
    command = [sys.executable, "-m", "lmn_tf.cli.main", "train", str(folder / "pipeline.yaml")]
    subprocess.run(command, check=True, stdout=sys.stderr)


def planted_pairs(folder, quick):
    """Trains on the generated market of `planted_pairs_lmn.yaml`."""
    from lmn_tf.specs.feature_spec import FeatureSpec

    spec = FeatureSpec.load(ROOT / "feature_specs" / "planted_pairs.yaml").to_dict()
    spec["embedding_dim"] = 4 if quick else 64
    changes = {
        "data": {"directory": str(folder / "data")}
        | {part: str(folder / "data" / f"{part}-*.parquet") for part in ("train", "valid", "test")},
        "model": {**MEMORY, "num_keys": 10 if quick else 1000},
        "train": {"epochs": 1 if quick else 4},
    }
    if quick:
        changes["data"]["synthetic"] = {"rows": 2_000, "users": 100}
    base = ROOT / "pipelines" / "planted_pairs_lmn.yaml"
    train(folder, FeatureSpec.from_dict(spec), base, changes)


def movielens(folder, data):
    """Trains on 200 batches of MovieLens 1M."""
    parts = {part: str(data / f"{part}-*.parquet") for part in ("train", "valid", "test")}
    changes = {"data": parts, "model": MEMORY}
    train(folder, movielens_spec(50, 64), ROOT / "pipelines" / "movielens_1m.yaml", changes)


def compare(benchmark, case, folder, names):
    """Compares exports of a trained run."""
    rows = 200 if benchmark.quick else 20_000
    benchmark.compare(
        case,
        *(
            Contender(name, build, {"folder": str(folder), "precision": name, "rows": rows})
            for name in names
        ),
        ratio="time",
        rounds=5,
    )


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv)
    names, size = list(PRECISIONS), "100 x 4" if benchmark.quick else "1,000,000 x 64"
    with tempfile.TemporaryDirectory() as scratch:
        planted_pairs(Path(scratch), benchmark.quick)
        # Its tables have few rows, which stay as they are.
        compare(benchmark, f"planted pairs, {size}", scratch, names[:3])
    data = Path(os.environ.get("LMN_TF_PREPARED", "data")).resolve() / "movielens_1m"
    if data.is_dir() and not benchmark.quick:
        with tempfile.TemporaryDirectory() as scratch:
            movielens(Path(scratch), data)
            compare(benchmark, f"MovieLens 1M, {size}", scratch, names)
    elif not benchmark.quick:
        benchmark.leave_out("MovieLens 1M", "LMN", f"{data} is not there")
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

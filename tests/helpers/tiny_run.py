"""A tiny market and a tiny trained run that the tests of training, serving and commands share."""

import atexit
import fcntl
import functools
import io
import os
import shutil
import tempfile
from pathlib import Path

from lmn_tf.specs.yaml import strict_yaml

ROOT = Path(__file__).resolve().parents[2]


LMN = {"name": "lmn", "num_keys": 6, "top_k": 4, "hidden_units": [8], "dropout": 0.2}
PAIR = {
    **{"name": "lmn_pair", "pair_values": "trained", "pair_pooling": "sum"},
    **{"hidden_units": [8], "dropout": 0.2, "rates": False, "softmax_score": False},
}
KEYED_PAIR = {
    **PAIR,
    "pair_values": "trained",
    "pair_rows": "keys",
    "pair_columns": "keys",
    "pair_keys": 6,
}
TWO_TOWER = {
    "name": "lmn_two_tower",
    "num_keys": 6,
    "top_k": 4,
    "hidden_units": [8],
    "tower_dim": 4,
    "activation": "gelu",
}
INSPECTED = 200  # rows
# As quick to trace as models are: for tests of what any run does.
DNN = {"name": "dnn", "hidden_units": [8], "dropout": 0.2}


@functools.cache
def scratch() -> Path:
    """A folder that lives as long as the process."""
    folder = Path(tempfile.mkdtemp(prefix="lmn_tf_tests_"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return folder


def made_once(name, make) -> Path:
    """A folder that the first process of the run of tests to need it makes, for all of them.

    Args:
        name: String. Name of the folder.
        make: Function that makes it, given its path.
    """
    # `conftest.py` sets it; a program that tests start by itself has it from there.
    common = Path(os.environ["LMN_TF_TESTS"]) if "LMN_TF_TESTS" in os.environ else scratch()
    folder, made = common / name, common / f"{name}.made"
    with open(common / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not made.exists():
            shutil.rmtree(folder, ignore_errors=True)  # of a process that was killed
            make(folder)
            made.touch()
    return folder


@functools.cache
def market() -> Path:
    """The folder of a generated market of 3,000 rows."""
    from lmn_tf.data.synthetic import generate

    options = {"users": 120, "items": 60, "rows": 3000, "history_length": 5, "seed": 3}
    return made_once("market", lambda folder: generate(folder, **options))


def with_unknown_items(path, part="valid", count=3) -> str:
    """Writes rows of the market to a file, the first of them with unknown items."""
    return _with_first(path, part, "item_id", [10**6] * count)


def with_outlying_price(path, part="test") -> str:
    """Writes rows of the market to a file, the first of them with a price of a billion."""
    return _with_first(path, part, "price", [1e9])


def _with_first(path, part, name, values):
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pq.read_table(sorted(market().glob(f"{part}-*.parquet"))[0]).slice(0, 200)
    column = pa.array(values + table[name].to_pylist()[len(values) :], table[name].type)
    pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
    return str(path)


def document(run_dir, model=None, **train) -> dict:
    """A pipeline over the market, as plain data; of an LMN, or of `model`."""
    return {
        "pipeline_version": 1,
        "feature_spec": str(ROOT / "feature_specs" / "synthetic.yaml"),
        "data": {
            "train": f"{market()}/train-*.parquet",
            "valid": f"{market()}/valid-*.parquet",
            "test": f"{market()}/test-*.parquet",
            "batch_size": 256,
            "eval_batch_size": 256,
        },
        "model": dict(model or LMN),
        # Determinism holds for a whole process and would reach other tests.
        "train": {"epochs": 2, "deterministic": False, "checkpoint_steps": 3, **train},
        "run_dir": str(run_dir),
    }


def write_pipeline(path, run_dir, model=None, **train) -> Path:
    """Writes that pipeline to a file."""
    Path(path).write_text(strict_yaml.dump(document(run_dir, model, **train)))
    return Path(path)


def pipeline(run_dir, model=None, **train):
    """That pipeline as a `PipelineSpec`."""
    from lmn_tf.specs.pipeline_spec import PipelineSpec

    return PipelineSpec.from_dict(document(run_dir, model, **train))


@functools.cache
def trained_run() -> Path:
    """The run directory of a finished run, the process's own; tests must leave it as it is."""
    from lmn_tf.training.trainer import Trainer

    def train(folder):
        Trainer(pipeline(folder), stream=io.StringIO()).train()

    # A run is locked while a test resumes it.
    return Path(shutil.copytree(made_once("run", train), scratch() / "run"))


@functools.cache
def inspected_run():
    """That run, with the first rows of the test set to inspect it by."""
    from lmn_tf.training.inspection.inspected_run import InspectedRun
    from lmn_tf.training.saving.run_directory import RunDirectory

    return InspectedRun(RunDirectory.open(trained_run()), rows=INSPECTED, batch_size=64)


@functools.cache
def pair_run() -> Path:
    """The run directory of a finished run of a model with a memory of pairs."""
    from lmn_tf.training.trainer import Trainer

    def train(folder):
        Trainer(pipeline(folder, PAIR, epochs=1), stream=io.StringIO()).train()

    return Path(shutil.copytree(made_once("pair_run", train), scratch() / "pair_run"))


@functools.cache
def keyed_pair_run() -> Path:
    """The run directory of a finished run of a model with a memory of the keys of pairs."""
    from lmn_tf.training.trainer import Trainer

    def train(folder):
        Trainer(pipeline(folder, KEYED_PAIR, epochs=1), stream=io.StringIO()).train()

    return made_once("keyed_pair_run", train)


@functools.cache
def inspected_pairs():
    """That run, with the first rows of the test set to inspect it by."""
    from lmn_tf.training.inspection.inspected_run import InspectedRun
    from lmn_tf.training.saving.run_directory import RunDirectory

    return InspectedRun(RunDirectory.open(pair_run()), rows=INSPECTED, batch_size=64)


def known_pairs(features) -> list[list[tuple[int, int]]]:
    """The known pairs of an event and the candidate of each row of a batch, one after another."""
    names = ("history/first", "history/length", "history/item_id", "item_id")
    first, length, events, items = (features[name].numpy().tolist() for name in names)
    return [
        [(event, item) for event in events[start : start + count] if min(event, item) > 1]
        for start, count, item in zip(first, length, items, strict=True)
    ]


@functools.cache
def exported() -> Path:
    """The export of that run."""
    from lmn_tf.serving.saved_model import export
    from lmn_tf.training.saving.run_directory import RunDirectory

    def save(folder):
        directory = RunDirectory.open(trained_run())
        files = f"{market()}/test-*.parquet"
        export(directory.load_model(), directory.load_spec(), folder, files)

    return made_once("export", save)


@functools.cache
def two_tower_run() -> Path:
    """The run directory of a finished run of a two-tower model, trained by the command."""
    from lmn_tf.cli.main import main

    def train(folder):
        path = write_pipeline(scratch() / "two_tower.yaml", folder, TWO_TOWER, epochs=1)
        if main(["train", str(path)]):
            raise RuntimeError("the run must finish")

    return made_once("two_tower", train)

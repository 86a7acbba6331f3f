"""AUC, GAUC and log loss of DIN, DCNv2, FinalMLP and SIM of FuxiCTR, beside the best of `lmn_tf`.

All train on the same rows of public data with the same ids, and are tested on the whole test set.
Each model of FuxiCTR is trained with each of `TRIALS` and the first seed, and the setting with the
best validation AUC with the other seeds. FuxiCTR's own loop stops by the validation AUC and keeps
the best epoch. Its vectors are 32 wide; its other options are the defaults of its models, and the
layers of its configuration for DCNv2, whose default is none. Histories are the newest 50 events,
which have what they have in our feature specs: in MovieLens, also whether the movie was liked, and
the cross of both. Batches are those of our pipelines.

Rows of `lmn_tf` are those of the committed comparisons on the same rows: their control, `pooling`
with all that makes it strong, and their last model, which adds a memory of pairs. Choices
between few values were made by the validation set with one seed as well. On MovieLens they read
more events: the newest 200 of MovieLens 100K, and the newest 500 beside 50 of MovieLens 1M.

It needs the outputs of `lmn-tf prepare` in the folder named by LMN_TF_PREPARED, else in `data`.
`--python` names the interpreter that has FuxiCTR, if this one has not. What a training measured is
kept in `quality_fuxictr_runs.json` beside the table, and is not measured again with as many
`--epochs`: a stopped run goes on, and `--only` leaves the other rows as they are. Remove the file
to start over.
"""

import dataclasses
import json
import os
import sys
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work
from timer.worker import FOLDER
from workload.fuxictr_training import train_fuxictr
from workload.movielens import write_tiny_movielens
from workload.row_arrays import write_row_arrays

from lmn_tf.atomic_files import write_json

ROOT = FOLDER.parents[1]

MODELS = {
    "DIN": {},
    "DCNv2": {"parallel_dnn_hidden_units": [500, 500, 500]},
    "FinalMLP": {},
    "SIM": {},
}

# The last is the weight of vectors with which FuxiCTR's authors tune DIN on Amazon Electronics.
TRIALS = {
    "rate 0.001": {"learning_rate": 1e-3},
    "rate 0.0005": {"learning_rate": 5e-4},
    "rate 0.001, L2 0.005": {"learning_rate": 1e-3, "embedding_regularizer": 5e-3},
}

FIGURES = ("auc", "gauc", "logloss")


@dataclasses.dataclass(frozen=True)
class DataSet:
    """A data set, and the comparison of `lmn_tf` on it.

    Args:
        spec: String. Name of the feature spec.
        batch: Integer. Batch size, that of the comparison's pipeline.
        comparison: String. Name of the comparison. Defaults to `None`: there is none.
    """

    spec: str
    batch: int
    comparison: str | None = None


# By the folder of the prepared data.
DATA_SETS = {
    "movielens_100k": DataSet("movielens_100k_crossed", 256, "movielens_100k_pairs"),
    "amazon_beauty": DataSet("amazon_beauty", 1024, "amazon_beauty_pairs"),
    "amazon_sports": DataSet("amazon_beauty", 1024, "amazon_sports_pairs"),
    "online_retail": DataSet("online_retail", 1024, "online_retail_pairs"),
    "movielens_1m": DataSet("movielens_1m_crossed", 1024, "movielens_1m_pairs"),
}
TINY = {"tiny": DataSet("movielens_1m_crossed", 32)}


def build(model, folder, setting, sizes, epochs, seed):
    """One training, which has no steps to time."""
    options = {**MODELS[model], **TRIALS[setting]}
    if model == "SIM":  # half of the history each: its defaults are for longer ones
        options |= dict.fromkeys(("short_seq_len", "topk"), sizes["length"] // 2)
    arguments = (model, folder, options, sizes, epochs, seed)
    return Work(lambda: None, finish=lambda: train_fuxictr(*arguments))


class Trainings:
    """Trainings of FuxiCTR's models on a data set, each done once.

    Args:
        benchmark: `Benchmark`.
        name: String. The data set, which is also the name of its folder.
        data: `DataSet`.
        prepared: Path of the folder of all prepared data.
        scratch: Path of a folder for arrays.
        kept: List of what trainings of all data sets measured. New ones are added.
        path: Path of the file to write `kept` to, or `None`.
    """

    def __init__(self, benchmark, name, data, prepared, scratch, kept, path):
        self._benchmark, self._name, self._data = benchmark, name, data
        self._folder, self._arrays = Path(prepared) / name, Path(scratch) / f"{name}_arrays"
        self._kept, self._path = kept, path
        length, dim = (8, 4) if benchmark.quick else (50, 32)
        self._sizes = {"length": length, "dim": dim, "batch": data.batch}

    def train(self, model):
        """Trains a model in each setting, and in the best one with the other seeds.

        Returns:
            Why it was not trained, or `None`.

        Raises:
            RuntimeError: If a training fails.
        """
        options = self._benchmark.options
        settings = list(TRIALS)[: options.trials]
        epochs = options.epochs
        for seed in range(1, options.seeds + 1):
            for setting in settings:
                if not self.of(model, epochs=epochs, setting=setting, seed=seed):
                    skipped = self._train(model, setting, seed)
                    if skipped is not None:
                        return skipped
            settings = [self.chosen(model, epochs)]
        return None

    def of(self, model, **settings):
        """Returns what the trainings of a model measured; only those with all of `settings`."""
        wanted = {"data": self._name, "model": model, **settings}
        return [run for run in self._kept if wanted.items() <= run.items()]

    def chosen(self, model, epochs):
        """Returns the setting with the best validation AUC of the first seed."""
        tried = self.of(model, epochs=epochs, seed=1)
        return max(tried, key=lambda run: run["valid_auc"])["setting"]

    def rows(self, model):
        """Yields the label and the columns of a model that was trained.

        Where it was trained with several numbers of epochs, each has a row.
        """
        counts = sorted({run["epochs"] for run in self.of(model)})
        for epochs in counts:
            words = f", {epochs} epochs" if len(counts) > 1 else ""
            yield f"FuxiCTR {model}{words}", self._facts(model, epochs)

    def _facts(self, model, epochs):
        from lmn_tf.training.comparison.spread import spread

        chosen = self.chosen(model, epochs)
        runs = self.of(model, epochs=epochs, setting=chosen)
        return {
            **cells({name: spread([run[name] for run in runs]) for name in FIGURES}),
            "seeds": len(runs),
            "parameters": runs[0]["parameters"],
            "chosen": chosen,
            "of settings": len({run["setting"] for run in self.of(model, epochs=epochs)}),
            "valid AUC": f"{runs[0]['valid_auc']:.4f}",
        }

    def _train(self, model, setting, seed):
        if not self._arrays.exists():
            from lmn_tf.specs.feature_spec import FeatureSpec

            self._arrays.mkdir()
            spec = FeatureSpec.load(ROOT / "feature_specs" / f"{self._data.spec}.yaml")
            write_row_arrays(spec, "history", self._folder, self._arrays)
        options = self._benchmark.options
        run = {"data": self._name, "model": model, "setting": setting, "seed": seed}
        label = f"{self._name}, {model}, {setting}, seed {seed}"
        arguments = {"model": model, "setting": setting, "seed": seed, "sizes": self._sizes}
        arguments |= {"folder": str(self._arrays), "epochs": options.epochs}
        row = self._benchmark.figures_of(
            Contender(label, build, arguments, needs=("torch", "fuxictr"), python=options.python)
        )
        if "failed" in row:
            raise RuntimeError(f"{label}: {row['failed']}")
        if "facts" in row:
            self._kept.append({**run, "epochs": options.epochs, **row["facts"]})
            if self._path is not None:
                write_json(self._path, self._kept)
        return row.get("skipped")


def cells(spreads):
    """The columns of figures: mean ± standard deviation.

    Args:
        spreads: Mapping from the name of a figure to its spread over seeds.
    """
    from lmn_tf.metrics.figures import select
    from lmn_tf.training.comparison.spread import spread_cell

    return {figure.title: spread_cell(spreads[figure.name], figure) for figure in select(*FIGURES)}


def our_rows(comparison):
    """Yields the label and the columns of the control and the last model of a comparison."""
    path = ROOT / "pipelines" / "results" / comparison / "comparison.json"
    result = json.loads(path.read_text())
    for label in (result["base"], list(result["models"])[-1]):
        row = result["models"][label]
        counts = {"seeds": len(row["auc"]["values"]), "parameters": row["parameters"]["values"][0]}
        yield f"lmn_tf {label}", {**cells(row), **counts}


def add_notes(benchmark, kept):
    """Says what the settings are, and which rows and versions were used."""
    settings = "; ".join(f"{name}: {json.dumps(options)}" for name, options in TRIALS.items())
    benchmark.note(f"Settings: {settings}.")
    texts = {}
    for run in kept:
        counts = ", ".join(f"{split} {count:,}" for split, count in run["rows"].items())
        texts[f"Rows of {run['data']}: {counts}; at most {run['epochs']} epochs."] = None
    versions = {f"{name} {text}" for run in kept for name, text in run["versions"].items()}
    for text in (*texts, f"Trained with {', '.join(sorted(versions))}."):
        benchmark.note(text)


def options_of(parser):
    parser.add_argument("--python", help="interpreter that has FuxiCTR; default: this one")
    parser.add_argument("--seeds", type=int, default=3, help="seeds of the chosen setting")
    parser.add_argument("--trials", type=int, default=len(TRIALS), help="settings that are tried")
    parser.add_argument("--epochs", type=int, default=3, help="most epochs of a training")


def main(argv=None):
    benchmark = Benchmark(__file__, __doc__, argv, options_of)
    path, kept = None, []
    if benchmark.options.output or not benchmark.quick:
        folder = Path(benchmark.options.output or FOLDER / "results")
        path = folder / f"{benchmark.name}_runs.json"
        kept = json.loads(path.read_text()) if path.exists() else []
    with tempfile.TemporaryDirectory() as scratch:
        prepared, data_sets = os.environ.get("LMN_TF_PREPARED", "data"), DATA_SETS
        if benchmark.quick:
            prepared, data_sets = scratch, TINY
            write_tiny_movielens(Path(scratch) / "tiny")
        for name, data in data_sets.items():
            trainings = Trainings(benchmark, name, data, prepared, scratch, kept, path)
            for model in MODELS:
                skipped = None
                if benchmark.is_wanted(f"{name}, {model}"):
                    skipped = trainings.train(model)
                for label, facts in trainings.rows(model):
                    benchmark.report(name, label, facts)
                if skipped is not None and not trainings.of(model):
                    benchmark.leave_out(f"{name}, {model}", f"FuxiCTR {model}", skipped)
            if data.comparison and any(run["data"] == name for run in kept):
                for label, facts in our_rows(data.comparison):
                    benchmark.report(name, label, facts)
    add_notes(benchmark, kept)
    return benchmark.finish()


if __name__ == "__main__":
    sys.exit(main())

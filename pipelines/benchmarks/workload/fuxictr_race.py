"""One epoch of a model on MovieLens 1M in both packages: examples per second and test AUC.

Both packages train on the same rows with the same ids, histories of 100 movies, embeddings of width
32 and batches of 1,024. End to end, each package reads its own files with its own loader:
FuxiCTR with `LongCTRDataLoader` and one worker process (the default), `lmn_tf` with `make_dataset`.
Histories are by reference in both. The step alone trains on batches in memory. FuxiCTR trains all
weights with Adam at 0.001; `lmn_tf` so trains the dense weights, and the tables with row-wise
Adagrad at 0.05 (its defaults). Initial weights are also the defaults of each package. `lmn_tf`
trains twice: on rows in random order, as FuxiCTR does, and with up to 16 rows of a user together.

It needs the output of `lmn-tf prepare movielens-1m`: in the folder of `--data`, else in
`movielens_1m` of the folder named by LMN_TF_PREPARED, else in `data/movielens_1m`.
"""

import importlib.util
import json
import os
import tempfile
from pathlib import Path

from timer import Benchmark, Contender, Work

from workload.auc import auc
from workload.movielens import (
    GENRES,
    movielens_spec,
    write_for_fuxictr,
    write_tiny_movielens,
)
from workload.training import compiled_model, training_steps

# Rows of a user that stand together in training, and how many times faster than FuxiCTR.
AT_LEAST = {1: {"DIN": 2.0, "DIEN": 2.0, "SIM": 2.0}, 16: {"DIN": 4.0}}

# All rows: FuxiCTR draws its order from all of them, too, and a user's rows are close in time.
_SHUFFLE_BUFFER = 1_000_000


class Training:
    """One epoch of training in pieces, so that the timed steps also count for the test AUC.

    Args:
        start: Function of a seed that returns two functions: one returns an iterator over the steps
            of one epoch (each item is a finished training step), the other the test AUC.
        piece: Integer. Training steps per piece.
        seeds: Integer. Number of models that are trained for the AUC.
    """

    def __init__(self, start, piece, seeds):
        self._start, self._piece, self._seeds = start, piece, seeds
        self._epoch, self._test = start(1)
        self._steps = self._epoch()
        self._again = False

    def piece(self):
        """Runs the next training steps; starts over at the end of the epoch."""
        for _ in range(self._piece):
            if next(self._steps, None) is None:
                self._steps, self._again = self._epoch(), True
                next(self._steps)

    def finish(self):
        """Finishes the epoch, trains with the other seeds, and returns the AUCs."""
        aucs = []
        for seed in range(1, self._seeds + 1):
            if seed > 1 or self._again:
                self._epoch, self._test = self._start(seed)
                self._steps = self._epoch()
            for _ in self._steps:
                pass
            aucs.append(self._test())
        if not aucs:
            return {}
        mean = sum(aucs) / len(aucs)
        return {
            "test AUC": f"{mean:.4f}",
            "AUC by seed": " ".join(f"{value:.4f}" for value in aucs),
        }


def build_ours(model, folder, options, sizes, piece, seeds, rows, rows_per_group, alone):
    """Our model: pieces of an epoch, or the training step alone."""
    import keras
    import numpy as np

    import lmn_tf

    spec = movielens_spec(sizes["length"], sizes["dim"])

    def dataset(split, **more):
        files = f"{folder}/{split}-*.parquet"
        return lmn_tf.make_dataset(
            spec, files, sizes["batch"], limit=rows, shuffle_buffer=_SHUFFLE_BUFFER, **more
        )

    def start(seed):
        keras.utils.set_random_seed(seed)
        data = dataset("train", shuffle=True, seed=seed, rows_per_group=rows_per_group)
        network = compiled_model(model.lower(), spec, **options)
        network.make_train_function()

        def epoch():
            iterator = iter(data)
            for _ in range(len(data)):
                yield float(network.train_function(iterator)["loss"])

        def test():
            rows = dataset("test")
            labels = np.concatenate([labels for _, labels in rows])
            return auc(labels, network.predict(rows, verbose=0))

        return epoch, test

    if alone:
        data = dataset("train", shuffle=True, seed=1, rows_per_group=rows_per_group)
        step = training_steps(compiled_model(model.lower(), spec, **options), data, 8)
        return Work(step, examples=sizes["batch"])
    training = Training(start, piece, seeds)
    return Work(training.piece, examples=piece * sizes["batch"], finish=training.finish)


def build_fuxictr(model, folder, options, sizes, piece, seeds, workers, alone):
    """The model of FuxiCTR's zoo: pieces of an epoch, or the training step alone."""
    import importlib
    import itertools

    from fuxictr.features import FeatureMap
    from fuxictr.pytorch.torch_utils import seed_everything
    from model_zoo.LongCTR.longctr_dataloader import LongCTRDataLoader

    zoo = getattr(importlib.import_module(f"model_zoo.LongCTR.{model}"), model)
    columns = FeatureMap("movielens_1m", folder)
    columns.labels, columns.default_emb_dim = ["like"], sizes["dim"]
    columns.features.update(fuxictr_features(json.loads(Path(folder, "sizes.json").read_text())))

    def loader(split, shuffle):
        paths = (f"{folder}/{name}.parquet" for name in (split, "users", "items"))
        return LongCTRDataLoader(
            columns,
            *paths,
            batch_size=sizes["batch"],
            shuffle=shuffle,
            num_workers=workers,
            max_len=sizes["length"],
        )

    def start(seed):
        seed_everything(seed)
        network = zoo(
            columns,
            embedding_dim=sizes["dim"],
            learning_rate=0.001,
            optimizer="adam",
            loss="binary_crossentropy",
            metrics=["AUC"],
            model_root=folder,
            verbose=0,
            **options,
        )
        # Set by `fit` before its loop; the loop below is the same without checkpoints.
        network._max_gradient_norm, network._batch_index = 10.0, 0
        data, test_data = loader("train", True), loader("test", False)

        def epoch(batches=data):
            network.train()
            for batch in batches:
                yield network.train_step(batch).item()

        def test():
            column = test_data.dataset.column_index["like"]
            return auc(test_data.dataset.darray[:, column], network.predict(test_data))

        epoch.data = data
        return epoch, test

    if alone:
        epoch, _ = start(1)
        steps = epoch(itertools.cycle(list(itertools.islice(epoch.data, 8))))
        return Work(lambda: next(steps), examples=sizes["batch"])
    training = Training(start, piece, seeds)
    return Work(training.piece, examples=piece * sizes["batch"], finish=training.finish)


def fuxictr_features(sizes):
    """The columns as a feature map of FuxiCTR."""

    def column(name, source, **more):
        return {"source": source, "vocab_size": sizes[name], "padding_idx": 0, **more}

    features = {name: {"type": "meta"} for name in ("user_index", "seq_len", "item_index")}
    for name in ("user_id", "age", "gender", "occupation"):
        features[name] = column(name, "user", type="categorical")
    features["movie_id"] = column("movie_id", "item", type="categorical")
    # Not of the source "item": columns of items are also read for the whole history.
    features["genres"] = column(
        "genres",
        "context",
        type="sequence",
        max_len=GENRES,
        feature_encoder="layers.MaskedAveragePooling()",
    )
    return features


def options_of(parser):
    parser.add_argument("--data", help="folder of the prepared rows")
    parser.add_argument("--rows", type=int, help="only the first rows of training and test")
    parser.add_argument("--seeds", type=int, default=1, help="models for the AUC; 0 for none")
    parser.add_argument("--workers", type=int, help="processes of FuxiCTR's loader; default: 1")


def contenders(model, setting, folders, sizes, options, alone, quick):
    """FuxiCTR and `lmn_tf` in one setting."""
    (ours, theirs), (folder, fuxictr_folder) = setting, folders
    common = {"model": model, "sizes": sizes, "piece": 2 if quick else 20}
    common |= {"seeds": options.seeds, "alone": alone}
    workers = options.workers
    if workers is None:
        workers = 0 if options.in_process else 1
    yield Contender(
        f"FuxiCTR {model}",
        build_fuxictr,
        {"folder": str(fuxictr_folder), "options": theirs, "workers": workers, **common},
        needs=("torch", "fuxictr"),
    )
    for rows_per_group, at_least in AT_LEAST.items():
        yield Contender(
            ours_label(model, rows_per_group),
            build_ours,
            {
                "folder": str(folder),
                "options": ours,
                "rows": options.rows,
                "rows_per_group": rows_per_group,
                **common,
            },
            at_least=at_least.get(model),
        )


def ours_label(model, rows_per_group):
    """The contender of `lmn_tf`."""
    return f"lmn_tf {model}" + (f", {rows_per_group} rows a user" if rows_per_group > 1 else "")


def compare_aucs(benchmark, case, result):
    """Adds a note on the difference of the test AUCs."""
    rows = (result or {}).get("contenders", ())
    aucs = {row["contender"]: row.get("facts", {}).get("test AUC") for row in rows}
    theirs, *ours = aucs.items() if aucs else [(None, None)]
    for label, value in ours:
        if value is not None and theirs[1] is not None:
            difference = float(value) - float(theirs[1])
            met = "met" if difference >= -0.001 else "missed"
            benchmark.note(
                f"{case}: the test AUC of {label} is {difference:+.4f} against FuxiCTR's; target: "
                f"not lower by more than 0.001, {met}."
            )


def race(script, text, argv, model, settings):
    """Runs a benchmark of one model in several settings.

    Args:
        script: Path of the benchmark.
        text: Docstring of the benchmark.
        argv: Command line arguments.
        model: String. Name of the model in FuxiCTR's zoo, and in lower case in `lmn_tf`.
        settings: Mapping from the name of a setting to the options of `lmn_tf` and of FuxiCTR.

    Returns:
        The exit status.
    """
    benchmark = Benchmark(script, text, argv, options_of)
    options, quick = benchmark.options, benchmark.quick
    sizes = {"length": 100, "dim": 32, "batch": 1_024}
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.data
        if quick:
            sizes, folder = {"length": 8, "dim": 4, "batch": 32}, Path(scratch) / "movielens"
            write_tiny_movielens(folder)
        elif folder is None:
            folder = Path(os.environ.get("LMN_TF_PREPARED", "data")) / "movielens_1m"
        peer = Path(scratch) / "fuxictr"
        peer.mkdir()
        if importlib.util.find_spec("fuxictr") is not None:
            write_for_fuxictr(folder, peer, sizes["length"], sizes["dim"], options.rows)
        for name, setting in settings.items():
            for kind in ("end to end", "step alone"):
                case, alone = f"{name}, {kind}", kind == "step alone"
                pair = contenders(model, setting, (folder, peer), sizes, options, alone, quick)
                result = benchmark.compare(case, *pair, seconds=None if alone else 0.02)
                if not quick:
                    compare_aucs(benchmark, case, result)
        return benchmark.finish()

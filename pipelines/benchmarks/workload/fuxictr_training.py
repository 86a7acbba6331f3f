"""Training of a model of FuxiCTR's zoo for long histories, on the arrays of `write_row_arrays`."""

import importlib
import importlib.metadata
import json
import tempfile
from pathlib import Path

from workload.quality import quality


class Batches:
    """Batches as FuxiCTR's `LongCTRDataLoader` yields them, from arrays in memory.

    That loader looks up each event in a table of items, which takes longer than a step, and has no
    fields of events that are not of items, such as whether a movie was liked. In such fields, the
    candidate has an id of its own.

    Args:
        path: Path of an `.npz` file of `write_row_arrays`.
        columns: List of the columns, as in `columns.json`.
        length: Integer. Length of the longest history; the newest events are kept.
        batch_size: Integer.
        seed: Integer. Seed of the order. Defaults to `None`: the order of the file.
    """

    def __init__(self, path, columns, length, batch_size, seed=None):
        import numpy as np

        with np.load(path) as arrays:
            self._arrays = dict(arrays)
        self._columns, self._length, self._batch_size = columns, length, batch_size
        self._random = None if seed is None else np.random.default_rng(seed)

    def __len__(self):
        return -(-len(self["label"]) // self._batch_size)

    def __getitem__(self, name):
        return self._arrays[name]

    def __iter__(self):
        import numpy as np
        import torch

        def tensors(arrays):
            return {name: torch.from_numpy(array) for name, array in arrays.items()}

        count = len(self["label"])
        order = np.arange(count) if self._random is None else self._random.permutation(count)
        for start in range(0, count, self._batch_size):
            batch, items, mask = self.arrays(order[start : start + self._batch_size])
            yield tensors(batch), tensors(items), torch.from_numpy(mask)

    def arrays(self, rows):
        """Returns a batch.

        Args:
            rows: Array of the numbers of its rows.

        Returns:
            Three items: the columns of rows, by name; the columns of events and, as the last event
            of each row, of its candidate, by name, of shape `(rows * (length + 1), ...)`; and the
            mask of the events without the candidate, of shape `(rows, length)`.
        """
        import numpy as np

        counts = np.minimum(self["count"][rows], self._length)
        ends = (self["first"] + self["count"])[rows]
        places = np.arange(-self._length, 0)
        mask = places >= -counts[:, None]  # (B, L), padded before the events
        events = np.where(mask, ends[:, None] + places, 0)
        batch, items, sizes = {"label": self["label"][rows]}, {}, {}
        for column in self._columns:
            name, source = column["name"], column["source"]
            if source in ("user", "context"):
                batch[name] = self[name][rows]
                continue
            sizes[name] = vocabulary_size(column, sizes)
            if "of" in column:
                items[name] = 0
                for part in column["of"]:
                    items[name] = items[name] * sizes[part] + items[part]
                continue
            values = self[f"events/{name}"][events]  # (B, L) or (B, L, values)
            values[~mask] = 0
            own = self[name][rows] if source == "item" else np.full(len(rows), column["size"])
            items[name] = np.concatenate([values, own[:, None]], axis=1)
        items = {name: array.reshape(-1, *array.shape[2:]) for name, array in items.items()}
        return batch, items, mask.astype(np.float32)


def vocabulary_size(column, sizes):
    """The number of ids of a column of events.

    Args:
        column: Mapping, as in `columns.json`.
        sizes: Mapping from the names of the columns before it to their number of ids.
    """
    if "of" in column:
        result = 1
        for part in column["of"]:
            result *= sizes[part]
        return result
    return column["size"] + (column["source"] == "event")


def feature_map(name, folder, columns, dim):
    """The columns as a feature map of FuxiCTR."""
    from fuxictr.features import FeatureMap

    result, sizes = FeatureMap(name, str(folder)), {}
    result.labels, result.default_emb_dim = ["label"], dim
    for column in columns:
        own = column["source"] in ("user", "context")
        size = column["size"] if own else vocabulary_size(column, sizes)
        sizes[column["name"]] = size
        feature = {"vocab_size": size, "padding_idx": 0, "type": "categorical"}
        feature["source"] = column["source"] if own else "item"
        if column.get("values"):
            feature |= {"type": "sequence", "max_len": column["values"]}
            feature["feature_encoder"] = "layers.MaskedAveragePooling()"
        result.features[column["name"]] = feature
    return result


def train_fuxictr(model, folder, options, sizes, epochs, seed):
    """Trains a model with FuxiCTR's own loop, which stops by the validation AUC.

    Args:
        model: String. Name of the model in FuxiCTR's zoo for long histories.
        folder: Path of the output of `write_row_arrays`.
        options: Mapping of options of the model.
        sizes: Mapping with `length`, `dim` and `batch`.
        epochs: Integer. Most epochs; the weights of the best one count.
        seed: Integer.

    Returns:
        Dictionary: figures of the test set, `valid_auc`, `parameters`, `rows` of each split, and
        `versions`.
    """
    from fuxictr.pytorch.torch_utils import seed_everything

    folder = Path(folder)
    columns = json.loads((folder / "columns.json").read_text())
    zoo = getattr(importlib.import_module(f"model_zoo.LongCTR.{model}"), model)
    shape = (columns, sizes["length"], sizes["batch"])
    train, valid, test = (
        Batches(folder / f"{split}.npz", *shape, seed=seed if split == "train" else None)
        for split in ("train", "valid", "test")
    )
    seed_everything(seed)
    with tempfile.TemporaryDirectory() as scratch:
        (Path(scratch) / "rows").mkdir()
        network = zoo(
            feature_map("rows", folder, columns, sizes["dim"]),
            embedding_dim=sizes["dim"],
            optimizer="adam",
            loss="binary_crossentropy",
            metrics=["AUC"],
            monitor="AUC",
            model_root=scratch,
            verbose=0,
            **options,
        )
        network.fit(train, epochs=epochs, validation_data=valid)
    figures = {
        split: quality(rows["label"], network.predict(rows), rows["group"])
        for split, rows in (("valid", valid), ("test", test))
    }
    return {
        **figures["test"],
        "valid_auc": figures["valid"]["auc"],
        "parameters": sum(weights.numel() for weights in network.parameters()),
        "rows": {
            name: len(rows["label"])
            for name, rows in (("train", train), ("valid", valid), ("test", test))
        },
        "versions": {name: importlib.metadata.version(name) for name in ("torch", "fuxictr")},
    }

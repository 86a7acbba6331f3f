"""Rows of a prepared data set as arrays, for packages that read other files."""

import json
from pathlib import Path


def write_row_arrays(spec, sequence, folder, output, rows=None):
    """Writes the rows of a feature spec with the ids of the encoder, and what their columns are.

    `train.npz`, `valid.npz` and `test.npz` have an array for each feature, `label`, `group`, and an
    array for each field of the events, `events/NAME`. The history of a row is the window of the
    `count` events from `first`. `columns.json` lists the columns: `name`; `source`, which is
    `"user"`, `"context"` (of the candidate only), `"item"` (of the candidate and of events) or
    `"event"`; `size`, the number of ids, of which 0 is padding; `values`, the most ids of a row, or
    `None` for one; and `of`, the columns that a cross of the event combines.

    Args:
        spec: `FeatureSpec` whose columns all have ids.
        sequence: String. The name of the sequence that is the history.
        folder: Path of the prepared data.
        output: Path of the folder to write to, which exists.
        rows: Integer. Number of rows of each split, from the first. Defaults to `None`: all.
    """
    import numpy as np

    from lmn_tf.data.learning.vocabulary import learn
    from lmn_tf.data.reading.batch_reader import BatchReader

    learn(spec, f"{folder}/train-*.parquet")
    for split in ("train", "valid", "test"):
        reader = BatchReader(spec, f"{folder}/{split}-*.parquet", batch_size=2**30, limit=rows)
        [(batch, labels, _)] = reader.read()
        arrays = {feature.name: batch[feature.name] for feature in spec.features}
        arrays |= {"label": labels[:, 0], "group": batch["group"]}
        arrays |= {"first": batch[f"{sequence}/first"], "count": batch[f"{sequence}/length"]}
        for field in spec.sequence(sequence).fields:
            arrays[f"events/{field.name}"] = batch[f"{sequence}/{field.name}"]
        np.savez(Path(output) / f"{split}.npz", **arrays)
    text = json.dumps(_columns(spec, spec.sequence(sequence)), indent=2)
    (Path(output) / "columns.json").write_text(text)


def _columns(spec, sequence):
    features = {feature.name: feature for feature in spec.features}
    fields = {field.name: spec.resolved_field(sequence, field) for field in sequence.fields}
    result = []
    for name, column in {**features, **fields}.items():
        source = "user" if name in features and features[name].role == "user" else "context"
        if name in fields:
            source = "item" if name in features else "event"
        values = column.max_values if column.kind == "multi_value" else None
        size = spec.input_size(column)
        result.append({"name": name, "source": source, "size": size, "values": values})
    for cross in sequence.crosses:
        result.append({"name": cross.name, "source": "event", "of": list(cross.of)})
    return result

"""Files of TensorBoard's embedding projector: slots of memories, and items, with names."""

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from lmn_tf import atomic_files
from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.distribute.tables.rows import get_rows, row_chunks
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import FIRST_ID
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.inspection.memory_inspection import MemoryInspection, inspect_memories

MOST_ROWS = 10_000  # more make the projector slow
_DIGITS = 5


class ProjectorTable(NamedTuple):
    """Vectors for the projector.

    Attributes:
        name: String.
        vectors: Float array of shape `(rows, dim)`.
        columns: Dictionary from the title of a column to one value for each row.
    """

    name: str
    vectors: np.ndarray
    columns: Mapping[str, Sequence]


def write_projector(folder: str | os.PathLike, tables: Sequence[ProjectorTable]) -> None:
    """Writes vectors and their names so that TensorBoard's projector finds them.

    Args:
        folder: Folder with event files.
        tables: The `ProjectorTable`s.
    """
    from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

    config = ProjectorConfig()
    for table in tables:
        stem = f"projector_{table.name.replace('/', '_')}"
        rows = np.char.mod(f"%.{_DIGITS}g", np.asarray(table.vectors, np.float64))
        _write_tsv(Path(folder) / f"{stem}.tsv", rows)
        columns = [[_cell(value) for value in column] for column in table.columns.values()]
        cells = list(zip(*columns, strict=True))
        # The projector reads a single column without a title.
        titles = [tuple(table.columns)] if len(columns) > 1 else []
        _write_tsv(Path(folder) / f"{stem}_names.tsv", titles + cells)
        config.embeddings.add(
            tensor_name=table.name,
            tensor_path=f"{stem}.tsv",
            metadata_path=f"{stem}_names.tsv",
        )
    text = str(config)  # the text format of protocol buffers
    atomic_files.write_text(Path(folder) / "projector_config.pbtxt", text)


def project_memories(
    evaluator: Evaluator,
    spec: FeatureSpec,
    dataset: tf.data.Dataset,
    folder: str | os.PathLike,
) -> list[MemoryInspection]:
    """Writes the most read slots of a model's memories, and its items, for the projector.

    Args:
        evaluator: `Evaluator` of a model of this package.
        spec: Its `FeatureSpec`, with learned assets.
        dataset: Batches of features and labels whose reads name the slots. It is read twice.
        folder: Folder with event files.

    Returns:
        The `MemoryInspection`s, with up to 10,000 slots each.
    """
    inspections = inspect_memories(evaluator, spec, dataset, MOST_ROWS)
    tables = [
        slot_table(inspection, memory.memory_values)
        for inspection, memory in zip(inspections, evaluator.memories, strict=True)
        if inspection.slots
    ]
    write_projector(folder, tables + item_tables(evaluator.model, spec))
    return inspections


def slot_table(inspection: MemoryInspection, values: keras.Variable) -> ProjectorTable:
    """Returns the values of the inspected slots of a memory.

    Args:
        inspection: A `MemoryInspection`; its `slots` are the rows.
        values: Variable of shape `(memory_size, dim)`.

    Returns:
        `ProjectorTable` with slot, row, column and share, and for each feature the value that reads
        the slot most.
    """
    slots = inspection.slots[:MOST_ROWS]
    columns = {key: [slot[key] for slot in slots] for key in ("slot", "row", "column")}
    # A number, by which the projector can color.
    columns["share (%)"] = [f"{100 * slot['share']:.4f}" for slot in slots]
    for name in dict.fromkeys(name for slot in slots for name in slot["readers"]):
        readers = [slot["readers"].get(name) or [{"value": "-"}] for slot in slots]
        columns[f"most by {name}"] = [found[0]["value"] for found in readers]
    return ProjectorTable(
        inspection.name, _rows(values, np.array(columns["slot"], np.int64)), columns
    )


def item_tables(model: keras.Model, spec: FeatureSpec) -> list[ProjectorTable]:
    """Returns the embeddings of the item features that histories contain too.

    Args:
        model: A model of this package.
        spec: Its `FeatureSpec`, with learned assets.

    Returns:
        List of `ProjectorTable`, of at most 10,000 rows each, without padding and unknown.
    """
    in_histories = {
        spec.resolved_field(sequence, field).like
        for sequence in spec.sequences
        for field in sequence.fields
    }
    tables = []
    for feature in spec.features:
        if feature.name not in in_histories or feature.role != "item" or not feature.has_ids:
            continue
        embeddings = model.encoder.tables[spec.table_of(feature)[0]].embeddings
        names = IdNames(spec, feature)
        ids = np.arange(FIRST_ID, min(embeddings.shape[0], MOST_ROWS + FIRST_ID))
        columns = {feature.name: [names(id_) for id_ in ids]}
        tables.append(ProjectorTable(feature.name, _rows(embeddings, ids), columns))
    return tables


def _rows(variable, ids) -> np.ndarray:
    """Returns rows of a variable, which may be sharded over devices."""
    found = np.zeros((len(ids), variable.shape[1]), np.float32)
    for start, stop in row_chunks(tuple(variable.shape), itemsize=4):
        inside = (ids >= start) & (ids < stop)
        if inside.any():
            found[inside] = get_rows(variable, start, stop)[ids[inside] - start]
    return found


def _cell(value) -> str:
    return " ".join(str(value).split()) or "-"  # no tab, no line break


def _write_tsv(path, rows) -> None:
    atomic_files.write_text(path, "".join("\t".join(row) + "\n" for row in rows))

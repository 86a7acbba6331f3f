"""Scores of a model as a Parquet file."""

import os
from collections.abc import Sequence

import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf import atomic_files
from lmn_tf.data.dataset import make_dataset
from lmn_tf.specs.errors import UserError
from lmn_tf.training.evaluation import Evaluator
from lmn_tf.training.key_columns import KeyColumns
from lmn_tf.training.progress import Progress

_ROW_GROUP = 50_000


def write_predictions(
    model, spec, files, output, batch_size: int = 4096, columns: Sequence[str] = ()
) -> int:
    """Writes the probabilities of a model for each row of some files, in the order of the rows.

    Streams: memory holds a few batches. The output appears when it is whole.

    Args:
        model: A model of this package.
        spec: Its `FeatureSpec`, with its assets learned.
        files: Glob or list of data files; they need no label columns.
        output: Parquet file to write.
        batch_size: Rows of a batch. Defaults to `4096`.
        columns: Names of columns of the files that are written as they are, between the group
            column and the probabilities. Defaults to `()`.

    Returns:
        The number of rows.

    Raises:
        UserError: When `output` is a folder, its folder does not exist, or `columns` names a
            column that the files do not have, or one of a label's name.
    """
    folder = os.path.dirname(os.path.abspath(output))
    if os.path.isdir(output) or not os.path.isdir(folder):
        raise UserError(f"`--output` must be a file in a folder that exists. Received: {output}")
    labels = [label.name for label in spec.labels]
    dataset = make_dataset(
        spec, files, batch_size=batch_size, labels=False, histories=model.reads_histories
    )
    evaluator = Evaluator(model, labels)
    keys = KeyColumns(spec, files, _key_names(spec.group, columns, labels))
    schema = pa.schema([*keys.schema, *(pa.field(label, pa.float32()) for label in labels)])
    progress = Progress(title="predict")
    rows = 0
    try:
        with atomic_files.atomic_path(output) as temporary:
            writer = pq.ParquetWriter(temporary, schema, compression="zstd")
            with writer:
                for step, scores in enumerate(evaluator.predict(dataset), 1):
                    arrays = keys.take(len(scores)) + [pa.array(column) for column in scores.T]
                    table = pa.Table.from_arrays(arrays, schema=schema)
                    writer.write_table(table, row_group_size=_ROW_GROUP)
                    rows += len(scores)
                    progress.update(step)
    finally:
        progress.close()
    return rows


def _key_names(group, columns, labels) -> list[str]:
    for name in columns:
        if name in labels:
            raise UserError(
                "`--columns` must name no label, whose column holds the probabilities. "
                f"Received: {name}"
            )
    return list(dict.fromkeys([*([] if group is None else [group]), *columns]))

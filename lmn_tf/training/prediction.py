"""Scores of a model as a Parquet file."""

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf.data import formats
from lmn_tf.data.dataset import make_dataset
from lmn_tf.specs.errors import UserError
from lmn_tf.training import atomic_files
from lmn_tf.training.evaluation import Evaluator
from lmn_tf.training.progress import Progress

_ROW_GROUP = 50_000


def write_predictions(model, spec, files, output, batch_size: int = 4096) -> int:
    """Writes the probabilities of a model for each row of some files, in the order of the rows.

    Streams: memory holds a few batches. The output appears when it is whole.

    Args:
        model: A model of this package.
        spec: Its `FeatureSpec`, with its assets learned.
        files: Glob or list of data files; they need no label columns.
        output: Parquet file to write.
        batch_size: Rows of a batch. Defaults to `4096`.

    Returns:
        The number of rows.

    Raises:
        UserError: When `output` is a folder, or its folder does not exist.
    """
    folder = os.path.dirname(os.path.abspath(output))
    if os.path.isdir(output) or not os.path.isdir(folder):
        raise UserError(f"`--output` must be a file in a folder that exists. Received: {output}")
    labels = [label.name for label in spec.labels]
    dataset = make_dataset(spec, files, batch_size=batch_size, labels=False)
    evaluator = Evaluator(model, labels)
    keys = _Keys(files, spec.group)
    progress = Progress(title="predict")
    rows, writer = 0, None
    try:
        with atomic_files.atomic_path(output) as temporary:
            for step, scores in enumerate(evaluator.predict(dataset), 1):
                columns = {name: pa.array(scores[:, i]) for i, name in enumerate(labels)}
                table = keys.take(len(scores))
                for name, column in columns.items():
                    table = table.append_column(name, column) if table else pa.table({name: column})
                writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
                writer.write_table(table, row_group_size=_ROW_GROUP)
                rows += len(scores)
                progress.update(step)
            if writer is not None:
                writer.close()
    finally:
        progress.close()
    return rows


class _Keys:
    """The group column of the files, handed out as many rows at a time as are asked for."""

    def __init__(self, files, group: str | None):
        self._tables = self._stream(files, group) if group else None
        self._rest = None

    def take(self, count: int) -> pa.Table | None:
        if self._tables is None:
            return None
        parts, missing = [], count
        while missing:
            if self._rest is None or not self._rest.num_rows:
                self._rest = next(self._tables)
            parts.append(self._rest.slice(0, missing))
            self._rest = self._rest.slice(parts[-1].num_rows)
            missing -= parts[-1].num_rows
        return pa.concat_tables(parts)

    @staticmethod
    def _stream(files, group: str) -> Iterator[pa.Table]:
        for unit in formats.open_files(files):
            yield from unit.tables([group])

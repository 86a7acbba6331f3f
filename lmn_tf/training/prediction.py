"""Scores of a model as a Parquet file."""

import os
from collections.abc import Iterator

import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf import atomic_files
from lmn_tf.data import formats
from lmn_tf.data.dataset import make_dataset
from lmn_tf.specs.errors import UserError
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
    dataset = make_dataset(
        spec, files, batch_size=batch_size, labels=False, histories=model.reads_histories
    )
    evaluator = Evaluator(model, labels)
    keys = _Keys(files, spec.group)
    progress = Progress(title="predict")
    rows = 0
    try:
        with atomic_files.atomic_path(output) as temporary:
            writer = pq.ParquetWriter(temporary, _schema(keys, labels), compression="zstd")
            with writer:
                for step, scores in enumerate(evaluator.predict(dataset), 1):
                    columns = {name: pa.array(scores[:, i]) for i, name in enumerate(labels)}
                    table = pa.table({**keys.take(len(scores)), **columns})
                    writer.write_table(table, row_group_size=_ROW_GROUP)
                    rows += len(scores)
                    progress.update(step)
    finally:
        progress.close()
    return rows


def _schema(keys, labels) -> pa.Schema:
    return pa.schema([*keys.fields, *(pa.field(label, pa.float32()) for label in labels)])


class _Keys:
    """The group column of the files, handed out as many rows at a time as are asked for."""

    def __init__(self, files, group: str | None):
        self.fields = []
        self._tables = self._rest = None
        if group is None:
            return
        self._tables = self._stream(files, group)
        self._rest = next(self._tables)  # There is a row: empty files were refused before.
        self.fields = [self._rest.schema.field(group)]

    def take(self, count: int) -> dict[str, pa.ChunkedArray]:
        if self._tables is None:
            return {}
        parts = []
        while count:
            if not self._rest.num_rows:
                # The first file's type holds for all: the schema of the output is fixed.
                self._rest = next(self._tables).cast(pa.schema(self.fields))
            parts.append(self._rest.slice(0, count))
            self._rest = self._rest.slice(parts[-1].num_rows)
            count -= parts[-1].num_rows
        table = pa.concat_tables(parts)
        return {name: table[name] for name in table.column_names}

    @staticmethod
    def _stream(files, group: str) -> Iterator[pa.Table]:
        for unit in formats.open_files(files):
            yield from unit.tables([group])

"""Predictions of a model as a Parquet file."""

import os
from collections.abc import Iterator, Sequence

import keras
import pyarrow as pa
import pyarrow.parquet as pq

from lmn_tf import atomic_files
from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.monitor.progress import Progress

_ROW_GROUP = 50_000


class KeyColumns:
    """Reads columns of data files in slices of any number of rows.

    A column has the same type over all files: if their types differ, the smallest common one (the
    widest of integer types, floats for integers and floats), or text if there is none. Ids of CSV
    files are text.

    Args:
        spec: `FeatureSpec`, which determines how text files are read.
        files: Glob, path, or list of them.
        names: Sequence of distinct strings. Names of the columns.

    Raises:
        UserError: If a file lacks a column.
    """

    def __init__(
        self,
        spec: FeatureSpec,
        files: str | os.PathLike | Sequence[str | os.PathLike],
        names: Sequence[str],
    ) -> None:
        self._names = list(names)
        self._units = open_spec_files(spec, files, names) if names else []
        self.schema = self._schema()
        self._tables = self._stream()
        self._remaining = self.schema.empty_table()

    def take(self, count: int) -> list[pa.ChunkedArray]:
        """Returns the columns of the next `count` rows."""
        parts = [self._remaining.slice(0, count)]
        while self._names and sum(part.num_rows for part in parts) < count:
            self._remaining = next(self._tables)
            parts.append(self._remaining.slice(0, count - sum(part.num_rows for part in parts)))
        self._remaining = self._remaining.slice(parts[-1].num_rows)
        return pa.concat_tables(parts).columns

    def _schema(self) -> pa.Schema:
        # The columns of a file have one type, which its first rows show.
        first = {unit.path: unit for unit in reversed(self._units)}.values()
        schemas = [_schema_of(unit, self._names) for unit in first]
        return pa.schema([_common(name, schemas) for name in self._names])

    def _stream(self) -> Iterator[pa.Table]:
        for unit in self._units:
            for table in unit.tables(self._names):
                yield self._cast(table, unit.path)

    def _cast(self, table, path) -> pa.Table:
        columns = []
        for field in self.schema:
            try:
                columns.append(_plain(table[field.name]).cast(field.type))
            except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
                raise UserError(
                    f"column `{field.name}` must fit the type that it has over all files, "
                    f"{field.type}. Received: {table[field.name].type} ({error})",
                    file=path,
                ) from error
        return pa.Table.from_arrays(columns, schema=self.schema)


def _plain(column: pa.ChunkedArray) -> pa.ChunkedArray:
    return column.cast(_plain_type(column.type))


def _plain_type(type_: pa.DataType) -> pa.DataType:
    """Returns a type without dictionary encoding."""
    if pa.types.is_dictionary(type_):
        return type_.value_type
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return pa.list_(_plain_type(type_.value_type))
    return type_


def _schema_of(unit, names) -> pa.Schema:
    schema = next(unit.tables(names)).schema
    fields = []
    for field in schema:
        type_ = _plain_type(field.type)
        if field.name in unit.text_columns:
            type_ = pa.list_(pa.string()) if pa.types.is_list(type_) else pa.string()
        fields.append(pa.field(field.name, type_))
    return pa.schema(fields)


def _common(name: str, schemas: list[pa.Schema]) -> pa.Field:
    fields = [pa.schema([schema.field(name)]) for schema in schemas]
    try:
        return pa.unify_schemas(fields, promote_options="permissive").field(0)
    except (pa.ArrowInvalid, pa.ArrowTypeError):
        return pa.field(name, pa.string())


def write_predictions(
    model: keras.Model,
    spec: FeatureSpec,
    files: str | os.PathLike | Sequence[str | os.PathLike],
    output: str | os.PathLike,
    batch_size: int = 4096,
    columns: Sequence[str] = (),
) -> int:
    """Writes the probabilities that a model predicts for the rows of files, in order.

    Rows are streamed: memory holds a few batches. The output appears once it is complete. Columns
    with values that the spec does not know are then named on stderr.

    Args:
        model: A model of this package.
        spec: Its `FeatureSpec`, with learned assets.
        files: Glob or list of data files, with or without label columns.
        output: Parquet file to write.
        batch_size: Integer. Rows per batch. Defaults to `4096`.
        columns: Names of columns to copy from the files, between the group column and the
            probabilities. Defaults to `()`.

    Returns:
        Number of rows.

    Raises:
        UserError: If `output` is a folder, its folder does not exist, or `columns` names a missing
            column or a label.
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
        for sentence in dataset.unfamiliar_values.sentences():
            progress.line(sentence)
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

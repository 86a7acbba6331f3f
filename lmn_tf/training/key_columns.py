"""Columns of data files, handed on beside what is computed of their rows."""

from collections.abc import Iterator, Sequence

import pyarrow as pa

from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.specs.errors import UserError


class KeyColumns:
    """Some columns of data files, handed out as many rows at a time as are asked for.

    A column has one type whatever the files: where these differ, the type that holds the values
    of all of them (of integers of several sizes the largest, of integers and fractions the
    fractions), or text where no other does. Ids of CSV files are text.

    Args:
        spec: `FeatureSpec`, which says how files of text are read.
        files: Glob, path, or list of them.
        names: Sequence of strings. The columns, each once.

    Raises:
        UserError: When a file lacks a column.
    """

    def __init__(self, spec, files, names: Sequence[str]):
        self._names = list(names)
        self._units = open_spec_files(spec, files, names) if names else []
        self.schema = self._schema()
        self._tables = self._stream()
        self._rest = self.schema.empty_table()

    def take(self, count: int) -> list[pa.ChunkedArray]:
        """Returns the columns of the next `count` rows."""
        parts = [self._rest.slice(0, count)]
        while self._names and sum(part.num_rows for part in parts) < count:
            self._rest = next(self._tables)
            parts.append(self._rest.slice(0, count - sum(part.num_rows for part in parts)))
        self._rest = self._rest.slice(parts[-1].num_rows)
        return pa.concat_tables(parts).columns

    def _schema(self) -> pa.Schema:
        # A file's columns have one type; its first rows tell it.
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
    """Gives a type without the dictionaries that a reader keeps texts in."""
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

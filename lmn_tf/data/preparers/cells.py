"""SQL of the cells of a publisher's file."""

import pathlib
import re
from collections.abc import Sequence

from lmn_tf.data.preparers.column import Column
from lmn_tf.data.preparers.plan import text
from lmn_tf.specs.errors import UserError, did_you_mean


def parquet_file(path: pathlib.Path) -> str:
    """SQL of the rows of a Parquet file, with their `file_row_number`."""
    # A path is a pattern to the engine, and `user=1` in it replaces the column of the file.
    path = re.sub(r"[*?\[]", r"[\g<0>]", str(path))
    return f"read_parquet({text(path)}, file_row_number = true, hive_partitioning = false)"


def json_cell(column: Column) -> str:
    """SQL of a value of `_json`, as text; numbers and booleans have the text that ids have."""
    place = text(column.json_path)
    plain = f"json_extract_string(_json, {place})"
    if column.type == "VARCHAR":
        return plain
    number = _number_text(f"TRY_CAST({plain} AS DOUBLE)", plain)
    return (
        f"CASE json_type(_json, {place}) WHEN 'DOUBLE' THEN {number} "
        f"WHEN 'BOOLEAN' THEN CASE {plain} WHEN 'true' THEN '1' ELSE '0' END ELSE {plain} END"
    )


def cell_text(cell: str, kind: str) -> str:
    """SQL of the text of a value; numbers and booleans have the text that ids have."""
    plain = f"CAST({cell} AS VARCHAR)"
    if kind in ("DOUBLE", "FLOAT"):
        return _number_text(cell, plain)
    if kind == "BOOLEAN":
        return f"CAST(CAST({cell} AS BIGINT) AS VARCHAR)"
    if kind.startswith("DECIMAL"):
        whole = f"CAST(CAST({cell} AS HUGEINT) AS VARCHAR)"
        fraction = f"regexp_replace(rtrim({plain}, '0'), '^(-?)[.]', '\\10.')"
        return f"CASE WHEN {cell} = floor({cell}) THEN {whole} ELSE {fraction} END"
    return plain


def is_nested(kind: str) -> bool:
    """Whether values of a type of the engine are lists, structs or maps."""
    return kind.endswith("]") or kind.startswith(("STRUCT(", "MAP("))


def _number_text(number, plain):
    is_whole = f"{number} = floor({number}) AND abs({number}) < 9007199254740992"
    whole = f"CAST(CAST({number} AS BIGINT) AS VARCHAR)"
    return f"CASE WHEN isnan({number}) THEN NULL WHEN {is_whole} THEN {whole} ELSE {plain} END"


def split_cells(
    path: pathlib.Path,
    columns: Sequence[Column],
    names: Sequence[str] | None,
    width: int | None,
    wrong: str,
) -> tuple[list[str], str]:
    """SQL of the cell of each column, and of the problem of a wrong number of cells."""
    width = len(names) if names is not None else (width or len(columns))
    indices = [index_of(path, column, index, names) for index, column in enumerate(columns)]
    message = text(f"a line must have {width} cells. Received: ")
    wrong += f" WHEN len(_cells) <> {width} THEN {message} || len(_cells)"
    return [f"_cells[{index + 1}]" for index in indices], wrong


def index_of(path: pathlib.Path, column: Column, index: int, names: Sequence[str] | None) -> int:
    """Index of a column among the cells of a file."""
    if isinstance(column.source, int):
        return column.source
    if names is None:
        return index
    for wanted in column.headers:
        if names.count(wanted) > 1:
            raise UserError(
                f"column `{wanted}` must be in the file once. "
                f"Received: {names.count(wanted)} columns of that name",
                file=path,
                line=1,
            )
        if wanted in names:
            return names.index(wanted)
    hint = did_you_mean(wanted, names)
    raise UserError(
        f"column `{wanted}` must be in the file. Received: {', '.join(names)}.{hint}",
        file=path,
        line=1,
    )

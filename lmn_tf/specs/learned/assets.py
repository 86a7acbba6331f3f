"""Learned assets: vocabularies, statistics, sizes."""

from __future__ import annotations

import json
import os
import pathlib
import sys
from collections.abc import Mapping
from typing import Any

from lmn_tf import atomic_files
from lmn_tf.specs.delimiter import as_delimiter
from lmn_tf.specs.errors import UserError, short


class Assets:
    """Assets that are learned from data for a spec; mutable.

    Vocabularies and sizes are keyed by `FeatureSpec.lookup_key`, statistics by a column's `key`.

    Args:
        vocabularies: Mapping from keys to lists of values; the value at position `i` has id
            `i + 2`.
        statistics: Mapping from keys to `{"mean", "std", "min", "max", "count", "quantiles"}`.
        sizes: Mapping from keys to numbers of ids, including the two reserved ones.
        delimiter: String. Delimiter of CSV files. Defaults to `None`: a tab if the name ends in
            `.tsv`, else a comma.
        text_ids: Boolean. Whether ids in CSV files are the texts of their cells. Runs of earlier
            versions read them as integers, floats or times if their first rows looked like it, and
            continue to do so. Defaults to `True`.
    """

    def __init__(
        self,
        vocabularies: Mapping[str, list] | None = None,
        statistics: Mapping[str, dict] | None = None,
        sizes: Mapping[str, int] | None = None,
        delimiter: str | None = None,
        text_ids: bool = True,
    ) -> None:
        self.vocabularies = dict(vocabularies or {})
        self.statistics = dict(statistics or {})
        self.sizes = dict(sizes or {})
        self.delimiter = delimiter
        self.text_ids = text_ids

    def __eq__(self, other):
        return isinstance(other, Assets) and vars(self) == vars(other)

    __hash__ = None

    def __repr__(self):
        counts = ", ".join(f"{key}={len(value)}" for key, value in self.vocabularies.items())
        return f"Assets(vocabularies=({counts}), statistics={sorted(self.statistics)})"

    def save(self, folder: str | os.PathLike) -> None:
        """Writes `vocabularies/<key>.txt` or `.json`, and `statistics.json`, each atomically."""
        folder = pathlib.Path(folder)
        (folder / "vocabularies").mkdir(parents=True, exist_ok=True)
        for key, values in self.vocabularies.items():
            values = [_plain(value) for value in values]
            suffix, text = _vocabulary_text(values)
            for old_suffix in {".txt", ".json"} - {suffix}:
                (folder / "vocabularies" / (key + old_suffix)).unlink(missing_ok=True)
            atomic_files.write_text(folder / "vocabularies" / (key + suffix), text)
        statistics = {
            "statistics": self.statistics,
            "sizes": self.sizes,
            "text_files": {"ids": "text" if self.text_ids else "guessed"},
        }
        if self.delimiter is not None:
            statistics["text_files"]["delimiter"] = self.delimiter
        text = json.dumps(statistics, indent=1, sort_keys=True, default=json_value)
        atomic_files.write_text(folder / "statistics.json", text + "\n")

    @classmethod
    def load(cls, folder: str | os.PathLike) -> Assets:
        """Reads the files of `save`; missing ones leave their part empty."""
        folder = pathlib.Path(folder)
        assets = cls()
        # Names that start with a dot are temporary files of a killed run.
        for path in sorted((folder / "vocabularies").glob("[!.]*")):
            if path.suffix in (".txt", ".json"):
                assets.vocabularies[path.stem] = read_vocabulary(path)
        path = folder / "statistics.json"
        if path.exists():
            data = read_json(path)
            if not isinstance(data, dict):
                raise UserError("`statistics.json` must hold a mapping.", file=path)
            assets.statistics = _mapping(data, "statistics", path)
            _check_figures(assets.statistics, path)
            assets.sizes = _mapping(data, "sizes", path)
            text_files = _mapping(data, "text_files", path)
            assets.text_ids = text_files.get("ids") == "text"
            if text_files.get("delimiter") is not None:
                assets.delimiter = _delimiter(text_files["delimiter"], path)
        return assets


def _delimiter(value, path):
    try:
        return as_delimiter(value)
    except UserError as error:
        raise UserError(error.message, file=path) from None


def _mapping(data, key, path):
    value = data.get(key, {})
    if not isinstance(value, dict):
        raise UserError(f"`{key}` must be a mapping. Received: {short(value)}", file=path)
    return value


def _check_figures(statistics, path):
    """Raises a `UserError` for statistics by which numbers cannot be scaled."""
    for key in statistics:
        figures = _mapping(statistics, key, path)
        for name in figures.keys() & {"mean", "std", "min", "max"}:
            value = figures[name]
            # Unlike `isfinite`, a comparison accepts integers that are too large for a float.
            is_valid = type(value) in (int, float) and abs(value) <= sys.float_info.max
            if not is_valid or (name == "std" and value < 0):
                least = " of 0 or more" if name == "std" else ""
                raise UserError(
                    f"`{name}` of `{key}` must be a finite number{least}. Received: {short(value)}",
                    file=path,
                )


def read_vocabulary(path: str | os.PathLike) -> list[str | int]:
    """Returns the values of a vocabulary file: one text per line, or a JSON list.

    Raises:
        UserError: If the file is missing, not UTF-8, empty, or repeats a value.
    """
    path = pathlib.Path(path)
    if path.suffix == ".json":
        values = read_json(path)
        is_valid = isinstance(values, list) and all(type(value) in (str, int) for value in values)
        if not is_valid:
            raise UserError("vocabulary must be a JSON list of text or of integers.", file=path)
    else:
        values = _read_text(path).split("\n")
        if values and values[-1] == "":
            values.pop()
        values = [value.removesuffix("\r") for value in values]
    texts = set()
    for index, value in enumerate(values):
        text = str(value)
        if text in texts:
            line = index + 1 if path.suffix != ".json" else None
            raise UserError(
                f"vocabulary must not repeat. Received: {value!r} twice", file=path, line=line
            )
        texts.add(text)
    return values


def _read_text(path):
    from lmn_tf.specs.yaml.strict_yaml import read_text

    return read_text(path)


def read_json(path: str | os.PathLike) -> Any:
    """Returns the content of a JSON file.

    Raises:
        UserError: If the file is missing, not UTF-8, or not JSON.
    """
    try:
        return json.loads(_read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(f"file must be JSON. Received: {error.msg}", path, error.lineno) from None
    except (RecursionError, ValueError) as error:
        raise UserError(f"file must be JSON. Received: {error}", file=path) from None


def _plain(value):
    """Converts NumPy scalars and arrays to Python values."""
    return value.tolist() if hasattr(value, "tolist") else value


def json_value(value: Any) -> Any:
    """Converts NumPy scalars and arrays to Python values; the `default` of `json.dumps`."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError(f"a statistic must be JSON serializable. Received: {type(value).__name__}")


def _vocabulary_text(values):
    """Returns the suffix and the text of a vocabulary file that reads back as `values`."""
    is_lines = all(isinstance(value, str) for value in values) and not any(
        "\n" in value or value.endswith("\r") for value in values
    )
    if is_lines and values[:1] != [""] and not (values and values[0].startswith("\ufeff")):
        return ".txt", "".join(value + "\n" for value in values)
    return ".json", json.dumps(values, ensure_ascii=False, indent=0) + "\n"

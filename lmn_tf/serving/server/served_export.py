"""Export that is loaded for scoring."""

from __future__ import annotations

import heapq
import json
import math
import os
import pathlib
import re
from collections.abc import Sequence
from typing import Any

import numpy as np

from lmn_tf.data.encoding.number_encoder import NumberEncoder
from lmn_tf.serving.export_info import INFO_FILE
from lmn_tf.serving.scorer import Scorer, Scores
from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.serving.server.request import ScoreRequest
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.lookup import REFUSED_ID

# What is told of an export beside its folder, each with the header of answers.
_INFO = {
    "model": None,
    "model_version": b"model-version",
    "run_id": b"model-run-id",
    "data_fingerprint": b"model-data-fingerprint",
    "created": None,
    "lmn_tf_version": None,
}
_LONGEST = 200
_MOST_UNREAD = 20


class ServedExport:
    """An export that is loaded for scoring, for use by several threads.

    Its functions have run once when it is made, so that its first request is answered as fast as
    the others.

    Args:
        folder: Folder that `lmn-tf export` wrote.
        options: `ServerOptions`.

    Attributes:
        name: String. Name of the folder, such as the number of a version.
        info: Dictionary of what `export.json` tells of the export; `None` where it does not.
        headers: List of pairs of bytes, for answers: `Model-Export`, and `Model-Version`,
            `Model-Run-Id` and `Model-Data-Fingerprint` where they are known.

    Raises:
        UserError: If the folder is no export, or its files are damaged.
    """

    def __init__(self, folder: str | os.PathLike, options: ServerOptions) -> None:
        folder = pathlib.Path(folder).resolve()
        self.name = folder.name
        self.info = read_info(folder)
        headers = {b"model-export": self.name}
        headers |= {header: self.info[key] for key, header in _INFO.items() if header is not None}
        self.headers = [(name, _latin(text)) for name, text in headers.items() if text]
        self._scorer = Scorer(
            folder,
            events_dir=options.events_dir,
            batch_size=options.batch_rows,
            cache_bytes=2**20 * options.cache_mib,
        )
        columns = self._scorer.row_spec.columns(
            labels=False, histories=self._scorer.reads_histories
        )
        self._columns = frozenset(columns)
        self._warm_up()

    def score(self, requests: Sequence[ScoreRequest]) -> list[dict[str, Any] | Exception]:
        """Scores requests: one for candidates, or several for rows.

        Args:
            requests: Sequence of `ScoreRequest`. Several only if all of them join.

        Returns:
            For each request its answer as JSON: `scores`, a dictionary from label to the list of
            probabilities; `unknown_ids`, the number of ids that the model does not know by column,
            and `unread_columns`, the first 20 names of columns that it does not read, each only if
            there are any. Or the `UserError` that tells the mistake in it, or a
            `FloatingPointError` where one of its own probabilities is no number.
        """
        first = requests[0]
        if first.joins:
            found = self._scorer.score_requests([request.rows for request in requests])
        else:
            try:
                found = [self._scorer.score_candidates(first.user, first.candidates)]
            except UserError as error:
                found = [error]
        return [
            scores if isinstance(scores, UserError) else self._answer(request, scores)
            for request, scores in zip(requests, found, strict=True)
        ]

    def _answer(self, request: ScoreRequest, scores: Scores) -> dict[str, Any] | FloatingPointError:
        for label, values in scores.items():
            if not np.isfinite(values).all():
                # Returned, not raised: requests that were joined have scores of their own.
                return FloatingPointError(f"the probabilities of `{label}` must be finite")
        answer: dict[str, Any] = {
            "scores": {label: values.tolist() for label, values in scores.items()}
        }
        if scores.unknown:
            answer["unknown_ids"] = scores.unknown
        unread = request.columns - self._columns
        if unread:
            names = heapq.nsmallest(_MOST_UNREAD, unread)
            answer["unread_columns"] = [name[:_LONGEST] for name in names]
        return answer

    def describe(self) -> dict[str, Any]:
        """Returns what a client must know, as JSON: the labels and the columns of requests."""
        spec = self._scorer.row_spec
        return {
            "export": self.name,
            **self.info,
            "labels": [label.name for label in spec.labels],
            "request_time": spec.request_time,
            "time_unit": spec.time_unit or "second",
            "columns": columns_of(spec, self._scorer.reads_histories),
        }

    def _warm_up(self):
        spec, histories = self._scorer.row_spec, self._scorer.reads_histories
        row = example_row(spec, histories)
        for result in self._scorer.score_requests([[row]]):
            if isinstance(result, UserError):
                raise result
        of_item = [name for name, column in columns_of(spec, histories).items()
                   if column["role"] == "item"]  # fmt: skip
        if of_item:
            candidate = {name: row.pop(name) for name in of_item}
            self._scorer.score_candidates(row, [candidate])


def read_info(folder: str | os.PathLike) -> dict[str, str | None]:
    """Returns what `export.json` of an export tells; `None` for what it does not.

    Exports of earlier versions have no such file.

    Args:
        folder: The export.

    Example:

    >>> read_info("no such folder")["run_id"] is None
    True
    """
    try:
        document = json.loads(pathlib.Path(folder, INFO_FILE).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        document = {}
    document = document if isinstance(document, dict) else {}
    return {key: document[key] if isinstance(document.get(key), str) else None for key in _INFO}


def columns_of(spec: FeatureSpec, histories: bool = True) -> dict[str, dict[str, Any]]:
    """Returns the columns of requests: for each its kind, its role, and what it is of.

    Args:
        spec: `FeatureSpec`.
        histories: Boolean. Whether the model reads them. Defaults to `True`.

    Returns:
        Dictionary from column to a dictionary of `kind` and `role`. The role is `"item"` for the
        columns that candidates have, and not the user; those of histories have `sequence` and
        `max_length` as well.
    """
    found = {}
    for sequence in spec.sequences if histories else ():
        more = {"role": "user", "sequence": sequence.name, "max_length": sequence.max_length}
        if sequence.events is not None:
            found[sequence.events.user] = {"kind": "id", **more}
            found[sequence.events.count] = {"kind": "count", **more}
            continue
        for field in sequence.fields:
            kind = spec.resolved_field(sequence, field).kind
            found[field.data_column] = {"kind": f"list of {kind}", **more}
            if field.weights is not None:
                found[field.weights] = {"kind": "list of weights", **more}
    # What a user's features read is the user's, whatever else reads it.
    for feature in sorted(spec.features, key=lambda feature: feature.role != "user"):
        if feature.kind != "cross":
            column = {"kind": feature.kind, "role": feature.role}
            found.setdefault(feature.data_column, column)
            if feature.weights is not None:
                found.setdefault(feature.weights, {**column, "kind": "weights"})
    if spec.group is not None:
        found.setdefault(spec.group, {"kind": "id", "role": "user"})
    if spec.request_time is not None:
        found[spec.request_time] = {"kind": "time", "role": "user"}
    return {name: found[name] for name in spec.columns(labels=False, histories=histories)}


def example_row(spec: FeatureSpec, histories: bool = True) -> dict[str, Any]:
    """Returns a row without values, but for those that must be given.

    A number is the one that its transform makes 0, and an id the first of the vocabulary. Numbers
    are given even where they have a default: a transform may refuse it. A number that is an id as
    well is whole.

    Args:
        spec: `FeatureSpec`.
        histories: Boolean. Whether sequences are read. Defaults to `True`.
    """
    row: dict[str, Any] = dict.fromkeys(spec.columns(labels=False, histories=histories))
    ids = spec.id_columns()
    # Numbers first: an id that must be known replaces one.
    for feature in sorted(spec.features, key=lambda feature: feature.kind != "numeric"):
        if feature.kind == "numeric":
            statistics = spec.assets.statistics.get(feature.key)
            encoder = NumberEncoder(feature.name, feature.transform, statistics)
            number = encoder.decode(0.0)
            # Upwards, since `log1p` refuses -1.
            row[feature.data_column] = math.ceil(number) if feature.data_column in ids else number
        if feature.kind == "categorical" and feature.default is None:
            if feature.lookup.unknown_id == REFUSED_ID:
                row[feature.data_column] = next(iter(spec.vocabulary(feature) or (0,)))
        if feature.kind == "vector":
            row[feature.data_column] = [0.0] * feature.size
    for sequence in spec.sequences if histories else ():
        if sequence.events is not None:
            row[sequence.events.count] = 0
    return row


def _latin(text):
    """A text as the value of a header, which must be of one line."""
    return re.sub(r"[^\x21-\x7e]+", "-", text)[:_LONGEST].encode("ascii")

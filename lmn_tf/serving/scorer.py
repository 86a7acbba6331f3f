"""Scorer of raw rows with an exported model."""

import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.arrow_values import one_chunk
from lmn_tf.data.encoding.id_keys import as_keys
from lmn_tf.data.encoding.ragged import Ragged
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.reading.event_store import EventStore
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.serving.candidate_rows import candidate_tables, user_table
from lmn_tf.serving.histories_in_rows import with_histories_in_rows
from lmn_tf.serving.request_functions import CANDIDATES
from lmn_tf.serving.request_rows import as_table
from lmn_tf.serving.saved_model import MODEL_FOLDER, PADDED, WINDOWS, input_name, load
from lmn_tf.serving.user_cache import UserCache
from lmn_tf.serving.user_encoder import EncodedUser, UserEncoder
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.spec_folder import load_spec

_OF_CANDIDATES = ("item", "context", "cross")


class Scores(dict):
    """Probabilities of the rows of a request by label, each float32 of shape `(rows,)`.

    Args:
        probabilities: Mapping from label to array.
        unknown: Mapping from column to the number of ids in the request that the model does not
            know, where there are any. Rows with such ids get the score of the unknown id. Missing
            values are not counted, nor are events that are read by reference or beyond the
            `max_length` of the spec. Hashes know every id. Defaults to `()`: none.

    Attributes:
        unknown: Dictionary, as given.

    Example:

    >>> Scores({"click": np.array([0.31])}, {"item_id": 1}).unknown
    {'item_id': 1}
    """

    def __init__(
        self, probabilities: Mapping[str, np.ndarray], unknown: Mapping[str, int] | tuple = ()
    ) -> None:
        super().__init__(probabilities)
        self.unknown = dict(unknown)


class Scorer:
    """Computes click probabilities of raw rows, which are encoded by the same code as in training.

    Rows of one user that stand together share the events of their histories: what the model makes
    of an event alone is computed once. So keep the rows of a user together, or pass one user and
    many candidates to `score_candidates`, which also reads and encodes the history only once.

    What a model computes of a user before it sees any candidate can be kept between requests, by
    the caller (`encode_user`, `score_encoded`) or here: with `cache_bytes`, the users of the last
    requests are kept. A request tells all about its user, and what is kept is used for equal values
    alone, so nothing outdated is ever used. Where only events were appended, they are encoded, and
    the others are not: neither embedded nor, for a memory, searched again. Pools and recurrences
    over all events, and what depends on the time that has passed since, are computed again.

    A SavedModel is a program: TensorFlow runs its graph, which may read, write and send files as
    the user who scores. Load only exports from sources that you trust. The feature spec of an
    export cannot name files outside of its folder.

    Args:
        export_dir: Folder that `lmn-tf export` wrote.
        events_dir: Folder of the event files, for rows (not files) of a spec whose histories are
            read by reference. Defaults to `None`: rows have these histories as lists, the events'
            column `COLUMN` of the sequence `SEQUENCE` as `SEQUENCE__COLUMN`.
        batch_size: Rows of a batch. Defaults to `4096`.
        cache_bytes: Integer. How much may be kept of users, in bytes; those whose last request is
            the oldest make room. Defaults to `0`: nothing.

    Attributes:
        spec: `FeatureSpec` of the export, by which files are read.
        row_spec: `FeatureSpec` by which rows are read.
        reads_histories: Boolean. Whether the model reads histories, so that rows must have them.

    Raises:
        UserError: When `export_dir` is no export, or `cache_bytes` is negative.

    Example:

    >>> scorer = Scorer("exports/quickstart")  # doctest: +SKIP
    >>> scorer.score([{"user_id": 7, "item_id": 3, "history_item_id": [1, 2]}])  # doctest: +SKIP
    {'click': array([0.31], dtype=float32)}
    """

    def __init__(
        self,
        export_dir: str | os.PathLike,
        events_dir: str | os.PathLike | None = None,
        batch_size: int = 4096,
        cache_bytes: int = 0,
    ) -> None:
        if cache_bytes < 0:
            raise UserError(f"`cache_bytes` must be 0 or more. Received: cache_bytes={cache_bytes}")
        folder = pathlib.Path(export_dir)
        if not (folder / MODEL_FOLDER / "saved_model.pb").exists():
            raise UserError(
                f"`export_dir` must be a folder that `lmn-tf export` wrote. Received: {folder}"
            )
        self.spec = load_spec(folder)
        self.batch_size = batch_size
        self.events_dir = events_dir
        self.row_spec = with_histories_in_rows(self.spec) if events_dir is None else self.spec
        # The loaded model must live as long as its function: it owns the variables.
        self._model = load(folder / MODEL_FOLDER)
        signatures = self._model.signatures
        # Exports of earlier versions take histories in their padded form alone.
        self._pads = WINDOWS not in signatures
        self._serve = signatures[PADDED if self._pads else WINDOWS]
        self._inputs = set(self._serve.structured_input_signature[1])
        # A model that reads no histories was exported without these inputs.
        part = "mask" if self._pads else "length"
        self.reads_histories = any(
            input_name(f"{sequence.name}/{part}") in self._inputs
            for sequence in self.spec.sequences
        )
        self._users = None
        if CANDIDATES in signatures:
            names = [sequence.name for sequence in self.spec.sequences]
            self._users = UserEncoder(signatures, names)
        self._cache = UserCache(cache_bytes)

    def score(self, rows: Any) -> dict[str, np.ndarray]:
        """Scores rows.

        Args:
            rows: A list of dicts, a dict of columns, a `pyarrow.Table`, or the glob of data
                files. Columns are those of the feature spec; labels are not needed, nor histories
                where the model reads none. Each dict has every column, None where there is no
                value; further columns are ignored.

        Returns:
            For each label its probabilities: float32, shape `(rows,)`, in the order of the rows.

        Raises:
            UserError: When a column is missing (in any row), or a value breaks a rule of the spec.
        """
        if isinstance(rows, str | os.PathLike):
            batches = make_dataset(
                self.spec,
                rows,
                batch_size=self.batch_size,
                labels=False,
                histories=self.reads_histories,
            )
        else:
            batches = self._encode(self._table(rows))
        return self._score(batches)

    def score_requests(self, requests: Sequence[Any]) -> list[Scores | UserError]:
        """Scores the rows of several requests together, as fast as those of one.

        Args:
            requests: Sequence. The rows of each request in one of the forms of `score`, except for
                files.

        Returns:
            For each request its `Scores`; or the `UserError`, where its columns or values have a
            mistake. It does not change the scores of others.

        Example:

        >>> scorer.score_requests([[{"item_id": 3}], [{"item": 3}]])  # doctest: +SKIP
        [{'click': array([0.31], dtype=float32)}, UserError("`rows` must have the column ...")]
        """
        blocks, places, count = [], [], 0
        for rows in requests:
            unknown: dict[str, int] = {}
            try:
                table = self._table(rows)
                if table.num_rows:
                    blocks.append(self._encoder.encode(table, "rows", 0, unknown))
                places.append((slice(count, count + table.num_rows), unknown))
                count += table.num_rows
            except UserError as error:
                places.append(error)
        batches = _batches(RowBlock.join(blocks), count, self.batch_size) if blocks else []
        scores = self._score(batches)
        return [
            place
            if isinstance(place, UserError)
            else Scores({label: scores[label][place[0]] for label in scores}, place[1])
            for place in places
        ]

    def score_candidates(self, user: Any, candidates: Any) -> Scores:
        """Scores many candidates for one user.

        The scores are those of `score` for rows that repeat the user's columns, but the history is
        read and encoded once, and rows share its events.

        Args:
            user: Dictionary of a row: the user's columns, those of the histories, the request time,
                and any others that the candidates have in common.
            candidates: A list of dicts, a dict of columns or a `pyarrow.Table` with all other
                columns of the feature spec. Further columns are ignored.

        Returns:
            `Scores`, in the order of the candidates. A value of the user counts once, however many
            candidates share it.

        Raises:
            UserError: When a column is missing, given on both sides or on the wrong one, or a value
                breaks a rule of the spec.

        Example:

        >>> user = {"user_id": 7, "history_item_id": [1, 2]}
        >>> scorer.score_candidates(user, [{"item_id": 3}, {"item_id": 4}])  # doctest: +SKIP
        {'click': array([0.31, 0.12], dtype=float32)}
        """
        if isinstance(candidates, list) and not candidates:
            return Scores(self._score([]))
        rows, one = candidate_tables(user, candidates, self.row_spec, self.reads_histories)
        if not rows.num_rows:
            return Scores(self._score([]))
        of_user: dict[str, int] = {}
        of_rows: dict[str, int] = {}
        if self._users is None:
            scores = self._score(self._encode_candidates(rows, one, of_user, of_rows))
        else:
            encoded = self._encoded(user, one, of_user)
            scores = self._score_rows(encoded, rows, of_rows)
        for column in of_rows.keys() & user.keys():  # repeated in each row
            of_rows[column] //= rows.num_rows
        return Scores(scores, of_user | of_rows)

    def encode_user(self, user: Any) -> EncodedUser:
        """Computes what the model makes of a user before it sees any candidate.

        Args:
            user: Dictionary of a row, as of `score_candidates`.

        Returns:
            `EncodedUser`, for `score_encoded`. It is of this request: of these events, seen from
            this time.

        Raises:
            UserError: When a column is missing or a value breaks a rule of the spec, or when the
                export lacks the function.
        """
        self._check_encodes()
        return self._encoded(user, user_table(user, self.row_spec))

    def score_encoded(self, user: EncodedUser, candidates: Any) -> dict[str, np.ndarray]:
        """Scores many candidates for an encoded user.

        Args:
            user: What `encode_user` returned.
            candidates: As of `score_candidates`.

        Returns:
            As `score_candidates`.

        Raises:
            UserError: As `score_candidates`.

        Example:

        >>> user = scorer.encode_user({"user_id": 7, "history_item_id": [1]})  # doctest: +SKIP
        >>> scorer.score_encoded(user, [{"item_id": 3}, {"item_id": 4}])  # doctest: +SKIP
        {'click': array([0.31, 0.12], dtype=float32)}
        """
        self._check_encodes()
        if isinstance(candidates, list) and not candidates:
            return self._score([])
        rows, _ = candidate_tables(user.row, candidates, self.row_spec, histories=False)
        return self._score_rows(user, rows)

    def _check_encodes(self):
        if self._users is None:
            raise UserError(
                "`export_dir` must hold the export of a model that reads histories, made by this "
                f"version. Received: an export without the signature `{CANDIDATES}`"
            )

    def _encoded(self, user, table, unknown=None):
        """Returns the encoded user of a table of one row, with the help of the cache."""
        block = self._encoder.encode_features(table, "user", 0, ("user",), unknown)
        block.sequences = self._encoder.encode_histories(table, "user", unknown)
        columns = RowBlock.join([block]).batch(np.arange(1))[0]
        for sequence in self.spec.sequences:
            for key in ("first", "length"):
                del columns[f"{sequence.name}/{key}"]
        key = self._key(table, block.features)
        known = self._cache.get(key)
        encoded = None if known is None else self._users.renew(known, columns)
        if encoded is None:
            encoded = self._users.encode(columns)
        names = self.row_spec.columns(labels=False, histories=False)
        row = {name: user[name] for name in names if name in user}
        encoded = dataclasses.replace(encoded, row=row)
        if self._cache.max_bytes:
            self._cache.put(key, encoded)
        return encoded

    def _key(self, table, features):
        """What tells users apart; that more than one has the same key only costs time."""
        names = [sequence.events.user for sequence in self.row_spec.sequences if sequence.events]
        names = [name for name in (self.row_spec.group, *names) if name in table.column_names]
        raw = tuple(
            as_keys(one_chunk(table.column(name)), SourceLocation.of_rows("user", name, 0))[
                0
            ].as_py()
            for name in names
        )
        ids = (part.values if isinstance(part, Ragged) else part for part in features.values())
        return (raw, *(part.tobytes() for part in ids))

    def _score_rows(self, user, rows, unknown=None):
        """Scores the rows of candidates for an encoded user."""
        block = self._encoder.encode_features(rows, "candidates", 0, _OF_CANDIDATES, unknown)
        batches = _batches(RowBlock.join([block]), rows.num_rows, self.batch_size)
        return self._joined(self._users.score(user, features) for features in batches)

    def _score(self, batches):
        return self._joined(map(self._served, batches))

    def _served(self, features):
        if self._pads:
            features = self._padding.padded(features)
        inputs = {input_name(key): value for key, value in features.items()}
        return self._serve(**{key: tf.convert_to_tensor(inputs[key]) for key in self._inputs})

    def _joined(self, batches):
        """Returns the probabilities of each label, of the outputs of all batches."""
        names = [label.name for label in self.spec.labels]
        scores = {name: [np.empty(0, np.float32)] for name in names}
        for outputs in batches:
            for name in names:
                scores[name].append(outputs[name].numpy())
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    def _table(self, rows):
        columns = self.row_spec.columns(labels=False, histories=self.reads_histories)
        return as_table(rows, columns, self.row_spec.id_columns())

    def _encode(self, table: pa.Table):
        for start in range(0, table.num_rows, self.batch_size):
            piece = table.slice(start, self.batch_size)
            block = RowBlock.join([self._encoder.encode(piece, "rows", start)])
            yield from _batches(block, piece.num_rows, self.batch_size)

    def _encode_candidates(self, rows: pa.Table, user: pa.Table, of_user: dict, of_rows: dict):
        block = self._encoder.encode_features(rows, "candidates", 0, unknown=of_rows)
        block.sequences = self._encoder.encode_histories(user, "user", of_user)
        block = RowBlock.join([block])
        for name, history in block.sequences.items():
            block.sequences[name] = history.repeated(rows.num_rows)
        yield from _batches(block, rows.num_rows, self.batch_size)

    @functools.cached_property
    def _encoder(self):
        return TableEncoder(
            self.row_spec, self._stores(), labels=False, histories=self.reads_histories
        )

    @functools.cached_property
    def _padding(self):
        return WindowBatches.from_spec(self.spec)

    def _stores(self) -> dict:
        return {
            sequence.name: EventStore(self.row_spec, sequence, str(self.events_dir))
            for sequence in (self.row_spec.sequences if self.reads_histories else ())
            if sequence.events is not None
        }


def _batches(block, count, size):
    """Yields the features of the rows of a joined block, at most `size` at once."""
    for start in range(0, count, size):
        yield block.batch(np.arange(start, min(start + size, count)))[0]

"""Scorer of raw rows with an exported model."""

import functools
import os
import pathlib
from typing import Any

import numpy as np
import pyarrow as pa
import tensorflow as tf

from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.row_block import RowBlock
from lmn_tf.data.encoding.table_encoder import TableEncoder
from lmn_tf.data.reading.event_store import EventStore
from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.serving.candidate_rows import candidate_tables
from lmn_tf.serving.request_rows import as_table
from lmn_tf.serving.saved_model import MODEL_FOLDER, PADDED, WINDOWS, input_name, load
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.spec_folder import load_spec


class Scorer:
    """Computes click probabilities of raw rows, which are encoded by the same code as in training.

    Rows of one user that stand together share the events of their histories: what the model makes
    of an event alone is computed once. So keep the rows of a user together, or pass one user and
    many candidates to `score_candidates`, which also reads and encodes the history only once.

    A SavedModel is a program: TensorFlow runs its graph, which may read, write and send files as
    the user who scores. Load only exports from sources that you trust. The feature spec of an
    export cannot name files outside of its folder.

    Args:
        export_dir: Folder that `lmn-tf export` wrote.
        events_dir: Folder of the event files, for rows (not files) of a spec whose histories are
            read by reference. Defaults to `None`.
        batch_size: Rows of a batch. Defaults to `4096`.

    Raises:
        UserError: When `export_dir` is no export.

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
    ) -> None:
        folder = pathlib.Path(export_dir)
        if not (folder / MODEL_FOLDER / "saved_model.pb").exists():
            raise UserError(
                f"`export_dir` must be a folder that `lmn-tf export` wrote. Received: {folder}"
            )
        self.spec = load_spec(folder)
        self.batch_size = batch_size
        self.events_dir = events_dir
        # The loaded model must live as long as its function: it owns the variables.
        self._model = load(folder / MODEL_FOLDER)
        signatures = self._model.signatures
        # Exports of earlier versions take histories in their padded form alone.
        self._pads = WINDOWS not in signatures
        self._serve = signatures[PADDED if self._pads else WINDOWS]
        self._inputs = set(self._serve.structured_input_signature[1])
        # A model that reads no histories was exported without these inputs.
        part = "mask" if self._pads else "length"
        self._histories = any(
            input_name(f"{sequence.name}/{part}") in self._inputs
            for sequence in self.spec.sequences
        )

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
                histories=self._histories,
            )
        else:
            columns = self.spec.columns(labels=False, histories=self._histories)
            batches = self._encode(as_table(rows, columns, self.spec.id_columns()))
        return self._score(batches)

    def score_candidates(self, user: Any, candidates: Any) -> dict[str, np.ndarray]:
        """Scores many candidates for one user.

        The scores are those of `score` for rows that repeat the user's columns, but the history is
        read and encoded once, and rows share its events.

        Args:
            user: Dictionary of a row: the user's columns, those of the histories, the request time,
                and any others that the candidates have in common.
            candidates: A list of dicts, a dict of columns or a `pyarrow.Table` with all other
                columns of the feature spec. Further columns are ignored.

        Returns:
            For each label its probabilities: float32, shape `(candidates,)`, in their order.

        Raises:
            UserError: When a column is missing, given on both sides or on the wrong one, or a value
                breaks a rule of the spec.

        Example:

        >>> user = {"user_id": 7, "history_item_id": [1, 2]}
        >>> scorer.score_candidates(user, [{"item_id": 3}, {"item_id": 4}])  # doctest: +SKIP
        {'click': array([0.31, 0.12], dtype=float32)}
        """
        if isinstance(candidates, list) and not candidates:
            return self._score([])
        tables = candidate_tables(user, candidates, self.spec, self._histories)
        return self._score(self._encode_candidates(*tables))

    def _score(self, batches):
        names = [label.name for label in self.spec.labels]
        scores = {name: [np.empty(0, np.float32)] for name in names}
        for features in batches:
            if self._pads:
                features = self._padding.padded(features)
            inputs = {input_name(key): value for key, value in features.items()}
            outputs = self._serve(
                **{key: tf.convert_to_tensor(inputs[key]) for key in self._inputs}
            )
            for name in names:
                scores[name].append(outputs[name].numpy())
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    def _encode(self, table: pa.Table):
        for start in range(0, table.num_rows, self.batch_size):
            piece = table.slice(start, self.batch_size)
            block = RowBlock.join([self._encoder.encode(piece, "rows", start)])
            yield block.batch(np.arange(piece.num_rows))[0]

    def _encode_candidates(self, rows: pa.Table, user: pa.Table):
        if not rows.num_rows:
            return
        block = self._encoder.encode_features(rows, "candidates", 0)
        block.sequences = self._encoder.encode_histories(user, "user")
        block = RowBlock.join([block])
        for name, history in block.sequences.items():
            block.sequences[name] = history.repeated(rows.num_rows)
        for start in range(0, rows.num_rows, self.batch_size):
            yield block.batch(np.arange(start, min(start + self.batch_size, rows.num_rows)))[0]

    @functools.cached_property
    def _encoder(self):
        return TableEncoder(self.spec, self._stores(), labels=False, histories=self._histories)

    @functools.cached_property
    def _padding(self):
        return WindowBatches.from_spec(self.spec)

    def _stores(self) -> dict:
        sequences = self.spec.sequences if self._histories else ()
        sequences = [sequence for sequence in sequences if sequence.events is not None]
        if sequences and self.events_dir is None:
            raise UserError(
                f"`events_dir` must be given: the history `{sequences[0].name}` is read by "
                "reference from an event file."
            )
        return {
            sequence.name: EventStore(self.spec, sequence, str(self.events_dir))
            for sequence in sequences
        }

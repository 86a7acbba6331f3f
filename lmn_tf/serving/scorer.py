"""Scorer of raw rows with an exported model."""

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
from lmn_tf.serving.request_rows import as_table
from lmn_tf.serving.saved_model import MODEL_FOLDER, input_name, load
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.spec_folder import load_spec


class Scorer:
    """Computes click probabilities of raw rows, which are encoded by the same code as in training.

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
        self._serve = self._model.signatures["serving_default"]
        self._inputs = set(self._serve.structured_input_signature[1])
        # A model that reads no histories was exported without these inputs.
        self._histories = any(
            input_name(f"{sequence.name}/mask") in self._inputs for sequence in self.spec.sequences
        )
        self._encoder = None

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
        names = [label.name for label in self.spec.labels]
        scores = {name: [np.empty(0, np.float32)] for name in names}
        for features in batches:
            inputs = {input_name(key): value for key, value in features.items()}
            outputs = self._serve(
                **{key: tf.convert_to_tensor(inputs[key]) for key in self._inputs}
            )
            for name in names:
                scores[name].append(outputs[name].numpy())
        return {name: np.concatenate(parts) for name, parts in scores.items()}

    def _encode(self, table: pa.Table):
        if self._encoder is None:
            self._encoder = TableEncoder(
                self.spec, self._stores(), labels=False, histories=self._histories
            )
        for start in range(0, table.num_rows, self.batch_size):
            piece = table.slice(start, self.batch_size)
            block = RowBlock.join([self._encoder.encode(piece, "rows", start)])
            yield block.batch(np.arange(piece.num_rows))[0]

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

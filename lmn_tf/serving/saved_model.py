"""Export of a trained model as a SavedModel, with a parity check."""

import contextlib
import logging
import math
import os
import pathlib
import tempfile
from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf import atomic_files
from lmn_tf.data.dataset import make_dataset
from lmn_tf.distribute.tables.placement import standing_in
from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.ops.compile import plain_kernels
from lmn_tf.serving.export_info import INFO, ExportInfo
from lmn_tf.serving.parity import ExportError
from lmn_tf.serving.quantization_loss import check_loss
from lmn_tf.serving.quantized_table import QuantizedTable, quantized_tables
from lmn_tf.serving.raw.raw_encoder import RawEncoder
from lmn_tf.serving.raw.raw_functions import raw_functions
from lmn_tf.serving.request_functions import input_name, request_functions
from lmn_tf.serving.signature_parity import (
    PADDED,
    ROWS_AT_A_TIME,
    WINDOWS,
    compare_signatures,
    served_probabilities,
)
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import write_spec

MODEL_FOLDER = "saved_model"
REPORT_FILE = "parity.json"


def export(
    model: keras.Model,
    spec: FeatureSpec,
    output: str | os.PathLike,
    files: str | os.PathLike | list[str],
    rows: int = 1000,
    tolerance: float = 1e-5,
    *,
    values: str = "float32",
    embeddings: str = "float32",
    max_auc_loss: float = 0.0005,
    run_id: str | None = None,
    data_fingerprint: str | None = None,
) -> dict:
    """Exports a model as a SavedModel, reloads it and compares both on real rows.

    The folder gets `saved_model/`, the resolved `feature_spec.yaml` with `vocabularies/` and
    `statistics.json`, `fingerprints.json`, `export.json` and `parity.json`. Each variable is stored
    once, which is checked by size. The folder appears only when the reloaded model agrees;
    otherwise nothing is left behind.

    The SavedModel has the signature `serving_default`: one input for each encoded feature of the
    spec that the model reads, `/` in its name written `__`; for each label a probability and a
    logit, `LABEL` and `LABEL_logit`. Histories are padded, with a mask. A model that reads
    histories also has `serving_windows`, which takes them as `make_dataset` yields them: events,
    which rows may share, and the windows of the rows into them. Its outputs are the same.

    `serving_raw` takes the columns of the data as they are and encodes them within the graph, with
    the ids and numbers of the input pipeline, so that a server needs nothing of this package; for
    its inputs, see `lmn_tf.serving.raw.inputs`. `score_candidates` does so for one user and many
    candidates, and `encode_raw` returns what the columns of rows are encoded as.

    Three more signatures of such a model score many candidates of one user, and let a server keep
    what does not depend on the candidates. `encode_events` takes user features, `(1, ...)`, and
    events of the user, `(events, ...)`, and computes what depends on each event and the user alone,
    `SEQUENCE__kept_0`, ...; for a memory, that includes what events read. So what it returned for
    some events stays as it is when others are appended or the oldest are dropped. `encode_user`
    takes the same columns, fields that depend on the time of the request, and what `encode_events`
    returned for all events; it computes the rest of what depends on the user, `state_0`, ... (pools
    and recurrences). `score_encoded` takes that and the features of the candidates.

    `export_info` takes nothing and returns the texts of `export.json`: model, run and data.

    Tables may be stored in fewer bits, see `QuantizedTable`. The export is then compared with the
    model that reads the same tables, and what both lose is measured: by how much probabilities
    and the AUC differ from those of the model as it was trained, on the same rows.

    A SavedModel is a program: whoever loads one, with `tf.saved_model.load` or `Scorer`, runs its
    graph, which may read, write and send files. Load only what comes from whom you trust.

    Args:
        model: A trained model of this package.
        spec: Its `FeatureSpec`, with its assets learned.
        output: Folder to make; it must not exist, or be empty.
        files: Glob or list of data files to compare on. Labels are not needed, except where tables
            are stored in fewer bits.
        rows: Rows to compare on, the first ones. Defaults to `1000`.
        tolerance: Largest difference of two probabilities that counts as none; see
            `lmn_tf.serving.parity`. Defaults to `1e-5`.
        values: How the values of memories are stored: `"float32"`, `"bfloat16"` or `"int8"`.
            Defaults to `"float32"`.
        embeddings: As `values`, for embedding tables of more than 128 rows. Defaults to
            `"float32"`.
        max_auc_loss: Largest loss of the AUC of any label that fewer bits may cost. Defaults to
            `0.0005`.
        run_id: String. The run that trained the model, for `export.json`. Defaults to `None`.
        data_fingerprint: String. Digest of its data, for `export.json`. Defaults to `None`.

    Returns:
        The content of `parity.json`.

    Raises:
        UserError: When `output` is taken, tables of the model are split over devices, the spec
            gives other ids than those the model was built with, or the model has no table of a
            kind that is to be stored in fewer bits.
        ExportError: When the reloaded model scores differently, variables are stored twice, or
            fewer bits cost too much.
    """
    output = pathlib.Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"`OUT_DIR` must be a new or empty folder. Received: {output}")
    if any(isinstance(variable, RowWiseTable) for variable in model.variables):
        raise UserError(
            "`model` must be one that lies on one device: save it, and load it outside of the "
            "strategy's scope. Received: a model with row-wise tables on several devices"
        )
    model.check_ids(spec)
    tables = quantized_tables(model, values, embeddings)
    info = ExportInfo.of(
        model,
        run_id=run_id,
        data_fingerprint=data_fingerprint,
        values=values,
        embeddings=embeddings,
    )
    with atomic_files.atomic_folder(output) as partial:
        write_spec(spec, partial)
        info.write(partial)
        save(model, partial / MODEL_FOLDER, spec, tables, info)
        loaded = load(partial / MODEL_FOLDER)
        report = check_size(model, partial / MODEL_FOLDER, tables)
        with standing_in(tables):
            signatures = compare_signatures(model, loaded, spec, files, rows, tolerance)
        report |= {
            "rows": signatures[PADDED]["rows"],
            "tolerance": tolerance,
            "largest_difference": max(
                figures.get("largest_difference", 0) for figures in signatures.values()
            ),
            "signatures": signatures,
        }
        if tables:
            report["quantization"] = {"values": values, "embeddings": embeddings}
            report["quantization"] |= _loss(model, loaded, spec, files, rows, max_auc_loss)
        report["tensorflow"] = tf.__version__
        atomic_files.write_json(partial / REPORT_FILE, report)
    return report


def _loss(model, loaded, spec, files, rows, max_auc_loss):
    dataset = make_dataset(
        spec, files, batch_size=ROWS_AT_A_TIME, limit=rows, histories=model.reads_histories
    )
    signature = WINDOWS if WINDOWS in loaded.signatures else PADDED
    served = served_probabilities(model, loaded, signature)
    return check_loss(model, served, dataset, max_auc_loss)


def save(
    model: keras.Model,
    folder: str | os.PathLike,
    spec: FeatureSpec | None = None,
    tables: Mapping[int, QuantizedTable] | None = None,
    info: ExportInfo | None = None,
) -> None:
    """Writes the SavedModel.

    Keras' own `model.export` tracks each variable under two names, so a table of 2 GB would take
    4 GB on disk and in the server's memory. Here a plain module holds each variable once.

    Args:
        model: A built model of this package.
        folder: Where to write.
        spec: Its `FeatureSpec`, with its assets learned, by which raw columns are encoded.
            Defaults to `None`: no signature takes them.
        tables: What `quantized_tables` returned for the model. Defaults to `None`: all variables
            are stored as they are.
        info: What the signature `export_info` tells. Defaults to `None`: there is none.
    """
    tables = tables or {}
    module = tf.Module()
    module.model_variables = _stored_variables(model, tables)
    with (
        plain_kernels(),
        standing_in(tables),
        _folded_keys(model),
        tempfile.TemporaryDirectory() as vocabularies,
    ):
        traced = {name: _traced(model, inputs) for name, inputs in _signatures(model).items()}
        rows = traced.get(WINDOWS, traced[PADDED])
        requests = request_functions(model, lambda features: _scores(model, features))
        traced |= requests
        if spec is not None:
            encoder = RawEncoder(spec, vocabularies, model.reads_histories)
            module.tables = encoder.tables
            traced |= raw_functions(encoder, model.encoder.request_signature(), rows, requests)
        if info is not None:
            traced[INFO] = info.function()
        # No gradients: an export is for scoring.
        options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
        tf.saved_model.save(module, str(folder), signatures=traced, options=options)


def _signatures(model):
    """Returns the features that each signature takes."""
    signatures = {PADDED: model.encoder.signature()}
    if model.reads_histories:
        signatures[WINDOWS] = model.encoder.signature(padded=False)
    return signatures


def _traced(model, signature):
    """Returns the function from the inputs of a signature to its outputs."""
    names = {input_name(key): key for key in signature}

    @tf.function(autograph=False)
    def serve(**inputs):
        return _scores(model, {names[name]: value for name, value in inputs.items()})

    inputs = {
        input_name(key): tf.TensorSpec(tensor_spec.shape, tensor_spec.dtype, input_name(key))
        for key, tensor_spec in signature.items()
    }
    return serve.get_concrete_function(**inputs)


def _scores(model, features):
    """Returns a probability and a logit of each label."""
    logits = tf.cast(model(features, training=False), tf.float32)
    outputs = {}
    for index, label in enumerate(model.spec.labels):
        outputs[label.name] = tf.sigmoid(logits[:, index])
        outputs[f"{label.name}_logit"] = logits[:, index]
    return outputs


@contextlib.contextmanager
def _folded_keys(model):
    """Folds over-parameterized keys into constants of functions traced in the block."""
    with contextlib.ExitStack() as stack:
        for layer in all_layers(model):
            if isinstance(layer, SparseMemory):
                stack.enter_context(layer.folded())
        yield


def load(folder: str | os.PathLike) -> Any:
    """Loads a SavedModel for scoring.

    TensorFlow warns that gradients of the model's custom ops were not saved; an export is for
    scoring, so the warnings are turned off while it loads.

    Args:
        folder: The SavedModel.

    Returns:
        The loaded object, which owns the variables; its functions are in `signatures`.
    """
    logger = logging.getLogger("absl")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        return tf.saved_model.load(str(folder))
    finally:
        logger.setLevel(before)


def check_size(
    model: keras.Model,
    folder: str | os.PathLike,
    tables: Mapping[int, QuantizedTable] | None = None,
) -> dict:
    """Checks that a SavedModel stores each variable once.

    Args:
        model: The model that was saved.
        folder: The SavedModel.
        tables: As of `save`. Defaults to `None`.

    Returns:
        Dictionary of `variables`, `variable_bytes` (of the model) and `stored_bytes`.

    Raises:
        ExportError: When the files of the variables hold more than the variables do.
    """
    size = sum(map(_bytes, _stored_variables(model, tables or {})))
    stored = sum(path.stat().st_size for path in pathlib.Path(folder, "variables").iterdir())
    # Names, shapes and checksums take some kilobytes, however small the variables are.
    if stored > 1.05 * size + 1000 * len(model.variables) + 100_000:
        raise ExportError(
            f"the export must store each variable once: {size:,} bytes. Received: {stored:,} bytes"
        )
    whole = sum(_bytes(variable.value) for variable in model.variables)
    return {"variables": len(model.variables), "variable_bytes": whole, "stored_bytes": stored}


def _stored_variables(model, tables):
    """The variables that an export stores: those of a table's stand-in in its place."""
    stored = []
    for variable in model.variables:
        stand_in = tables.get(id(variable))
        stored += [variable.value] if stand_in is None else stand_in.variables
    return stored


def _bytes(variable):
    return math.prod(variable.shape) * variable.dtype.size

"""Export of a trained model as a SavedModel, with a parity check."""

import contextlib
import logging
import os
import pathlib
import tempfile
from collections.abc import Callable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf import atomic_files
from lmn_tf.data.dataset import make_dataset
from lmn_tf.distribute.tables.row_wise_table import RowWiseTable
from lmn_tf.keras_internals import all_layers
from lmn_tf.layers.memory.sparse_memory import SparseMemory
from lmn_tf.ops.compile import plain_kernels
from lmn_tf.serving.parity import ExportError, check_parity, one_user_batches
from lmn_tf.serving.raw.raw_encoder import RawEncoder
from lmn_tf.serving.raw.raw_functions import RAW, raw_functions
from lmn_tf.serving.raw.raw_rows import raw_batches
from lmn_tf.serving.request_functions import (
    CANDIDATES,
    input_name,
    request_functions,
)
from lmn_tf.serving.user_encoder import UserEncoder
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import write_spec

MODEL_FOLDER = "saved_model"
REPORT_FILE = "parity.json"
PADDED = "serving_default"
WINDOWS = "serving_windows"
_BATCH = 512  # rows that are compared at once


def export(
    model: keras.Model,
    spec: FeatureSpec,
    output: str | os.PathLike,
    files: str | os.PathLike | list[str],
    rows: int = 1000,
    tolerance: float = 1e-5,
) -> dict:
    """Exports a model as a SavedModel, reloads it and compares both on real rows.

    The folder gets `saved_model/`, the resolved `feature_spec.yaml` with `vocabularies/` and
    `statistics.json`, `fingerprints.json` and `parity.json`. Each variable is stored once, which
    is checked by size. The folder appears only when the reloaded model agrees; otherwise nothing
    is left behind.

    The SavedModel has the signature `serving_default`: one input for each encoded feature of the
    spec that the model reads, `/` in its name written `__`; for each label a probability and a
    logit, `LABEL` and `LABEL_logit`. Histories are padded, with a mask. A model that reads
    histories also has `serving_windows`, which takes them as `make_dataset` yields them: events,
    which rows may share, and the windows of the rows into them. Its outputs are the same.

    `serving_raw` takes the columns of the data as they are and encodes them within the graph, with
    the ids and numbers of the input pipeline, so that a server needs nothing of this package; for
    its inputs, see `lmn_tf.serving.raw.inputs`. `score_candidates` does so for one user and many
    candidates.

    Three more signatures of such a model score many candidates of one user, and let a server keep
    what does not depend on the candidates. `encode_events` takes user features, `(1, ...)`, and
    events of the user, `(events, ...)`, and computes what depends on each event and the user alone,
    `SEQUENCE__kept_0`, ...; for a memory, that includes what events read. So what it returned for
    some events stays as it is when others are appended or the oldest are dropped. `encode_user`
    takes the same columns, fields that depend on the time of the request, and what `encode_events`
    returned for all events; it computes the rest of what depends on the user, `state_0`, ... (pools
    and recurrences). `score_encoded` takes that and the features of the candidates.

    A SavedModel is a program: whoever loads one, with `tf.saved_model.load` or `Scorer`, runs its
    graph, which may read, write and send files. Load only what comes from whom you trust.

    Args:
        model: A trained model of this package.
        spec: Its `FeatureSpec`, with its assets learned.
        output: Folder to make; it must not exist, or be empty.
        files: Glob or list of data files to compare on; labels are not needed.
        rows: Rows to compare on, the first ones. Defaults to `1000`.
        tolerance: Largest difference of two probabilities that counts as none; see
            `lmn_tf.serving.parity`. Defaults to `1e-5`.

    Returns:
        The content of `parity.json`.

    Raises:
        UserError: When `output` is taken, tables of the model are split over devices, or the spec
            gives other ids than those the model was built with.
        ExportError: When the reloaded model scores differently, or variables are stored twice.
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
    with atomic_files.atomic_folder(output) as partial:
        write_spec(spec, partial)
        save(model, partial / MODEL_FOLDER, spec)
        loaded = load(partial / MODEL_FOLDER)
        dataset = make_dataset(
            spec,
            files,
            batch_size=_BATCH,
            limit=rows,
            labels=False,
            histories=model.reads_histories,
        )
        figures = {
            name: check_parity(
                model,
                served_probabilities(model, loaded, name),
                dataset if name != CANDIDATES else one_user_batches(model, dataset),
                tolerance,
                padded=name == PADDED,
            )
            for name in (PADDED, WINDOWS, CANDIDATES)
            if name in loaded.signatures
        }
        inputs = raw_batches(spec, files, _BATCH, rows, model.reads_histories)
        served = served_probabilities(model, loaded, RAW, inputs)
        figures[RAW] = check_parity(model, served, dataset, tolerance, padded=False)
        report = {
            **check_size(model, partial / MODEL_FOLDER),
            **figures.pop(PADDED),
            **figures,
            "tensorflow": tf.__version__,
        }
        atomic_files.write_json(partial / REPORT_FILE, report)
    return report


def save(model: keras.Model, folder: str | os.PathLike, spec: FeatureSpec | None = None) -> None:
    """Writes the SavedModel.

    Keras' own `model.export` tracks each variable under two names, so a table of 2 GB would take
    4 GB on disk and in the server's memory. Here a plain module holds each variable once.

    Args:
        model: A built model of this package.
        folder: Where to write.
        spec: Its `FeatureSpec`, with its assets learned, by which raw columns are encoded.
            Defaults to `None`: no signature takes them.
    """
    module = tf.Module()
    module.model_variables = [variable.value for variable in model.variables]
    with plain_kernels(), _folded_keys(model), tempfile.TemporaryDirectory() as vocabularies:
        traced = {name: _traced(model, inputs) for name, inputs in _signatures(model).items()}
        rows = traced.get(WINDOWS, traced[PADDED])
        requests = request_functions(model, lambda features: _scores(model, features))
        traced |= requests
        if spec is not None:
            encoder = RawEncoder(spec, vocabularies, model.reads_histories)
            module.tables = encoder.tables
            traced |= raw_functions(encoder, model.encoder.request_signature(), rows, requests)
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

    @tf.function
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


def served_probabilities(
    model: keras.Model,
    loaded: Any,
    signature: str,
    inputs: Iterator[dict[str, np.ndarray]] | None = None,
) -> Callable[[dict[str, tf.Tensor]], np.ndarray]:
    """Returns a function from features to the probabilities that a SavedModel gives.

    Args:
        model: The model that was saved.
        loaded: What `load` returned for it.
        signature: String. Name of a signature that scores. `score_encoded` takes the features of
            many rows of one user, as windows, and what the other two return for that user.
        inputs: Batches of inputs that the signature takes in place of the features. Defaults to
            `None`.
    """
    labels = [label.name for label in model.spec.labels]

    def served(features: dict[str, tf.Tensor]) -> np.ndarray:
        # This holds `loaded`, and it the variables.
        serve = loaded.signatures[signature]
        if inputs is not None:
            outputs = serve(**{name: tf.constant(values) for name, values in next(inputs).items()})
        elif signature == CANDIDATES:
            outputs = _scored_as_one_user(model, loaded.signatures, features)
        else:
            outputs = serve(**{input_name(key): value for key, value in features.items()})
        return tf.stack([outputs[label] for label in labels], axis=1).numpy()

    return served


def _scored_as_one_user(model, signatures, features):
    """Scores rows of one user with what is computed of the user first, and event after event."""
    encoder = UserEncoder(signatures, [sequence.name for sequence in model.spec.sequences])
    columns = model.encoder.request_signature()
    whole = {key: features[key][:1].numpy() for key in columns.user}
    for sequence in model.spec.sequences:
        count = int(features[f"{sequence.name}/length"][0])
        for key in {**columns.events, **columns.pairs}:
            if key.startswith(f"{sequence.name}/"):
                whole[key] = features[key][:count].numpy()
    older = {
        key: values if key in columns.user else values[: len(values) // 2]
        for key, values in whole.items()
    }
    user = encoder.renew(encoder.encode(older), whole)
    return encoder.score(user, {key: features[key] for key in columns.candidates})


def check_size(model: keras.Model, folder: str | os.PathLike) -> dict:
    """Checks that a SavedModel stores each variable once.

    Args:
        model: The model that was saved.
        folder: The SavedModel.

    Returns:
        Dictionary of `variables`, `variable_bytes` and `stored_bytes`.

    Raises:
        ExportError: When the files of the variables hold more than the variables do.
    """
    variables = [np.asarray(variable) for variable in model.variables]
    size = sum(value.nbytes for value in variables)
    stored = sum(path.stat().st_size for path in pathlib.Path(folder, "variables").iterdir())
    # Names, shapes and checksums take some kilobytes, however small the variables are.
    if stored > 1.05 * size + 1000 * len(variables) + 100_000:
        raise ExportError(
            f"the export must store each variable once: {size:,} bytes. Received: {stored:,} bytes"
        )
    return {"variables": len(variables), "variable_bytes": size, "stored_bytes": stored}

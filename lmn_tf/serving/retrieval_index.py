"""Index of a two-tower model: from a user to the names of the best candidates."""

import os
import pathlib
from typing import Any

import numpy as np
import tensorflow as tf
from keras_rs.layers import BruteForceRetrieval

from lmn_tf import atomic_files
from lmn_tf.data.dataset import make_dataset
from lmn_tf.data.encoding.id_names import IdNames
from lmn_tf.models.base.item_corpus import ItemCorpus
from lmn_tf.models.hosts.two_tower import TwoTower
from lmn_tf.ops.compile import plain_kernels
from lmn_tf.serving.export_info import INFO, ExportInfo
from lmn_tf.serving.parity import ExportError
from lmn_tf.serving.request_functions import input_name
from lmn_tf.serving.saved_model import MODEL_FOLDER, load
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.spec_folder import write_spec

REPORT_FILE = "index.json"
_TOLERANCE = 1e-5


def export_index(
    model: TwoTower,
    spec: FeatureSpec,
    output: str | os.PathLike,
    items: str | os.PathLike | list[str],
    k: int = 100,
    rows: int = 1000,
    *,
    run_id: str | None = None,
    data_fingerprint: str | None = None,
) -> dict:
    """Exports the query tower of a two-tower model with the vectors of all candidates.

    The folder gets `saved_model/`, the resolved `feature_spec.yaml` with its assets, `export.json`
    and `index.json`. Its signature `serving_default` takes the encoded features of users, context
    and padded histories, `/` in a name written `__`, and returns the `k` best candidates of each
    row, the best first: their names, `candidates`, and their scores, `scores`, both of shape
    `(batch, k)`. All candidates are scored (`keras_rs.layers.BruteForceRetrieval`), so the ranking
    is that of `FactorizedTopK`. TensorFlow alone loads it. The folder appears only when the
    reloaded index finds the candidates of the model on real rows.

    Args:
        model: A trained two-tower model.
        spec: Its `FeatureSpec`, with its assets learned.
        output: Folder to make; it must not exist, or be empty.
        items: Glob or list of data files. Their distinct items are the candidates.
        k: Integer. Number of candidates that are returned. Defaults to `100`; at most all.
        rows: Integer. Number of rows of the files to compare on. Defaults to `1000`.
        run_id: As of `export`. Defaults to `None`.
        data_fingerprint: As of `export`. Defaults to `None`.

    Returns:
        The content of `index.json`.

    Raises:
        UserError: If the model has no towers, its items have no names, `output` is taken, or the
            spec gives other ids than those the model was built with.
        ExportError: If the reloaded index finds other candidates, or a score of the model is not
            finite.
    """
    if not isinstance(model, TwoTower):
        raise UserError(
            "`model` must be a two-tower model, whose candidates an index can hold. "
            f"Received: {type(model).__name__}"
        )
    output = pathlib.Path(output)
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise UserError(f"`OUT_DIR` must be a new or empty folder. Received: {output}")
    names = _names(model, spec)
    model.check_ids(spec)
    corpus = ItemCorpus(model, make_dataset(spec, items, 4096, labels=False, histories=False))
    k = min(k, len(corpus.ids))
    info = ExportInfo.of(model, run_id=run_id, data_fingerprint=data_fingerprint)
    with atomic_files.atomic_folder(output) as partial:
        write_spec(spec, partial)
        info.write(partial)
        vectors = corpus.vectors()
        candidates = np.array([names(one) for one in corpus.ids])
        _save(model, vectors, candidates, k, partial / MODEL_FOLDER, info)
        data = make_dataset(spec, items, 256, limit=rows, labels=False)
        report = {
            "candidates": len(candidates),
            "k": k,
            "rows": 0,
            "largest_difference": 0.0,
            "tensorflow": tf.__version__,
        }
        report |= _compare(model, vectors, candidates, partial / MODEL_FOLDER, data)
        atomic_files.write_json(partial / REPORT_FILE, report)
    return report


def _names(model, spec):
    """Returns the function from the id of an item to its name."""
    feature = spec.feature(model.id_feature)
    if feature.lookup is not None and feature.lookup.method == "hash":
        raise UserError(
            f"`{feature.name}` must have a vocabulary, which names its candidates. Received: "
            "lookup hash"
        )
    return IdNames(spec, feature)


def _save(model, vectors, candidates, k, folder, info):
    search = BruteForceRetrieval(vectors, k=k)
    signature = model.query_signature()
    names = {input_name(key): key for key in signature}

    @tf.function(
        input_signature=[
            tf.TensorSpec(column.shape, column.dtype, input_name(key))
            for key, column in signature.items()
        ],
        autograph=False,
    )
    def serve(*inputs):
        features = dict(zip(names.values(), inputs, strict=True))
        scores, places = search(model.query_vectors(features))
        return {"candidates": tf.gather(candidates, places), "scores": scores}

    with plain_kernels():
        traced = serve.get_concrete_function()
    module = tf.Module()
    # Those of the query tower: the other one has done its part.
    module.index_variables = traced.variables
    options = tf.saved_model.SaveOptions(experimental_custom_gradients=False)
    signatures = {"serving_default": traced, INFO: info.function()}
    tf.saved_model.save(module, str(folder), signatures=signatures, options=options)


def _compare(model, vectors, candidates, folder, dataset) -> dict[str, Any]:
    """Compares a reloaded index with the scores of the model on all candidates.

    Scores are compared place by place, and names where no other score is as near as rounding.
    """
    loaded, rows, largest = load(folder), 0, 0.0
    serve = loaded.signatures["serving_default"]
    padded = model.fit_driver.batches.padded
    for batch in dataset:
        features = padded(batch)
        given = {key: features[key] for key in model.query_signature()}
        found = serve(**{input_name(key): cells for key, cells in given.items()})
        scores = model.query_vectors(given).numpy() @ vectors.T
        _check_finite(scores, rows)
        count = found["scores"].shape[1]
        order = np.argsort(-scores, axis=1, kind="stable")[:, :count]
        best = np.take_along_axis(scores, order, axis=1)
        largest = np.maximum(largest, np.max(np.abs(found["scores"] - best)))  # keeps NaN
        places = {name: place for place, name in enumerate(candidates.tolist())}
        named = [[places[name.decode()] for name in row] for row in found["candidates"].numpy()]
        own = np.take_along_axis(scores, np.array(named), axis=1)
        largest = np.maximum(largest, np.max(np.abs(own - best)))
        rows += len(scores)
    if not largest <= _TOLERANCE:
        raise ExportError(
            "the reloaded index must find the candidates of the model. Received: scores that "
            f"differ by {largest:.2g}"
        )
    return {"rows": rows, "largest_difference": float(largest)}


def _check_finite(scores, rows):
    finite = np.isfinite(scores).all(axis=1)
    if not finite.all():
        row = int(np.argmin(finite))
        bad = scores[row][~np.isfinite(scores[row])]
        raise ExportError(
            "the model must give finite scores: its training has diverged. "
            f"Received: {bad[0]} in row {rows + row + 1}"
        )

"""Parity check of every signature of an export."""

import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from lmn_tf.data.dataset import make_dataset
from lmn_tf.serving.parity import CANDIDATES_OF_A_USER, ExportError, check_parity, one_user_batches
from lmn_tf.serving.raw.inputs import RawInputs
from lmn_tf.serving.raw.raw_functions import ENCODED, RAW, RAW_CANDIDATES
from lmn_tf.serving.raw.raw_rows import raw_batches
from lmn_tf.serving.request_functions import CANDIDATES, input_name
from lmn_tf.serving.user_encoder import UserEncoder
from lmn_tf.specs.feature_spec import FeatureSpec

PADDED = "serving_default"
WINDOWS = "serving_windows"
ROWS_AT_A_TIME = 512
# A step on the way to a number may be rounded another way before it becomes float32.
_NUMBER_TOLERANCE = 3e-7


def compare_signatures(
    model: keras.Model,
    loaded: Any,
    spec: FeatureSpec,
    files: str | os.PathLike | list[str],
    rows: int,
    tolerance: float,
) -> dict[str, dict]:
    """Compares what each signature of an export computes with the live model.

    Args:
        model: The live model.
        loaded: The reloaded export.
        spec: `FeatureSpec` of the model.
        files: Glob or list of data files.
        rows: Integer. Number of rows to compare on, the first ones.
        tolerance: Largest difference of two probabilities that counts as none.

    Returns:
        Dictionary from the name of a signature to what `check_parity` says of it, and for
        `encode_raw`, what `check_encoding` says.

    Raises:
        ExportError: If one of them differs.
    """
    dataset = make_dataset(
        spec,
        files,
        batch_size=ROWS_AT_A_TIME,
        limit=rows,
        labels=False,
        histories=model.reads_histories,
    )
    raw = list(raw_batches(spec, files, ROWS_AT_A_TIME, rows, model.reads_histories))
    signatures = loaded.signatures
    request_time = RawInputs(spec, model.reads_histories).request
    requests = list(_one_user_requests(signatures.get(RAW_CANDIDATES), raw, request_time))
    cases = {
        PADDED: (dataset, None),
        WINDOWS: (dataset, None),
        CANDIDATES: (one_user_batches(model, dataset), None),
        RAW: (dataset, [[one] for one in raw]),
        RAW_CANDIDATES: (_encoded_requests(model, signatures, requests), requests),
    }
    figures = {ENCODED: check_encoding(model, signatures[ENCODED], raw, dataset)}
    for name, (batches, inputs) in cases.items():
        if name in signatures:
            served = served_probabilities(model, loaded, name, inputs)
            figures[name] = check_parity(model, served, batches, tolerance, name == PADDED)
    return figures


def served_probabilities(
    model: keras.Model,
    loaded: Any,
    signature: str,
    inputs: Iterable[list[dict[str, np.ndarray]]] | None = None,
) -> Callable[[dict[str, tf.Tensor]], np.ndarray]:
    """Returns a function from features to the probabilities that a SavedModel gives.

    Args:
        model: The model that was saved.
        loaded: What `load` returned for it.
        signature: String. Name of a signature that scores. `score_encoded` takes the features that
            `one_user_batches` gives, as windows, and what the other two return for their users.
        inputs: For each batch, a list of inputs that the signature takes one after the other in
            place of the features. Defaults to `None`.
    """
    labels = [label.name for label in model.spec.labels]
    inputs = None if inputs is None else iter(inputs)

    def served(features: dict[str, tf.Tensor]) -> np.ndarray:
        # This holds `loaded`, and it the variables.
        serve = loaded.signatures[signature]
        if inputs is not None:
            parts = [_called(serve, one) for one in next(inputs)]
        elif signature == CANDIDATES:
            parts = _scored_by_user(model, loaded.signatures, features)
        else:
            parts = [serve(**{input_name(key): value for key, value in features.items()})]
        return np.concatenate(
            [np.stack([part[label].numpy() for label in labels], axis=1) for part in parts]
        )

    return served


def check_encoding(
    model: keras.Model,
    encode: Any,
    raw: Iterable[dict[str, np.ndarray]],
    dataset: Iterable[dict[str, tf.Tensor]],
) -> dict:
    """Compares the ids and numbers that raw columns become with those of the input pipeline.

    Args:
        model: The live model.
        encode: Signature `encode_raw` of the reloaded export.
        raw: Batches of its inputs.
        dataset: The same batches, encoded by the input pipeline.

    Returns:
        Dictionary of `rows`, `ids` (how many were compared), `ids_equal`, and
        `largest_number_difference`, relative to the number.

    Raises:
        ExportError: If an id differs, or a number by more than rounding.
    """
    padded = model.fit_driver.batches.padded
    rows, ids, largest = 0, 0, 0.0
    for inputs, features in zip(raw, dataset, strict=True):
        outputs = _called(encode, inputs)
        known = {key: input_name(key) for key in features if input_name(key) in outputs}
        found = padded({key: outputs[name] for key, name in known.items()})
        want = padded({key: features[key] for key in known})
        for key in found:
            one, other = np.asarray(found[key]), np.asarray(want[key])
            difference = _encoding_difference(one, other)
            if np.any(difference > _NUMBER_TOLERANCE):
                raise _encoding_error(key, one, other, difference, rows)
            largest = max(largest, float(difference.max(initial=0)))
            ids += one.size if one.dtype == np.int32 else 0
        rows += len(next(iter(inputs.values())))
    return {
        "rows": rows,
        "ids": ids,
        "ids_equal": True,
        "largest_number_difference": largest,
    }


def _encoding_difference(one, other):
    """Relative differences of numbers; of ids, infinite where they differ."""
    if one.shape != other.shape:
        return np.full(one.shape or 1, np.inf)
    if one.dtype != np.float32:
        return np.where(one == other, 0, np.inf)
    step = np.abs(one.astype(np.float64) - other)
    step /= np.maximum(np.abs(other), np.finfo(np.float32).tiny)
    return np.where(np.isnan(step), np.inf, step)


def _encoding_error(key, one, other, difference, rows):
    place = tuple(np.argwhere(difference > _NUMBER_TOLERANCE)[0])
    got = one[place]
    want = other[place] if one.shape == other.shape else f"an array of shape {other.shape}"
    return ExportError(
        "`serving_raw` must encode the columns of data as the input pipeline does. Received: "
        f"`{key}` {got} in row {rows + int(place[0]) + 1}, where the pipeline gives {want}"
    )


def _one_user_requests(serve: Any, raw, request_time) -> Iterator[list[dict[str, np.ndarray]]]:
    """Yields requests: raw inputs of some candidates each, and of the user of the latest of them.

    What the columns of candidates tell of the past is not later than that request.

    Args:
        serve: Signature that takes them, or `None` where there is none.
        raw: Batches of raw inputs of rows.
        request_time: Name of the input of the time of a request, or `None`.

    Yields:
        For each batch the list of the requests that it is split into.
    """
    if serve is None:
        return
    of_user = _inputs_of_user(serve)
    for inputs in raw:
        requests = []
        rows = len(next(iter(inputs.values())))
        for start in range(0, rows, CANDIDATES_OF_A_USER):
            some = slice(start, start + CANDIDATES_OF_A_USER)
            user = start
            if request_time is not None:
                times = inputs[request_time][some]
                user += int(np.argmax(np.where(np.isnan(times), -np.inf, times)))
            requests.append(
                {
                    name: values[slice(user, user + 1) if name in of_user else some]
                    for name, values in inputs.items()
                }
            )
        yield requests


def _encoded_requests(model, signatures, batches) -> Iterator[dict[str, tf.Tensor]]:
    """Yields the features of the rows that the requests of a batch stand for."""
    keys = model.encoder.signature(padded=False)
    for requests in batches:
        of_user = _inputs_of_user(signatures[RAW_CANDIDATES])
        candidate = next(name for name in requests[0] if name not in of_user)
        rows = {name: [] for name in requests[0]}
        for request in requests:
            count = len(request[candidate])
            for name, values in request.items():
                rows[name].append(np.repeat(values, count, axis=0) if name in of_user else values)
        rows = {name: np.concatenate(parts) for name, parts in rows.items()}
        outputs = _called(signatures[ENCODED], rows)
        yield {key: outputs[input_name(key)] for key in keys}


def _inputs_of_user(serve):
    inputs = serve.structured_input_signature[1]
    return {name for name, one in inputs.items() if one.shape[0] == 1}


def _called(serve, inputs):
    return serve(**{name: tf.constant(values) for name, values in inputs.items()})


def _scored_by_user(model, signatures, features):
    """Scores runs of rows with what is computed of their users first, and event after event."""
    encoder = UserEncoder(signatures, [sequence.name for sequence in model.spec.sequences])
    columns = model.encoder.request_signature()
    features = {key: np.asarray(values) for key, values in features.items()}
    rows = len(next(features[key] for key in columns.candidates))
    outputs = []
    for start in range(0, rows, CANDIDATES_OF_A_USER):
        whole = _of_user(model, features, columns, start)
        older = {
            key: values if key in columns.user else values[: len(values) // 2]
            for key, values in whole.items()
        }
        user = encoder.renew(encoder.encode(older), whole)
        some = slice(start, start + CANDIDATES_OF_A_USER)
        outputs.append(
            encoder.score(user, {key: features[key][some] for key in columns.candidates})
        )
    return outputs


def _of_user(model, features, columns, row):
    """Returns the columns of the user of a row, and of its history."""
    whole = {key: features[key][row : row + 1] for key in columns.user}
    for sequence in model.spec.sequences:
        first, lengths = (features[f"{sequence.name}/{part}"] for part in ("first", "length"))
        before = lengths[:row].sum()
        for keys, begin in ((columns.events, first[row]), (columns.pairs, before)):
            for key in keys:
                if key.startswith(f"{sequence.name}/"):
                    whole[key] = features[key][begin : begin + lengths[row]]
    return whole

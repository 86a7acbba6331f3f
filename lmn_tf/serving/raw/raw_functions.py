"""Functions of an export that take raw columns."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.features.encoded_column import RequestSignature
from lmn_tf.serving.raw.raw_encoder import RawEncoder
from lmn_tf.serving.request_functions import CANDIDATES, EVENTS, USER, input_name

RAW = "serving_raw"
ENCODED = "encode_raw"
RAW_CANDIDATES = "score_candidates"


def raw_functions(
    encoder: RawEncoder, columns: RequestSignature, rows: Any, functions: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns the functions by name, which encode and call those that take encoded features.

    Args:
        encoder: `RawEncoder`.
        columns: `RequestSignature` of the model.
        rows: Function of the model that scores rows, with histories as windows.
        functions: Mapping from the names of functions that score many candidates of one user to
            them; empty where the model has none.
    """

    def encode_rows(**inputs):
        return {input_name(key): values for key, values in encoder.rows(inputs).items()}

    def score_rows(**inputs):
        return _called(rows, made[ENCODED](**inputs))

    def score_candidates(**inputs):
        features = encoder.candidates(inputs)
        for key, spec in columns.user.items():
            features[key] = tf.ensure_shape(features[key], spec.shape)
        kept = _called(functions[EVENTS], features)
        state = _called(functions[USER], features, kept)
        return _called(functions[CANDIDATES], features, state)

    inputs = encoder.columns.inputs.values()
    made = {ENCODED: _traced(encode_rows, inputs)}
    made[RAW] = _traced(score_rows, inputs)
    if functions and not all(one.of_user for one in inputs):
        of_request = [
            dataclasses.replace(one, shape=(1, *one.shape[1:])) if one.of_user else one
            for one in inputs
        ]
        made[RAW_CANDIDATES] = _traced(score_candidates, of_request)
    return made


def _called(function, features, tensors=None):
    given = {input_name(key): values for key, values in features.items()} | (tensors or {})
    return function(**{name: given[name] for name in function.structured_input_signature[1]})


def _traced(function, inputs):
    function = tf.function(function, autograph=False)
    return function.get_concrete_function(**{one.name: one.tensor_spec for one in inputs})

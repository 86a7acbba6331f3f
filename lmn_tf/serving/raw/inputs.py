"""Inputs of the signatures that take raw columns."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import tensorflow as tf

from lmn_tf.specs.columns import Column
from lmn_tf.specs.feature_spec import FeatureSpec

_FORMS = {
    "id": tf.string,
    "number": tf.float64,
    "time": tf.float64,
    "weight": tf.float32,
    "vector": tf.float32,
    "length": tf.int64,
}


@dataclasses.dataclass(frozen=True)
class RawInput:
    """One input of a signature.

    Args:
        name: String. Its name in the signature.
        column: String. Name of the data column; of a length, that of the list or the sequence.
        form: `"id"` (text), `"number"`, `"time"`, `"weight"`, `"vector"` or `"length"`.
        shape: Tuple of the axes: rows, then events, then values.
        dtype: `tf.DType`.
        sequence: String. The sequence by reference whose event file has the column. Defaults to
            `None`: a column of the rows.
        of_user: Boolean. Whether all candidates of a user share it. Defaults to `False`.
    """

    name: str
    column: str
    form: str
    shape: tuple[int | None, ...]
    dtype: tf.DType
    sequence: str | None = None
    of_user: bool = False

    @property
    def tensor_spec(self) -> tf.TensorSpec:
        """The `tf.TensorSpec` of the input."""
        return tf.TensorSpec(self.shape, self.dtype, self.name)


@dataclasses.dataclass(frozen=True)
class ColumnInputs:
    """The inputs that a feature or a field is read from; names, `None` where there is none.

    Args:
        values: String.
        length: String. Of a list: how many of the values are given. Defaults to `None`.
        weights: String. Defaults to `None`.
    """

    values: str
    length: str | None = None
    weights: str | None = None


class RawInputs:
    """The inputs that the features of a spec are read from.

    A column read in several forms, such as a number that is an id as well, is an input in each.

    Args:
        spec: `FeatureSpec`.
        histories: Boolean. Whether sequences are read. Defaults to `True`.

    Attributes:
        inputs: Dictionary from name to `RawInput`.
        features: Dictionary from the name of a feature, without crosses, to `ColumnInputs`.
        fields: Dictionary from the name of a sequence to one from its fields to `ColumnInputs`.
        lengths: Dictionary from the name of a sequence to the input with its number of events.
        request: Name of the input with the time of the request; `None` where nothing reads it.

    Example:

    >>> inputs = RawInputs(spec).inputs
    >>> inputs["hour"].dtype, inputs["hour"].shape
    (tf.string, (None,))
    """

    def __init__(self, spec: FeatureSpec, histories: bool = True) -> None:
        self.inputs: dict[str, RawInput] = {}
        self._names: dict[tuple, str] = {}
        self._unit = spec.time_unit or "second"
        self.request: str | None = None
        self.features: dict[str, ColumnInputs] = {}
        self.fields: dict[str, dict[str, ColumnInputs]] = {}
        self.lengths: dict[str, str] = {}
        # What a user's features or histories read is the user's, whatever else reads it.
        self._add_features(spec, of_user=True)
        for sequence in spec.sequences if histories else ():
            self._add_sequence(spec, sequence)
        if self._reads_times(spec, histories):
            time = spec.request_time
            self.request = self._add(time, time, "time", (None,), of_user=True)
        self._add_features(spec, of_user=False)

    def _reads_times(self, spec, histories):
        columns = spec.features_and_fields() if histories else spec.features
        return any(column.kind == "elapsed_time" for column in columns)

    def _add_features(self, spec, of_user):
        for feature in spec.features:
            if feature.kind != "cross" and (feature.role == "user") == of_user:
                self.features[feature.name] = self._column(feature, (None,), of_user)

    def _add_sequence(self, spec, sequence):
        place = sequence.name if sequence.events is not None else None
        fields = [spec.resolved_field(sequence, field) for field in sequence.fields]
        self.fields[sequence.name] = {
            field.name: self._column(field, (None, None), True, place) for field in fields
        }
        length = f"{sequence.name}__length"
        self.lengths[sequence.name] = self._add(length, sequence.name, "length", (None,), True)

    def _column(
        self, column: Column, lead: tuple, of_user: bool, place: Any = None
    ) -> ColumnInputs:
        """The inputs of a column whose items are of the shape `lead`."""
        name = column.data_column if place is None else f"{place}__{column.data_column}"
        if column.kind == "multi_value":
            values = self._add(name, column.data_column, "id", (*lead, None), of_user, place)
            length = self._add(f"{values}__length", values, "length", lead, of_user, place)
            weights = None
            if column.weights is not None:
                name = column.weights if place is None else f"{place}__{column.weights}"
                shape = (*lead, None)
                weights = self._add(name, column.weights, "weight", shape, of_user, place)
            return ColumnInputs(values, length, weights)
        form = {"categorical": "id", "numeric": "number", "elapsed_time": "time"}
        form = form.get(column.kind, "vector")
        shape = (*lead, column.size) if form == "vector" else lead
        return ColumnInputs(self._add(name, column.data_column, form, shape, of_user, place))

    def _add(self, base, column, form, shape, of_user, place=None):
        """Returns the name of an input, which is added if it is new."""
        key = (place, column, form, shape)
        if key not in self._names:
            base = re.sub(r"\W", "_", base, flags=re.ASCII)
            base = f"_{base}" if base[:1].isdigit() else base
            name, number = base, 1
            while name in self.inputs:
                number += 1
                name = f"{base}_{number}"
            dtype = tf.int64 if (form, self._unit) == ("time", "nanosecond") else _FORMS[form]
            self.inputs[name] = RawInput(name, column, form, shape, dtype, place, of_user)
            self._names[key] = name
        return self._names[key]

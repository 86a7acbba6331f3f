"""Values to ids."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.arrow_values import as_keys
from lmn_tf.data.hashing import hash_values
from lmn_tf.data.place import Place
from lmn_tf.data.value_index import ValueIndex
from lmn_tf.specs.errors import UserError, short

_UNKNOWN = -1
_UNKNOWN_IDS = {"own_id": 1, "padding": 0, "error": _UNKNOWN}


class IdEncoder:
    """Turns the values of a categorical column into ids, whole arrays at a time.

    Id 0 is padding and 1 is unknown; value `i` of a vocabulary becomes `i + 2`, a number `v` under
    `identity` becomes `v + 2`, and under `hash: B` a value becomes `2 + h mod B`, where `h` is
    splitmix64 of an integer and BLAKE2b of other text. A missing value becomes what `default`
    becomes, or without a default what an unknown value becomes.

    Args:
        name: String. Name of the feature or field, for messages.
        lookup: `Lookup`.
        vocabulary: List of values, or `None` where the lookup has none.
        default: Value for missing cells. Defaults to `None`.
    """

    def __init__(self, name, lookup, vocabulary, default=None):
        self.name = name
        self.lookup = lookup
        self.vocabulary = vocabulary
        self.default = default
        self._unknown = _UNKNOWN_IDS[lookup.unknown]
        self._indexes: dict[bool, ValueIndex] = {}
        self._missing: dict[bool, int] = {}

    def encode(self, values: pa.Array, place: Place) -> np.ndarray:
        """Returns the int32 id of each value.

        Args:
            values: Arrow array of integers, text, or text as a dictionary.
            place: Where they come from.

        Raises:
            UserError: A value is of the wrong type, or unknown under `unknown: error`.
        """
        values = as_keys(values, place)
        if values.null_count == len(values):
            # The type of a column without any value says nothing.
            kind = pa.int64() if isinstance(self.default, int) else pa.string()
            ids = np.full(len(values), self._missing_id(kind, place), np.int32)
        elif pa.types.is_dictionary(values.type):
            texts = one_text_type(values.dictionary)
            table = np.append(self._ids(texts, place), self._missing_id(texts.type, place))
            cells = values.indices
            if cells.null_count:
                cells = cells.fill_null(len(texts))
            ids = table.astype(np.int32).take(cells.to_numpy(zero_copy_only=False))
        else:
            ids = self._ids(values, place)
        if self._unknown == _UNKNOWN and len(ids) and ids.min() == _UNKNOWN:
            at = int(np.argmax(ids == _UNKNOWN))
            raise place.error(at, self._rule(), values[at].as_py())
        return ids

    def _ids(self, values, place):
        lookup = self.lookup
        if lookup.hash is not None:
            ids = (hash_values(values) % np.uint64(lookup.hash)).astype(np.int32) + np.int32(2)
        elif lookup.identity is not None:
            ids = self._identity(values, place)
        else:
            ids = self._index(values.type, place).find(values)
        if values.null_count:
            missing = pc.is_null(values).to_numpy(zero_copy_only=False)
            ids = np.where(missing, np.int32(self._missing_id(values.type, place)), ids)
        return ids

    def _identity(self, values, place):
        if not pa.types.is_integer(values.type):
            values = _to_integers(values, place)
        numbers = values.fill_null(-1) if values.null_count else values
        numbers = numbers.to_numpy(zero_copy_only=False)
        known = (numbers >= 0) & (numbers < self.lookup.identity)
        return np.where(known, numbers + 2, self._unknown).astype(np.int32)

    def _index(self, kind, place) -> ValueIndex:
        is_integer = pa.types.is_integer(kind)
        if is_integer not in self._indexes:
            values = list(self.vocabulary)
            if is_integer and not all(type(value) is int for value in values):
                values = [_as_integer(value) for value in values]
                if None in values:
                    at = values.index(None)
                    raise place.column_error(
                        f"must hold text, like the vocabulary of `{self.name}`, which has "
                        f"{short(self.vocabulary[at])}",
                        kind,
                    )
            elif not is_integer:
                values = [str(value) for value in values]
            arrow = pa.array(values, pa.int64() if is_integer else pa.string())
            self._indexes[is_integer] = ValueIndex(arrow, first=2, absent=self._unknown)
        return self._indexes[is_integer]

    def _missing_id(self, kind, place) -> int:
        if self.default is None:
            return self._unknown
        is_integer = pa.types.is_integer(kind)
        if is_integer not in self._missing:
            value = _as_integer(self.default) if is_integer else str(self.default)
            if value is None:
                raise UserError(
                    f"`default` of `{self.name}` must be an integer, like its column. "
                    f"Received: default={self.default!r}"
                )
            kind = pa.int64() if is_integer else pa.string()
            self._missing[is_integer] = int(self._ids(pa.array([value], kind), place)[0])
        return self._missing[is_integer]

    def _rule(self):
        if self.lookup.identity is not None:
            return f"the value must be in 0..{self.lookup.identity - 1}"
        return f"the value must be in the vocabulary of `{self.name}`"


def one_text_type(values: pa.Array) -> pa.Array:
    """Returns text of any Arrow type as `string`."""
    return values if pa.types.is_string(values.type) else values.cast(pa.string())


def _as_integer(value):
    try:
        return int(value)
    except ValueError:
        return None


def _to_integers(values, place):
    try:
        return values.cast(pa.int64())
    except pa.ArrowInvalid:
        bad = pc.invert(pc.match_substring_regex(values, r"^[+-]?\d{1,18}$")).fill_null(False)
        at = int(np.argmax(bad.to_numpy(zero_copy_only=False)))
        raise place.error(at, "the value must be an integer", values[at].as_py()) from None

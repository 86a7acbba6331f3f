"""Encoding of values as ids."""

import functools
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.hashing import hash_values
from lmn_tf.data.encoding.id_keys import as_keys, as_texts, quick_integers
from lmn_tf.data.encoding.key_index import KeyIndex
from lmn_tf.data.encoding.source_location import SourceLocation
from lmn_tf.specs.lookup import FIRST_ID, REFUSED_ID


class IdEncoder:
    """Encoder of the values of a categorical column as ids.

    Values are compared by their text, see `id_keys`. Id 0 is padding and 1 is unknown;
    value `i` of a vocabulary becomes `i + 2`, a number `v` under `identity` becomes `v + 2`, and
    under `hash: B` a value becomes `2 + h mod B`, where `h` is splitmix64 of an integer and BLAKE2b
    of other text. Only `identity` reads numbers, so that `07` is 7. A missing value has the id of
    `default`, or without a default the id of unknown values.

    Args:
        name: String. Name of the feature or field, for messages.
        lookup: `Lookup`.
        vocabulary: List of values, or `None` if the lookup has none.
        default: Value of missing cells. Defaults to `None`.
        by_number: Boolean, as in `KeyIndex`. Defaults to `False`.
    """

    def __init__(
        self,
        name: str,
        lookup: Any,
        vocabulary: list | None,
        default: Any = None,
        by_number: bool = False,
    ) -> None:
        self.name = name
        self.lookup = lookup
        self.vocabulary = vocabulary
        self.default = default
        self._by_number = by_number
        self._unknown = lookup.unknown_id
        self._missing: int | None = None

    def encode(self, values: pa.Array, location: SourceLocation) -> np.ndarray:
        """Returns the int32 id of each value.

        Args:
            values: Arrow array of ids, see `as_keys`.
            location: `SourceLocation` of the values.

        Raises:
            UserError: If a value has a wrong type, or is unknown with `unknown: error`.
        """
        values = as_keys(values, location)
        if values.null_count == len(values):
            ids = np.full(len(values), self._missing_id(location), np.int32)
        elif pa.types.is_dictionary(values.type) and self.lookup.identity is not None:
            # Rows are read rather than the dictionary, which may contain values that no row uses.
            ids = self._ids(as_texts(values.dictionary_decode()), location)
        elif pa.types.is_dictionary(values.type):
            texts = as_texts(values.dictionary)
            table = np.append(self._ids(texts, location), self._missing_id(location))
            cells = values.indices
            if cells.null_count:
                cells = cells.fill_null(len(texts))
            ids = table.astype(np.int32).take(cells.to_numpy(zero_copy_only=False))
        else:
            ids = self._ids(values, location)
        if self._unknown == REFUSED_ID and len(ids) and ids.min() == REFUSED_ID:
            at = int(np.argmax(ids == REFUSED_ID))
            raise location.error(at, self._rule(), values[at].as_py())
        if location.unknown is not None:
            self._count_unknown(ids, values, location)
        return ids

    def _count_unknown(self, ids, values, location):
        """Counts the values that have the id of unknown ones, without missing values."""
        unknown = ids == self._unknown
        if values.null_count:
            unknown &= ~pc.is_null(values).to_numpy(zero_copy_only=False)
        count = int(np.count_nonzero(unknown))
        if count:  # Several features may read the column.
            location.unknown[location.column] = max(count, location.unknown.get(location.column, 0))

    def _ids(self, values, location):
        lookup = self.lookup
        if lookup.hash is not None:
            buckets = (hash_values(values) % np.uint64(lookup.hash)).astype(np.int32)
            ids = buckets + np.int32(FIRST_ID)
        elif lookup.identity is not None:
            ids = self._identity(values, location)
        else:
            ids = self._index.find(values)
        if values.null_count:
            missing = pc.is_null(values).to_numpy(zero_copy_only=False)
            ids = np.where(missing, np.int32(self._missing_id(location)), ids)
        return ids

    def _identity(self, values, location):
        if not pa.types.is_integer(values.type):
            values = _to_integers(values, location)
        numbers = values.fill_null(-1) if values.null_count else values
        numbers = numbers.to_numpy(zero_copy_only=False)
        known = (numbers >= 0) & (numbers < self.lookup.identity)
        return np.where(known, numbers + FIRST_ID, self._unknown).astype(np.int32)

    @functools.cached_property
    def _index(self) -> KeyIndex:
        return KeyIndex(self.vocabulary, FIRST_ID, self._unknown, self._by_number)

    def _missing_id(self, location) -> int:
        if self.default is None:
            return self._unknown
        if self._missing is None:
            self._missing = int(self._ids(pa.array([str(self.default)]), location)[0])
        return self._missing

    def _rule(self):
        if self.lookup.identity is not None:
            return f"the value must be in 0..{self.lookup.identity - 1}"
        return f"the value must be in the vocabulary of `{self.name}`"


def _to_integers(texts, location):
    """Returns the integers of texts of decimal digits: with `identity`, `07` is 7."""
    numbers = quick_integers(texts)
    if numbers is not None:
        return numbers
    texts = pc.utf8_trim_whitespace(texts)
    good = pc.match_substring_regex(texts, r"^[+-]?[0-9]+(\.0*)?$").fill_null(True)
    if not pc.all(good).as_py():
        at = int(np.argmin(good.to_numpy(zero_copy_only=False)))
        raise location.error(at, "the value must be an integer", texts[at].as_py())
    digits = pc.replace_substring_regex(texts, r"^\+?(-?)0*([0-9]+?)(\.0*)?$", r"\1\2")
    # Numbers with more digits are out of range for any size.
    return pc.if_else(pc.greater(pc.utf8_length(digits), 18), "-1", digits).cast(pa.int64())

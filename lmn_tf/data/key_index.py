"""Finds ids in a list of ids, whichever type both come in."""

import numpy as np
import pyarrow as pa

from lmn_tf.data.id_keys import as_integers, as_texts, quick_integers
from lmn_tf.data.value_index import ValueIndex


class KeyIndex:
    """Position of ids in a list of distinct ones: integer 7 and text `7` are one id.

    Args:
        values: List of integers and texts, or Arrow array of int64 or text.
        first: Integer. Number of the first id. Defaults to `0`.
        absent: Integer. Number of anything that is not in the list. Defaults to `-1`.
        by_number: Boolean. Whether integers are looked up among the numbers that texts write, as
            in `007`, where each text writes one: the rule of runs of before an id was its text.
            Of two texts of one number the later one counts. Defaults to `False`.
    """

    def __init__(self, values, first: int = 0, absent: int = -1, by_number: bool = False):
        self.values = values if isinstance(values, pa.Array) else _keys(values)
        self.first = first
        self.absent = absent
        self.by_number = by_number
        self._indexes: dict[bool, ValueIndex] = {}
        self._places = None

    def __len__(self):
        return len(self.values)

    def find(self, keys: pa.Array) -> np.ndarray:
        """Returns `first` plus the position of each id, `absent` where missing or not listed.

        Args:
            keys: Arrow array of int64 or text, not dictionary-encoded.
        """
        if pa.types.is_null(keys.type):
            return np.full(len(keys), self.absent, np.int32)
        is_integer = pa.types.is_integer(keys.type)
        if is_integer not in self._indexes:
            self._indexes[is_integer] = self._index(is_integer)
        found = self._indexes[is_integer].find(keys)
        if is_integer and self._places is not None:
            return self._places.take(found)
        return found

    def _index(self, is_integer) -> ValueIndex:
        values = self.values
        if not is_integer:
            return ValueIndex(as_texts(values), self.first, self.absent)
        if pa.types.is_integer(values.type):
            return ValueIndex(values, self.first, self.absent)
        if self.by_number and (places := _places_by_number(values)) is not None:
            found = np.array(list(places.values())) + self.first
            self._places = np.append(found, self.absent).astype(np.int32)
            return ValueIndex(pa.array(places, pa.int64()))
        numbers = as_integers(values)
        if not numbers.null_count:
            return ValueIndex(numbers, self.first, self.absent)
        # Integers among texts: their positions, and `absent` behind the last.
        places = np.flatnonzero(numbers.is_valid().to_numpy(zero_copy_only=False)) + self.first
        self._places = np.append(places, self.absent).astype(np.int32)
        return ValueIndex(numbers.drop_null())


def _places_by_number(texts) -> dict[int, int] | None:
    """Returns the position of each number, or `None` where a text writes no int64."""
    places = {}
    for place, text in enumerate(texts.to_pylist()):
        try:
            number = int(text)
        except ValueError:
            return None
        if not -(2**63) <= number < 2**63:
            return None
        places[number] = place
    return places


def _keys(values: list) -> pa.Array:
    if all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    texts = pa.array([str(value) for value in values], pa.string())
    numbers = quick_integers(texts)
    return texts if numbers is None else numbers

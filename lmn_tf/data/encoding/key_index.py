"""Positions of ids in a list of ids of any type."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from lmn_tf.data.encoding.id_keys import as_integers, as_texts, quick_integers

_TABLE_LIMIT = 1 << 24
_FIRST_INT64, _LAST_INT64 = -(2**63), 2**63 - 1


class ValueIndex:
    """Index of a list of distinct values of one type.

    Integers within a small range are looked up in a table. Otherwise Arrow hashes the list again
    for each call, which is cheap for many values; for few values and a long list, the distinct
    values are looked up in a dictionary that is built once.

    Args:
        values: Arrow array of distinct int64 or text values.
        first: Integer. Result for the first value. Defaults to `0`.
        absent: Integer. Result for values that are not in the list. Defaults to `-1`.
    """

    def __init__(self, values: pa.Array, first: int = 0, absent: int = -1) -> None:
        self.values = values
        self.first = first
        self.absent = absent
        self.is_integer = pa.types.is_integer(values.type)
        self._table = None
        self._positions: dict | None = None
        if self.is_integer and len(values):
            low, high = (value.as_py() for value in pc.min_max(values).values())
            is_inside = low > _FIRST_INT64 and high < _LAST_INT64
            if is_inside and high - low < min(max(16 * len(values), 1 << 16), _TABLE_LIMIT):
                numbers = values.to_numpy()
                self._low = low
                # One more cell on each side, for all values beyond, which must be int64 as well.
                self._table = np.full(high - low + 3, absent, np.int32)
                self._table[numbers - low + 1] = np.arange(first, first + len(values))

    def __len__(self):
        return len(self.values)

    def find(self, values: pa.Array) -> np.ndarray:
        """Returns `first` plus the position of each value; `absent` for missing and unknown ones.

        Args:
            values: Arrow array of the type of the list (int64 or text), not dictionary-encoded.
        """
        if not len(self.values):
            return np.full(len(values), self.absent, np.int32)
        if self._table is not None:
            top = self._low + len(self._table) - 2
            numbers = values.fill_null(top) if values.null_count else values
            numbers = numbers.to_numpy(zero_copy_only=False)
            return self._table.take(numbers - (self._low - 1), mode="clip")
        if len(values) * 8 < len(self.values):
            return self._find_few(values)
        positions = pc.index_in(values, value_set=self.values)
        if self.first:
            positions = pc.add(positions, pa.scalar(self.first, pa.int32()))
        return positions.fill_null(self.absent).to_numpy(zero_copy_only=False)

    def _find_few(self, values):
        if self._positions is None:
            numbered = enumerate(self.values.to_pylist(), self.first)
            self._positions = {value: number for number, value in numbered}
        coded = values.dictionary_encode()
        asked = coded.dictionary.to_pylist()
        positions = [self._positions.get(value, self.absent) for value in asked]
        table = np.asarray([*positions, self.absent], np.int32)
        return table[coded.indices.fill_null(len(positions)).to_numpy(zero_copy_only=False)]


class KeyIndex:
    """Index of a list of distinct ids, in which integer 7 and text `7` are equal.

    Args:
        values: List of integers and texts, or Arrow array of int64 or text.
        first: Integer. Result for the first id. Defaults to `0`.
        absent: Integer. Result for values that are not in the list. Defaults to `-1`.
        by_number: Boolean. Whether integers are looked up by the number of a text, such as 7 for
            `007`, if all texts are numbers. This is the rule of older runs, before ids were
            compared by their text. Of two texts with the same number, the later one is used.
            Defaults to `False`.
    """

    def __init__(
        self, values: pa.Array | list, first: int = 0, absent: int = -1, by_number: bool = False
    ) -> None:
        self.values = values if isinstance(values, pa.Array) else _keys(values)
        self.first = first
        self.absent = absent
        self.by_number = by_number
        self._indexes: dict[bool, ValueIndex] = {}
        self._positions_by_index = None

    def __len__(self):
        return len(self.values)

    def find(self, keys: pa.Array) -> np.ndarray:
        """Returns `first` plus the position of each id; `absent` for missing and unknown ones.

        Args:
            keys: Arrow array of int64 or text, not dictionary-encoded.
        """
        if pa.types.is_null(keys.type):
            return np.full(len(keys), self.absent, np.int32)
        is_integer = pa.types.is_integer(keys.type)
        if is_integer not in self._indexes:
            self._indexes[is_integer] = self._index(is_integer)
        positions = self._indexes[is_integer].find(keys)
        if is_integer and self._positions_by_index is not None:
            return self._positions_by_index.take(positions)
        return positions

    def _index(self, is_integer) -> ValueIndex:
        values = self.values
        if not is_integer:
            return ValueIndex(as_texts(values), self.first, self.absent)
        if pa.types.is_integer(values.type):
            return ValueIndex(values, self.first, self.absent)
        if self.by_number and (positions := _positions_by_number(values)) is not None:
            numbers_in_order = np.array(list(positions.values())) + self.first
            self._positions_by_index = np.append(numbers_in_order, self.absent).astype(np.int32)
            return ValueIndex(pa.array(positions, pa.int64()))
        numbers = as_integers(values)
        if not numbers.null_count:
            return ValueIndex(numbers, self.first, self.absent)
        # Integers among texts: their positions, and `absent` after the last.
        positions = np.flatnonzero(numbers.is_valid().to_numpy(zero_copy_only=False)) + self.first
        self._positions_by_index = np.append(positions, self.absent).astype(np.int32)
        return ValueIndex(numbers.drop_null())


def _positions_by_number(texts) -> dict[int, int] | None:
    """Returns the position of each number, or `None` if a text is not an int64."""
    positions = {}
    for position, text in enumerate(texts.to_pylist()):
        try:
            number = int(text)
        except ValueError:
            return None
        if not -(2**63) <= number < 2**63:
            return None
        positions[number] = position
    return positions


def _keys(values: list) -> pa.Array:
    if all(type(value) is int and -(2**63) <= value < 2**63 for value in values):
        return pa.array(values, pa.int64())
    texts = pa.array([str(value) for value in values], pa.string())
    numbers = quick_integers(texts)
    return texts if numbers is None else numbers

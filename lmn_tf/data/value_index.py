"""Finds values in a fixed list of values."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

_TABLE_LIMIT = 1 << 24


class ValueIndex:
    """Position of values in a list of distinct ones, for whole arrays at once.

    Integers within a small range are looked up in a table. Otherwise Arrow hashes the list anew
    for every call, which is cheap where many values are asked for; for few values and a long list
    a dictionary, made once, is asked for the distinct values only.

    Args:
        values: Arrow array of distinct int64 or text values.
        first: Integer. Number of the first value. Defaults to `0`.
        absent: Integer. Number of anything that is not in the list. Defaults to `-1`.
    """

    def __init__(self, values: pa.Array, first: int = 0, absent: int = -1):
        self.values = values
        self.first = first
        self.absent = absent
        self.is_integer = pa.types.is_integer(values.type)
        self._table = None
        self._positions: dict | None = None
        if self.is_integer and len(values):
            low, high = (value.as_py() for value in pc.min_max(values).values())
            if high - low < min(max(16 * len(values), 1 << 16), _TABLE_LIMIT):
                numbers = values.to_numpy()
                self._low = low
                # One cell more on each side, which stands for everything beyond.
                self._table = np.full(high - low + 3, absent, np.int32)
                self._table[numbers - low + 1] = np.arange(first, first + len(values))

    def __len__(self):
        return len(self.values)

    def find(self, values: pa.Array) -> np.ndarray:
        """Returns `first` plus the position of each value, `absent` where missing or not listed.

        Args:
            values: Arrow array of the list's own type (int64 or text), not dictionary-encoded.
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
        found = pc.index_in(values, value_set=self.values)
        if self.first:
            found = pc.add(found, pa.scalar(self.first, pa.int32()))
        return found.fill_null(self.absent).to_numpy(zero_copy_only=False)

    def _find_few(self, values):
        if self._positions is None:
            numbered = enumerate(self.values.to_pylist(), self.first)
            self._positions = {value: number for number, value in numbered}
        coded = values.dictionary_encode()
        asked = coded.dictionary.to_pylist()
        found = [self._positions.get(value, self.absent) for value in asked]
        table = np.asarray([*found, self.absent], np.int32)
        return table[coded.indices.fill_null(len(found)).to_numpy(zero_copy_only=False)]

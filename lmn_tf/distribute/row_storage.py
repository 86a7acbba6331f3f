"""Tables in Keras' own files, some rows at a time."""

import numpy as np

from lmn_tf.distribute.row_access import copy_rows, get_rows, row_chunks


class StoresRows:
    """Mixin of Keras layers whose tables are saved and loaded in pieces of a bounded size.

    Keras takes a variable as a whole, which a table that is split over devices may be too large
    for. The files are the same.
    """

    def save_own_variables(self, store):
        """Saves the state of the layer."""
        for index, variable in enumerate(self._trainable_variables + self._non_trainable_variables):
            store_rows(store, str(index), variable)

    def load_own_variables(self, store):
        """Loads the state of the layer."""
        self._check_load_own_variables(store)
        for index, variable in enumerate(self._trainable_variables + self._non_trainable_variables):
            load_rows(store, str(index), variable)


def store_rows(store, key, variable):
    """Puts a variable into a store of Keras, in pieces where it is large.

    Args:
        store: What Keras hands to `save_own_variables`.
        key: String.
        variable: Keras variable.
    """
    shape, dtype = tuple(variable.shape), variable.dtype
    chunks = row_chunks(shape, 4)
    if len(chunks) == 1 or not _is_file(store) or dtype == "bfloat16":
        store[key] = np.asarray(variable)
        return
    if not store._h5_entry_initialized:
        store._create_h5_group(store._h5_entry_path)
    stored = store._h5_entry_group.create_dataset(key, shape=shape, dtype=dtype)
    for start, stop in chunks:
        stored[start:stop] = get_rows(variable, start, stop)


def load_rows(store, key, variable):
    """Fills a variable from a store of Keras, in pieces where it is large.

    Args:
        store: What Keras hands to `load_own_variables`.
        key: String.
        variable: Keras variable.
    """
    is_plain = _is_file(store) and "dtype" not in store._h5_entry_group[key].attrs
    stored = store._h5_entry_group[key] if is_plain else store[key]
    if tuple(stored.shape) != tuple(variable.shape):
        variable.assign(store[key])  # which says what is wrong
    copy_rows(stored, variable)


def _is_file(store):
    # Other stores, such as that of several files, take and give whole variables.
    return type(store).__name__ == "H5IOStore" and hasattr(store, "_h5_entry_group")

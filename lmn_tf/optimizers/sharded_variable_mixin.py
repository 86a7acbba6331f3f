"""Mixin of optimizers for tables that are sharded over replicas."""

from typing import Any

from lmn_tf.distribute.tables.rows import load_rows, store_rows
from lmn_tf.distribute.tables.sharded_table import ShardedTable


class ShardedVariableMixin:
    """Mixin of optimizers that support `ShardedTable`, whose value differs between replicas.

    Keras identifies variables by their values and saves them as a whole.
    """

    def _var_key(self, variable):
        if isinstance(variable, ShardedTable):
            return id(variable)
        return super()._var_key(variable)

    def save_own_variables(self, store: Any) -> None:
        """Saves the state of the optimizer, large variables in chunks."""
        for index, variable in enumerate(self.variables):
            store_rows(store, str(index), variable)

    def load_own_variables(self, store: Any) -> None:
        """Loads the state of the optimizer, large variables in chunks."""
        if len(store.keys()) != len(self.variables):
            super().load_own_variables(store)  # which warns
            return
        for index, variable in enumerate(self.variables):
            load_rows(store, str(index), variable)

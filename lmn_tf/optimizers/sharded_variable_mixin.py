"""What optimizers have to know of tables that are split over replicas."""

from lmn_tf.distribute.tables.rows import load_rows, store_rows
from lmn_tf.distribute.tables.sharded_table import ShardedTable


class ShardedVariableMixin:
    """Mixin of optimizers that are given a `ShardedTable`, which has another value on each replica.

    Keras tells variables apart by their values, and saves them as a whole.
    """

    def _var_key(self, variable):
        if isinstance(variable, ShardedTable):
            return id(variable)
        return super()._var_key(variable)

    def save_own_variables(self, store):
        """Saves the state of the optimizer, large parts of it in pieces."""
        for index, variable in enumerate(self.variables):
            store_rows(store, str(index), variable)

    def load_own_variables(self, store):
        """Loads the state of the optimizer, large parts of it in pieces."""
        if len(store.keys()) != len(self.variables):
            super().load_own_variables(store)  # which warns
            return
        for index, variable in enumerate(self.variables):
            load_rows(store, str(index), variable)

"""What optimizers have to know of tables that are split over replicas."""

from lmn_tf.distribute.sharded_table import ShardedTable


class KnowsShardedTables:
    """Mixin of optimizers that are given a `ShardedTable`, which has another value on each replica.

    Keras tells variables apart by their values.
    """

    def _var_key(self, variable):
        if isinstance(variable, ShardedTable):
            return id(variable)
        return super()._var_key(variable)

"""Tables that start anew with each epoch."""

from collections.abc import Callable

import keras
import numpy as np

from lmn_tf.distribute.tables.rows import row_pieces, set_rows
from lmn_tf.optimizers import is_table
from lmn_tf.training.training_loop import TrainingLoop


class FreshTables:
    """Listener of a `TrainingLoop` that draws all tables anew before each epoch after the first.

    Embedding tables and the values of memories, which learn single rows by heart, start each epoch
    as an untrained model has them, with new random numbers, and so does the state of their
    optimizers. Dense weights, among them the keys of memories, are trained on: they see several
    sets of tables, as if there were more data. The numbers depend on the seed and the epoch only,
    so that a run that is resumed has the same ones.

    Args:
        build: Function without arguments that returns a new model like that of the loop, with a
            built `GroupOptimizer`.
        seed: Integer. Seed of the run.

    Reference:
        Fan et al. 2024, "Multi-epoch learning with data augmentation for deep click-through rate
        prediction" (MEDA), for tables of embeddings. That values of memories are tables as well is
        our choice.
    """

    def __init__(self, build: Callable[[], keras.Model], seed: int) -> None:
        self._build = build
        self._seed = seed

    def on_epoch_begin(self, loop: TrainingLoop) -> None:
        """Draws the tables anew, unless it is the first epoch."""
        if not loop.state.epoch:
            return
        keras.utils.set_random_seed((self._seed + loop.state.epoch) % 2**32)
        renew_tables(loop.model, self._build())


def renew_tables(model: keras.Model, fresh: keras.Model) -> None:
    """Assigns the tables of another model, and the state of their optimizers, to a model.

    Args:
        model: A `keras.Model` with a built `GroupOptimizer`, which loss scaling may wrap.
        fresh: Another one of the same variables.

    Example:

    >>> def make(value):
    ...     embedding = keras.layers.Embedding(3, 2, keras.initializers.Constant(value))
    ...     model = keras.Sequential([embedding, keras.layers.Dense(1)])
    ...     model.compile(lmn_tf.optimizers.default())
    ...     model.build((None,))
    ...     model.optimizer.build(model.trainable_variables)
    ...     return model
    >>> model = make(0.5)
    >>> renew_tables(model, make(2.0))
    >>> model.layers[0].embeddings.numpy()[0].tolist()
    [2.0, 2.0]
    """
    for variable, new in zip(model.trainable_variables, fresh.trainable_variables, strict=True):
        if is_table(variable):
            _copy(new, variable)
    groups = [getattr(one.optimizer, "inner_optimizer", one.optimizer) for one in (model, fresh)]
    dense = groups[0].dense
    for optimizer, new in zip(*[group.optimizers for group in groups], strict=True):
        if optimizer is not dense:  # with the count of steps, by which Adam corrects its moments
            for variable, source in zip(optimizer.variables, new.variables, strict=True):
                _copy(source, variable)


def _copy(source, variable):
    if len(variable.shape) == 0:
        variable.assign(np.asarray(source))
        return
    start = 0
    for rows in row_pieces(source):
        set_rows(variable, start, rows)
        start += len(rows)

"""Models that grow, and the arrays of all their variables."""

import keras
from kitchen_sink import SMALL_OPTIONS

from lmn_tf.models import registry
from lmn_tf.optimizers import RowWiseAdagrad
from lmn_tf.training.growth.growth import whole_arrays
from lmn_tf.training.saving.variable_paths import keyed_variables


def make(name, spec, seed=1, **options):
    """A small model that is compiled and built, and so is its optimizer."""
    keras.utils.set_random_seed(seed)
    model = registry.build(name, spec, {**SMALL_OPTIONS[name], **options})
    model.compile(RowWiseAdagrad(0.05))
    model.build()
    model.optimizer.build(model.trainable_variables)
    return model


def arrays(model):
    """The arrays of a model and its optimizer by stable key."""
    return whole_arrays(keyed_variables(model, model.optimizer))

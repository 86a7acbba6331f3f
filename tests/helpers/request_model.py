"""Small models, and their functions that score many candidates of one user."""

import functools

import keras
from kitchen_sink import SMALL_OPTIONS, slim_spec

from lmn_tf.models import registry
from lmn_tf.ops.compile import plain_kernels
from lmn_tf.serving.request_functions import request_functions


def built(name, spec, options=None):
    """Returns a built model of a name in `SMALL_OPTIONS`."""
    keras.utils.set_random_seed(3)
    model = registry.build(name, spec, {**SMALL_OPTIONS[name], **(options or {})})
    model.build()
    return model


def functions_of(model):
    """Returns the model's functions by name; `score_encoded` gives a logit of each label."""

    def score(features):
        logits = model(features, training=False)
        return {label.name: logits[:, at] for at, label in enumerate(model.spec.labels)}

    with plain_kernels():
        return request_functions(model, score)


@functools.cache
def slim_lmn():
    """Returns an LMN of the slim spec, and its functions: once a process."""
    model = built("lmn", slim_spec())
    return model, functions_of(model)

"""The simplest model with a memory of pairs."""

import keras

from lmn_tf.models import Pooling
from lmn_tf.models.base.pair_memory_plugin import PairMemoryPlugin


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class PairPooling(PairMemoryPlugin, Pooling):
    """Plain pooling with a memory of pairs that is trained: `LMNPair` without its defaults."""

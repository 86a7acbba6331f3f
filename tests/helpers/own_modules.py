"""Modules of users with parts of every kind, for tests."""

import sys
import textwrap

MODELS = """
from lmn_tf.models import DNN, LMN
from lmn_tf.models.options import DNNOptions, option
from lmn_tf.specs.yaml.section import Positive, Problem


class WideOptions(DNNOptions):
    width: Positive = option(4, "Width of the map.")

    def check(self):
        super().check()
        if self.width > 99:
            raise Problem(("width",), f"`width` must be at most 99. Received: width={self.width}")


class Wide(DNN):
    '''DNN with an option.

    Computes `logit = wide(x)`.
    '''

    Options = WideOptions


class Memory(LMN):
    '''LMN under another name.'''


def build():
    return None
"""
METRICS = """
import tensorflow as tf

from lmn_tf.metrics import GroupedAUC, LabelMetric


class Rows(LabelMetric):
    def __init__(self, label_index=0, power=1, name="rows", **kwargs):
        super().__init__(name, label_index, **kwargs)
        if power < 1:
            raise ValueError(f"`power` must be at least 1. Received: power={power}")
        self.power = power
        self.count = self.add_variable((), "zeros", dtype="float64", name="count")

    def update_state(self, y_true, y_pred, sample_weight=None):
        labels = tf.cast(self.take_label(y_true, "y_true"), tf.float64)
        self.count.assign_add(tf.reduce_sum(labels**self.power))

    def result(self):
        return tf.convert_to_tensor(self.count)


class Grouped(GroupedAUC):
    def __init__(self, label_index=0, name="grouped", **kwargs):
        super().__init__(label_index=label_index, name=name, **kwargs)
"""
OPTIMIZERS = """
import keras


class Plain(keras.optimizers.SGD):
    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)


class NoRate(keras.optimizers.Optimizer):
    def __init__(self, learning_rate, **kwargs):
        super().__init__(learning_rate, **kwargs)
"""


def write_modules(folder, monkeypatch):
    """Writes `users_models`, `users_metrics` and `users_optimizers`, which are then found."""
    modules = {"models": MODELS, "metrics": METRICS, "optimizers": OPTIMIZERS}
    for name, text in modules.items():
        (folder / f"users_{name}.py").write_text(textwrap.dedent(text).lstrip())
        # Each test has modules of its own: they are removed after it.
        monkeypatch.setitem(sys.modules, f"users_{name}", None)
        del sys.modules[f"users_{name}"]
    monkeypatch.syspath_prepend(folder)

"""Optimizers from the plain values of a pipeline file."""

import inspect

import keras

from lmn_tf.optimizers.group_optimizer import GroupOptimizer
from lmn_tf.optimizers.row_wise_adagrad import RowWiseAdagrad
from lmn_tf.optimizers.row_wise_adam import RowWiseAdam
from lmn_tf.optimizers.sparse_adagrad import SparseAdagrad
from lmn_tf.optimizers.warm_up import WarmUp
from lmn_tf.specs.errors import UserError, did_you_mean

OPTIMIZERS = {
    "adadelta": keras.optimizers.Adadelta,
    "adafactor": keras.optimizers.Adafactor,
    "adagrad": keras.optimizers.Adagrad,
    "adam": keras.optimizers.Adam,
    "adamax": keras.optimizers.Adamax,
    "adamw": keras.optimizers.AdamW,
    "ftrl": keras.optimizers.Ftrl,
    "lion": keras.optimizers.Lion,
    "nadam": keras.optimizers.Nadam,
    "rmsprop": keras.optimizers.RMSprop,
    "row_wise_adagrad": RowWiseAdagrad,
    "row_wise_adam": RowWiseAdam,
    "sgd": keras.optimizers.SGD,
    "sparse_adagrad": SparseAdagrad,
}

SCHEDULES = ("constant", "cosine", "exponential")


def make_optimizer(spec, schedule=None, clip_norm=None, total_steps=None):
    """Returns one optimizer from a one-key map `{NAME: learning rate or arguments}`.

    Args:
        spec: `{"adam": 0.001}`, `{"adam": {"learning_rate": 0.001, "beta_1": 0.8}}` or just a
            name, which takes the optimizer's own defaults.
        schedule: `None`, or an object or dictionary with any of `kind` (`"constant"`,
            `"cosine"`, `"exponential"`), `warmup_steps`, `decay_steps` and `decay_rate`: see
            `from_spec`. Defaults to `None`.
        clip_norm: Float or `None`: the largest global norm of the gradient. Defaults to `None`.
        total_steps: Integer or `None`: stands in for `decay_steps`. Defaults to `None`.

    Returns:
        A `keras.optimizers.Optimizer`.

    Raises:
        UserError: If a name, an argument or a value is not valid.

    Example:

    >>> make_optimizer({"sgd": {"learning_rate": 0.1, "momentum": 0.9}}).momentum
    0.9
    """
    name, arguments = _name_and_arguments(spec)
    optimizer_class = OPTIMIZERS[name]
    known = _arguments_of(optimizer_class)
    for key in arguments:
        if key not in known:
            raise UserError(f"`{name}` has no argument `{key}`.{did_you_mean(key, known)}")
    if "learning_rate" not in arguments:
        arguments["learning_rate"] = _own_learning_rate(optimizer_class)
    rate = arguments["learning_rate"]
    if isinstance(rate, bool) or not isinstance(rate, int | float) or not rate > 0:
        raise UserError(
            f"the learning rate of `{name}` must be a number above zero. "
            f"Received: learning_rate={rate!r}"
        )
    arguments["learning_rate"] = make_learning_rate(float(rate), schedule, total_steps)
    if clip_norm is not None and not {"clipnorm", "clipvalue", "global_clipnorm"} & set(arguments):
        arguments["global_clipnorm"] = float(clip_norm)
    try:
        return optimizer_class(**arguments)
    except (TypeError, ValueError) as error:
        raise UserError(f"`{name}` refuses its arguments: {error}") from error


def _arguments_of(optimizer_class):
    """Returns the names of the arguments that an optimizer class and its bases take."""
    parameters = [
        parameter
        for base in optimizer_class.__mro__
        for parameter in list(inspect.signature(base.__init__).parameters.values())[1:]
    ]
    named = (inspect.Parameter.POSITIONAL_OR_KEYWORD, inspect.Parameter.KEYWORD_ONLY)
    return sorted({each.name for each in parameters if each.kind in named} - {"name"})


def _own_learning_rate(optimizer_class):
    """Returns the learning rate that an optimizer class has of its own."""
    return inspect.signature(optimizer_class.__init__).parameters["learning_rate"].default


def from_spec(optimizer=None, schedule=None, clip_norm=None, total_steps=None, named=None):
    """Returns the optimizer of a pipeline: one for the dense variables, one for the tables.

    Schedules scale both learning rates alike. With `rate` the given one and `s` the step after
    warm-up: `constant` is `rate`; `cosine` is `rate * (1 + cos(pi * s / decay_steps)) / 2`, then
    zero; `exponential` is `rate * decay_rate ** (s / decay_steps)`. Warm-up rises in a straight
    line from `rate / warmup_steps`.

    Args:
        optimizer: `None`, or an object or dictionary with `dense` and `tables`, each
            `{NAME: learning rate or arguments}`. Defaults to `None`: Adam at 0.001 and row-wise
            Adagrad at 0.05.
        schedule: `None`, or an object or dictionary with `kind`, `warmup_steps`, `decay_steps`
            and `decay_rate`. Defaults to `None`.
        clip_norm: Float or `None`. The largest global norm of each group's gradient; dense
            variables and tables are clipped apart. Defaults to `None`.
        total_steps: Integer or `None`. How long training will be: `decay_steps`, where the
            schedule names none, is what it leaves after warm-up. Defaults to `None`.
        named: Dictionary from a table's name to its own `{NAME: ...}`, or `None`.

    Returns:
        A `GroupOptimizer`.

    Raises:
        UserError: If a name, an argument or a value is not valid.

    Example:

    >>> optimizer = from_spec({"dense": {"adam": 0.01}, "tables": {"row_wise_adagrad": 0.1}})
    >>> round(float(optimizer.learning_rate), 3)
    0.01
    """
    settings = {"schedule": schedule, "clip_norm": clip_norm, "total_steps": total_steps}
    dense = _get(optimizer, "dense", None) or {"adam": 0.001}
    tables = _get(optimizer, "tables", None) or {"row_wise_adagrad": 0.05}
    return GroupOptimizer(
        make_optimizer(dense, **settings),
        make_optimizer(tables, **settings),
        named={key: make_optimizer(value, **settings) for key, value in (named or {}).items()},
    )


def make_learning_rate(rate, schedule=None, total_steps=None):
    """Returns `rate`, or the Keras schedule that starts from it: see `from_spec`."""
    kind = _get(schedule, "kind", "constant")
    warmup_steps = int(_get(schedule, "warmup_steps", 0) or 0)
    if kind not in SCHEDULES:
        raise UserError(
            f"`schedule.kind` must be one of {', '.join(SCHEDULES)}.{did_you_mean(kind, SCHEDULES)}"
            f" Received: kind={kind!r}"
        )
    if warmup_steps < 0:
        raise UserError(
            f"`warmup_steps` must be zero or more. Received: warmup_steps={warmup_steps}"
        )
    if kind != "constant":
        steps = _decay_steps(schedule, kind, warmup_steps, total_steps)
        if kind == "cosine":
            rate = keras.optimizers.schedules.CosineDecay(rate, steps)
        else:
            rate = keras.optimizers.schedules.ExponentialDecay(
                rate, steps, _get(schedule, "decay_rate", 0.5)
            )
    return WarmUp(rate, warmup_steps) if warmup_steps else rate


def _decay_steps(schedule, kind, warmup_steps, total_steps):
    steps = _get(schedule, "decay_steps", None)
    if steps is None and total_steps is not None:
        steps = max(int(total_steps) - warmup_steps, 1)
    if steps is None or steps < 1:
        raise UserError(
            f"`decay_steps` must be a positive integer for a schedule of kind `{kind}`. "
            f"Received: decay_steps={steps}"
        )
    return int(steps)


def _name_and_arguments(spec):
    if isinstance(spec, str):
        spec = {spec: {}}
    if not isinstance(spec, dict) or len(spec) != 1:
        raise UserError(
            "an optimizer must be one `NAME: learning rate` or `NAME: {arguments}`. "
            f"Received: {spec!r}"
        )
    [(name, arguments)] = spec.items()
    if name not in OPTIMIZERS:
        raise UserError(f"unknown optimizer `{name}`.{did_you_mean(name, OPTIMIZERS)}")
    if not isinstance(arguments, dict):
        arguments = {} if arguments is None else {"learning_rate": arguments}
    return name, dict(arguments)


def _get(holder, key, default):
    """Reads `key` of a dictionary or of an object; `None` holds nothing."""
    if isinstance(holder, dict):
        return holder.get(key, default)
    return getattr(holder, key, default)

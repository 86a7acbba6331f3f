"""Optimizers from the sections of a pipeline file."""

import inspect
from typing import Any

import keras

from lmn_tf.optimizers.group_optimizer import GroupOptimizer
from lmn_tf.optimizers.row_wise_sgd import RowWiseSGD
from lmn_tf.optimizers.warm_up import WarmUp
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.optimizer import OPTIMIZERS, Optimizer, check_one_rule
from lmn_tf.specs.train import Schedule
from lmn_tf.specs.yaml.document import parse
from lmn_tf.specs.yaml.section import Problem


def make_optimizer(
    spec: str | dict[str, Any],
    schedule: Any = None,
    clip_norm: float | None = None,
    total_steps: int | None = None,
) -> keras.optimizers.Optimizer:
    """Creates an optimizer from `{NAME: learning rate or arguments}`.

    Args:
        spec: `{"adam": 0.001}`, `{"adam": {"learning_rate": 0.001, "beta_1": 0.8}}` or a name, for
            the optimizer's own defaults. An optimizer of a user is named as in `Parts`.
        schedule: `Schedule` section, dictionary of its keys, or `None`; see `from_spec`. Defaults
            to `None`.
        clip_norm: Float or `None`. Largest global norm of the gradient. Defaults to `None`.
        total_steps: Integer or `None`. Replaces missing `decay_steps`. Defaults to `None`.

    Returns:
        A `keras.optimizers.Optimizer`.

    Raises:
        UserError: If a name, an argument or a value is invalid.

    Example:

    >>> make_optimizer({"sgd": {"learning_rate": 0.1, "momentum": 0.9}}).momentum
    0.9
    """
    name, arguments = _name_and_arguments(spec)
    optimizer_class = OPTIMIZERS.load(name, "optimizer")
    known = _arguments_of(optimizer_class)
    for key in arguments:
        if key not in known:
            raise UserError(f"`{name}` has no argument `{key}`.{did_you_mean(key, known)}")
    if "learning_rate" not in arguments:
        arguments["learning_rate"] = _own_learning_rate(optimizer_class, name)
    rate = float(arguments["learning_rate"])
    arguments["learning_rate"] = make_learning_rate(rate, schedule, total_steps)
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
    names = {parameter.name for parameter in parameters if parameter.kind in named}
    # A factor of the loss is that of all optimizers of a model.
    names -= {"name", "loss_scale_factor"}
    return sorted(names - {"epsilon"} if optimizer_class is RowWiseSGD else names)


def _own_learning_rate(optimizer_class, name):
    """Returns the default learning rate of an optimizer class."""
    for base in optimizer_class.__mro__:
        parameter = inspect.signature(base.__init__).parameters.get("learning_rate")
        if parameter is not None and parameter.default is not parameter.empty:
            return parameter.default
    raise UserError(
        f"`learning_rate` must be given for `{name}`, which has no default. Received: nothing"
    )


def from_spec(
    optimizer: Any = None,
    schedule: Any = None,
    clip_norm: float | None = None,
    total_steps: int | None = None,
    named: dict[str, Any] | None = None,
) -> GroupOptimizer:
    """Creates the optimizer of a pipeline, for dense variables and tables.

    Schedules scale both learning rates by the same factor. With the given `rate` and step `s` after
    warm-up: `constant` is `rate`; `cosine` is `rate * (1 + cos(pi * s / decay_steps)) / 2`, then
    zero; `exponential` is `rate * decay_rate ** (s / decay_steps)`. Warm-up is linear, from
    `rate / warmup_steps`.

    Args:
        optimizer: `Optimizer` section, or dictionary of its keys `dense` and `tables`, each
            `{NAME: learning rate or arguments}`. Defaults to `None`: the defaults of the section.
        schedule: `Schedule` section, dictionary of its keys `kind`, `warmup_steps`, `decay_steps`
            and `decay_rate`, or `None`. Defaults to `None`.
        clip_norm: Float or `None`. Largest global norm of each group's gradient; dense variables
            and tables are clipped separately. Defaults to `None`.
        total_steps: Integer or `None`. Number of training steps; by default, `decay_steps` is the
            number that remains after warm-up. Defaults to `None`.
        named: Dictionary from a table's name to its own `{NAME: ...}`, or `None`.

    Returns:
        A `GroupOptimizer`.

    Raises:
        UserError: If a name, an argument or a value is invalid.

    Example:

    >>> optimizer = from_spec({"dense": {"adam": 0.01}, "tables": {"row_wise_adagrad": 0.1}})
    >>> round(float(optimizer.learning_rate), 3)
    0.01
    """
    optimizer = _section(Optimizer, optimizer)
    settings = {"schedule": schedule, "clip_norm": clip_norm, "total_steps": total_steps}
    return GroupOptimizer(
        make_optimizer(optimizer.dense, **settings),
        make_optimizer(optimizer.tables, **settings),
        named={key: make_optimizer(value, **settings) for key, value in (named or {}).items()},
    )


def make_learning_rate(
    rate: float, schedule: Any = None, total_steps: int | None = None
) -> float | keras.optimizers.schedules.LearningRateSchedule:
    """Returns `rate`, or the Keras schedule that starts from it; see `from_spec`."""
    schedule = _section(Schedule, schedule)
    if schedule.kind == "cosine":
        steps = _decay_steps(schedule, total_steps)
        rate = keras.optimizers.schedules.CosineDecay(rate, steps)
    elif schedule.kind == "exponential":
        steps = _decay_steps(schedule, total_steps)
        rate = keras.optimizers.schedules.ExponentialDecay(rate, steps, schedule.decay_rate)
    return WarmUp(rate, schedule.warmup_steps) if schedule.warmup_steps else rate


def _decay_steps(schedule, total_steps):
    if schedule.decay_steps is not None:
        return schedule.decay_steps
    if total_steps is None:
        raise UserError(
            f"`decay_steps` must be given for a schedule of kind `{schedule.kind}` where the "
            "length of training is not known. Received: nothing"
        )
    return max(int(total_steps) - schedule.warmup_steps, 1)


def _section(cls, value):
    """Returns a section of a pipeline file, parsed if it is a dictionary or `None`."""
    return parse(cls, value or {}) if value is None or isinstance(value, dict) else value


def _name_and_arguments(rule):
    if isinstance(rule, str):
        rule = {rule: {}}
    if not isinstance(rule, dict):
        raise UserError(
            "an optimizer must be one `NAME: learning rate` or `NAME: {arguments}`. "
            f"Received: {rule!r}"
        )
    try:
        check_one_rule("optimizer", rule)
    except Problem as problem:
        raise UserError(problem.message) from problem
    [(name, arguments)] = rule.items()
    return name, dict(arguments) if isinstance(arguments, dict) else {"learning_rate": arguments}

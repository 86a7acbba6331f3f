"""One optimizer, written `name: learning rate` or `name: {argument: value, ...}`."""

from lmn_tf.specs.errors import short
from lmn_tf.specs.section import Problem
from lmn_tf.specs.strict_yaml import is_finite


def check_one_rule(key, rule):
    """Raises `Problem` unless `rule` maps one optimizer's name to a rate or to arguments."""
    if len(rule) != 1:
        names = ", ".join(rule) or "none"
        raise Problem((key,), f"`{key}` must name exactly one optimizer. Received: {names}")
    name, value = next(iter(rule.items()))
    if is_finite(value):
        rate, path = value, (key, name)
    elif isinstance(value, dict) and "learning_rate" in value:
        rate, path = value["learning_rate"], (key, name, "learning_rate")
    elif isinstance(value, dict):
        return
    else:
        raise Problem(
            (key, name),
            f"`{name}` must be a learning rate or a mapping of arguments. Received: {short(value)}",
        )
    if not is_finite(rate) or rate < 0:
        raise Problem(
            path, f"the learning rate of `{name}` must be at least 0. Received: {short(rate)}"
        )

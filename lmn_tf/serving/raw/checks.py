"""Checks of values within a graph."""

import tensorflow as tf


def check_values(good: tf.Tensor, column: str, rule: str, values: tf.Tensor) -> None:
    """Lets the graph fail with `InvalidArgumentError` where a value breaks a rule.

    Args:
        good: Boolean tensor. Whether each value keeps the rule.
        column: String. Name of the data column.
        rule: String. What must hold, as in the messages of the input pipeline.
        values: Tensor of the shape of `good`. The first one that breaks the rule is in the message.
    """
    broken = tf.boolean_mask(values, tf.logical_not(good))[:1]
    message = f"column `{column}`: {rule}. Received:"
    tf.raw_ops.Assert(condition=tf.reduce_all(good), data=[message, broken], summarize=1)

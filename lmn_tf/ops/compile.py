"""Knows whether the graph being built will be compiled by XLA."""

import tensorflow as tf


def is_compiling_with_xla():
    """Says whether the code now being traced will be compiled by XLA.

    XLA needs static shapes; TensorFlow's own kernels do not. The functions of
    this package that can save work by leaving padded positions out (their
    number is known only at run time) ask this function first, and fall back
    to static shapes inside `tf.function(jit_compile=True)`.

    Returns:
        `True` while a function with `jit_compile=True` is traced, itself or as
        the caller of the function being traced; `False` otherwise. A
        `tf.function` traced outside of XLA keeps that trace when a compiled
        function calls it later with the same kinds of arguments.
    """
    if tf.executing_eagerly():
        return False
    graph = tf.compat.v1.get_default_graph()
    while graph is not None:
        context = graph._get_control_flow_context()
        while context is not None:
            if context.IsXLAContext():
                return True
            context = context.outer_context
        graph = getattr(graph, "outer_graph", None)
    return False

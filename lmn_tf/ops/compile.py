"""Where XLA compiles: the switch, and what is being traced now."""

import contextlib
import threading

import tensorflow as tf

_state = threading.local()


@contextlib.contextmanager
def without_xla():
    """Has the ops traced in a block use TensorFlow's own kernels only.

    The ops compile by themselves with XLA where that was measured to be faster
    (the search of long rows of scores on a CPU), and nowhere else. A graph that
    is to run where XLA may be missing is traced inside this block: an export is.
    """
    before = getattr(_state, "is_off", False)
    _state.is_off = True
    try:
        yield
    finally:
        _state.is_off = before


def compiles_with_xla():
    """Says whether an op may compile a part of itself with XLA on its own.

    Returns:
        `False` inside `without_xla`, where XLA compiles the caller already, and
        where the work would go to a GPU, whose kernels need no help; else `True`.
    """
    return not (
        getattr(_state, "is_off", False)
        or is_compiling_with_xla()
        or tf.config.list_physical_devices("GPU")
    )


def runs_sparse_products(dtype):
    """Says whether products with sparse matrices may be used: on CPUs and outside of XLA.

    Args:
        dtype: `tf.DType` of the matrices.
    """
    return (
        dtype in (tf.float32, tf.float64)
        and not is_compiling_with_xla()
        and not tf.config.list_physical_devices("GPU")
    )


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

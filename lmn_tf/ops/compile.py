"""Choice of the kernels of ops, by target and tracing context."""

import contextlib
import os
import sys
import threading
from collections.abc import Iterator

import tensorflow as tf

from lmn_tf.keras_internals import SAVING_MODULES, is_traced_for_xla

_SELECT_K = "--xla_gpu_experimental_use_raft_select_k"
_state = threading.local()


@contextlib.contextmanager
def plain_kernels() -> Iterator[None]:
    """Restricts ops traced in the block to kernels available wherever TensorFlow runs.

    On CPUs, ops compile parts of themselves with XLA and multiply by sparse
    matrices if this was measured to be faster. Trace a graph that will run
    elsewhere (on a server without XLA, on a GPU, compiled as a whole) inside this
    block, as exports are. `tf.saved_model.save`, `keras.Model.export` and
    `keras.export.ExportArchive` need no block for what they trace themselves; a
    function traced earlier and saved as a signature does.
    """
    before = getattr(_state, "is_plain", False)
    _state.is_plain = True
    try:
        yield
    finally:
        _state.is_plain = before


def compiles_for_cpu() -> bool:
    """Returns whether an op may compile a part of itself with XLA, for CPUs.

    Returns:
        `False` inside `plain_kernels`, if XLA already compiles the caller, and if the op
        would run on a GPU; otherwise `True`.
    """
    return not (_is_left_alone() or has_gpu())


def is_compiled_for_cpu() -> bool:
    """Returns whether XLA compiles the caller for a CPU.

    Returns:
        `True` if `is_compiling_with_xla` is true, without a GPU and outside of
        `plain_kernels`.
    """
    return is_compiling_with_xla() and not (_is_plain() or has_gpu())


def compiles_for_gpu() -> bool:
    """Returns whether an op may compile a search with XLA, for GPUs.

    Returns:
        `True` on a GPU if XLA's select-k kernels are enabled, by the user or by a
        command of this package that has tried them; `False` inside `plain_kernels`
        and if XLA already compiles the caller.
    """
    is_on = f"{_SELECT_K}=true" in os.environ.get("XLA_FLAGS", "")
    return is_on and not _is_left_alone() and has_gpu()


def runs_sparse_products(dtype: tf.DType) -> bool:
    """Returns whether an op may multiply by sparse matrices.

    Args:
        dtype: `tf.DType` of the matrices.

    Returns:
        `True` if `compiles_for_cpu` is true, for float32 and float64.
    """
    return compiles_for_cpu() and dtype in (tf.float32, tf.float64)


def _is_left_alone():
    return _is_plain() or is_compiling_with_xla()


def _is_plain():
    return getattr(_state, "is_plain", False) or _is_being_saved()


def _is_being_saved():
    """Returns whether TensorFlow or Keras traces the caller to save it.

    There is no API for this, and Keras' archive traces outside of TensorFlow's saving, so the call
    stack is inspected: once for each op of a graph, and never when ops run.
    """
    if tf.executing_eagerly():
        return False
    frame = sys._getframe(1)
    while frame is not None:
        if frame.f_globals.get("__name__", "").startswith(SAVING_MODULES):
            return True
        frame = frame.f_back
    return False


def has_gpu() -> bool:
    """Returns whether this machine has a GPU that TensorFlow can use."""
    return bool(tf.config.list_physical_devices("GPU"))


def is_compiling_with_xla() -> bool:
    """Returns whether the code being traced will be compiled by XLA.

    XLA needs static shapes; TensorFlow's own kernels do not. Functions of this
    package that can skip padded positions (whose number is known only at run
    time) call this function first, and fall back to static shapes inside
    `tf.function(jit_compile=True)`.

    Returns:
        `True` while a function with `jit_compile=True` is traced, itself or as
        the caller of the function being traced; `False` otherwise. A
        `tf.function` traced outside of XLA keeps that trace when a compiled
        function calls it later with the same kinds of arguments.
    """
    return not tf.executing_eagerly() and is_traced_for_xla()

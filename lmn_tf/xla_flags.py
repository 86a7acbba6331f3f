"""XLA flags: select-k kernels on machines with a GPU whose XLA supports them."""

import os
import shutil
import subprocess
import sys

SELECT_K = "--xla_gpu_experimental_use_raft_select_k"
_PROBE = (
    "import tensorflow as tf; "
    "search = tf.function(lambda x: tf.math.top_k(x, 8).indices, jit_compile=True); "
    "search(tf.random.normal([64, 512])).numpy()"
)


def let_xla_select_k() -> None:
    """Adds the flag to `XLA_FLAGS` if XLA on this machine supports it.

    XLA aborts the process at an unknown flag, so the flag is first tried in another process. It is
    not tried without a GPU, or if the user's `XLA_FLAGS` contain it. Call this before TensorFlow is
    loaded. With the flag, ops let XLA compile their search on GPUs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if SELECT_K in flags or shutil.which("nvidia-smi") is None:
        return
    flags = f"{flags} {SELECT_K}=true".strip()
    if accepts(flags):
        os.environ["XLA_FLAGS"] = flags


def accepts(flags: str) -> bool:
    """Returns whether a small search compiled by XLA runs with these flags in another process.

    Args:
        flags: String. Value of `XLA_FLAGS`.
    """
    try:
        ended = subprocess.run(
            [sys.executable, "-c", _PROBE],
            env={**os.environ, "XLA_FLAGS": flags},
            capture_output=True,
            timeout=120,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return ended.returncode == 0

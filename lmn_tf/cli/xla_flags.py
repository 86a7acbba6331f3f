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
    """Adds the flag to `XLA_FLAGS` where a process that searches with it lives.

    XLA ends the process at a flag that it does not know, so another process tries first. Nothing is
    tried without a GPU or when the user's `XLA_FLAGS` name the flag. Must come before TensorFlow is
    loaded. The ops look for the flag: with it, XLA compiles their search on GPUs.
    """
    flags = os.environ.get("XLA_FLAGS", "")
    if SELECT_K in flags or shutil.which("nvidia-smi") is None:
        return
    flags = f"{flags} {SELECT_K}=true".strip()
    if accepts(flags):
        os.environ["XLA_FLAGS"] = flags


def accepts(flags: str) -> bool:
    """Says whether a small search compiled by XLA runs under these flags, in a process of its own.

    Args:
        flags: What `XLA_FLAGS` is to be.
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

"""Data pipeline: batches from data files, defined by a feature spec."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "BatchReader": "reading.batch_reader",
    "check_files": "check",
    "learn": "learning.vocabulary",
    "make_dataset": "dataset",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)

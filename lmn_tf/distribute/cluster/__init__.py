"""Clusters of workers and parameter servers, and their coordination."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {"Cluster": "cluster", "ClusterError": "cluster", "connect": "cluster"}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)

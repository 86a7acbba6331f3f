"""YAML files as frozen records; nothing here imports TensorFlow."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Assets": "learned.assets",
    "Bucketize": "transform",
    "Column": "columns",
    "ComparisonSpec": "comparison_spec",
    "Events": "feature_spec",
    "Feature": "columns",
    "FeatureSpec": "feature_spec",
    "Field": "columns",
    "Label": "feature_spec",
    "Learn": "lookup",
    "Lookup": "lookup",
    "MinMax": "transform",
    "PipelineSpec": "pipeline_spec",
    "Quantiles": "transform",
    "ResolvedField": "columns",
    "Sequence": "feature_spec",
    "Table": "feature_spec",
    "UserError": "errors",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)

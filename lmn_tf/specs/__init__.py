"""YAML files as frozen records; nothing here imports TensorFlow."""

from lmn_tf.lazy_exports import lazy_exports

_EXPORTS = {
    "Assets": "assets",
    "Bucketize": "bucketize",
    "ComparisonSpec": "comparison_spec",
    "Events": "events",
    "Feature": "feature",
    "FeatureSpec": "feature_spec",
    "Field": "field",
    "Label": "label",
    "Learn": "learn",
    "Lookup": "lookup",
    "MinMax": "min_max",
    "PipelineSpec": "pipeline_spec",
    "Quantiles": "quantiles",
    "ResolvedField": "resolved_field",
    "Sequence": "sequence",
    "Table": "table",
    "UserError": "errors",
}

__all__ = sorted(_EXPORTS)

__getattr__, __dir__ = lazy_exports(__name__, __all__, _EXPORTS)

"""YAML files as frozen records; nothing here imports TensorFlow."""

import importlib

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

__all__ = [
    "Assets",
    "Bucketize",
    "ComparisonSpec",
    "Events",
    "Feature",
    "FeatureSpec",
    "Field",
    "Label",
    "Learn",
    "Lookup",
    "MinMax",
    "PipelineSpec",
    "Quantiles",
    "ResolvedField",
    "Sequence",
    "Table",
    "UserError",
]


def __getattr__(name):
    if name not in _EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_EXPORTS[name]}"), name)
    globals()[name] = value
    return value


def __dir__():
    return __all__

"""What a feature and a field of a sequence have in common."""

from typing import Annotated, Literal

from pydantic import Field

from lmn_tf.specs.bucketize import Bucketize

Kind = Literal["categorical", "numeric", "multi_value", "cross", "elapsed_time", "vector"]
Role = Literal["user", "item", "context", "cross"]
Unit = Literal["second", "minute", "hour", "day"]
TimeUnit = Literal["second", "millisecond", "microsecond", "nanosecond"]
MaxValues = Annotated[int, Field(strict=True, ge=1, le=100_000)]
Width = Annotated[int, Field(strict=True, ge=1, le=1_000_000)]
NumBuckets = Annotated[int, Field(strict=True, ge=1, le=10_000)]

# What may be written for a column of each kind, beyond its name, role, kind and column.
KIND_KEYS = {
    "categorical": ("lookup", "table", "default"),
    "numeric": ("transform", "table", "default"),
    "multi_value": ("lookup", "table", "default", "weights", "max_values", "separator"),
    "cross": ("lookup", "table", "of"),
    "elapsed_time": ("table", "num_buckets", "unit"),
    "vector": ("size", "separator"),
}
KIND_NEEDS = {
    "categorical": ("lookup",),
    "multi_value": ("lookup",),
    "cross": ("lookup", "of"),
    "vector": ("size",),
}
OPTIONAL_KEYS = (
    "lookup", "table", "transform", "of", "default", "weights",
    "max_values", "separator", "size", "num_buckets", "unit",
)  # fmt: skip
DEFAULTS = {
    "transform": (), "of": (), "max_values": 16, "separator": "|", "num_buckets": 32,
    "unit": "second",
}  # fmt: skip


class ColumnMethods:
    """Questions that features, fields and resolved fields answer alike."""

    @property
    def data_column(self):
        """Name of the column in the data."""
        return self.column if self.column is not None else self.name

    @property
    def bucketize(self):
        """The `Bucketize` step that ends the transform, or `None`."""
        last = self.transform[-1] if self.transform else None
        return last if isinstance(last, Bucketize) else None

    @property
    def has_ids(self):
        """Whether values become ids (of an embedding table) and not plain numbers."""
        if self.kind == "numeric":
            return self.bucketize is not None
        return self.kind != "vector"

    @property
    def needs_statistics(self):
        """Whether a step of the transform is learned from the training data."""
        named = any(step in ("standardize", "min_max") for step in self.transform)
        return named or (self.bucketize is not None and self.bucketize.learned)

"""The spec of a data set: what its columns mean."""

import functools
import pathlib
from typing import Annotated

from pydantic import Field, model_validator

from lmn_tf.specs.assets import Assets, read_vocabulary
from lmn_tf.specs.column import TimeUnit, Width
from lmn_tf.specs.cross_checks import check_feature_spec
from lmn_tf.specs.document import Document
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature import Feature
from lmn_tf.specs.fingerprint import FINGERPRINT_FILE, check_fingerprint
from lmn_tf.specs.inner_files import check_inner_files, check_inner_vocabularies
from lmn_tf.specs.label import Label
from lmn_tf.specs.resolved_field import ResolvedField
from lmn_tf.specs.section import Name, Text, Version, path_beside, section
from lmn_tf.specs.sequence import Sequence
from lmn_tf.specs.table import Table

_LIKED = (
    "kind", "lookup", "table", "transform", "default", "max_values", "separator", "size",
    "num_buckets", "unit",
)  # fmt: skip

# What a folder has where the learned files in it belong to its spec: one that `write_spec` wrote,
# or a run or an export of before there were fingerprints.
_OWN_FOLDER = (FINGERPRINT_FILE, "checkpoints", "saved_model")


@section
class FeatureSpec(Document):
    """What the columns of a data set mean: labels, features, histories, tables.

    Args:
        spec_version: `1`.
        name: String. Name of the data set.
        group: String. Column whose rows are ranked together. Defaults to `None`.
        request_time: String. Column with the moment of the impression. Defaults to `None`.
        time_unit: `"second"`, `"millisecond"`, `"microsecond"` or `"nanosecond"`: what numbers in
            columns of times (`request_time` and those of kind elapsed_time) count since 1970;
            timestamps know it themselves. Defaults to `None`: seconds.
        weight: String. Column with a weight for each row: how much its labels count, in training
            and in metrics. A row of weight 0 is left out of training, as if it were not there; in
            what is learned without labels (memories, statistics of batches) all others count
            alike. Defaults to `None`.
        embedding_dim: Integer. Width of tables that are not listed. Defaults to `16`.
        labels: Tuple of `Label`.
        tables: Mapping of names to `Table`. Defaults to none.
        features: Tuple of `Feature`.
        sequences: Tuple of `Sequence`. Defaults to `()`.

    Example:

    >>> spec = FeatureSpec.from_dict({
    ...     "spec_version": 1, "name": "tiny", "labels": [{"name": "click"}],
    ...     "features": [{"name": "hour", "role": "context", "kind": "categorical",
    ...                   "lookup": {"identity": 24}}]})
    >>> spec.input_size(spec.feature("hour"))
    26
    """

    spec_version: Version
    name: Text
    group: Text | None = None
    request_time: Text | None = None
    time_unit: TimeUnit | None = None
    weight: Text | None = None
    embedding_dim: Width = 16
    labels: Annotated[tuple[Label, ...], Field(min_length=1)]
    tables: dict[Name, Table] = Field(default_factory=dict)
    features: Annotated[tuple[Feature, ...], Field(min_length=1)]
    sequences: tuple[Sequence, ...] = ()

    @model_validator(mode="after")
    def _check(self):
        check_feature_spec(self)
        return self

    @classmethod
    def load(cls, path, learned=None):
        """Reads a YAML file, and what was learned where it is that of a run or an export.

        Args:
            path: The file.
            learned: Boolean. Whether `vocabularies/` and `statistics.json` beside the file are
                read into `assets`. Defaults to `None`: where they are a run's or an export's.

        Raises:
            UserError: with file and line, for the first mistake in it; or when the files beside it
                are not what was written, or it is a run's and names files outside of its folder.
        """
        folder = pathlib.Path(path).parent
        if learned is None:
            is_own = pathlib.Path(path).name == "feature_spec.yaml"
            learned = is_own and any((folder / name).exists() for name in _OWN_FOLDER)
        if learned:
            check_inner_files(folder)
        spec = super().load(path)
        if learned:
            check_inner_vocabularies(spec, folder)
            vars(spec.assets).update(vars(Assets.load(folder)))
            check_fingerprint(spec, folder)
        return spec

    # What is learned from data is no part of the spec: neither written, nor compared.

    @property
    def assets(self):
        """The `Assets` learned for this spec; mutable, empty at first."""
        return self.__dict__.setdefault("_assets", Assets())

    # Columns.

    def feature(self, name):
        """Returns the `Feature` called `name`."""
        if name not in self._by_name:
            raise KeyError(f"`{name}` must be a feature.{did_you_mean(name, self._by_name)}")
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self):
        return {feature.name: feature for feature in self.features}

    def features_of(self, role):
        """Returns the features of a role, in the order of the file."""
        return tuple(feature for feature in self.features if feature.role == role)

    def sequence(self, name):
        """Returns the `Sequence` called `name`."""
        for sequence in self.sequences:
            if sequence.name == name:
                return sequence
        raise KeyError(
            f"`{name}` must be a sequence.{did_you_mean(name, [s.name for s in self.sequences])}"
        )

    def resolved_field(self, sequence, field):
        """Returns a field (or its name) of a sequence (or its name) as a `ResolvedField`."""
        sequence = self.sequence(sequence) if isinstance(sequence, str) else sequence
        field = sequence.field(field) if isinstance(field, str) else field
        source = field if field.like is None else self.feature(field.like)
        return ResolvedField(
            sequence=sequence.name,
            name=field.name,
            column=field.column,
            like=field.like,
            weights=field.weights,
            **{key: getattr(source, key) for key in _LIKED},
        )

    def views(self):
        """Returns every feature and every resolved field, in the order of the file."""
        fields = [
            self.resolved_field(sequence, field)
            for sequence in self.sequences
            for field in sequence.fields
        ]
        return (*self.features, *fields)

    def columns(self, labels=True, histories=True):
        """Returns the names of all columns of the data that must be read, each once.

        Args:
            labels: Boolean. Whether labels and row weights are read. Defaults to `True`.
            histories: Boolean. Whether sequences are read. Defaults to `True`.
        """
        names = [self.group, self.request_time]
        if labels:
            names += [self.weight, *(label.data_column for label in self.labels)]
        for feature in self.features:
            names += [None if feature.kind == "cross" else feature.data_column, feature.weights]
        for sequence in self.sequences if histories else ():
            if sequence.events is not None:
                names += [sequence.events.user, sequence.events.count]
                continue
            for field in sequence.fields:
                names += [field.data_column, field.weights]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def id_columns(self):
        """Returns the names of the columns that hold ids: of features, fields, group and owners."""
        names = [] if self.group is None else [self.group]
        views = list(self.features)
        for sequence in self.sequences:
            if sequence.events is not None:
                names.append(sequence.events.user)
                continue
            views += [self.resolved_field(sequence, field) for field in sequence.fields]
        names += [v.data_column for v in views if v.kind in ("categorical", "multi_value")]
        return tuple(dict.fromkeys(names))

    # Tables and sizes.

    def table_of(self, view):
        """Returns the name and the `Table` of a feature or a resolved field."""
        if view.table is not None:
            return view.table, self.tables[view.table]
        return view.key, Table(dim=self.embedding_dim)

    def lookup_key(self, view):
        """Returns the key of a column's vocabulary and size in `assets`.

        It is the column's own `key`, but the table's name where several columns that learn their
        vocabulary share a table.
        """
        if view.table is None or view.lookup is None or view.lookup.learn is None:
            return view.key
        return view.table if len(self._sharers[view.table]) > 1 else view.key

    @functools.cached_property
    def _sharers(self):
        """The keys of the columns of each table."""
        sharers = {}
        for view in self.views():
            sharers.setdefault(view.table, set()).add(view.key)
        return sharers

    def vocabulary(self, view):
        """Returns the values of a column's vocabulary as a list, or `None` where it has none.

        Raises:
            UserError: when it is still to be learned, or its file cannot be read.
        """
        lookup = view.lookup
        if lookup is None or lookup.way not in ("vocabulary", "learn"):
            return None
        key = self.lookup_key(view)
        if isinstance(lookup.vocabulary, tuple):
            return list(lookup.vocabulary)
        if key in self.assets.vocabularies:
            return self.assets.vocabularies[key]
        if lookup.vocabulary is not None:
            path = path_beside(self.base_dir, lookup.vocabulary)
            values = read_vocabulary(path)
            if not values:
                raise UserError("vocabulary must hold at least one value.", file=path)
            return values
        raise UserError(
            f"the vocabulary of `{view.name}` must be learned from training data first."
        )

    def input_size(self, view):
        """Returns the number of ids of a column, the two reserved ones included.

        Raises:
            UserError: when the vocabulary is still to be learned, or the column has no ids.
        """
        if not view.has_ids:
            raise UserError(f"`{view.name}` must have ids. Received: kind {view.kind}")
        if view.bucketize is not None:
            return view.bucketize.size
        if view.kind == "elapsed_time":
            return view.num_buckets + 2
        if view.lookup.size is not None:
            return view.lookup.size
        key = self.lookup_key(view)
        if key not in self.assets.vocabularies and key in self.assets.sizes:
            return self.assets.sizes[key]
        return len(self.vocabulary(view)) + 2

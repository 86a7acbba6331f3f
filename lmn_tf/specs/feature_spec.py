"""Spec of a dataset: the meaning of its columns."""

import functools
import os
import pathlib
from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.columns import (
    LIKED_KEYS,
    EventCross,
    Feature,
    Field,
    ResolvedCross,
    ResolvedField,
    TimeUnit,
    Width,
)
from lmn_tf.specs.cross_checks import check_feature_spec
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.learned.assets import Assets, read_vocabulary
from lmn_tf.specs.learned.fingerprint import FINGERPRINT_FILE, check_fingerprint
from lmn_tf.specs.learned.inner_files import check_inner_files, check_inner_vocabularies
from lmn_tf.specs.lookup import FIRST_ID
from lmn_tf.specs.optimizer import OptimizerRule, check_one_rule
from lmn_tf.specs.yaml.document import Document
from lmn_tf.specs.yaml.section import (
    Name,
    NonNegative,
    PositiveNumber,
    Problem,
    Text,
    Version,
    path_beside,
    section,
)

# A folder with one of these holds the learned files of its spec: it was written by `write_spec`,
# or is a run or an export of a version without fingerprints.
_OWN_FOLDER = (FINGERPRINT_FILE, "checkpoints", "saved_model")
# What batches hold of a sequence beside its fields, in either form of a history.
_OWN_KEYS = ("mask", "first", "length")


@section
class Label:
    """A column of zeros and ones.

    Args:
        name: String, unique among labels.
        column: String. Name of the data column. Defaults to `None`, which means `name`.
    """

    name: Name
    column: Text | None = None

    @property
    def data_column(self) -> str:
        """Name of the column in the data."""
        return self.column if self.column is not None else self.name


@section
class Events:
    """File with the events of all users, each stored once.

    A row of the data names its user, and the number of the user's events that precede the row.

    Args:
        file: Path of an Arrow IPC file, relative to the folder of the data files. It has the
            column `user` and the columns of all fields, sorted by user and then by time.
        user: Name of the column with the user, in the data and in `file`.
        count: Name of the data column with the number of events that precede the row.
    """

    file: Text
    user: Text
    count: Text


@section
class Sequence:
    """A list of events of a user, oldest first.

    Args:
        name: String, unique among features and sequences.
        max_length: Integer. Longer histories are truncated.
        keep: `"newest"` or `"oldest"`: the events to keep. Defaults to `"newest"`.
        fields: Tuple of `Field`. Their lists have the same length in each row.
        crosses: Tuple of `EventCross`: combinations of fields. Defaults to `()`.
        events: `Events`, for histories by reference. Defaults to `None`: inline lists.
    """

    name: Name
    max_length: Annotated[int, pydantic.Field(strict=True, ge=1, le=1_000_000)]
    keep: Literal["newest", "oldest"] = "newest"
    fields: Annotated[tuple[Field, ...], pydantic.Field(min_length=1)]
    crosses: tuple[EventCross, ...] = ()
    events: Events | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        names = set()
        for key in ("fields", "crosses"):
            for index, part in enumerate(getattr(self, key)):
                self._check_name(part.name, names, (key, index, "name"))
                names.add(part.name)
        return self

    @staticmethod
    def _check_name(name, names, path):
        if name in names:
            raise Problem(path, f"names of fields must differ. Received: {name!r} twice")
        if name in _OWN_KEYS:
            raise Problem(
                path,
                f"`name` must not be {name!r}, which is the sequence's own. "
                f"Received: name={name!r}",
            )

    def relevant_keys(self) -> tuple[str, ...]:
        """Names of the arguments to write, in the order of a file: no crosses if there are none."""
        crosses = ("crosses",) if self.crosses else ()
        return ("name", "max_length", "keep", "fields", *crosses, "events")

    def field(self, name: str) -> Field:
        """Returns the `Field` called `name`."""
        for field in self.fields:
            if field.name == name:
                return field
        names = [field.name for field in self.fields]
        raise KeyError(f"`{name}` must be a field of `{self.name}`.{did_you_mean(name, names)}")


@section
class Table:
    """An embedding table of one or several columns.

    Args:
        dim: Integer. Width of a vector.
        combiner: Reduction of the vectors of a multi_value column: `"mean"`, `"sum"` or `"sqrtn"`.
            Defaults to `"mean"`.
        initializer: `"uniform"`, `"normal"` or `"zeros"`. Defaults to `"normal"`.
        initializer_scale: Float. Half the range of the uniform, standard deviation of the normal
            initializer. Models that multiply embeddings of behaviors with each other may need more
            than the default to start learning. Defaults to `0.05`.
        regularizer: Float. L2 weight. Defaults to `0.0`.
        placement: `"replicated"` or `"row_wise"`. Defaults to `"replicated"`.
        optimizer: Mapping of one optimizer's name to its learning rate or arguments. Defaults to
            `None`: the pipeline's optimizer of tables.
    """

    dim: Width
    combiner: Literal["mean", "sum", "sqrtn"] = "mean"
    initializer: Literal["uniform", "normal", "zeros"] = "normal"
    initializer_scale: PositiveNumber = 0.05
    regularizer: NonNegative = 0.0
    placement: Literal["replicated", "row_wise"] = "replicated"
    optimizer: OptimizerRule | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        if self.optimizer is not None:
            check_one_rule("optimizer", self.optimizer)
        return self


@section
class FeatureSpec(Document):
    """Meaning of the columns of a dataset: labels, features, histories and tables.

    Args:
        spec_version: `1`.
        name: String. Name of the dataset.
        group: String. Column with the group of each row; rows of a group are ranked together.
            Defaults to `None`.
        request_time: String. Column with the time of the impression. Defaults to `None`.
        time_unit: `"second"`, `"millisecond"`, `"microsecond"` or `"nanosecond"`. Unit of numbers
            in time columns (`request_time` and columns of kind elapsed_time), counted since 1970;
            timestamps have their own unit. Defaults to `None`: seconds.
        weight: String. Column with a weight for the labels of each row, in training and in metrics.
            Rows of weight 0 are excluded from training and from what is learned before it. In what
            is learned without labels (vocabularies, statistics, memories), all other rows have the
            same weight. Defaults to `None`.
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
    labels: Annotated[tuple[Label, ...], pydantic.Field(min_length=1)]
    tables: dict[Name, Table] = pydantic.Field(default_factory=dict)
    features: Annotated[tuple[Feature, ...], pydantic.Field(min_length=1)]
    sequences: tuple[Sequence, ...] = ()

    @pydantic.model_validator(mode="after")
    def _check(self):
        check_feature_spec(self)
        return self

    @classmethod
    def load(cls, path: str | os.PathLike, learned: bool | None = None) -> "FeatureSpec":
        """Reads a YAML file, and the learned assets of a run or an export.

        Args:
            path: Path of the file.
            learned: Boolean. Whether to read `vocabularies/` and `statistics.json` beside the file
                into `assets`. Defaults to `None`: only for runs and exports.

        Raises:
            UserError: With file and line, for the first mistake in the file; or if the files beside
                it have changed, or the spec of a run or an export names files outside its folder.
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

    # Learned assets are not part of the spec: they are neither written nor compared.

    @property
    def assets(self) -> Assets:
        """The `Assets` learned for this spec; mutable, initially empty."""
        return vars(self).setdefault("_assets", Assets())

    # Columns.

    def feature(self, name: str) -> Feature:
        """Returns the `Feature` called `name`."""
        if name not in self._by_name:
            raise KeyError(f"`{name}` must be a feature.{did_you_mean(name, self._by_name)}")
        return self._by_name[name]

    @functools.cached_property
    def _by_name(self):
        return {feature.name: feature for feature in self.features}

    def features_of(self, role: str) -> tuple[Feature, ...]:
        """Returns the features of a role, in the order of the file."""
        return tuple(feature for feature in self.features if feature.role == role)

    def sequence(self, name: str) -> Sequence:
        """Returns the `Sequence` called `name`."""
        for sequence in self.sequences:
            if sequence.name == name:
                return sequence
        raise KeyError(
            f"`{name}` must be a sequence.{did_you_mean(name, [s.name for s in self.sequences])}"
        )

    def resolved_field(self, sequence: Sequence | str, field: Field | str) -> ResolvedField:
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
            **{key: getattr(source, key) for key in LIKED_KEYS},
        )

    def features_and_fields(self) -> tuple[Feature | ResolvedField, ...]:
        """Returns every feature and every resolved field, in the order of the file."""
        fields = [
            self.resolved_field(sequence, field)
            for sequence in self.sequences
            for field in sequence.fields
        ]
        return (*self.features, *fields)

    def event_crosses(self) -> tuple[ResolvedCross, ...]:
        """Returns every cross of fields of a sequence, in the order of the file."""
        return tuple(
            ResolvedCross(sequence=sequence.name, name=cross.name, of=cross.of, table=cross.table)
            for sequence in self.sequences
            for cross in sequence.crosses
        )

    def columns(self, labels: bool = True, histories: bool = True) -> tuple[str, ...]:
        """Returns the distinct names of the data columns to read.

        Args:
            labels: Boolean. Whether labels and row weights are read. Defaults to `True`.
            histories: Boolean. Whether sequences are read. Defaults to `True`.
        """
        names = [self.group, self.request_time]
        if labels:
            names += [self.weight, *(label.data_column for label in self.labels)]
        for feature in self.features:
            names += [None if feature.kind == "cross" else feature.data_column, feature.weights]
        names += self.history_columns() if histories else ()
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def history_columns(self) -> tuple[str, ...]:
        """Returns the distinct names of the data columns that the sequences are read from."""
        names = []
        for sequence in self.sequences:
            if sequence.events is not None:
                names += [sequence.events.user, sequence.events.count]
                continue
            for field in sequence.fields:
                names += [field.data_column, field.weights]
        return tuple(dict.fromkeys(name for name in names if name is not None))

    def id_columns(self) -> tuple[str, ...]:
        """Returns the names of data columns with ids: of features, fields, groups and users."""
        names = [] if self.group is None else [self.group]
        columns = list(self.features)
        for sequence in self.sequences:
            if sequence.events is not None:
                names.append(sequence.events.user)
                continue
            columns += [self.resolved_field(sequence, field) for field in sequence.fields]
        ids = ("categorical", "multi_value")
        names += [column.data_column for column in columns if column.kind in ids]
        return tuple(dict.fromkeys(names))

    # Tables and sizes.

    def table_of(self, column: Feature | ResolvedField | ResolvedCross) -> tuple[str, Table]:
        """Returns the name and the `Table` of a feature, a resolved field or a resolved cross."""
        if column.table is not None:
            return column.table, self.tables[column.table]
        return column.key, Table(dim=self.embedding_dim)

    def lookup_key(self, column: Feature | ResolvedField) -> str:
        """Returns the key of a column's vocabulary and size in `assets`.

        This is the column's `key`, or the table's name if several columns that learn their
        vocabulary share the table.
        """
        if column.table is None or column.lookup is None or column.lookup.learn is None:
            return column.key
        return column.table if len(self._sharers[column.table]) > 1 else column.key

    @functools.cached_property
    def _sharers(self):
        """The keys of the columns of each table."""
        sharers = {}
        for column in self.features_and_fields():
            sharers.setdefault(column.table, set()).add(column.key)
        return sharers

    def vocabulary(self, column: Feature | ResolvedField) -> list[str | int] | None:
        """Returns the values of a column's vocabulary as a list, or `None` if it has none.

        Raises:
            UserError: If it has not been learned yet, or its file cannot be read.
        """
        lookup = column.lookup
        if lookup is None or lookup.method not in ("vocabulary", "learn"):
            return None
        key = self.lookup_key(column)
        if isinstance(lookup.vocabulary, tuple):
            return list(lookup.vocabulary)
        if key in self.assets.vocabularies:
            return self.assets.vocabularies[key]
        if lookup.vocabulary is not None:
            path = path_beside(self.base_dir, lookup.vocabulary)
            values = read_vocabulary(path)
            if not values:
                raise UserError("vocabulary must hold at least one value.", file=path)
            # The files of runs, which `assets` holds, may end in a value that is empty.
            if values[-1] == "" and path.suffix != ".json":
                raise UserError(
                    "vocabulary must not end in an empty line, which would be a value.",
                    file=path,
                    line=len(values),
                )
            return values
        raise UserError(
            f"the vocabulary of `{column.name}` must be learned from training data first."
        )

    def input_size(self, column: Feature | ResolvedField) -> int:
        """Returns the number of ids of a column, including the two reserved ones.

        Raises:
            UserError: If the vocabulary has not been learned yet, or the column has no ids.
        """
        if not column.has_ids:
            raise UserError(f"`{column.name}` must have ids. Received: kind {column.kind}")
        if column.bucketize is not None:
            return column.bucketize.size
        if column.kind == "elapsed_time":
            return column.num_buckets + FIRST_ID
        if column.lookup.size is not None:
            return column.lookup.size
        key = self.lookup_key(column)
        if key not in self.assets.vocabularies and key in self.assets.sizes:
            return self.assets.sizes[key]
        return len(self.vocabulary(column)) + FIRST_ID

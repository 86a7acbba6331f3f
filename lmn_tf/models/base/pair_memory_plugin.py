"""Mixin that adds a memory of pairs to a click model."""

from typing import Any

import numpy as np
import tensorflow as tf

from lmn_tf.features.crossed_ids import CrossedIds
from lmn_tf.layers.memory.keyed_pair_memory import KeyedPairMemory
from lmn_tf.layers.memory.pair_memory import READINGS, PairMemory
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.id_rows import IdRows
from lmn_tf.models.options import PairMemoryOptions
from lmn_tf.models.terms.columns import check_pair_outcome, pair_cross, pair_items
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.yaml.section import Problem


class PairMemoryPlugin(CTRModel):
    """Mixin that adds the values of the pairs of events and the candidate to the logits of a model.

    `class LMNPair(PairMemoryPlugin, StrongPooling)`, for example, is `StrongPooling` with such a
    memory. Each sequence with a field that is like a categorical item feature has a `PairMemory`,
    whose columns are the ids of that feature; of several, the one with the most ids. Its rows are
    the ids of the first cross of that field, such as a movie and how it was rated, or else those of
    the field. In a cross, an unknown movie has rows of its own, one for each rating. All values
    start at 0, so that the model starts as its host.

    With `pair_rows="keys"` or `pair_columns="keys"`, it is a `KeyedPairMemory` instead: rows are
    keys that the vector of an event selects, without fields that depend on the row as well; columns
    are keys that the vector of the candidate selects.

    With `pair_values="ease"`, the first such sequence alone has a memory. It is not read in
    training, and `write_terms` fills it afterwards. What is read of it is then one of the terms of
    the logits (`CalibratedLogits`), or with `pair_readings="several"` four of them, with weights
    that are fitted to rows that the regression has not seen. A host that trained with the pairs
    would rely on them too much, since the regression has seen the labels of the training rows.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `PairMemoryOptions`, and base model arguments such as `name`.

    Raises:
        UserError: If no sequence has such a field, or `outcome` names none that fits.
    """

    Options = PairMemoryOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        try:
            items = pair_items(self.spec)
            if self.writes_pairs:
                items = dict([next(iter(items.items()))])
            self._candidates = {name: max(some, key=self._num_ids) for name, some in items.items()}
            name, item = next(iter(self._candidates.items()))
            check_pair_outcome(self.spec, name, [item], self.pair_outcome)
        except Problem as problem:
            raise UserError(str(problem)) from None
        self._crosses = {name: self._cross(name) for name in self._candidates}
        self.pair_memories = {name: self._make_pairs(name) for name in self._candidates}

    @property
    def writes_pairs(self) -> bool:
        """Whether `write_terms` fills the memory after training."""
        return self.options.pair_values == "ease"

    @property
    def pair_outcome(self) -> str | None:
        """Field with the labels of the events of the regression, or `None`."""
        return self.outcome if self.writes_pairs else None

    def _num_ids(self, item):
        return self.encoder.sizes[self.spec.table_of(self.spec.feature(item))[0]]

    def _cross(self, name):
        """Returns the cross whose ids are the rows of a sequence, or `None`."""
        cross = pair_cross(self.spec, name, self._candidates[name])
        return None if cross is None else CrossedIds.of(self.spec, cross, self.encoder.sizes)

    def _alike(self, name):
        """Returns the keys of the fields with the items of a sequence."""
        (sequence,) = (one for one in self.spec.sequences if one.name == name)
        item = self._candidates[name]
        return {f"{name}/{field.name}" for field in sequence.fields if field.like == item}

    def _make_pairs(self, name):
        num_items, cross = self._num_ids(self._candidates[name]), self._crosses[name]
        options, sizes = self.options, [num_items if cross is None else cross.num_ids, num_items]
        common = {
            "num_values": len(self.label_names),
            "pooling": options.pair_pooling,
            "memory_placement": options.memory_placement,
            "dtype": "float32",
            "name": f"{name}_pairs",
        }
        codes = options.pair_rows, options.pair_columns
        if "keys" not in codes:
            if self.writes_pairs:
                common |= {"readings": options.pair_readings, "trainable": False}
            return PairMemory(*sizes, options.pair_slots, **common)
        sizes = [
            options.pair_keys if code == "keys" else size
            for code, size in zip(codes, sizes, strict=True)
        ]
        return KeyedPairMemory(*sizes, *codes, top_k=options.pair_top_k, **common)

    def trained_logits(self, logits: tf.Tensor, groups: dict[str, Any]) -> tf.Tensor:
        logits = super().trained_logits(logits, groups)
        if not self.writes_pairs:
            for name in self.pair_memories:
                logits += self._read_pairs(name, groups)
        return logits

    @property
    def term_names(self) -> tuple[str, ...]:
        own = READINGS if self.options.pair_readings == "several" else READINGS[:1]
        return (*super().term_names, *(own if self.writes_pairs else ()))

    def extra_terms(self, groups: dict[str, Any]) -> list[tf.Tensor]:
        terms = super().extra_terms(groups)
        if self.writes_pairs:
            (name,) = self.pair_memories
            read = self._read_pairs(name, groups)
            terms.append(read if read.shape.rank == 3 else read[:, None])
        return terms

    def _read_pairs(self, name, groups):
        history = groups["histories"][name]
        rows, columns = history.ids[self._candidates[name]]
        windows = history.windows
        if self.options.pair_rows == "keys":
            rows, windows = history.of_fields("event")
        elif self._crosses[name] is not None:
            rows = history.crossed_ids[self._crosses[name].key]
        if self.options.pair_columns == "keys":
            columns = history.target
        return self.pair_memories[name](rows, columns, windows=windows)

    def candidate_of(self, name: str) -> str:
        """Returns the item feature whose ids are the columns of the memory of a sequence.

        Args:
            name: String. A key of `pair_memories`.
        """
        return self._candidates[name]

    def cross_of(self, name: str) -> CrossedIds | None:
        """Returns the cross whose ids are the rows of the memory of a sequence.

        Args:
            name: String. A key of `pair_memories`.

        Returns:
            `CrossedIds`, or `None` if the rows are the ids of the item feature as well.
        """
        return self._crosses[name]

    def split_rows(self, name: str, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """Returns the items and the outcomes of rows of the memory of a sequence.

        Args:
            name: String. A key of `pair_memories`.
            rows: Integer array of shape `(rows,)`.

        Returns:
            Integer arrays of shape `(rows,)`: the ids of the items, and those of `outcome`, or
            `None` if that is `None`.
        """
        cross = self._crosses[name]
        if cross is None:
            return rows, None
        parts = dict(zip(cross.fields, np.unravel_index(rows, cross.sizes), strict=True))
        items = next(ids for key, ids in parts.items() if key in self._alike(name))
        outcome = None if self.pair_outcome is None else parts[f"{name}/{self.pair_outcome}"]
        return items, outcome

    def id_rows(self) -> list[IdRows]:
        own = map(self._pair_rows, self.pair_memories)
        return [*super().id_rows(), *(one for one in own if one.tables or one.kind == "written")]

    def _pair_rows(self, name):
        memory, values = self.pair_memories[name], self.pair_memories[name].memory_values
        item = self.spec.table_of(self.spec.feature(self._candidates[name]))[0]
        cross = self._crosses[name]
        tables = {"pair_rows": item if cross is None else cross.table, "pair_columns": item}
        if self.writes_pairs:
            return IdRows(values, (), "written")
        tables = tuple(of for key, of in tables.items() if getattr(self.options, key) == "ids")
        is_hashed = isinstance(memory, PairMemory) and memory.is_hashed
        return IdRows(values, tables, "hashed" if is_hashed else "copied")

    @property
    def pair_tables(self) -> tuple[str, ...]:
        """Names of the tables of pairs that are trained, as in `GroupOptimizer`."""
        trained = () if self.writes_pairs else self.pair_memories.values()
        return tuple(memory.name for memory in trained)

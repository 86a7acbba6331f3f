"""Variables of a click model that have a row for each id."""

from typing import NamedTuple

import keras

from lmn_tf.distribute.tables.row_wise_table import RowWiseTable


class IdRows(NamedTuple):
    """A variable whose rows are ids of tables, or combinations of them.

    Attributes:
        variable: `keras.Variable` or `RowWiseTable` of shape `(rows, width)`.
        tables: Tuple of names of tables of the spec. Rows are their combinations of ids, those of
            the last table next to each other.
        kind: What happens to a row when its id is new: `"copied"` from that of the unknown id,
            which stood for it before; `"counted"` anew, as statistics are; `"hashed"` rows have no
            ids of their own, so that no id may be new; and `"written"` rows are all written after
            training.
    """

    variable: keras.Variable | RowWiseTable
    tables: tuple[str, ...]
    kind: str = "copied"


class WithIdRows:
    """Mixin of models that tells which of their variables have a row for each id.

    A warm start, or a day of daily training, moves these rows to where the ids of a larger
    vocabulary are.
    """

    def id_rows(self) -> list[IdRows]:
        """Returns the variables with a row for each id; subclasses add theirs."""
        rows = [IdRows(table.embeddings, (name,)) for name, table in self.encoder.tables.items()]
        for layer in (self.wide_logits, self.rate_terms):
            if layer is not None:
                tables = layer.tables.items()
                rows += [IdRows(one.embeddings, (layer.columns[key].table,)) for key, one in tables]
        return rows

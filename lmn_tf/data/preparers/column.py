"""One typed column of a publisher's file."""

import dataclasses
import json

from lmn_tf.data.preparers.plan import quoted, text


@dataclasses.dataclass(frozen=True)
class Column:
    """One typed column of a publisher's file.

    Args:
        name: String. Its name in the table.
        type: String. An SQL type, or `""` to keep the file's own. Defaults to `"VARCHAR"`.
        source: string or int, its header or its index from 0; a tuple of headers of which the
            first present counts; in JSON a key, or a path that starts with `$`. Defaults to `None`,
            the name where the file has a header, else the index in the list of columns.
        required: Boolean. Whether an empty cell is malformed. Defaults to `True`.
        parse: String. An SQL expression of `{}`, the cell, or None for a cast. Defaults to `None`.
        rule: String. An SQL condition of the typed column that must hold. Defaults to `None`.
    """

    name: str
    type: str = "VARCHAR"
    source: str | int | tuple[str, ...] | None = None
    required: bool = True
    parse: str | None = None
    rule: str | None = None

    def expression(self, cell: str) -> str:
        """SQL of the typed value, NULL where it cannot be read."""
        if self.parse is not None:
            return self.parse.replace("{}", cell)
        if self.type == "VARCHAR":
            return f"nullif(trim(CAST({cell} AS VARCHAR)), '')"
        return f"TRY_CAST({cell} AS {self.type})" if self.type else cell

    def problem(self, cell: str) -> str:
        """SQL `WHEN ... THEN ...` clauses that say what is wrong with the cell."""
        name, shown = quoted(self.name), f"coalesce(CAST({cell} AS VARCHAR), 'nothing')"
        nothing = "('', 'nan')" if self.type == "DOUBLE" else "('')"
        filled = f" AND lower(coalesce(CAST({cell} AS VARCHAR), '')) NOT IN {nothing}"
        rules = [self.rule] if self.rule else []
        if self.type == "DOUBLE":
            rules.append(f"isfinite({name})")
        clauses = [(f"{name} IS NULL{'' if self.required else filled}", self._readable)]
        clauses += [(f"NOT ({rule})", f"such that {rule}") for rule in rules]
        return "\n".join(
            f"WHEN {condition} THEN {text(self._message(rule))} || {shown}"
            for condition, rule in clauses
        )

    @property
    def _readable(self):
        return f"a readable {self.type or 'value'}"

    def _message(self, rule):
        """A message calls a column that is ours, `_user`, what the user's file calls it."""
        title = self.name
        if title.startswith("_") and isinstance(self.headers[0], str):
            title = self.headers[0]
        return f"`{title}` must be {rule.replace(self.name, title)}. Received: "

    @property
    def headers(self) -> tuple[str, ...]:
        """What may name the column in a file's header."""
        source = self.name if self.source is None else self.source
        return source if isinstance(source, tuple) else (source,)

    @property
    def json_path(self) -> str:
        """Path of the value in a JSON object."""
        key = self.headers[0]
        return key if key.startswith("$") else "$." + json.dumps(key)

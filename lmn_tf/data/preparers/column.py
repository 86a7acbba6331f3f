"""One typed column of a publisher's file."""

import dataclasses
import json

from lmn_tf.data.preparers.plan import quoted, text


@dataclasses.dataclass(frozen=True)
class Column:
    """One typed column of a publisher's file.

    Args:
        name: String. Name in the table.
        type: String. SQL type, or `""` for the type of the file. Defaults to `"VARCHAR"`.
        source: String or integer. Header or index from 0; a tuple of headers, of which the first
            present one is used; in JSON a key, or a path that starts with `$`. Defaults to `None`:
            the name if the file has a header, otherwise the index in the list of columns.
        required: Boolean. Whether empty cells are malformed. Defaults to `True`.
        parse: String. SQL expression of the cell `{}`, or `None` for a cast. Defaults to `None`.
        rule: String. SQL condition that the typed column must satisfy. Defaults to `None`.
    """

    name: str
    type: str = "VARCHAR"
    source: str | int | tuple[str, ...] | None = None
    required: bool = True
    parse: str | None = None
    rule: str | None = None

    def expression(self, cell: str) -> str:
        """SQL of the typed value, NULL if it cannot be read."""
        if self.parse is not None:
            return self.parse.replace("{}", cell)
        if self.type == "VARCHAR":
            return f"nullif(trim(CAST({cell} AS VARCHAR)), '')"
        return f"TRY_CAST({cell} AS {self.type})" if self.type else cell

    def problem(self, cell: str) -> str:
        """SQL `WHEN ... THEN ...` clauses with the problem of a cell."""
        name, shown = quoted(self.name), f"coalesce(CAST({cell} AS VARCHAR), 'nothing')"
        nan = f"CASE WHEN typeof({cell}) IN ('DOUBLE', 'FLOAT') THEN 'nan' ELSE '' END"
        nan = "'nan'" if self.type == "DOUBLE" else nan
        filled = f" AND lower(coalesce(CAST({cell} AS VARCHAR), '')) NOT IN ('', {nan})"
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
        """Name of the column in messages: that of the file, for columns such as `_user`."""
        title = self.name
        if title.startswith("_") and isinstance(self.headers[0], str):
            title = self.headers[0]
        return f"`{title}` must be {rule.replace(self.name, title)}. Received: "

    @property
    def headers(self) -> tuple[str, ...]:
        """Possible names of the column in the header of a file."""
        source = self.name if self.source is None else self.source
        return source if isinstance(source, tuple) else (source,)

    @property
    def json_path(self) -> str:
        """Path of the value in a JSON object."""
        key = self.headers[0]
        return key if key.startswith("$") else "$." + json.dumps(key, ensure_ascii=False)

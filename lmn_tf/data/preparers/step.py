"""One step of a relational plan."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class Step:
    """One named table and the query that makes it."""

    name: str
    sql: str

"""Out-of-core execution of a plan's steps with DuckDB."""

import contextlib
import os
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import duckdb
import pyarrow as pa

from lmn_tf.data.preparers.plan import Step, quoted, text
from lmn_tf.specs.errors import UserError


class Engine:
    """A DuckDB database in a work folder, with bounded memory, that runs named steps.

    Args:
        folder: Path of the work folder for the database and spilled data.
        memory_limit: String. Memory limit of DuckDB. Defaults to `"1GB"`.
        threads: Integer. Number of threads of DuckDB. Defaults to `2`.
        on_step: Function that is called with the name of each step before it runs. Defaults to
            `None`.

    Example:

    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder, Engine(folder) as engine:
    ...     engine.run(Step("numbers", "SELECT unnest(range(3)) AS n"))
    ...     engine.value("SELECT sum(n) FROM numbers")
    3
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        memory_limit: str = "1GB",
        threads: int = 2,
        on_step: Callable[[str], None] | None = None,
    ) -> None:
        self.folder = pathlib.Path(folder)
        self.on_step = on_step
        self.seconds = {}
        self.connection = duckdb.connect(str(self.folder / "plan.duckdb"))
        spill = self.folder / "spill"
        spill.mkdir(exist_ok=True)
        try:
            self.connection.execute(f"SET memory_limit = {text(memory_limit)}")
        except duckdb.Error as error:
            raise UserError(
                "`memory_limit` must be a size such as '1GB'. "
                f"Received: memory_limit={memory_limit!r}"
            ) from error
        for setting in (
            f"temp_directory = {text(spill)}",
            f"threads = {int(threads)}",
            "preserve_insertion_order = true",
            "enable_progress_bar = false",
            "autoinstall_known_extensions = false",
            "TimeZone = 'UTC'",
        ):
            self.connection.execute(f"SET {setting}")

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    def close(self) -> None:
        """Closes the database."""
        self.connection.close()

    def run(self, step: Step) -> None:
        """Creates the table of one step."""
        if self.on_step is not None:
            self.on_step(step.name)
        started = time.perf_counter()
        self.connection.execute(f"CREATE OR REPLACE TABLE {quoted(step.name)} AS {step.sql}")
        self.seconds[step.name] = time.perf_counter() - started

    def table(self, name: str, sql: str) -> None:
        """Creates the table `name` from a query."""
        self.run(Step(name, sql))

    def drop(self, *names: str) -> None:
        """Drops tables that no later step reads, for reuse of their space in the database file."""
        for name in names:
            self.connection.execute(f"DROP TABLE IF EXISTS {quoted(name)}")

    def has(self, name: str) -> bool:
        """Whether a table of that name exists."""
        return name in {row[0] for row in self.rows("SELECT table_name FROM duckdb_tables()")}

    def columns(self, name: str) -> tuple[str, ...]:
        """Names of the columns of a table, in order."""
        return tuple(row[0] for row in self.rows(f"DESCRIBE {quoted(name)}"))

    @contextlib.contextmanager
    def without(self, optimizer: str) -> Iterator[None]:
        """Turns an optimizer of DuckDB off for the queries of the block."""
        self.connection.execute(f"SET disabled_optimizers = {text(optimizer)}")
        try:
            yield
        finally:
            self.connection.execute("RESET disabled_optimizers")

    def rows(self, sql: str) -> list[tuple]:
        """All rows of a small result."""
        return self.connection.execute(sql).fetchall()

    def value(self, sql: str) -> Any:
        """The single value of a result with one row and one column."""
        return self.rows(sql)[0][0]

    def batches(self, sql: str, rows: int = 65_536) -> pa.RecordBatchReader:
        """The result as a streaming `pyarrow.RecordBatchReader`."""
        result = self.connection.sql(sql)
        if hasattr(result, "to_arrow_reader"):
            return result.to_arrow_reader(rows)
        return result.fetch_record_batch(rows)  # its name in DuckDB 1

    def copy_to_parquet(self, sql: str, path: str | os.PathLike) -> None:
        """Writes a result as one zstd Parquet file."""
        self.connection.execute(
            f"COPY ({sql}) TO {text(path)} (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 50000)"
        )

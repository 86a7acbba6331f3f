"""What is timed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass
class Work:
    """What a builder returns when a bare function would not say enough.

    Args:
        step: Function without arguments: does the work once and returns when all is done.
        examples: Number of examples that a step handles: the table then shows examples a second.
            Defaults to `None`.
        facts: JSON figures that the table shows beside the times. Defaults to none.
        output: Function without arguments that returns a NumPy array, called before the first step:
            what contenders must agree on, see `agree` of `Benchmark.compare`. Defaults to `None`.
        finish: Function without arguments, called after the last step, that returns more facts.
            Defaults to `None`.
    """

    step: Callable[[], Any]
    examples: int | None = None
    facts: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    output: Callable[[], Any] | None = None
    finish: Callable[[], Mapping[str, Any]] | None = None


@dataclasses.dataclass
class Contender:
    """One row of a case.

    Args:
        label: String. Its name in the table.
        build: Function of the benchmark script, found by its name in the worker: takes `arguments`
            by keyword, returns a `Work` or a bare step function.
        arguments: Mapping that JSON can carry. Defaults to none.
        needs: Tuple of modules without which the contender is left out. Defaults to none.
        at_least: Float: the target of its ratio to the first contender. Defaults to `None`.
        at_most: Float: as `at_least`, from above. Defaults to `None`.
        python: String. The interpreter of its worker. Defaults to `None`: this one.
        environment: Mapping of environment variables of its worker. Defaults to none.
    """

    label: str
    build: Callable[..., Any]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    python: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

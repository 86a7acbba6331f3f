"""Contenders of a benchmark and their work."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any


@dataclasses.dataclass
class Work:
    """Return value of a builder that has more to report than a step.

    Args:
        step: Function without arguments that does the work once and waits until it is finished.
        examples: Integer. Number of examples per step; the table then shows examples per second.
            Defaults to `None`.
        facts: Mapping of JSON values for additional columns of the table. Defaults to none.
        output: Function without arguments that returns a NumPy array. It is called before the
            first step, and contenders must agree on it, see `agree` of `Benchmark.compare`.
            Defaults to `None`.
        finish: Function without arguments that returns more facts, called after the last step.
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
        label: String. Name in the table.
        build: Function of the benchmark script with keyword arguments `arguments`, which returns a
            `Work` or a step function. Workers import it by its name.
        arguments: Mapping of JSON values. Defaults to none.
        needs: Tuple of modules without which the contender is left out. Defaults to none.
        at_least: Float. Target of the ratio to the first contender: a minimum. Defaults to `None`.
        at_most: Float. As `at_least`, a maximum. Defaults to `None`.
        python: String. Interpreter of the worker. Defaults to `None`: that of this process.
        environment: Mapping of environment variables of the worker. Defaults to none.
    """

    label: str
    build: Callable[..., Any]
    arguments: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    needs: tuple[str, ...] = ()
    at_least: float | None = None
    at_most: float | None = None
    python: str | None = None
    environment: Mapping[str, str] = dataclasses.field(default_factory=dict)

"""Checks that several layers make of their arguments."""

import difflib


def check_choice(name, value, choices):
    """Raises `ValueError` unless `value` is one of `choices`."""
    if value in choices:
        return
    hint = difflib.get_close_matches(str(value), choices, n=1)
    known = ", ".join(f"'{choice}'" for choice in choices)
    raise ValueError(
        f"`{name}` must be one of {known}. Received: {name}={value!r}"
        + (f". Did you mean '{hint[0]}'?" if hint else "")
    )


def check_positive_integer(name, value):
    """Raises `ValueError` unless `value` is an integer above 0."""
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise ValueError(f"`{name}` must be a positive integer. Received: {name}={value!r}")


def check_hidden_units(name, value):
    """Returns widths as a tuple; raises `ValueError` unless all are positive integers."""
    if isinstance(value, int) and not isinstance(value, bool):
        value = (value,)
    if not isinstance(value, (tuple, list)):
        raise ValueError(f"`{name}` must be a tuple of integers. Received: {name}={value!r}")
    for units in value:
        if isinstance(units, bool) or not isinstance(units, int) or units < 1:
            raise ValueError(
                f"`{name}` must hold positive integers only. Received: {name}={tuple(value)!r}"
            )
    return tuple(value)


def check_rate(name, value):
    """Raises `ValueError` unless `value` is in [0, 1)."""
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value < 1:
        raise ValueError(f"`{name}` must be at least 0 and below 1. Received: {name}={value!r}")

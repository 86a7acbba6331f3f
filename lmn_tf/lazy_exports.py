"""Public names of a package that load on first use, so that importing it stays quick."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_exports(
    package: str,
    names: Sequence[str],
    places: Mapping[str, str],
    check: Callable[[], None] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Gives a package the functions that find its names when they are first asked for.

    Args:
        package: String. The package's `__name__`.
        names: List of strings. Its `__all__`.
        places: Dictionary from a name to the module inside the package that holds it. A name
            without a place is a module of the package.
        check: Function without arguments that is called before a name with a place is loaded, to
            raise where it could not be used. Defaults to `None`.

    Returns:
        Pair of functions, the package's `__getattr__` and `__dir__`.

    Raises:
        ValueError: If a place is given for what is not among `names`, or is a module of the
            same name, which would stand for the name once it is loaded.

    Example:

    >>> places = {"Label": "feature_spec"}
    >>> find, listed = lazy_exports("lmn_tf.specs", ["Label", "errors"], places)
    >>> find("Label")
    <class 'lmn_tf.specs.feature_spec.Label'>
    >>> listed()
    ['Label', 'errors']
    """
    unlisted = sorted(places.keys() - set(names))
    if unlisted:
        raise ValueError(f"`places` must be of `names`. Received: {', '.join(unlisted)}")

    for name, place in places.items():
        if name == place:
            raise ValueError(f"`places` must differ from their names. Received: {name}={place!r}")

    def find(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if check is not None and name in places:
            check()
        module = importlib.import_module(f"{package}.{places.get(name, name)}")
        return getattr(module, name) if name in places else module

    return find, lambda: sorted(names)

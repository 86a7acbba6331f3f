"""Public names of a package that load on first use, so that importing it stays quick."""

import importlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def lazy_exports(
    package: str,
    names: Sequence[str],
    modules: Mapping[str, str],
    check: Callable[[], None] | None = None,
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Returns the functions of a package that load its names on first use.

    Args:
        package: String. `__name__` of the package.
        names: List of strings. `__all__` of the package.
        modules: Dictionary from a name to its module in the package. Names that are not in it are
            modules of the package.
        check: Function without arguments that is called before a name of `modules` is loaded, and
            raises an error if it cannot be used. Defaults to `None`.

    Returns:
        Pair of functions, `__getattr__` and `__dir__` of the package.

    Raises:
        ValueError: If `modules` has a name that is not in `names`, or a module of the same name,
            which would replace the name once it is loaded.

    Example:

    >>> modules = {"Label": "feature_spec"}
    >>> find, listed = lazy_exports("lmn_tf.specs", ["Label", "errors"], modules)
    >>> find("Label")
    <class 'lmn_tf.specs.feature_spec.Label'>
    >>> listed()
    ['Label', 'errors']
    """
    unlisted = sorted(modules.keys() - set(names))
    if unlisted:
        raise ValueError(f"`modules` must be of `names`. Received: {', '.join(unlisted)}")

    for name, module_path in modules.items():
        if name == module_path:
            raise ValueError(
                f"`modules` must differ from their names. Received: {name}={module_path!r}"
            )

    def find(name):
        if name not in names:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if check is not None and name in modules:
            check()
        module = importlib.import_module(f"{package}.{modules.get(name, name)}")
        return getattr(module, name) if name in modules else module

    return find, lambda: sorted(names)

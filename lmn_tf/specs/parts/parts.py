"""Models, metrics, optimizers and preparers by name: those of this package and of users."""

import functools
import importlib
import importlib.metadata
import importlib.util
import os
import pathlib
import pkgutil
import re
import sys
import traceback
import types
from collections.abc import Mapping
from typing import Any

from lmn_tf.specs.errors import UserError, did_you_mean, nearest, short
from lmn_tf.tensorflow_log import quiet_tensorflow

PATH_PATTERN = r"^[A-Za-z_]\w*(\.[A-Za-z_]\w*)*:[A-Za-z_]\w*$"
_FILES_OF_RUN = ("model.keras", "pipeline.yaml")


class Parts:
    """Parts of one kind, found by name.

    A name is that of a part of this package, that of an entry point of an installed package, or the
    path `module:Class` of a class (`module:function` of a preparer). Nothing is imported before a
    part is loaded, and only the module of that part.

    A name that several packages claim is refused, including the names of this package: otherwise
    results would depend on what else is installed.

    Args:
        noun: String. The kind with its article, such as `"a model"`.
        group: String. Group of entry points, such as `"lmn_tf.models"`.
        builtin: Mapping from the names of the parts of this package to their paths.
        base: String. Path of the class that parts must be subclasses of, or `None` for functions.
            Defaults to `None`.

    Example:

    >>> models = Parts("a model", "lmn_tf.models", {"dnn": "lmn_tf.models:DNN"})
    >>> models.path("dnn"), models.path("my_package.towers:TwoTower")
    ('lmn_tf.models:DNN', 'my_package.towers:TwoTower')
    >>> models.path("dn")
    Traceback (most recent call last):
    ...
    lmn_tf.specs.errors.UserError: `name` must be a model: dnn. Received: name='dn'. Did you mean \
`dnn`?
    """

    def __init__(
        self, noun: str, group: str, builtin: Mapping[str, str], base: str | None = None
    ) -> None:
        self.noun = noun
        self.group = group
        self.builtin = dict(builtin)
        self.base = base

    def installed(self) -> dict[str, list[importlib.metadata.EntryPoint]]:
        """Returns the entry points of installed packages by name, without importing them."""
        return _entry_points(self.group, tuple(sys.path))

    def names(self) -> tuple[str, ...]:
        """Returns the names of this package, and then those of installed packages."""
        return tuple(dict.fromkeys([*self.builtin, *sorted(self.installed())]))

    def path(self, name: str, key: str = "name") -> str:
        """Returns the path `module:Class` of a part, without importing it.

        Args:
            name: String. Name or path of the part.
            key: String. Key or argument that holds the name, for messages. Defaults to `"name"`.

        Raises:
            UserError: If the name is unknown, or several packages claim it.
        """
        paths = {_path_of(point): point.dist.name for point in self.installed().get(name, ())}
        if name in self.builtin:
            paths[self.builtin[name]] = "lmn_tf"
        if len(paths) == 1:
            [path] = paths
            return path if name in self.builtin else self._checked_path(path, name, paths, key)
        if paths:
            owners = " and ".join(f"{owner} ({path})" for path, owner in sorted(paths.items()))
            raise UserError(
                f"`{key}` must be {self.noun} of one package. Received: {key}={short(name)}, of "
                f"{owners}. Write one of these paths instead of the name."
            )
        if isinstance(name, str) and re.fullmatch(PATH_PATTERN, name):
            return name
        raise UserError(
            f"`{key}` must be {self.noun}: {', '.join(self.names())}. Received: "
            f"{key}={short(name)}.{self._hint(name)}"
        )

    def written(self, name: str) -> str:
        """Returns a name as it is written to the folder of a run: that of a user's part as a path.

        Args:
            name: String. Name or path of a part.

        Raises:
            UserError: As `path`.
        """
        path = self.path(name)
        return name if name in self.builtin else path

    def _checked_path(self, path, name, paths, key):
        if not re.fullmatch(PATH_PATTERN, path):
            raise UserError(
                f"`{key}` must be {self.noun} with a path such as `my_package.module:Class`. "
                f"Received: {key}={short(name)}, for which {paths[path]} registers {path!r}"
            )
        return path

    def _hint(self, name):
        if isinstance(name, str):
            as_path = ":".join(name.replace(":", ".").rsplit(".", 1))
            if re.fullmatch(PATH_PATTERN, as_path):
                return f" Did you mean `{as_path}`?"
        near = nearest(name, self.names())
        if near is not None:
            return f" Did you mean `{near}`?"
        return " One of your own is named by its path, such as `my_package.module:Class`."

    def load(self, name: str, key: str = "name") -> Any:
        """Imports a part.

        The current folder is searched after all others, unless it is within the folder of a run: a
        run of unknown origin must not bring code.

        Args:
            name: String. Name or path of the part.
            key: String. As in `path`. Defaults to `"name"`.

        Raises:
            UserError: If the name is unknown, the module cannot be imported or lacks the part, or
                the part is not of this kind.
        """
        path = self.path(name, key)
        module, _, attribute = path.partition(":")
        if path == self.builtin.get(name):
            return getattr(importlib.import_module(module), attribute)
        received = f"Received: {key}={short(name)}" + (f" ({path})" if path != name else "")
        _search_current_folder()
        package = module.partition(".")[0]
        if package not in sys.modules and importlib.util.find_spec(package) is None:
            raise _not_found(key, received, f"No module named {package!r}")
        if self.base is not None:
            quiet_tensorflow()
        part = _attribute(_module(module, key, received), attribute, key, received)
        self._check_kind(part, key, received)
        return part

    def _check_kind(self, part, key, received):
        if self.base is None:
            if not isinstance(part, types.FunctionType):
                raise UserError(f"`{key}` must be a function. {received}, {_kind(part)}")
            return
        module, _, attribute = self.base.partition(":")
        base = getattr(importlib.import_module(module), attribute)
        if not (isinstance(part, type) and issubclass(part, base)):
            raise UserError(
                f"`{key}` must be a subclass of `{module}.{attribute}`. {received}, {_kind(part)}"
            )


@functools.lru_cache(maxsize=8)
def _entry_points(group, path):
    """Returns the entry points of a group, by name, of the packages on `path`: `sys.path`."""
    points = {}
    for point in importlib.metadata.entry_points(group=group):
        points.setdefault(point.name, []).append(point)
    return points


def _path_of(point):
    return f"{point.module}:{point.attr}" if point.attr else point.value


def _search_current_folder():
    folder = pathlib.Path.cwd()
    is_of_run = any(
        all((parent / name).exists() for name in _FILES_OF_RUN)
        for parent in (folder, *folder.parents)
    )
    if not is_of_run and not {"", str(folder)} & set(sys.path):
        sys.path.append(str(folder))


def _not_found(key, received, reason):
    return UserError(
        f"`{key}` must be in a module that is installed, in the current folder ({os.getcwd()}) or "
        f"on PYTHONPATH. {received}: {reason}"
    )


def _module(name, key, received):
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError as error:
        if error.name is not None and f"{name}.".startswith(f"{error.name}."):
            raise _not_found(key, received, f"{error}.{_similar(error.name)}") from error
        problem = error
    except (Exception, SystemExit) as error:
        problem = error
    raise UserError(
        f"`{key}` must be in a module that can be imported. {received}: {_told(problem)}"
    ) from problem


def _similar(name):
    """Returns a suggestion for a module that a package lacks."""
    package, _, last = name.rpartition(".")
    folders = getattr(sys.modules.get(package), "__path__", ())
    near = nearest(last, [module.name for module in pkgutil.iter_modules(folders)])
    return "" if near is None else f" Did you mean `{package}.{near}`?"


def _told(problem):
    """Returns an exception in one line, with the line of code that raised it."""
    if isinstance(problem, SyntaxError):
        file, line, text = problem.filename, problem.lineno, problem.msg
    else:
        last = traceback.extract_tb(problem.__traceback__)[-1]
        file, line, text = last.filename, last.lineno, str(problem)
    return f"{type(problem).__name__}: {text} ({file}:{line})"


def _attribute(module, name, key, received):
    try:
        return getattr(module, name)
    except AttributeError:
        public = [other for other in dir(module) if not other.startswith("_")]
        raise UserError(
            f"`{key}` must name what its module has. {received}: `{module.__name__}` has no "
            f"`{name}`.{did_you_mean(name, public)}"
        ) from None


def _kind(part):
    if isinstance(part, type):
        bases = ", ".join(base.__name__ for base in part.__bases__)
        return f"a class of {bases}"
    return f"a {type(part).__name__}"

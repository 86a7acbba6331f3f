"""This package's classes in Keras' registry, where they are found without having been loaded."""

import importlib
import sys
from typing import Any

from lmn_tf.keras_internals import REGISTRATION_MODULE, replace_registered_objects

_PACKAGES = ("features", "layers", "metrics", "models", "optimizers")
_PREFIX = "lmn_tf>"


class KerasRegistry(dict):
    """Keras' dictionary of registered objects, which loads this package's when they are asked for.

    A saved model names a class as `lmn_tf>LargeMemory`. The first such name that is not there yet
    has every module of this package loaded that registers classes. So no list of the classes is
    kept, and nothing is loaded before a model needs it.

    Args:
        known: Dictionary from registered name to class or function.

    Example:

    >>> import keras
    >>> keras.saving.get_registered_object("lmn_tf>LogLoss")
    <class 'lmn_tf.metrics.log_loss.LogLoss'>
    """

    def __contains__(self, name):
        is_known = super().__contains__(name)
        if is_known or not (isinstance(name, str) and name.startswith(_PREFIX)):
            return is_known
        load_classes()
        return super().__contains__(name)

    def __missing__(self, name):
        if name in self:
            return self[name]
        raise KeyError(name)

    def get(self, name: str, default: Any = None) -> Any:
        """As of any dictionary."""
        return self[name] if name in self else default


def load_classes() -> None:
    """Imports all modules that register classes with Keras."""
    import pkgutil  # Not above: it takes longer than all of `import lmn_tf`.

    for package in _PACKAGES:
        folder = importlib.import_module(f"lmn_tf.{package}")
        for module in pkgutil.walk_packages(folder.__path__, f"{folder.__name__}."):
            importlib.import_module(module.name)


def register() -> None:
    """Puts a `KerasRegistry` into Keras: at once where Keras is loaded, else as soon as it is."""
    if REGISTRATION_MODULE in sys.modules:
        replace_registered_objects(sys.modules[REGISTRATION_MODULE], KerasRegistry)
    else:
        sys.meta_path.insert(0, _KerasFinder())


class _KerasFinder:
    """Finds one module of Keras as Python would, and then puts a `KerasRegistry` into it."""

    _is_looking = False

    def find_spec(self, name, path=None, target=None):
        if name != REGISTRATION_MODULE or self._is_looking:
            return None
        import importlib.util

        self._is_looking = True
        try:
            spec = importlib.util.find_spec(name)
        finally:
            self._is_looking = False
        if spec is None:
            return None
        execute = spec.loader.exec_module

        def execute_and_install(module):
            execute(module)
            replace_registered_objects(module, KerasRegistry)
            sys.meta_path.remove(self)

        spec.loader.exec_module = execute_and_install
        return spec

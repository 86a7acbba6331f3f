"""Which packages the tests run with: they must be those that `setup.cfg` allows."""

import configparser
import importlib.metadata
from pathlib import Path

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[2]
AGES = ("oldest", "newest")
EXTRAS = ("test", "notebooks", "docs", "serve")


def requirements(extras=EXTRAS):
    """Returns what the package and some of its extras need, by name."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [config["options"]["install_requires"]]
    texts += [config["options.extras_require"][extra] for extra in extras]
    found = [Requirement(line) for text in texts for line in text.splitlines() if line]
    return {canonicalize_name(one.name): one for one in found}


def pins(age):
    """Returns the versions in the constraints file of the `age`, by name."""
    text = (ROOT / "lmn_tf" / f"constraints-{age}.txt").read_text(encoding="utf-8")
    lines = [Requirement(line) for line in text.splitlines() if not line.startswith("#")]
    return {one.name: next(iter(one.specifier)).version for one in lines}


def installed(names):
    """Returns the installed versions of packages, `None` for what is not there."""
    found = {}
    for name in names:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def misfits(found, age=None):
    """Returns a line for each installed version that the tests must not run with.

    Args:
        found: Dictionary from name to version, as `installed` gives it.
        age: `"oldest"` or `"newest"`: only the versions of that file will do. Defaults to `None`:
            all that `setup.cfg` allows.
    """
    lines = []
    for name, need in requirements().items():
        wanted = need.specifier if age is None else SpecifierSet(f"=={pins(age)[name]}")
        if found[name] is None or not wanted.contains(found[name], prereleases=True):
            lines.append(f"{name}{wanted} must be installed. Received: {found[name] or 'nothing'}")
    return lines

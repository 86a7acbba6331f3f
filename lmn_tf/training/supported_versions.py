"""Versions of other packages: those that this package allows, and those that it was tested with."""

import functools
import importlib.metadata
import importlib.resources

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version


def bounds(package="lmn_tf"):
    """Returns the versions that an installed package allows of what it needs.

    Args:
        package: String. Defaults to `"lmn_tf"`.

    Returns:
        Dictionary from name to `packaging.specifiers.SpecifierSet`, without the needs of extras.
        Empty when the package is not installed.
    """
    try:
        lines = importlib.metadata.requires(package) or ()
    except importlib.metadata.PackageNotFoundError:
        return {}
    needs = [Requirement(line) for line in lines]
    return {
        canonicalize_name(need.name): need.specifier
        for need in needs
        if need.marker is None or need.marker.evaluate({"extra": ""})
    }


@functools.cache
def tested():
    """Returns the versions that the tests of this release ran with.

    Returns:
        Dictionary from name to a pair of `packaging.version.Version`: the oldest and the newest.

    Example:

    >>> oldest, newest = tested()["keras"]
    >>> oldest <= newest
    True
    """
    oldest, newest = _pins("oldest"), _pins("newest")
    return {name: (oldest[name], newest[name]) for name in oldest if name in newest}


def _pins(age):
    text = importlib.resources.files("lmn_tf").joinpath(f"constraints-{age}.txt").read_text("utf-8")
    pins = [line.split("==") for line in text.splitlines() if not line.startswith("#")]
    return {canonicalize_name(name): Version(version) for name, version in pins}


def misfit(name, found, allowed):
    """Returns the severity and the message of an installed version that is not right, or `None`.

    Args:
        name: String. The package.
        found: String. Its installed version.
        allowed: `packaging.specifiers.SpecifierSet`.

    Returns:
        `None`, or a pair: `"error"` outside of `allowed`, `"warning"` inside of it but older or
        newer than the versions that were tested; and a sentence.

    Example:

    >>> from packaging.specifiers import SpecifierSet
    >>> misfit("keras", "2.9.1", SpecifierSet(">=3.15,<3.16"))
    ('error', '`keras` must be >=3.15,<3.16. Received: 2.9.1')
    """
    if not allowed.contains(found, prereleases=True):
        bound = ",".join(sorted(map(str, allowed), reverse=True))
        return "error", f"`{name}` must be {bound}. Received: {found}"
    if name not in tested():
        return None
    oldest, newest = tested()[name]
    if oldest <= Version(Version(found).public) <= newest:
        return None
    return "warning", f"`{name}` should be {oldest} to {newest}, as tested. Received: {found}"

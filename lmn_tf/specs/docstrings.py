"""Sections of docstrings in the style of the Keras docs."""

import inspect
import re

_SECTION = re.compile(r"^([A-Z][a-z]+(?: [a-z]+)?):\n", re.M)
_ARGUMENT = re.compile(r"^(\*{0,2}\w+): ", re.M)


def opening(docstring: str) -> str:
    """Returns the part of a docstring before its sections.

    Example:

    >>> opening("Adds.\\n\\nArgs:\\n    x: Float.\\n")
    'Adds.'
    """
    return _SECTION.split(docstring, maxsplit=1)[0].strip()


def sections(docstring: str) -> dict[str, str]:
    """Returns the texts of the sections by their titles, without indentation.

    Example:

    >>> sections("Adds.\\n\\nArgs:\\n    x: Float.\\n\\nReturns:\\n    Float.\\n")
    {'Args': 'x: Float.', 'Returns': 'Float.'}
    """
    return {title: _cleaned(text) for title, text in _texts(docstring).items()}


def arguments(docstring: str) -> dict[str, str]:
    """Returns the descriptions of the arguments by name, each as one line.

    Example:

    >>> arguments("Adds.\\n\\nArgs:\\n    x: Float,\\n        or `None`.\\n    **more: Others.\\n")
    {'x': 'Float, or `None`.', '**more': 'Others.'}
    """
    indented = re.split(r"^(?=\S)", _texts(docstring).get("Args", ""), maxsplit=1, flags=re.M)[0]
    _, *parts = _ARGUMENT.split(_cleaned(indented))
    return {
        name: " ".join(text.split()) for name, text in zip(parts[::2], parts[1::2], strict=True)
    }


def _texts(docstring):
    parts = _SECTION.split(docstring)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _cleaned(text):
    return inspect.cleandoc("\n" + text)

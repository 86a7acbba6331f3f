"""Docstrings of the package in the form that the site's parser reads.

An extension of Griffe, which reads the sources and imports nothing. It adds the names that packages
load on first use, and changes the sections of the Keras docs to those of the Google style.
"""

import ast
import re

import griffe

CALL_ARGUMENTS = re.compile(r"^Call arguments:$", re.M)
# Until the next section, whose text is indented.
EXAMPLE = re.compile(r"^Example:\n(.*?)(?=^[A-Z][a-z]+(?: [a-z]+)?:\n {4}|\Z)", re.S | re.M)


class KerasStyle(griffe.Extension):
    """Reads docstrings of the Keras style, and lazy exports."""

    def on_module_members(self, *, node, mod, **_):
        """Adds the names of `_EXPORTS` to a package."""
        exports = mod.members.get("_EXPORTS")
        if exports is None:
            return
        for name, module in ast.literal_eval(str(exports.value)).items():
            mod.set_member(name, griffe.Alias(name, f"{mod.path}.{module}.{name}", parent=mod))

    def on_instance(self, *, obj, **_):
        """Changes the sections of a docstring."""
        if obj.docstring is not None:
            obj.docstring.value = google_style(obj.docstring.value)


def google_style(docstring):
    """Returns a docstring with the sections of the Google style.

    Arguments of calls become a second list of parameters, and examples, which are not indented in
    the Keras docs, a section.
    """
    text = CALL_ARGUMENTS.sub("Other parameters: Call arguments:", docstring)
    return EXAMPLE.sub(lambda match: f"Examples: Example:\n{indented(match[1])}\n", text)


def indented(text):
    """Indents the lines of a text that are not empty."""
    return re.sub(r"^(?=.)", "    ", text.strip("\n"), flags=re.M) + "\n"

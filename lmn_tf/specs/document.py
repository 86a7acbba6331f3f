"""What every kind of YAML file shares: it is read from a file, and written as plain data."""

import pathlib

from lmn_tf.specs import strict_yaml
from lmn_tf.specs.parsing import parse
from lmn_tf.specs.section import to_plain


class Document:
    """Base of the sections that are a file of their own.

    Where it was read from is no part of a spec: neither written, nor compared.
    """

    @classmethod
    def load(cls, path):
        """Reads a YAML file.

        Raises:
            UserError: with file and line, for the first mistake in it.
        """
        data, marks = strict_yaml.load(pathlib.Path(path))
        return cls.from_dict(data, base_dir=pathlib.Path(path).parent, file=path, marks=marks)

    @classmethod
    def from_dict(cls, data, base_dir=".", file=None, marks=None):
        """Returns the spec that `to_dict` gave."""
        spec = parse(cls, data, file=file, marks=marks)
        spec.__dict__["_base_dir"] = str(base_dir)
        spec.__dict__["_place"] = (file, marks)
        return spec

    def to_dict(self):
        """Returns the spec as plain data with every default written out."""
        return to_plain(self)

    @property
    def base_dir(self):
        """Folder that paths in the file are relative to."""
        return pathlib.Path(self.__dict__.get("_base_dir", "."))

    @property
    def place(self):
        """Pair: the file that the spec was read from and its `Marks`, each `None` without one."""
        return self.__dict__.get("_place", (None, None))

"""What is predicted."""

from lmn_tf.specs.section import Name, Text, section


@section
class Label:
    """A column of zeros and ones.

    Args:
        name: String, unique among labels.
        column: String. Name of the data column. Defaults to `None`, which means `name`.
    """

    name: Name
    column: Text | None = None

    @property
    def data_column(self):
        """Name of the column in the data."""
        return self.column if self.column is not None else self.name

"""Histories that are read by reference."""

from lmn_tf.specs.section import Text, section


@section
class Events:
    """Where the events of all users lie, each written once.

    A row of the data names its user and says how many of the user's events precede it.

    Args:
        file: Path of an Arrow IPC file, relative to the folder of the data files. It has the
            column `user` and the columns of all fields, sorted by user, then time.
        user: Name of the column with the user, in the data and in `file`.
        count: Name of the data column with the number of events that precede the row.
    """

    file: Text
    user: Text
    count: Text

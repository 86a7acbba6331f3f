"""The folder in which histories by reference have their events."""

import os
from collections.abc import Iterable, Sequence

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import Sequence as History


def events_folder(paths: Sequence[str], histories: Iterable[History]) -> str:
    """Returns the folder of data files, relative to which those of events are.

    Args:
        paths: Paths of the data files.
        histories: Each `Sequence` of the spec that is read.

    Raises:
        UserError: If an events file is another one for other data files: all users are looked for
            in one.
    """
    folders = sorted({os.path.dirname(path) for path in paths})
    for history in histories:
        file = history.events.file if history.events else ""
        if len({os.path.normpath(os.path.join(folder, file)) for folder in folders if file}) > 1:
            raise UserError(
                f"data files must be in one folder, where `{history.name}` has its events in "
                f"{file}. Received: {folders[0]} and {folders[1]}"
            )
    return folders[0]

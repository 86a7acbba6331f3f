"""What a zip file says that it unpacks to, against what it is."""

import os
import zipfile

from lmn_tf.specs.errors import UserError

_FACTOR = 20
_ALWAYS = 64 * 2**20


def check_unpacked_size(path) -> None:
    """Refuses a zip file that claims to hold far more than weights do.

    Weights hardly compress: what Keras writes unpacks to its own size, and squeezed again to a few
    times that. So a file may unpack to 64 MiB and 20 times its own size, all members together;
    Python reads no more of a member than its stated size. A file that is no zip passes: it cannot
    be unpacked.

    Args:
        path: The file.

    Raises:
        UserError: When the members are larger than that.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            unpacked = sum(member.file_size for member in archive.infolist())
    except (zipfile.BadZipFile, NotImplementedError):
        return
    size = os.path.getsize(path)
    if unpacked > _ALWAYS + _FACTOR * size:
        raise UserError(
            f"the file must unpack to at most 64 MiB and {_FACTOR} times its own size of {size:,} "
            f"bytes. Received: {unpacked:,} bytes",
            file=path,
        )

"""Checkpoints: everything needed to resume training, in one file that is whole or absent."""

import contextlib
import errno
import json
import os
import re
import struct
import warnings
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from lmn_tf import atomic_files
from lmn_tf.distribute.tables.rows import copy_rows, get_rows, row_chunks
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving.finite_weights import check_finite, check_rows

_STATE = "state.json"
_CHECKPOINT = "A checkpoint"
_LENGTHS_AT = 26  # of the name and of what follows it, in the header of a member of a zip file
_STEP = re.compile(r"^step-(\d+)\.npz$")


# A damaged file makes readers seek to nowhere; a best file may be gone.
_OF_THE_FILE = (None, errno.EINVAL, errno.ENOENT, errno.EISDIR)


def check_zip(path: str | os.PathLike) -> None:
    """Verifies the checksum of every member of a zip file.

    Args:
        path: The file.

    Raises:
        UserError: When the file is missing, cut off or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def read_checked(path: str | os.PathLike, name: str) -> bytes:
    """Returns the content of one member of a zip file, whose checksum holds.

    Args:
        path: The file.
        name: The member.

    Raises:
        UserError: When the file is missing, or what is read of it is cut off or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return archive.read(name)


@contextlib.contextmanager
def _reading(path) -> Iterator[None]:
    try:
        yield
    # Damaged headers ask for anything: unknown methods, passwords, all of the memory.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"the file must be whole. Received: {reason}", file=path) from error


class DamagedCheckpoint(UserError):
    """A checkpoint file that is missing, cut off or altered."""


class Checkpoints:
    """The checkpoints of one run: `step-N.npz` with the newest ones kept, and `best-N.npz`.

    A file holds the value of every variable under a stable key and a state of plain JSON
    values. Tables are in it as wholes, in the order of ids, on however many devices they lie:
    what one number of devices saved another one loads. They pass through memory in pieces.

    A file is written beside its place, flushed and renamed, so it is whole or absent; a number
    that is NaN or infinite is refused, and what was written before stays. Each member of the file
    carries a checksum, and all of them are verified before any is read; when the newest checkpoint
    is damaged, the one before it is used and a warning says so. Best weights are files of their
    own, named in the state under `best_file`, kept while a kept checkpoint names them.

    Args:
        folder: Folder of the checkpoints; made when first written to.
        keep: Number of newest checkpoints to keep. Defaults to `2`.
        guard: Function that is called before a file is written and raises where none may be, or
            `None`. Defaults to `None`.
    """

    def __init__(
        self,
        folder: str | os.PathLike,
        keep: int = 2,
        guard: Callable[[], None] | None = None,
    ) -> None:
        if keep < 1:
            raise ValueError(f"`keep` must be at least 1. Received: keep={keep}")
        self.folder = Path(folder)
        self.keep = keep
        self._guard = guard or (lambda: None)

    def save(self, step: int, values: Mapping[str, np.ndarray], state: Mapping) -> Path:
        """Writes the checkpoint of `step` and removes those no longer kept."""
        self._guard()
        path = self.folder / f"step-{step:010d}.npz"
        write_arrays(path, values, state)
        self._remove_old()
        return path

    def save_best(self, epoch: int, values: Mapping[str, np.ndarray]) -> str:
        """Writes the weights of the best epoch; returns the name for `best_file` of the state."""
        self._guard()
        name = f"best-{epoch:04d}.npz"
        write_arrays(self.folder / name, values, {"best_file": name})
        return name

    def load_best(self, name: str) -> dict[str, np.ndarray]:
        """Reads the weights of the best epoch."""
        return read_arrays(self.folder / name)[0]

    def latest(self, tidy: bool = True) -> tuple[dict[str, np.ndarray], dict] | None:
        """Reads the newest whole checkpoint: (values, state), or None when there is none.

        Args:
            tidy: Whether to remove what a killed process left and to rename what is damaged to
                `damaged-step-N.npz`, which nobody but the run itself may do. Defaults to `True`.

        Raises:
            DamagedCheckpoint: When none can be read, and one of them for a fault that may pass, as
                too many open files: to start anew would lose it.
        """
        if tidy:
            atomic_files.remove_leftovers(self.folder)
        steps, fault = self._steps(), None
        for path in reversed(steps):
            try:
                values, state = read_arrays(path)
                if state.get("best_file"):
                    self.load_best(state["best_file"])
            except DamagedCheckpoint as error:
                message = f"The checkpoint {error.file} is damaged: {error.message}."
                _warn(f"{message} Trying the one before it.")
                if _may_pass(error):
                    fault = error
                elif tidy:
                    # It must not count as one of those to keep.
                    damaged = Path(error.file)
                    with contextlib.suppress(OSError):
                        damaged.replace(damaged.with_name(f"damaged-{damaged.name}"))
                continue
            return values, state
        if fault is not None:
            raise fault
        if steps:
            _warn(f"Every checkpoint in {self.folder} is damaged: there is none to go on from.")
        return None

    def _steps(self) -> list[Path]:
        if not self.folder.is_dir():
            return []
        return sorted(path for path in self.folder.iterdir() if _STEP.match(path.name))

    def _remove_old(self) -> None:
        steps = self._steps()
        for path in steps[: -self.keep]:
            path.unlink()
        named = set()
        for path in steps[-self.keep :]:
            try:
                named.add(_read_state(path).get("best_file"))
            except DamagedCheckpoint:
                return  # It cannot say which best weights it needs: keep all.
        for path in self.folder.glob("best-*.npz"):
            if path.name not in named:
                path.unlink()


def write_arrays(path: str | os.PathLike, values: Mapping[str, np.ndarray], state: Mapping) -> None:
    """Writes arrays and a JSON state into one file, whole or not at all.

    Args:
        path: The file to write.
        values: Arrays by key; or variables, of which the large ones are read in pieces.
        state: Plain JSON values, kept beside the arrays.

    Raises:
        UserError: When a number is NaN or infinite; the file is not touched then.
    """
    document = {"keys": list(values), "state": dict(state)}
    with atomic_files.atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(_STATE, json.dumps(document))
            for index, (key, value) in enumerate(values.items()):
                with archive.open(_member(index), "w", force_zip64=True) as member:
                    _write(member, value, key)


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Reads what `write_arrays` wrote, verifying each checksum.

    Args:
        path: The file to read.

    Returns:
        (arrays by key, state). Large arrays are maps of the file: no memory is taken for what is
        not looked at.

    Raises:
        DamagedCheckpoint: When the file is missing, cut off or altered.
    """
    with _damage_reported(path):
        # First of all: the headers of arrays say how much memory to take.
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(_STATE))
            values = {}
            for index, key in enumerate(document["keys"]):
                values[key] = _read_member(archive, _member(index))
            return values, dict(document["state"])


def assign(variables: Mapping[str, object], values: Mapping[str, np.ndarray], source: str) -> None:
    """Puts checkpoint values into variables.

    Args:
        variables: Keras variables by stable key.
        values: Arrays by stable key.
        source: What to call the checkpoint in messages.

    Raises:
        UserError: When a key is missing on one side, a shape differs, or a number is NaN or
            infinite.
    """
    for key in variables:
        if key not in values:
            raise UserError(f"{source} must hold each variable of the model. Missing: {key}")
    for key, value in values.items():
        if key not in variables:
            raise UserError(f"{source} must hold variables of this model only. Received: {key}")
        if tuple(variables[key].shape) != value.shape:
            raise UserError(
                f"{source}: `{key}` must have the shape {tuple(variables[key].shape)}. "
                f"Received: {value.shape}"
            )
    check_finite(values, source)
    for key, value in values.items():
        copy_rows(value, variables[key])


def _read_state(path) -> dict:
    with _damage_reported(path):
        return dict(json.loads(read_checked(path, _STATE))["state"])


@contextlib.contextmanager
def _damage_reported(path):
    try:
        yield
    except UserError as error:
        raise DamagedCheckpoint(error.message, file=path) from error
    except (OSError, KeyError, TypeError, ValueError) as error:  # whole, and no checkpoint
        raise DamagedCheckpoint(
            f"the file must be a checkpoint. Received: {error}", file=path
        ) from error


def _may_pass(error: BaseException | None) -> bool:
    """Returns whether an error is one of the machine, and not of what a file holds."""
    while error is not None:
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, OSError) and error.errno not in _OF_THE_FILE:
            return True
        error = error.__cause__
    return False


def _warn(text: str) -> None:
    warnings.warn(text, stacklevel=3)


def _member(index: int) -> str:
    return f"{index:06d}.npy"


def _write(member, value, key) -> None:
    """Writes one array; a variable is read in pieces, and never held as a whole."""
    is_array = isinstance(value, np.ndarray | np.generic) or not hasattr(value, "shape")
    chunks = [] if is_array else row_chunks(tuple(value.shape), itemsize=4)
    if len(chunks) < 2:
        whole = _storable(np.asarray(value))
        check_rows(whole, key, _CHECKPOINT)
        np.lib.format.write_array(member, whole, allow_pickle=False)
        return
    for start, stop in chunks:
        rows = np.ascontiguousarray(_storable(get_rows(value, start, stop)))
        check_rows(rows, key, _CHECKPOINT)
        if not start:
            descr = np.lib.format.dtype_to_descr(rows.dtype)
            header = {"descr": descr, "fortran_order": False, "shape": tuple(value.shape)}
            np.lib.format.write_array_header_1_0(member, header)
        member.write(rows.data)


def _read_member(archive: zipfile.ZipFile, name: str) -> np.ndarray:
    with archive.open(name) as member:
        version = np.lib.format.read_magic(member)
        read = getattr(np.lib.format, f"read_array_header_{version[0]}_{version[1]}")
        shape, is_fortran, dtype = read(member)
        start = member.tell()
        if is_fortran or len(row_chunks(shape, dtype.itemsize)) < 2:
            member.seek(0)
            return np.lib.format.read_array(member, allow_pickle=False)
    offset = _place(archive, name) + start
    return np.memmap(archive.filename, dtype, mode="r", offset=offset, shape=shape)


def _place(archive: zipfile.ZipFile, name: str) -> int:
    """Where the content of a member begins in the file: it is stored as it is."""
    begin = archive.getinfo(name).header_offset
    with open(archive.filename, "rb") as file:
        file.seek(begin + _LENGTHS_AT)
        lengths = struct.unpack("<HH", file.read(4))
    return begin + _LENGTHS_AT + 4 + sum(lengths)


def _storable(value: np.ndarray) -> np.ndarray:
    # bfloat16 is no numpy type of its own; float32 holds it exactly.
    return value.astype("float32") if value.dtype.kind == "V" else value

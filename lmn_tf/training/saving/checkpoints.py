"""Checkpoints: all state needed to resume training, written atomically."""

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
_LENGTHS_AT = 26  # offset of the lengths of name and extra field in the header of a zip member
_STEP = re.compile(r"^step-(\d+)\.npz$")


# Errors of damaged files, in which readers seek to invalid offsets, and of missing best weights.
_OF_THE_FILE = (None, errno.EINVAL, errno.ENOENT, errno.EISDIR)


def check_zip(path: str | os.PathLike) -> None:
    """Verifies the checksum of every member of a zip file.

    Args:
        path: Path of the file.

    Raises:
        UserError: If the file is missing, truncated or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"wrong checksum of {damaged}")


def read_checked(path: str | os.PathLike, name: str) -> bytes:
    """Returns the content of one member of a zip file, and verifies its checksum.

    Args:
        path: Path of the file.
        name: String. Name of the member.

    Raises:
        UserError: If the file is missing, or the member is truncated or altered.
    """
    with _reading(path), zipfile.ZipFile(path) as archive:
        return archive.read(name)


@contextlib.contextmanager
def _reading(path) -> Iterator[None]:
    try:
        yield
    # Damaged headers cause all kinds of errors: unknown methods, passwords, excessive memory.
    except Exception as error:
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise UserError(f"the file must be whole. Received: {reason}", file=path) from error


class DamagedCheckpoint(UserError):
    """Error of a checkpoint file that is missing, truncated or altered."""


class Checkpoints:
    """Checkpoints of a run: the newest `step-N.npz` files, and `best-N.npz`.

    A file holds the value of each variable under a stable key, and a state of plain JSON values.
    Tables are stored whole, in the order of ids, however they are sharded, so that a checkpoint can
    be loaded with another number of devices. They are written and read in chunks.

    A file is written under a temporary name, flushed and renamed, so it is either complete or
    absent. NaN and infinite numbers are refused, and earlier files are kept. Each member of a file
    has a checksum, and all checksums are verified before any member is read. If the newest
    checkpoint is damaged, a warning is issued and the previous one is used. Best weights are
    separate files, named in the state under `best_file`, and kept as long as a kept checkpoint
    names them.

    Args:
        folder: Folder of the checkpoints, created by the first write.
        keep: Integer. Number of newest checkpoints to keep. Defaults to `2`.
        guard: Function called before a file is written, to raise an error if that is not allowed,
            or `None`. Defaults to `None`.
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
        """Writes the checkpoint of `step`, and removes old ones."""
        self._guard()
        path = self.folder / f"step-{step:010d}.npz"
        write_arrays(path, values, state)
        self._remove_old()
        return path

    def save_best(self, epoch: int, values: Mapping[str, np.ndarray]) -> str:
        """Writes the weights of the best epoch; returns the value of `best_file` for the state."""
        self._guard()
        name = f"best-{epoch:04d}.npz"
        write_arrays(self.folder / name, values, {"best_file": name})
        return name

    def load_best(self, name: str) -> dict[str, np.ndarray]:
        """Reads the weights of the best epoch."""
        return read_arrays(self.folder / name)[0]

    def latest(self, tidy: bool = True) -> tuple[dict[str, np.ndarray], dict] | None:
        """Reads the newest intact checkpoint: (values, state), or `None` if there is none.

        Args:
            tidy: Boolean. Whether to remove files left by a killed process, and to rename damaged
                ones to `damaged-step-N.npz`. Only the run itself may do so. Defaults to `True`.

        Raises:
            DamagedCheckpoint: If none can be read, and one of the errors may be temporary, such as
                too many open files: starting a new run would lose that checkpoint.
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
                    # It must not count as one of the checkpoints to keep.
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
                return  # The best weights that it needs are unknown: keep all.
        for path in self.folder.glob("best-*.npz"):
            if path.name not in named:
                path.unlink()


def write_arrays(path: str | os.PathLike, values: Mapping[str, np.ndarray], state: Mapping) -> None:
    """Writes arrays and a JSON state into one file atomically.

    Args:
        path: Path of the file.
        values: Arrays or variables by key; large variables are read in chunks.
        state: Plain JSON values, stored beside the arrays.

    Raises:
        UserError: If a number is NaN or infinite; the file does not change then.
    """
    document = {"keys": list(values), "state": dict(state)}
    with atomic_files.atomic_path(path) as temporary:
        with zipfile.ZipFile(temporary, "w", zipfile.ZIP_STORED, allowZip64=True) as archive:
            archive.writestr(_STATE, json.dumps(document))
            for index, (key, value) in enumerate(values.items()):
                with archive.open(_member(index), "w", force_zip64=True) as member:
                    _write(member, value, key)


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Reads a file of `write_arrays`, and verifies each checksum.

    Args:
        path: Path of the file.

    Returns:
        (arrays by key, state). Large arrays are memory-mapped: only accessed parts take memory.

    Raises:
        DamagedCheckpoint: If the file is missing, truncated or altered.
    """
    with _damage_reported(path):
        # First of all, since the headers of arrays determine how much memory is allocated.
        check_zip(path)
        with zipfile.ZipFile(path) as archive:
            document = json.loads(archive.read(_STATE))
            values = {}
            for index, key in enumerate(document["keys"]):
                values[key] = _read_member(archive, _member(index))
            return values, dict(document["state"])


def assign(variables: Mapping[str, object], values: Mapping[str, np.ndarray], source: str) -> None:
    """Assigns the values of a checkpoint to variables.

    Args:
        variables: Keras variables by stable key.
        values: Arrays by stable key.
        source: String. Name of the checkpoint in messages.

    Raises:
        UserError: If keys or shapes differ, or a number is NaN or infinite.
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
    except (OSError, KeyError, TypeError, ValueError) as error:  # intact, but not a checkpoint
        raise DamagedCheckpoint(
            f"the file must be a checkpoint. Received: {error}", file=path
        ) from error


def _may_pass(error: BaseException | None) -> bool:
    """Returns whether an error is caused by the machine rather than by the file."""
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
    """Writes one array; large variables are read in chunks, and never held whole."""
    is_array = isinstance(value, np.ndarray | np.generic) or not hasattr(value, "shape")
    chunks = [] if is_array else row_chunks(tuple(value.shape), itemsize=4)
    if len(chunks) < 2:
        array = _storable(np.asarray(value))
        check_rows(array, key, _CHECKPOINT)
        np.lib.format.write_array(member, array, allow_pickle=False)
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
    offset = _content_offset(archive, name) + start
    return np.memmap(archive.filename, dtype, mode="r", offset=offset, shape=shape)


def _content_offset(archive: zipfile.ZipFile, name: str) -> int:
    """Returns the offset of a member's content, which is not compressed, in the file."""
    header = archive.getinfo(name).header_offset
    with open(archive.filename, "rb") as file:
        file.seek(header + _LENGTHS_AT)
        lengths = struct.unpack("<HH", file.read(4))
    return header + _LENGTHS_AT + 4 + sum(lengths)


def _storable(value: np.ndarray) -> np.ndarray:
    # NumPy has no bfloat16 type; float32 holds its values exactly.
    return value.astype("float32") if value.dtype.kind == "V" else value

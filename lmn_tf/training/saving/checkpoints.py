"""Checkpoints: all state needed to resume training, in folders that are written atomically."""

import contextlib
import errno
import json
import os
import re
import warnings
import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np

from lmn_tf import atomic_files
from lmn_tf.distribute.tables import rows as table_rows
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving.finite_weights import check_finite, check_rows
from lmn_tf.training.saving.zip_files import check_unpacked_size, check_zip

_STATE = "state.json"
_CHECKPOINT = "A checkpoint"
# Step or epoch; a count if the step was saved before; `.npz` are zip files of earlier versions.
_NAME = re.compile(r"(?P<kind>step|best)-(?P<number>\d+)(\.(?P<count>\d+)|(?P<zip>\.npz))?")
_READ_BYTES = 2**20

# Errors of damaged files, in which readers seek to invalid offsets, and of missing best weights.
_OF_THE_FILE = (None, errno.EINVAL, errno.ENOENT, errno.EISDIR, errno.ENOTDIR)


class DamagedCheckpoint(UserError):
    """Error of a checkpoint that is missing, truncated or altered."""


class Checkpoints:
    """Checkpoints of a run: the newest `step-N` folders, and `best-N`.

    A checkpoint is a folder with a `.npy` file for each variable, and a `state.json`. The latter
    maps the stable key of each variable to its file and the checksum of the file, and holds a state
    of plain JSON values. Tables are stored whole, in the order of ids, however they are sharded, so
    that a checkpoint can be loaded with another number of devices. They are written and read in
    chunks.

    A folder is written under a temporary name, flushed and renamed, so it is either complete or
    absent. NaN and infinite numbers are refused, and earlier checkpoints are kept. If a step is
    saved again, `step-N.2` replaces `step-N`. All checksums are verified before any array is read,
    and no file may be missing or added. If the newest checkpoint is damaged, a warning is issued
    and the previous one is used. Best weights are separate folders, named in the state under
    `best_file`, and kept as long as a kept checkpoint names them.

    Checkpoints of earlier versions, zip files `step-N.npz`, are read as well, whole into memory.

    Args:
        folder: Folder of the checkpoints, created by the first write.
        keep: Integer. Number of newest checkpoints to keep. Defaults to `2`.
        guard: Function called before a checkpoint is written, to raise an error if that is not
            allowed, or `None`. Defaults to `None`.
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
        path = self._new_path("step", step, digits=10)
        write_arrays(path, values, state)
        self._remove_old()
        return path

    def save_best(self, epoch: int, values: Mapping[str, np.ndarray]) -> str:
        """Writes the weights of the best epoch; returns the value of `best_file` for the state."""
        self._guard()
        path = self._new_path("best", epoch, digits=4)
        write_arrays(path, values, {"best_file": path.name})
        return path.name

    def load_best(self, name: str) -> dict[str, np.ndarray]:
        """Reads the weights of the best epoch."""
        return read_arrays(self.folder / name)[0]

    def latest(self, tidy: bool = True) -> tuple[dict[str, np.ndarray], dict] | None:
        """Reads the newest intact checkpoint: (values, state), or `None` if there is none.

        Args:
            tidy: Boolean. Whether to remove folders left by a killed process, and to rename damaged
                ones to `damaged-step-N`, with steps whose best weights are damaged. Only the run
                itself may do so. Defaults to `True`.

        Raises:
            DamagedCheckpoint: If none can be read, and one of the errors may be temporary, such as
                too many open files: starting a new run would lose that checkpoint.
        """
        if tidy:
            atomic_files.remove_leftovers(self.folder)
        steps, fault = list(self._saved("step").values()), None
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
                    # Also a step whose best weights are damaged: it must not count as one to keep.
                    _set_aside(Path(error.file))
                    _set_aside(path)
                continue
            return values, state
        if fault is not None:
            raise fault
        if steps:
            _warn(f"Every checkpoint in {self.folder} is damaged: there is none to go on from.")
        return None

    def _saved(self, kind: str) -> dict[tuple[int, int], Path]:
        """Returns the paths of a kind by (step or epoch, count), oldest first."""
        paths = {}
        for path in self.folder.iterdir() if self.folder.is_dir() else ():
            match = _NAME.fullmatch(path.name)
            if match and match["kind"] == kind:
                count = 0 if match["zip"] else int(match["count"] or 1)
                paths[int(match["number"]), count] = path
        return dict(sorted(paths.items()))

    def _new_path(self, kind: str, number: int, digits: int) -> Path:
        """Returns a path that does not exist: a folder cannot be replaced atomically."""
        counts = [count for saved, count in self._saved(kind) if saved == number]
        count = max(counts, default=0) + 1
        return self.folder / (f"{kind}-{number:0{digits}d}" + (f".{count}" if count > 1 else ""))

    def _remove_old(self) -> None:
        steps = self._saved("step")
        newest = {step: path for (step, _), path in steps.items()}
        kept = list(newest.values())[-self.keep :]
        for path in steps.values():
            if path not in kept:
                atomic_files.remove(path)
        named = set()
        for path in kept:
            try:
                named.add(_read_state(path).get("best_file"))
            except DamagedCheckpoint:
                return  # The best weights that it needs are unknown: keep all.
        for path in self._saved("best").values():
            if path.name not in named:
                atomic_files.remove(path)


def write_arrays(path: str | os.PathLike, values: Mapping[str, np.ndarray], state: Mapping) -> None:
    """Writes arrays and a JSON state into a new folder atomically.

    Args:
        path: Path of the folder, which must not exist or be empty.
        values: Arrays or variables by key; large variables are read in chunks.
        state: Plain JSON values, stored beside the arrays.

    Raises:
        UserError: If a number is NaN or infinite; the folder is not created then.
    """
    with atomic_files.atomic_folder(path) as folder:
        variables = {}
        for index, (key, value) in enumerate(values.items()):
            name = f"{index:06d}.npy"
            variables[key] = {"file": name, "crc32": _write_array(folder / name, value, key)}
        document = {"variables": variables, "state": dict(state)}
        text = json.dumps({**document, "crc32": _json_checksum(document)}, indent=2)
        (folder / _STATE).write_text(text, encoding="utf-8")


def read_arrays(path: str | os.PathLike) -> tuple[dict[str, np.ndarray], dict]:
    """Reads a folder of `write_arrays`, and verifies each checksum.

    Args:
        path: Path of the folder, or of a zip file of an earlier version, which ends in `.npz`.

    Returns:
        (arrays by key, state). Large arrays of a folder are memory-mapped: only accessed parts take
        memory.

    Raises:
        DamagedCheckpoint: If the checkpoint is missing, truncated or altered.
    """
    path = Path(path)
    with _damage_reported(path):
        if path.suffix == ".npz":
            return _read_zip(path)
        document = _read_document(path)
        variables = document["variables"]
        # First of all, since the headers of arrays determine how much memory is allocated.
        _check_files(path, {entry["file"]: entry["crc32"] for entry in variables.values()})
        values = {key: _read_array(path / entry["file"]) for key, entry in variables.items()}
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
        table_rows.copy_rows(value, variables[key])


def _read_state(path: Path) -> dict:
    with _damage_reported(path):
        return dict(_read_document(path)["state"])


@contextlib.contextmanager
def _damage_reported(path: Path) -> Iterator[None]:
    try:
        yield
    except UserError as error:
        raise DamagedCheckpoint(error.message, file=path) from error
    except Exception as error:  # of all kinds: damaged JSON, headers, zip files
        reason = str(error) or type(error).__name__
        raise DamagedCheckpoint(
            f"the checkpoint must be whole. Received: {reason}", file=path
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


def _set_aside(path: Path) -> None:
    """Renames a damaged checkpoint, unless it is renamed already."""
    target = path.with_name(f"damaged-{path.name}")
    if not path.exists():
        return
    with contextlib.suppress(OSError):
        if target.exists():
            atomic_files.remove(target)
        path.replace(target)


class _ChecksummedFile:
    """Binary file that computes the checksum of the data written to it."""

    def __init__(self, file):
        self.checksum = 0
        self._file = file

    def write(self, data):
        self.checksum = zlib.crc32(data, self.checksum)
        self._file.write(data)


def _write_array(path: Path, value, key: str) -> int:
    """Writes an array or a variable in chunks; returns the checksum of the file."""
    with open(path, "wb") as opened:
        file = _ChecksummedFile(opened)
        for index, rows in enumerate(table_rows.row_pieces(value)):
            rows = np.ascontiguousarray(_storable(rows))
            check_rows(rows, key, _CHECKPOINT)
            if not index:
                descr = np.lib.format.dtype_to_descr(rows.dtype)
                header = {"descr": descr, "fortran_order": False, "shape": tuple(value.shape)}
                np.lib.format.write_array_header_1_0(file, header)
            file.write(rows)
    return file.checksum


def _read_array(path: Path) -> np.ndarray:
    array = np.lib.format.open_memmap(path, mode="r")
    return array if array.nbytes > table_rows.CHUNK_BYTES else np.array(array)


def _check_files(folder: Path, checksums: Mapping[str, int]) -> None:
    """Raises a `ValueError` for a file that is missing, added or altered."""
    names = {path.name for path in folder.iterdir()} - {_STATE}
    for name in sorted(names ^ checksums.keys()):
        raise ValueError(f"{name}, which is {'not part of it' if name in names else 'missing'}")
    for name, checksum in checksums.items():
        if _file_checksum(folder / name) != checksum:
            raise ValueError(f"{name}, which is not as it was written")


def _file_checksum(path: Path) -> int:
    checksum = 0
    with open(path, "rb") as file:
        while piece := file.read(_READ_BYTES):
            checksum = zlib.crc32(piece, checksum)
    return checksum


def _json_checksum(document: dict) -> int:
    return zlib.crc32(json.dumps(document).encode())


def _read_document(path: Path) -> dict:
    """Reads `state.json` of a checkpoint."""
    if path.suffix == ".npz":
        with np.load(path) as archive:
            return json.loads(archive[_STATE])
    document = json.loads((path / _STATE).read_bytes())
    if document.pop("crc32", None) != _json_checksum(document):
        raise ValueError(f"{_STATE}, which is not as it was written")
    return document


def _read_zip(path: Path) -> tuple[dict[str, np.ndarray], dict]:
    """Reads a checkpoint of an earlier version."""
    check_unpacked_size(path)
    check_zip(path)
    document = _read_document(path)
    with np.load(path) as archive:
        values = {key: archive[f"{index:06d}"] for index, key in enumerate(document["keys"])}
    return values, dict(document["state"])


def _storable(value: np.ndarray) -> np.ndarray:
    # NumPy has no bfloat16 type; float32 holds its values exactly.
    return value.astype("float32") if value.dtype.kind == "V" else value

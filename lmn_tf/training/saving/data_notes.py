"""Notes of the data files of a run, compared when the run is resumed."""

import hashlib
import json
import os
import time
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from lmn_tf import atomic_files
from lmn_tf.data.formats import match_files
from lmn_tf.data.reading.batch_reader import open_spec_files
from lmn_tf.data.reading.checksum import file_digest, kept_digest
from lmn_tf.data.reading.dated_files import dated_files
from lmn_tf.data.reading.row_limit import RowLimit
from lmn_tf.data.reading.unit_order import UnitOrder
from lmn_tf.data.reading.values_digest import values_digest
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import difference
from lmn_tf.specs.pipeline_spec import PipelineSpec

_NAMES = {"train": "training", "valid": "validation", "test": "test"}
_LEARNED_FROM = ("train", "valid")
_THREADS = 8  # a single thread hashes more slowly than disks read
# Resolution of file system clocks: a file may change again within it without a trace.
_TICK_NS = 3 * 10**9


class DataNotes:
    """Notes of the data files of a run, stored in a file of the run.

    Each file is noted with its name, its size and the SHA-256 of its content. Its modification and
    change times and its inode are noted too: a file for which all of these are unchanged is not
    read again. Programs cannot set the change time, so replaced content is detected even if the
    modification time is old. Copies of files are read, and accepted if their content is the same.

    Notes of earlier versions, without digests, hold names and sizes of the training files. These
    are compared, and the notes are updated.

    Args:
        path: Path of the file.
    """

    def __init__(self, path: str | os.PathLike) -> None:
        self.path = Path(path)

    def check(
        self,
        parts: Mapping[str, list],
        ids: Mapping[str, str] | None = None,
        unread: tuple[str, ...] = (),
    ) -> None:
        """Notes the content of files, or refuses files that differ from those noted.

        Args:
            parts: Paths of the files of `"train"`, `"valid"` and `"test"`. Missing parts are not
                compared.
            ids: Fingerprint of the ids; see `fingerprint`. Defaults to `None`: not compared.
            unread: Parts that the run has not used yet. They may change, and are noted again.
                Defaults to `()`.

        Raises:
            UserError: If a file differs from the one noted, or the notes are damaged.
        """
        noted = self._read()
        if isinstance(noted, list):
            _compare_sizes(noted, parts.get("train", ()), self.path)
            noted = {}
        current = {}
        for part, files in parts.items():
            current[part] = _notes(files, noted.get(part, ()))
            if part in noted and part not in unread:
                _compare(part, noted[part], current[part], self.path)
        if ids is not None:
            _compare_ids(noted.get("ids", {}), ids, self.path)
            current["ids"] = dict(ids)
        if {**noted, **current} != noted:
            document = {**noted, **current}
            atomic_files.write_json(self.path, {**document, "sum": _sum(document)})

    def parts(self) -> tuple[str, ...]:
        """Returns the parts of the data whose content is noted.

        Raises:
            UserError: If the notes are damaged.
        """
        noted = self._read()
        return tuple(part for part in _NAMES if part in noted)

    def fingerprint(self) -> str | None:
        """Returns a digest of the names and the content of the training and validation files noted.

        Returns:
            String; `None` where no content is noted.

        Raises:
            UserError: If the notes are damaged.
        """
        noted = self._read()
        parts = {part: noted[part] for part in _LEARNED_FROM if part in noted}
        content = {
            part: [(note["name"], note["sha256"]) for note in notes]
            for part, notes in parts.items()
        }
        return _sum(content)[:16] if content else None

    def _read(self):
        if not self.path.exists():
            return {}
        try:
            noted = json.loads(self.path.read_bytes())
            if isinstance(noted, list):
                return [(str(name), int(size)) for name, size in noted]
            if noted.pop("sum", None) != _sum(noted):
                raise ValueError("another content than was written")
            ids = {str(key): str(value) for key, value in noted.pop("ids", {}).items()}
            parts = {part: [_checked(note) for note in notes] for part, notes in noted.items()}
            return {**parts, "ids": ids} if ids else parts
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise UserError(
                "the file must be what the run noted of its data. Received: "
                f"{type(error).__name__}: {error}. Remove it to go on with the data as they are.",
                file=self.path,
            ) from error


def read_test_files(pipeline: PipelineSpec, spec: FeatureSpec) -> dict[str, list[str]]:
    """Finds the test files of a run.

    Args:
        pipeline: A `PipelineSpec`.
        spec: Its `FeatureSpec`.

    Returns:
        Dictionary of paths, as of `read_files`: `"test"` if there are any.

    Raises:
        UserError: If there are no files.
    """
    data = pipeline.data
    return {} if data.test is None else {"test": _read_of(spec, data.test, data.eval_rows)}


def read_files(pipeline: PipelineSpec, spec: FeatureSpec) -> dict[str, list[str]]:
    """Finds the training and validation files of a run.

    Args:
        pipeline: A `PipelineSpec`.
        spec: Its `FeatureSpec`.

    Returns:
        Dictionary of paths: `"train"`, and `"valid"` if there are any. Files of events are
        included; files after the number of rows that the pipeline reads are not.

    Raises:
        UserError: If there are no files.
    """
    data = pipeline.data
    parts = {"train": _training_files(pipeline, spec, RowLimit.of_training(pipeline))}
    if data.valid is not None:
        parts["valid"] = _read_of(spec, data.valid, data.eval_rows)
    return parts


def _training_files(pipeline, spec, limit):
    data = pipeline.data
    if data.days is not None:
        groups = dated_files(data.train, data.days)[0].values()
    else:
        groups = [data.train]
    files = [path for files in groups for path in _read_of(spec, files, limit)]
    return list(dict.fromkeys(files))


def content_digests(
    pipeline: PipelineSpec, spec: FeatureSpec, of_values: bool = True
) -> dict[str, str]:
    """Returns a digest of the names and the content of the files of each part.

    Args:
        pipeline: A `PipelineSpec`.
        spec: Its `FeatureSpec`.
        of_values: Boolean. Whether the values of the files count, or their bytes, which differ
            between machines that write the same rows. Defaults to `True`.

    Returns:
        Dictionary from `"train"`, `"valid"` and `"test"` to digests of all of their files, however
        many rows are read; empty if data are missing.
    """
    data = pipeline.data
    try:
        parts = {"train": _training_files(pipeline, spec, None)}
        parts |= {
            part: _read_of(spec, files, None)
            for part, files in (("valid", data.valid), ("test", data.test))
            if files is not None
        }
    except UserError:
        return {}
    digest = values_digest if of_values else kept_digest
    return {
        part: _sum([_content(path, digest) for path in files])[:16] for part, files in parts.items()
    }


def _content(path, digest) -> tuple[str, str]:
    size, state = _state(path)
    return os.path.basename(path), digest(path, size, *state)


def _read_of(spec, files, limit):
    paths = match_files(files)
    if limit is not None:
        order = UnitOrder(open_spec_files(spec, paths), False, 0, 1, (0, 1), limit)
        paths = list(dict.fromkeys(unit.path for unit in order.units))
    folder = os.path.dirname(paths[0])
    events = [
        os.path.join(folder, sequence.events.file) for sequence in spec.sequences if sequence.events
    ]
    return paths + [path for path in dict.fromkeys(events) if os.path.isfile(path)]


def _notes(files, noted) -> list[dict]:
    known = {(note["name"], note["bytes"]): note for note in noted}
    with ThreadPoolExecutor(_THREADS) as pool:
        return list(pool.map(lambda path: _note(path, known), files))


def _sum(document) -> str:
    """Checksum that distinguishes damage of the notes from a change of the data."""
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


def _note(path, known) -> dict:
    size, state = _state(path)
    before = known.get((os.path.basename(path), size))
    if before is not None and before["state"] == state:
        return before
    # The state is not noted if another change of the file might not show in it.
    is_settled = time.time_ns() - state[1] > _TICK_NS
    digest = kept_digest(path, size, *state) if is_settled else file_digest(path)
    note = {"name": os.path.basename(path), "bytes": size, "sha256": digest}
    return {**note, "state": state if is_settled else None}


def _state(path) -> tuple[int, list[int]]:
    status = os.stat(path)
    return status.st_size, [status.st_mtime_ns, status.st_ctime_ns, status.st_ino]


def _checked(note) -> dict:
    keys = {"name": str, "bytes": int, "sha256": str}
    return {**{key: kind(note[key]) for key, kind in keys.items()}, "state": note["state"]}


def _compare(part, noted, current, path) -> None:
    want, got = f"{len(noted)} files", f"{len(current)} files"
    for before, now in zip(noted, current, strict=False):
        if any(before[key] != now[key] for key in ("name", "bytes", "sha256")):
            want, got = _described(before), _described(now)
            break
    else:
        if len(noted) == len(current):
            return
    raise _other_data(part, want, got, path)


def _compare_sizes(noted, files, path) -> None:
    current = [(os.path.basename(file), os.path.getsize(file)) for file in files]
    if noted == current:
        return
    want, got = f"{len(noted)} files", f"{len(current)} files"
    for before, now in zip(noted, current, strict=False):
        if before != now:
            want, got = (f"{name} of {size:,} bytes" for name, size in (before, now))
            break
    raise _other_data("train", want, got, path)


def _compare_ids(noted, ids, path) -> None:
    changed = difference(noted, ids)
    if changed is not None:
        part, _, key = changed.partition("/")
        raise UserError(
            f"The {part} of `{key}` must be that of the run to be continued, noted in {path}. "
            "Received: another one. Take it back, or start a new run with another --run-dir."
        )


def _described(note) -> str:
    return f"{note['name']} of {note['bytes']:,} bytes with the SHA-256 {note['sha256'][:12]}..."


def _other_data(part, want, got, path) -> UserError:
    return UserError(
        f"The {_NAMES[part]} data must be those of the run, noted in {path}: {want}. "
        f"Received: {got}. Take them back, or start a new run with another --run-dir."
    )

import errno
import io
import json
import os
import shutil
import subprocess
import sys
import warnings
import zipfile

import keras
import numpy as np
import pytest
from old_checkpoints import write_zip
from replicas import replicas

from lmn_tf import atomic_files
from lmn_tf.distribute.tables import rows as row_access
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving import checkpoints as module
from lmn_tf.training.saving import zip_files
from lmn_tf.training.saving.checkpoints import (
    Checkpoints,
    DamagedCheckpoint,
    read_arrays,
    write_arrays,
)

FILES = ["000000.npy", "000001.npy", "000002.npy", "state.json"]


def values(step):
    return {
        "model/a": np.full((3, 2), step, "float32"),
        "model/odd name:0": np.array(step, "int64"),
        "empty": np.zeros((0, 4)),
    }


def same(found, want):
    assert list(found) == list(want)
    for key, value in want.items():
        np.testing.assert_array_equal(found[key], value)
        assert found[key].dtype == value.dtype


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def change(path, edit):
    content = bytearray(path.read_bytes())
    path.write_bytes(edit(content) or content)


def flip(content, place=None):
    content[len(content) // 2 if place is None else place] ^= 1


def swap(first, second):
    kept = first.read_bytes()
    first.write_bytes(second.read_bytes())
    second.write_bytes(kept)


def to_a_file(path):
    shutil.rmtree(path)
    path.write_bytes(b"no folder")


def to_a_folder(path):
    path.unlink()
    path.mkdir()


DAMAGES = {
    **{f"bit of {name}": lambda path, name=name: change(path / name, flip) for name in FILES},
    **{
        f"end of {name}": lambda path, name=name: change(path / name, lambda raw: raw[:-1])
        for name in FILES
    },
    **{f"no {name}": lambda path, name=name: (path / name).unlink() for name in FILES},
    **{f"folder {name}": lambda path, name=name: to_a_folder(path / name) for name in FILES},
    "empty array": lambda path: (path / FILES[0]).write_bytes(b""),
    "empty state": lambda path: (path / "state.json").write_bytes(b""),
    "swapped": lambda path: swap(path / FILES[0], path / FILES[1]),
    "of another": lambda path: shutil.copy(
        path.with_name("step-0000000008") / FILES[0], path / FILES[0]
    ),
    "state of another": lambda path: shutil.copy(
        path.with_name("step-0000000008") / "state.json", path
    ),
    "extra file": lambda path: (path / "000003.npy").write_bytes(b"more"),
    "extra folder": lambda path: (path / "more").mkdir(),
    "empty folder": lambda path: (shutil.rmtree(path), path.mkdir()),
    "a file": to_a_file,
}


def test_round_trip(tmp_path):
    write_arrays(tmp_path / "a", values(9), {"step": 9})
    found, state = read_arrays(tmp_path / "a")
    same(found, values(9))
    assert state == {"step": 9}


def test_plain_numpy_and_json_read_it(tmp_path):
    write_arrays(tmp_path / "a", values(9), {"step": 9, "best": -np.inf})
    assert names(tmp_path / "a") == FILES
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    assert document["state"] == {"step": 9, "best": -np.inf}
    found = {
        key: np.load(tmp_path / "a" / entry["file"]) for key, entry in document["variables"].items()
    }
    same(found, values(9))


@pytest.mark.parametrize(
    "array",
    [
        np.arange(12.0).reshape(3, 4).T,
        np.arange(12)[::-3],
        np.float32(2.5),
        np.array([True, False]),
        np.arange(4, dtype=">i4"),
        np.arange(3, dtype="float16"),
    ],
)
def test_arrays_of_any_order_and_type(array, tmp_path):
    write_arrays(tmp_path / "a", {"a": array}, {})
    same(read_arrays(tmp_path / "a")[0], {"a": array})


def test_keys_are_no_file_names(tmp_path):
    keys = ["../a", "/a", "a/b", "A", "a", "", ".", "ü\n\udc80\0", "x" * 500, "state.json"]
    given = {key: np.array(index) for index, key in enumerate(keys)}
    write_arrays(tmp_path / "a", given, {})
    same(read_arrays(tmp_path / "a")[0], given)
    assert names(tmp_path) == ["a"]


def test_numbers_as_keys_of_the_state_become_text(tmp_path):
    write_arrays(tmp_path / "a", {}, {"of_epoch": {9: (0.5, float("nan")), 10: None}})
    state = read_arrays(tmp_path / "a")[1]
    assert repr(state) == "{'of_epoch': {'9': [0.5, nan], '10': None}}"


def test_bfloat16_is_kept_as_float32(tmp_path):
    variable = keras.Variable([1.5, -2.0], dtype="bfloat16")
    write_arrays(tmp_path / "a", {"a": np.asarray(variable)}, {})
    found, _ = read_arrays(tmp_path / "a")
    np.testing.assert_array_equal(found["a"], np.array([1.5, -2.0], "float32"))


def test_a_folder_with_files_is_not_replaced(tmp_path):
    write_arrays(tmp_path / "a", values(8), {"step": 8})
    with pytest.raises(OSError, match="not empty"):
        write_arrays(tmp_path / "a", values(9), {"step": 9})
    assert read_arrays(tmp_path / "a")[1] == {"step": 8} and names(tmp_path) == ["a"]


def test_only_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (1, 2, 10):
        checkpoints.save(step, values(step), {"step": step})
    assert names(tmp_path) == ["step-0000000002", "step-0000000010"]
    found, state = checkpoints.latest()
    same(found, values(10))
    assert state == {"step": 10}


def test_what_is_saved_again_takes_the_place_of_what_it_was(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(8, values(8), {"step": 8})
    for count in range(1, 13):
        checkpoints.save(9, values(9), {"count": count})
        assert names(tmp_path)[0] == "step-0000000008" and len(names(tmp_path)) == 2
        assert checkpoints.latest()[1] == {"count": count}
    assert names(tmp_path)[1] == "step-0000000009.12"
    checkpoints.save(10, values(10), {"step": 10})
    assert names(tmp_path) == ["step-0000000009.12", "step-0000000010"]


@pytest.mark.parametrize("how", DAMAGES)
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path, how):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(8, values(8), {"step": 8})
    path = checkpoints.save(9, values(9), {"step": 9})
    DAMAGES[how](path)
    with pytest.raises(DamagedCheckpoint, match="step-0000000009: the checkpoint must be whole. R"):
        read_arrays(path)
    with pytest.warns(UserWarning, match="step-0000000009 is damaged: .* the one before"):
        found, state = checkpoints.latest()
    same(found, values(8))
    assert state == {"step": 8}
    assert names(tmp_path) == ["damaged-step-0000000009", "step-0000000008"]


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ("bit of 000000.npy", "Received: 000000.npy, which is not as it was written$"),
        ("bit of state.json", "Received: state.json, which is not as it was written$"),
        ("no 000001.npy", "Received: 000001.npy, which is missing$"),
        ("no state.json", "Received: .* No such file or directory: .*state.json"),
        ("extra file", "Received: 000003.npy, which is not part of it$"),
        ("a file", "Received: .*Not a directory"),
        ("empty state", "Received: Expecting value"),
    ],
)
def test_damage_is_named(how, message, tmp_path):
    write_arrays(tmp_path / "a", values(9), {"step": 9})
    DAMAGES[how](tmp_path / "a")
    with pytest.raises(DamagedCheckpoint, match=message):
        read_arrays(tmp_path / "a")


def test_all_damaged_is_as_if_there_were_none(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    change(checkpoints.save(9, values(9), {}) / FILES[0], flip)
    with pytest.warns(UserWarning) as told:
        assert checkpoints.latest() is None
    words = [str(one.message) for one in told]
    assert len(words) == 2 and "damaged" in words[0] and "none to go on from" in words[1]


def outcome(path):
    """What reading makes of a checkpoint: damage, the values that were written, or else."""
    try:
        found, state = read_arrays(path)
    except DamagedCheckpoint:
        return "damage"
    except Exception as error:
        return repr(error)
    if state != {"step": 9} or list(found) != list(values(9)):
        return "other values"
    same_values = all(np.array_equal(found[key], value) for key, value in values(9).items())
    return "whole" if same_values else "other values"


def outcomes(path, file, every):
    """What becomes of each bit of a file that flips: the number of bits by outcome."""
    content, counts = bytearray(file.read_bytes()), {}
    for bit in range(0, 8 * len(content), every):
        content[bit // 8] ^= 1 << bit % 8
        file.write_bytes(content)
        found = outcome(path)
        counts[found] = counts.get(found, 0) + 1
        content[bit // 8] ^= 1 << bit % 8
    file.write_bytes(content)
    assert outcome(path) == "whole"
    return counts


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", FILES)
def test_any_flipped_bit_is_damage(name, every, tmp_path):
    write_arrays(tmp_path / "a", values(9), {"step": 9})
    assert outcomes(tmp_path / "a", tmp_path / "a" / name, every).keys() == {"damage"}


@pytest.mark.parametrize("name", FILES)
def test_any_cut_is_damage(name, tmp_path):
    write_arrays(tmp_path / "a", values(9), {"step": 9})
    content = (tmp_path / "a" / name).read_bytes()
    for size in range(0, len(content), 17):
        (tmp_path / "a" / name).write_bytes(content[:size])
        assert outcome(tmp_path / "a") == "damage"


@pytest.mark.parametrize(
    "document",
    [
        [],
        {},
        {"variables": {}},
        {"variables": [], "state": {}},
        {"variables": {"a": {}}, "state": {}},
        {"variables": {"a": {"file": "../a.npy", "crc32": 0}}, "state": {}},
        {"variables": {}, "state": 3},
    ],
)
def test_another_folder_is_no_checkpoint(document, tmp_path):
    np.save(tmp_path / "a.npy", np.zeros(2))
    (tmp_path / "a").mkdir()
    if document:
        document = {**document, "crc32": module._json_checksum(document)}
    (tmp_path / "a" / "state.json").write_text(json.dumps(document))
    with pytest.raises(DamagedCheckpoint, match="a: the checkpoint must be whole. Received: "):
        read_arrays(tmp_path / "a")


def test_a_state_that_nests_without_end_is_damage(tmp_path):
    write_arrays(tmp_path / "a", {}, {})
    (tmp_path / "a" / "state.json").write_text("[" * 100_000)
    with pytest.raises(DamagedCheckpoint, match="a: the checkpoint must be whole. Received: "):
        read_arrays(tmp_path / "a")


def test_an_array_of_objects_is_not_unpickled(tmp_path):
    write_arrays(tmp_path / "a", {"a": np.zeros(2)}, {})
    with open(tmp_path / "a" / FILES[0], "wb") as file:
        np.save(file, np.array([print], dtype=object))
    document = json.loads((tmp_path / "a" / "state.json").read_text())
    del document["crc32"]
    document["variables"]["a"]["crc32"] = module._file_checksum(tmp_path / "a" / FILES[0])
    document["crc32"] = module._json_checksum(document)
    (tmp_path / "a" / "state.json").write_text(json.dumps(document))
    with pytest.raises(DamagedCheckpoint, match="can't be memory-mapped: Python objects"):
        read_arrays(tmp_path / "a")


def test_what_is_damaged_does_not_take_the_place_of_what_is_whole(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(8, values(8), {"step": 8})
    change(checkpoints.save(9, values(9), {"step": 9}) / FILES[0], flip)
    (tmp_path / "step-0000000010").mkdir()
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.latest(tidy=False)[1] == {"step": 8}
    assert checkpoints.folder.joinpath("step-0000000009").exists()
    for _ in range(2):
        with pytest.warns(UserWarning, match="damaged"):
            assert checkpoints.latest()[1] == {"step": 8}
        path = checkpoints.save(9, values(9), {"step": 9})
        assert names(tmp_path) == [
            "damaged-step-0000000009",
            "damaged-step-0000000010",
            "step-0000000008",
            "step-0000000009",
        ]
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert checkpoints.latest()[1] == {"step": 9}
        change(path / FILES[1], flip)  # once more: beside what is damaged already


def test_what_a_killed_writer_left_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, values(1), {"step": 1})
    (tmp_path / ".partial-0000abcd-step-0000000002").mkdir()
    (tmp_path / ".partial-0000abcd-step-0000000002" / FILES[0]).write_bytes(b"half")
    assert checkpoints.latest()[1] == {"step": 1}
    assert names(tmp_path) == ["step-0000000001"]


# Each call that changes the disk is a moment to die at, for a child of a process that has loaded
# TensorFlow but not started it.
KILLED = """
import os, shutil, signal, sys
from pathlib import Path
import numpy as np
from lmn_tf import atomic_files
from lmn_tf.training.saving import checkpoints as module
left = 0
def deadly(function):
    def call(*args, **kwargs):
        global left
        left -= 1
        if not left:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*args, **kwargs)
    return call
def save(folder, step):
    checkpoints = module.Checkpoints(folder)
    values = {"a": np.full((3, 2), 9, "float32"), "b": np.array(9)}
    best = checkpoints.save_best(3, values)
    checkpoints.save(step, values, {"saved": "new", "best_file": best})
Path.write_text, Path.mkdir, os.replace = map(deadly, (Path.write_text, Path.mkdir, os.replace))
os.rmdir, os.unlink = map(deadly, (os.rmdir, os.unlink))
atomic_files._flush = deadly(lambda path: None)
module._ChecksummedFile.write = deadly(module._ChecksummedFile.write)
before, folder, steps = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:]
for step in steps:
    status, moment = -9, 0
    while status:
        moment += 1
        shutil.copytree(before, folder / f"{step}-{moment}")
        child = os.fork()
        if not child:
            left = moment
            save(folder / f"{step}-{moment}", int(step))
            os._exit(0)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
        print(f"{step}-{moment}", status)
"""


def test_a_kill_at_any_moment_leaves_the_old_or_the_new(tmp_path, monkeypatch):
    monkeypatch.setattr(atomic_files, "_flush", lambda path: None)  # it takes most of the time
    before = Checkpoints(tmp_path / "before")
    best = before.save_best(1, values(1))
    before.save(8, values(8), {"saved": "long ago", "best_file": best})
    before.save(9, values(8), {"saved": "old", "best_file": best})
    done = subprocess.run(
        [sys.executable, "-c", KILLED, before.folder, tmp_path, "9", "10"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path), "TF_CPP_MIN_LOG_LEVEL": "3"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    lines = [line.split() for line in done.stdout.splitlines()]
    for step in ("9", "10"):
        moments = [line for line in lines if line[0].startswith(f"{step}-")]
        assert [status for _, status in moments] == ["-9"] * (len(moments) - 1) + ["0"]
        found = [survivor(tmp_path / name) for name, _ in moments]
        switch = found.index("new")
        assert found == ["old"] * switch + ["new"] * (len(found) - switch)
        assert 20 < switch < len(found) - 5


def survivor(folder):
    """Which checkpoint a killed writer left: nothing is damaged, and the next one can be saved."""
    checkpoints = Checkpoints(folder)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for tidy in (False, True):
            arrays, state = checkpoints.latest(tidy=tidy)
    want = 9 if state["saved"] == "new" else 8
    assert all((array == want).all() for array in arrays.values())
    assert not [name for name in names(folder) if name.startswith(".")]
    checkpoints.save(11, values(11), {})
    assert len([name for name in names(folder) if name.startswith("step")]) == 2
    return state["saved"]


def test_a_full_disk_leaves_what_was_there(tmp_path, monkeypatch):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(8, values(8), {"step": 8})
    calls = []

    def fail(path):
        calls.append(path)
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(atomic_files, "_flush", fail)
    with pytest.raises(OSError, match="No space left on device"):
        checkpoints.save(9, values(9), {"step": 9})
    assert calls and names(tmp_path) == ["step-0000000008"]
    assert checkpoints.latest()[1] == {"step": 8}


def test_best_weights_live_as_long_as_a_kept_checkpoint_names_them(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    first = checkpoints.save_best(0, values(0))
    checkpoints.save(1, values(1), {"best_file": first})
    second = checkpoints.save_best(1, values(9))
    checkpoints.save(2, values(2), {"best_file": second})
    same(checkpoints.load_best(first), values(0))
    checkpoints.save(3, values(3), {"best_file": second})
    assert sorted(path.name for path in tmp_path.glob("best-*")) == [second]
    change(tmp_path / second / FILES[0], flip)
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.latest() is None


def test_best_weights_that_a_killed_run_left_are_not_overwritten(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    assert checkpoints.save_best(3, values(3)) == "best-0003"
    again = checkpoints.save_best(3, values(9))
    assert again == "best-0003.2"
    same(checkpoints.load_best("best-0003"), values(3))
    checkpoints.save(1, values(1), {"best_file": again})
    assert names(tmp_path) == [again, "step-0000000001"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda v: v.pop("a"), "Missing: a"),
        (lambda v: v.update(c=np.zeros(2)), "this model only. Received: c"),
        (lambda v: v.update(a=np.zeros(3)), r"`a` must have the shape \(2,\). Received: \(3,\)"),
    ],
)
def test_another_models_checkpoint_is_refused(change, message):
    variables = {"a": keras.Variable([1.0, 2.0]), "b": keras.Variable(3.0)}
    given = {"a": np.zeros(2), "b": np.array(0.0)}
    module.assign(variables, given, "The file")
    assert float(variables["b"]) == 0.0
    change(given)
    with pytest.raises(UserError, match=message):
        module.assign(variables, given, "The file")


def test_keep_must_be_positive(tmp_path):
    with pytest.raises(ValueError, match="`keep` must be at least 1. Received: keep=0"):
        Checkpoints(tmp_path, keep=0)


def table_on(count, initializer="zeros"):
    """A table of 1,000 rows on so many devices."""
    if count == 1:
        return keras.Variable(keras.initializers.get(initializer)((1000, 3)))
    return ShardedTable((1000, 3), initializer, replicas(count))


@pytest.mark.parametrize("after", [1, 2, 3, 4])
@pytest.mark.parametrize("before", [1, 4])
def test_a_table_goes_from_any_number_of_devices_to_any_other(before, after, tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 1200)  # 100 rows
    largest = []
    for name in ("get_rows", "set_rows"):
        original = getattr(row_access, name)

        def spy(variable, start, last, original=original):
            largest.append(last - start if isinstance(last, int) else len(last))
            return original(variable, start, last)

        monkeypatch.setattr(row_access, name, spy)
    table = table_on(before, keras.initializers.RandomNormal(seed=4))
    want = np.asarray(table)
    write_arrays(tmp_path / "a", {"table": table, "step": keras.Variable(3)}, {})
    assert (max(largest), sum(largest)) == (100, 1000)
    found, _ = read_arrays(tmp_path / "a")
    assert isinstance(found["table"], np.memmap) and not isinstance(found["step"], np.memmap)
    np.testing.assert_array_equal(found["table"], want)
    np.testing.assert_array_equal(np.load(tmp_path / "a" / FILES[0]), want)
    other = table_on(after)
    module.assign({"table": other, "step": keras.Variable(0)}, found, "a")
    np.testing.assert_array_equal(np.asarray(other), want)
    assert (max(largest), sum(largest)) == (100, 2000)


def test_damage_of_a_large_array_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 1200)
    write_arrays(tmp_path / "a", {"table": table_on(1)}, {})
    change(tmp_path / "a" / FILES[0], lambda content: flip(content, 5000))
    with pytest.raises(DamagedCheckpoint, match="000000.npy, which is not as it was written"):
        read_arrays(tmp_path / "a")


def test_checksums_are_counted_piece_by_piece(tmp_path, monkeypatch):
    monkeypatch.setattr(module, "_READ_BYTES", 7)
    write_arrays(tmp_path / "a", values(9), {"step": 9})
    assert outcome(tmp_path / "a") == "whole"


@pytest.mark.parametrize("chunk_bytes", [row_access.CHUNK_BYTES, 8])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_never_replaces_a_checkpoint(wrong, chunk_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", chunk_bytes)
    checkpoints = Checkpoints(tmp_path, keep=1)
    table = keras.Variable(np.ones((6, 1), "float32"))
    checkpoints.save(1, {"model/table": table}, {"step": 1})
    table.assign(np.array([[1.0], [1.0], [1.0], [1.0], [1.0], [wrong]]))
    for step in (1, 2):
        with pytest.raises(UserError, match=f"finite numbers only.*{wrong} in `model/table`"):
            checkpoints.save(step, {"model/table": table}, {"step": step})
    with pytest.raises(UserError, match="A checkpoint must hold finite numbers only"):
        checkpoints.save_best(0, {"model/table": table})
    assert names(tmp_path) == ["step-0000000001"]
    same(checkpoints.latest()[0], {"model/table": np.ones((6, 1), "float32")})


@pytest.mark.parametrize("fault", [MemoryError(), OSError(24, "Too many open files")])
def test_a_fault_of_the_machine_loses_no_checkpoint(fault, tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    for step in (1, 2):
        kept.save(step, values(step), {"step": step})

    def fail(path):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(module, "_file_checksum", fail)
        with pytest.warns(UserWarning, match="Trying the one before it"):
            with pytest.raises(DamagedCheckpoint, match="must be whole. Received: .*(Mem|Too man)"):
                kept.latest()
    assert kept.latest()[1] == {"step": 2}


def test_damaged_best_weights_are_named(tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save(1, values(1), {"step": 1})
    best = kept.save_best(0, values(0))
    path = kept.save(2, values(2), {"step": 2, "best_file": best})
    change(tmp_path / best / FILES[1], flip)
    with pytest.warns(UserWarning, match=rf"The checkpoint .*{best} is damaged"):
        assert kept.latest()[1] == {"step": 1}
    assert not path.exists() and (tmp_path / f"damaged-{best}").exists()


def test_steps_of_damaged_best_weights_do_not_replace_new_ones(tmp_path):
    kept = Checkpoints(tmp_path)
    best = kept.save_best(0, values(0))
    for step in (900, 1000):
        kept.save(step, values(step), {"step": step, "best_file": best})
    change(tmp_path / best / FILES[1], flip)
    with pytest.warns(UserWarning) as told:
        assert kept.latest() is None
    assert str(told[-1].message).startswith("Every checkpoint in ")
    damaged = {f"damaged-{name}" for name in (best, "step-0000000900", "step-0000001000")}
    assert {path.name for path in tmp_path.iterdir()} == damaged
    for step in (500, 600, 700):
        kept.save(step, values(step), {"step": step})
    assert kept.latest()[1] == {"step": 700}


def test_a_checkpoint_of_before_is_read(tmp_path):
    write_zip(tmp_path / "a.npz", values(9), {"step": 9})
    found, state = read_arrays(tmp_path / "a.npz")
    same(found, values(9))
    assert state == {"step": 9}


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_any_flipped_bit_of_a_checkpoint_of_before_is_damage_or_harmless(every, tmp_path):
    path = tmp_path / "a.npz"
    write_zip(path, values(9), {"step": 9})
    counts = outcomes(path, path, every)
    # What nobody reads, such as the dates in the directory, may flip.
    assert set(counts) == {"damage", "whole"}
    assert counts["damage"] > 2 * counts["whole"]


def test_any_cut_of_a_checkpoint_of_before_is_damage(tmp_path):
    write_zip(tmp_path / "a.npz", values(9), {"step": 9})
    content = (tmp_path / "a.npz").read_bytes()
    for size in range(0, len(content), 17):
        (tmp_path / "a.npz").write_bytes(content[:size])
        assert outcome(tmp_path / "a.npz") == "damage"


@pytest.mark.parametrize("document", ["[]", "{}", '{"keys": ["a"], "state": {}}', "no JSON"])
def test_another_zip_file_is_no_checkpoint(document, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("state.json", document)
    with pytest.raises(DamagedCheckpoint, match="a.npz: the checkpoint must be whole. Received"):
        read_arrays(tmp_path / "a.npz")


def test_a_zip_file_that_unpacks_to_far_more_is_no_checkpoint(tmp_path, monkeypatch):
    monkeypatch.setattr(zip_files, "_ALWAYS", 0)
    with zipfile.ZipFile(tmp_path / "a.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("state.json", '{"keys": ["a"], "state": {}}')
        content = io.BytesIO()
        np.save(content, np.zeros(2**17))
        archive.writestr("000000.npy", content.getvalue())
    with pytest.raises(DamagedCheckpoint, match="a.npz: the file must unpack to at most"):
        read_arrays(tmp_path / "a.npz")


def test_folders_follow_the_zip_files_of_before(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    write_zip(tmp_path / "best-0001.npz", values(1), {"best_file": "best-0001.npz"})
    state = {"best_file": "best-0001.npz"}
    for step in (8, 9):
        write_zip(tmp_path / f"step-{step:010d}.npz", values(step), {"step": step, **state})
    same(checkpoints.latest()[0], values(9))
    same(checkpoints.load_best("best-0001.npz"), values(1))
    checkpoints.save(9, values(10), {"step": 9, **state})
    same(checkpoints.latest()[0], values(10))
    assert names(tmp_path) == ["best-0001.npz", "step-0000000008.npz", "step-0000000009"]
    change(tmp_path / "step-0000000009" / FILES[0], flip)
    with pytest.warns(UserWarning, match="step-0000000009 is damaged"):
        same(checkpoints.latest()[0], values(8))
    best = checkpoints.save_best(1, values(2))
    checkpoints.save(10, values(10), {"best_file": best})
    assert names(tmp_path)[:2] == ["best-0001", "best-0001.npz"]
    checkpoints.save(11, values(11), {"best_file": best})
    assert names(tmp_path)[0] == "best-0001" and not list(tmp_path.glob("*.npz"))

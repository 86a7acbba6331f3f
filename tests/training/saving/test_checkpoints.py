import warnings
import zipfile

import keras
import numpy as np
import pytest
from replicas import replicas

from lmn_tf.distribute.tables import rows as row_access
from lmn_tf.distribute.tables.sharded_table import ShardedTable
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving import checkpoints as module
from lmn_tf.training.saving.checkpoints import (
    Checkpoints,
    DamagedCheckpoint,
    check_zip,
    read_arrays,
    read_checked,
    write_arrays,
)


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


def damage(path, how):
    content = bytearray(path.read_bytes())
    if how == "cut":
        content = content[: len(content) // 2]
    elif how == "empty":
        content = b""
    else:
        place = content.find(np.full((3, 2), 9, "float32").tobytes())
        content[place] ^= 1
    path.write_bytes(bytes(content))


def test_round_trip(tmp_path):
    write_arrays(tmp_path / "a.npz", values(9), {"step": 9})
    found, state = read_arrays(tmp_path / "a.npz")
    same(found, values(9))
    assert state == {"step": 9}


def test_bfloat16_is_kept_as_float32(tmp_path):
    variable = keras.Variable([1.5, -2.0], dtype="bfloat16")
    write_arrays(tmp_path / "a.npz", {"a": np.asarray(variable)}, {})
    found, _ = read_arrays(tmp_path / "a.npz")
    np.testing.assert_array_equal(found["a"], np.array([1.5, -2.0], "float32"))


@pytest.mark.parametrize("how", ["cut", "bit", "empty"])
def test_damage_is_found(tmp_path, how):
    write_arrays(tmp_path / "a.npz", values(9), {})
    damage(tmp_path / "a.npz", how)
    with pytest.raises(DamagedCheckpoint, match="a.npz"):
        read_arrays(tmp_path / "a.npz")


def test_only_the_newest_are_kept(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    assert checkpoints.latest() is None
    for step in (1, 2, 10):
        checkpoints.save(step, values(step), {"step": step})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "step-0000000002.npz",
        "step-0000000010.npz",
    ]
    found, state = checkpoints.latest()
    same(found, values(10))
    assert state == {"step": 10}


@pytest.mark.parametrize("how", ["cut", "bit", "empty"])
def test_a_damaged_newest_falls_back_with_a_warning(tmp_path, how):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(8, values(8), {"step": 8})
    damage(checkpoints.save(9, values(9), {"step": 9}), how)
    with pytest.warns(UserWarning, match="step-0000000009.npz is damaged: .* the one before"):
        found, state = checkpoints.latest()
    same(found, values(8))
    assert state == {"step": 8}


def test_all_damaged_is_as_if_there_were_none(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    damage(checkpoints.save(9, values(9), {}), "cut")
    with pytest.warns(UserWarning) as told:
        assert checkpoints.latest() is None
    words = [str(one.message) for one in told]
    assert len(words) == 2 and "damaged" in words[0] and "none to go on from" in words[1]


def outcome(content, folder):
    """What reading makes of a checkpoint file of such content: damage, the values, or else."""
    path = folder / "a.npz"
    path.write_bytes(content)
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


@pytest.mark.parametrize("every", [23, pytest.param(1, marks=pytest.mark.slow)])
def test_any_flipped_bit_is_damage_or_harmless(every, tmp_path):
    write_arrays(tmp_path / "a.npz", values(9), {"step": 9})
    content = bytearray((tmp_path / "a.npz").read_bytes())
    outcomes = {}
    for bit in range(0, 8 * len(content), every):
        content[bit // 8] ^= 1 << bit % 8
        outcomes.setdefault(outcome(content, tmp_path), []).append(bit)
        content[bit // 8] ^= 1 << bit % 8
    # What nobody reads, such as the dates in the directory, may flip.
    assert set(outcomes) == {"damage", "whole"}
    assert len(outcomes["damage"]) > 2 * len(outcomes["whole"])


def test_any_cut_is_damage(tmp_path):
    write_arrays(tmp_path / "a.npz", values(9), {"step": 9})
    content = (tmp_path / "a.npz").read_bytes()
    for size in range(0, len(content), 17):
        assert outcome(content[:size], tmp_path) == "damage"


@pytest.mark.parametrize("document", ["[]", "{}", '{"keys": ["a"], "state": {}}', "no JSON"])
def test_another_zip_file_is_no_checkpoint(document, tmp_path):
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as archive:
        archive.writestr("state.json", document)
    with pytest.raises(DamagedCheckpoint, match="a.npz: the file must be a checkpoint. Received"):
        read_arrays(tmp_path / "a.npz")


def test_what_is_damaged_does_not_take_the_place_of_what_is_whole(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    checkpoints.save(8, values(8), {"step": 8})
    damage(checkpoints.save(9, values(9), {"step": 9}), "bit")
    (tmp_path / "step-0000000010.npz").mkdir()
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.latest(tidy=False)[1] == {"step": 8}
    assert checkpoints.folder.joinpath("step-0000000009.npz").exists()
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.latest()[1] == {"step": 8}
    checkpoints.save(9, values(9), {"step": 9})
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "damaged-step-0000000009.npz",
        "damaged-step-0000000010.npz",
        "step-0000000008.npz",
        "step-0000000009.npz",
    ]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert checkpoints.latest()[1] == {"step": 9}


def test_what_a_killed_writer_left_is_removed(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(1, values(1), {"step": 1})
    (tmp_path / ".partial-0000abcd-step-0000000002.npz").write_bytes(b"half")
    assert checkpoints.latest()[1] == {"step": 1}
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.npz"]


def test_best_weights_live_as_long_as_a_kept_checkpoint_names_them(tmp_path):
    checkpoints = Checkpoints(tmp_path, keep=2)
    first = checkpoints.save_best(0, values(0))
    checkpoints.save(1, values(1), {"best_file": first})
    second = checkpoints.save_best(1, values(9))
    checkpoints.save(2, values(2), {"best_file": second})
    same(checkpoints.load_best(first), values(0))
    checkpoints.save(3, values(3), {"best_file": second})
    assert sorted(path.name for path in tmp_path.glob("best-*")) == [second]
    damage(tmp_path / second, "bit")
    with pytest.warns(UserWarning, match="damaged"):
        assert checkpoints.latest() is None


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
    for place, name in ((module, "get_rows"), (row_access, "set_rows")):
        original = getattr(place, name)

        def spy(variable, start, last, original=original):
            largest.append(last - start if isinstance(last, int) else len(last))
            return original(variable, start, last)

        monkeypatch.setattr(place, name, spy)
    table = table_on(before, keras.initializers.RandomNormal(seed=4))
    want = np.asarray(table)
    write_arrays(tmp_path / "a.npz", {"table": table, "step": keras.Variable(3)}, {})
    assert (max(largest), sum(largest)) == (100, 1000)
    found, _ = read_arrays(tmp_path / "a.npz")
    assert isinstance(found["table"], np.memmap)
    np.testing.assert_array_equal(found["table"], want)
    with np.load(tmp_path / "a.npz") as plain:  # what NumPy itself makes of it
        np.testing.assert_array_equal(plain["000000"], want)
    other = table_on(after)
    module.assign({"table": other, "step": keras.Variable(0)}, found, "a")
    np.testing.assert_array_equal(np.asarray(other), want)
    assert (max(largest), sum(largest)) == (100, 2000)


def test_damage_of_a_large_array_is_found(tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 1200)
    write_arrays(tmp_path / "a.npz", {"table": table_on(1)}, {})
    content = bytearray((tmp_path / "a.npz").read_bytes())
    content[5000] ^= 1
    (tmp_path / "a.npz").write_bytes(bytes(content))
    with pytest.raises(DamagedCheckpoint, match="a.npz"):
        read_arrays(tmp_path / "a.npz")


@pytest.mark.parametrize("chunk_bytes", [row_access.CHUNK_BYTES, 8])
@pytest.mark.parametrize("wrong", [np.nan, np.inf])
def test_what_is_not_finite_never_replaces_a_checkpoint(wrong, chunk_bytes, tmp_path, monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", chunk_bytes)
    checkpoints = Checkpoints(tmp_path, keep=1)
    table = keras.Variable(np.ones((6, 1), "float32"))
    kept = checkpoints.save(1, {"model/table": table}, {"step": 1}).read_bytes()
    table.assign(np.array([[1.0], [1.0], [1.0], [1.0], [1.0], [wrong]]))
    for step in (1, 2):
        with pytest.raises(UserError, match=f"finite numbers only.*{wrong} in `model/table`"):
            checkpoints.save(step, {"model/table": table}, {"step": step})
    with pytest.raises(UserError, match="A checkpoint must hold finite numbers only"):
        checkpoints.save_best(0, {"model/table": table})
    assert [path.name for path in tmp_path.iterdir()] == ["step-0000000001.npz"]
    assert (tmp_path / "step-0000000001.npz").read_bytes() == kept


@pytest.mark.parametrize("fault", [MemoryError(), OSError(24, "Too many open files")])
def test_a_fault_of_the_machine_loses_no_checkpoint(fault, tmp_path, monkeypatch):
    kept = Checkpoints(tmp_path)
    for step in (1, 2):
        kept.save(step, values(step), {"step": step})

    def fail(archive):
        raise fault

    with monkeypatch.context() as patch:
        patch.setattr(zipfile.ZipFile, "testzip", fail)
        with pytest.warns(UserWarning, match="Trying the one before it"):
            with pytest.raises(DamagedCheckpoint, match="must be whole. Received: (Mem|Too many)"):
                kept.latest()
    assert kept.latest()[1] == {"step": 2}


def test_damaged_best_weights_are_named(tmp_path):
    kept = Checkpoints(tmp_path)
    kept.save(1, values(1), {"step": 1})
    best = kept.save_best(0, values(0))
    path = kept.save(2, values(2), {"step": 2, "best_file": best})
    (tmp_path / best).write_bytes(b"x")
    with pytest.warns(UserWarning, match=rf"The checkpoint .*{best} is damaged"):
        assert kept.latest()[1] == {"step": 1}
    assert path.exists() and (tmp_path / f"damaged-{best}").exists()


@pytest.fixture
def archive(tmp_path):
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("one", b"1" * 1000)
        file.writestr("two", b"2" * 1000)
    return path


def flip(path, place, bit=1):
    content = bytearray(path.read_bytes())
    content[place] ^= bit
    path.write_bytes(content)


def test_a_whole_file_is_read(archive):
    check_zip(archive)
    assert read_checked(archive, "two") == b"2" * 1000


def test_a_flipped_bit_of_one_member_is_told_with_its_name(archive):
    flip(archive, archive.read_bytes().index(b"2" * 9))
    with pytest.raises(UserError, match="a.zip: the file must be whole. .* checksum of two"):
        check_zip(archive)
    assert read_checked(archive, "one") == b"1" * 1000
    with pytest.raises(UserError, match="must be whole. Received: Bad CRC-32 for file 'two'"):
        read_checked(archive, "two")


@pytest.mark.parametrize(
    ("place", "bit", "message"),
    [(6, 128, "zip file version"), (8, 1, "encrypted"), (10, 1, "compression method")],
)
def test_a_directory_that_asks_for_what_was_not_written_is_damage(archive, place, bit, message):
    flip(archive, archive.read_bytes().index(b"PK\x01\x02") + place, bit)
    with pytest.raises(UserError, match=f"a.zip: the file must be whole. Received: .*{message}"):
        check_zip(archive)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda path: path.unlink(), "No such file"),
        (lambda path: path.write_bytes(b""), "not a zip file"),
        (lambda path: (path.unlink(), path.mkdir()), "Is a directory"),
    ],
)
def test_no_file_is_told(archive, make, message):
    make(archive)
    with pytest.raises(UserError, match=f"a.zip: the file must be whole. Received: .*{message}"):
        check_zip(archive)

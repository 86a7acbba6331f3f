import importlib
import shutil

import numpy as np
import pytest
from tiny_run import (
    INSPECTED,
    document,
    inspected_pairs,
    inspected_run,
    keyed_pair_run,
    trained_run,
)

from lmn_tf.models.fitting.window_batches import WindowBatches
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.inspection.inspected_run import InspectedRun
from lmn_tf.training.inspection.memory_inspection import inspect_memories
from lmn_tf.training.inspection.row_slots import row_slots
from lmn_tf.training.saving.run_directory import RunDirectory


def padded(dataset, spec):
    """All rows of a dataset in the padded form, one by one."""
    batches = WindowBatches.from_spec(spec)
    for features in dataset:
        features = batches.padded(features[0] if isinstance(features, tuple) else features)
        length = features["history/mask"].shape[1]
        for row in range(len(features["item_id"])):
            one = {key: np.asarray(value)[row] for key, value in features.items()}
            for key in one:
                if key.startswith("history/"):
                    one[key] = np.pad(one[key], (0, 20 - length))
            yield one


def test_kept_rows_are_the_rows_as_they_are():
    run = inspected_run()
    keep = np.zeros(INSPECTED, bool)
    keep[[3, 4, 70, 199]] = True  # of the second batch one, of the third none
    kept = list(padded(run.kept_rows(keep), run.spec))
    wanted = [one for one, kept in zip(padded(run.dataset(), run.spec), keep, strict=True) if kept]
    assert len(kept) == 4
    for one, other in zip(kept, wanted, strict=True):
        assert one.keys() == other.keys()
        for key in one:
            np.testing.assert_array_equal(one[key], other[key], err_msg=key)


def test_rows_have_names_and_the_heading_says_which_they_are():
    run = inspected_run()
    assert len(run.names.users) == len(run.names.items) == INSPECTED
    assert run.heading["model"] == "lmn" and run.heading["data"].endswith("test-*.parquet")
    assert run.memory_names == ["history_memory"] and len(run.readers) == 1


def test_readers_agree_with_names_of_the_files():
    run = inspected_run()
    [features, _] = next(iter(run.dataset()))
    ids = np.asarray(features["item_id"])
    names = [run.readers[0].names["item_id"](id_) for id_ in ids]
    assert names == run.names.items[: len(ids)].tolist()


def test_no_row_is_kept_if_none_is_asked_for():
    assert list(inspected_run().kept_rows(np.zeros(INSPECTED, bool))) == []


def test_memories_of_pairs_have_no_keys():
    run = inspected_pairs()
    assert run.memory_names == []
    assert run.pairs == {"history_pairs": run.evaluator.model.pair_memories["history"]}
    message = "`--slot` must be left out for memories of pairs, .* Received: model lmn_pair"
    with pytest.raises(UserError, match=message):
        run.check_keys("--slot")
    inspected_run().check_keys("--slot")


def test_pairs_by_keys_have_no_names():
    message = "hold a model whose slots have names, .*: model lmn_pair with keys of pairs"
    with pytest.raises(UserError, match=message):
        InspectedRun(RunDirectory.open(keyed_pair_run()), rows=INSPECTED)


OWN = '''
from lmn_tf.layers import LargeMemory
from lmn_tf.models import CTRModel


class Own(CTRModel):
    """A model with a memory in a place of its own."""

    reads_histories = True

    def __init__(self, spec, **options):
        super().__init__(spec, **options)
        self.reader = LargeMemory(num_keys=6, top_k=4, name="reader")

    def read_histories(self, groups, training=None):
        history = groups["histories"]["history"]
        arguments = {"user": groups["user"], "windows": history.event_windows}
        return [self.reader(history.events, training=training, **arguments)]
'''


@pytest.mark.slow
def test_a_model_of_ones_own_is_known_by_its_layers(tmp_path, monkeypatch):
    (tmp_path / "users_readers.py").write_text(OWN)
    monkeypatch.syspath_prepend(tmp_path)
    folder = shutil.copytree(trained_run(), tmp_path / "run")
    directory = RunDirectory(folder)
    module = importlib.import_module("users_readers")
    model = module.Own(directory.load_spec())
    model.build()
    model.save(directory.model_file)
    changed = document(folder) | {"model": {"name": "users_readers:Own"}}
    directory.pipeline_file.write_text(strict_yaml.dump(changed))
    run = InspectedRun(directory, rows=100, batch_size=50)
    [one] = inspect_memories(run.evaluator, run.spec, run.dataset(), top=3, readers=100)
    assert one.name == "reader" and len(one.slots) == 3
    for slot in one.slots:
        assert set(slot["readers"]) == {"item_id", "category", "segment"}
        for found in slot["readers"].values():
            assert sum(reader["share"] for reader in found) == pytest.approx(1.0)
    user, item = run.names.users[0], run.names.items[0]
    memory = row_slots(run, user, item)["memories"]["reader"]
    assert memory["top_slots"] and all(slot["items"] for slot in memory["top_slots"])

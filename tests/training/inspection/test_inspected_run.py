import numpy as np
from tiny_run import INSPECTED, inspected_run

from lmn_tf.models.fitting.window_batches import WindowBatches


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

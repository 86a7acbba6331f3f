import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    SMALL,
    SMALL_MEMORY,
    SMALL_OPTIONS,
    random_features,
    random_labels,
    slim_spec,
)
from pair_pooling import PairPooling
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.callbacks import MemoryTensorBoard
from lmn_tf.layers import LargeMemory
from lmn_tf.models import DNN, LMN, MSN, registry

SPEC = slim_spec()


def data(batches=3):
    rows = random_features(SPEC), random_labels()
    return tf.data.Dataset.from_tensors(rows).repeat(batches)


def events(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [
            (event.step, float(tf.make_ndarray(event.tensor_proto).reshape(-1)[0]))
            for event in read.Tensors(tag)
        ]
        for tag in read.Tags()["tensors"]
    }


def test_writes_training_values_usage_and_norms(tmp_path):
    keras.utils.set_random_seed(1)
    model = LMN(SPEC, **SMALL_MEMORY)
    model.compile(run_eagerly=True)
    history = model.fit(
        data(),
        validation_data=data(1),
        epochs=2,
        verbose=0,
        callbacks=[MemoryTensorBoard(tmp_path, update_freq=2)],
    ).history
    found = events(tmp_path)
    assert set(found) == {
        "clicks_memory/memory_loss",
        "clicks_memory/query_norm",
        "clicks_memory/read_out_norm",
        "clicks_memory/value_length",
        "usage/slots_used",
        "usage/memory_kl",
        "usage/slots_for_90",
    }
    assert [step for step, _ in found["clicks_memory/memory_loss"]] == [2, 3, 4, 6, 6]
    assert [step for step, _ in found["clicks_memory/value_length"]] == [3, 6]
    assert [step for step, _ in found["usage/slots_used"]] == [3, 6]
    np.testing.assert_allclose(
        [value for _, value in found["usage/slots_used"]], history["val_slots_used"], rtol=1e-5
    )
    np.testing.assert_allclose(
        found["clicks_memory/memory_loss"][-1][1], history["memory_loss"][-1], rtol=1e-5
    )


def plugins(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: read.SummaryMetadata(tag).plugin_data.plugin_name for tag in read.Tags()["tensors"]
    }, read


def test_a_probe_draws_curves_within_an_epoch(tmp_path):
    keras.utils.set_random_seed(1)
    model = LMN(SPEC, **SMALL_MEMORY, open_keys=5)
    model.compile(run_eagerly=True)
    probe = random_features(SPEC, seed=2)
    model.fit(
        data(5),
        verbose=0,
        callbacks=[MemoryTensorBoard(tmp_path, update_freq=2, probe=probe, max_share=None)],
    )
    found = events(tmp_path)
    reads, gradients = "clicks_memory_reads", "clicks_memory_gradients"
    curves = {tag: [step for step, _ in points] for tag, points in found.items()}
    for tag in (f"{reads}/gini", f"{reads}/memory_kl", f"{gradients}/gini"):
        assert curves[tag] == [2, 4]
    for step, dead in found[f"{gradients}/dead_slots"]:
        used = dict(found[f"{gradients}/slots_used"])[step]
        assert dead == pytest.approx(25 - 36 * used / 100, abs=1e-3)  # 5 x 5 slots are open
    kinds, read = plugins(tmp_path)
    assert kinds[f"{reads}/grid"] == "images" and curves[f"{reads}/grid"] == [2]
    for tag in ("query_length", "key_length", "value_length"):
        assert kinds[f"clicks_memory/{tag}"] == "histograms"
    assert read.Graph().node
    undescribed = [t for t in kinds if not read.SummaryMetadata(t).summary_description]
    assert undescribed == []


def test_the_last_point_tells_the_reads_of_the_model(tmp_path):
    keras.utils.set_random_seed(1)
    model = LMN(SPEC, **SMALL_MEMORY)
    model.compile(optimizer=keras.optimizers.SGD(0.1), run_eagerly=True)
    probe = random_features(SPEC, seed=2)
    callback = MemoryTensorBoard(tmp_path, update_freq=1, probe=probe)
    model.fit(data(1), verbose=0, callbacks=[callback])
    evaluated = model.evaluate(probe, random_labels(), verbose=0, return_dict=True)
    found = events(tmp_path)
    reads = "clicks_memory_reads"
    for name in ("slots_used", "memory_kl", "slots_for_90"):
        assert found[f"{reads}/{name}"] == [(1, pytest.approx(evaluated[name], rel=1e-4))]
    dead = 36 * (1 - evaluated["slots_used"] / 100)
    assert found[f"{reads}/dead_slots"] == [(1, pytest.approx(dead))]
    # SGD sums no squares.
    assert not [tag for tag in found if tag.startswith("clicks_memory_gradients")]


def test_a_memory_of_pairs_has_the_norm_and_the_share_of_its_values(tmp_path):
    keras.utils.set_random_seed(1)
    model = PairPooling(SPEC, **SMALL)
    model.compile(run_eagerly=True)
    callback = MemoryTensorBoard(tmp_path, update_freq=1, probe=random_features(SPEC))
    model.fit(data(2), epochs=2, verbose=0, callbacks=[callback])
    found, (kinds, read) = events(tmp_path), plugins(tmp_path)
    assert kinds == {
        "clicks_pairs/slots_trained": "scalars",
        "clicks_pairs/memory_norm": "scalars",
        "clicks_pairs/value_length": "histograms",
    }
    assert all(read.SummaryMetadata(tag).summary_description for tag in kinds)
    table = model.pair_memories["clicks"].memory_values.numpy()
    trained = np.count_nonzero(table)
    assert 0 < trained < table.size / 2
    share, norm = (found[f"clicks_pairs/{name}"] for name in ("slots_trained", "memory_norm"))
    assert [step for step, _ in share] == [step for step, _ in norm] == [2, 4]
    assert share[-1][1] == pytest.approx(100 * trained / table.size)
    assert norm[-1][1] == pytest.approx(np.sqrt((table.astype("float64") ** 2).sum()), rel=1e-5)
    last = tf.make_ndarray(read.Tensors("clicks_pairs/value_length")[-1].tensor_proto)
    assert last[:, 2].sum() == trained


def test_keys_of_pairs_are_followed_as_pairs_are(tmp_path):
    model = PairPooling(SPEC, **SMALL, pair_rows="keys", pair_columns="keys")
    model.compile(run_eagerly=True)
    model.fit(data(2), verbose=0, callbacks=[MemoryTensorBoard(tmp_path, update_freq=1)])
    share = events(tmp_path)["clicks_pairs/slots_trained"]
    lengths = np.linalg.norm(model.pair_memories["clicks"].memory_values, axis=1)
    assert share == [(2, pytest.approx(100 * np.mean(lengths > 0)))]
    assert 0 < share[0][1] < 100


def test_gates_and_walks(tmp_path):
    keras.utils.set_random_seed(1)
    for name in ("msn", "imn"):
        model = registry.build(name, SPEC, SMALL_OPTIONS[name])
        model.compile(run_eagerly=True)
        callback = MemoryTensorBoard(tmp_path / name, 1, probe=random_features(SPEC))
        model.fit(data(1), verbose=0, callbacks=[callback])
    openness = events(tmp_path / "msn")["block_0_memory/gate_openness"][0][1]
    assert 0.0 < openness < 1.0
    walks = {tag for tag in events(tmp_path / "imn") if "entropy" in tag}
    assert walks == {f"clicks_memory/attention_entropy_{walk}" for walk in (1, 2)}


def test_points_that_would_take_too_long_are_left_out(tmp_path):
    inputs = keras.Input((4, 3))
    model = keras.Sequential([inputs, LargeMemory(num_keys=3, top_k=2, name="slots")])
    model.compile("sgd", "mse", run_eagerly=True)
    rows = np.ones((4, 4, 3)), np.ones((4, 3))
    found = {}
    for share in (1e-9, None):
        callback = MemoryTensorBoard(tmp_path / str(share), 1, probe=rows[0], max_share=share)
        model.fit(*rows, batch_size=1, verbose=0, callbacks=[callback])
        found[share] = len(events(tmp_path / str(share))["slots/query_length"])
    assert found == {1e-9: 2, None: 4}


def test_finds_the_memory_of_any_keras_model(tmp_path):
    inputs = keras.Input((4, 3))
    inner = keras.Model(inputs, LargeMemory(num_keys=3, top_k=2, name="slots")(inputs))
    outer = keras.Sequential([inner, keras.layers.Dense(1)])
    outer.compile("sgd", "mse")
    callback = MemoryTensorBoard(tmp_path)
    outer.fit(np.ones((4, 4, 3)), np.ones((4, 1)), verbose=0, callbacks=[callback])
    assert "slots/memory_loss" in events(tmp_path)


@pytest.mark.slow  # a run writes them in `test_gates_and_walks`
def test_sparse_memories_are_told_too(tmp_path):
    model = MSN(SPEC, **SMALL_OPTIONS["msn"])
    model.compile(run_eagerly=True)
    callback = MemoryTensorBoard(tmp_path)
    model.fit(data(1), validation_data=data(1), verbose=0, callbacks=[callback])
    found = events(tmp_path)
    assert {"block_0_memory/value_length", "block_1_memory/value_length"} <= set(found)
    assert "usage/block_1_slots_used" in found


def test_a_model_without_a_memory_writes_nothing(tmp_path):
    model = DNN(SPEC, **SMALL)
    model.compile(run_eagerly=True)
    model.fit(data(1), verbose=0, callbacks=[MemoryTensorBoard(tmp_path / "none")])
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("max_share", [0, -0.1, float("nan")])
def test_shares_are_positive(tmp_path, max_share):
    with pytest.raises(ValueError, match="`max_share` must be a positive number. Received: "):
        MemoryTensorBoard(tmp_path, max_share=max_share)


@pytest.mark.parametrize("update_freq", [0, -1, 2.5, True])
def test_mistakes_are_told(tmp_path, update_freq):
    with pytest.raises(ValueError, match="`update_freq` must be a positive integer. Received: "):
        MemoryTensorBoard(tmp_path, update_freq=update_freq)

import gc
import subprocess
import sys
import weakref

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_shop import shop_dict, shop_rows, shop_spec, write_csv, write_events, write_parquet

from lmn_tf.data.dataset import (
    _Iterations,
    dataset_fingerprint,
    evaluation_dataset,
    make_dataset,
    reader_dataset,
    user_errors,
)
from lmn_tf.data.learning.vocabulary import learn
from lmn_tf.data.reading.batch_reader import BatchReader
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import fingerprint

ROWS, EVENTS = shop_rows()


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shop")
    write_events(folder, EVENTS)
    return write_parquet(folder, ROWS)


def learned(files):
    spec = shop_spec()
    learn(spec, files)
    return spec


def assert_same(left, right):
    assert len(left) == len(right)
    for one, other in zip(left, right, strict=True):
        tf.nest.map_structure(np.testing.assert_array_equal, one, tuple(other))


def batches_of(dataset):
    return [tf.nest.map_structure(lambda tensor: tensor.numpy(), batch) for batch in dataset]


@pytest.mark.parametrize("by_reference", [False, True])
def test_batches_are_those_of_the_reader_and_fit_the_element_spec(files, by_reference):
    spec = shop_spec(by_reference=by_reference)
    dataset = make_dataset(spec, files, batch_size=64, learn=True)
    batches = batches_of(dataset)
    assert_same(batches, list(BatchReader(spec, files, batch_size=64).read()))
    assert len(dataset) == len(batches) == 4
    features, labels, weights = dataset.element_spec
    assert list(features) == list(batches[0][0])
    for batch in batches:
        for spec_, array in zip(
            tf.nest.flatten(dataset.element_spec), tf.nest.flatten(batch), strict=True
        ):
            assert spec_.dtype == array.dtype
            assert spec_.shape.is_compatible_with(array.shape) and spec_.shape.rank == array.ndim
    assert features["history/tags"].shape.as_list() == [None, None]
    assert features["look"].shape.as_list() == [None, 3]
    assert labels.shape.as_list() == [None, 2] and weights.shape.as_list() == [None]


def test_elements_without_histories(files):
    features = make_dataset(shop_spec(), files, histories=False, learn=True).element_spec[0]
    assert "user" in features and not [key for key in features if key.startswith("history/")]


@pytest.mark.slow
def test_batches_are_made_ahead_where_ops_are_deterministic():
    # In a process of its own: determinism can not be turned off again.
    code = """if True:
        import time
        import numpy as np, tensorflow as tf
        from lmn_tf.data import dataset
        from lmn_tf.training.monitor.input_clock import InputClock

        tf.config.experimental.enable_op_determinism()
        pulled = []

        class Reader:
            batches_per_epoch, is_sharded = 9, False
            def read(self, epoch, start):
                for number in range(9):
                    pulled.append(number)
                    yield {"x": np.full(2, number)}, None, None

        dataset.signature = lambda reader: {"x": tf.TensorSpec((2,), tf.int64)}
        batches = iter(InputClock().wrap(dataset.reader_dataset(Reader())))
        assert next(batches)["x"].numpy().tolist() == [0, 0]
        deadline = time.monotonic() + 20
        while len(pulled) < 4 and time.monotonic() < deadline:
            time.sleep(0.05)
        assert 4 <= len(pulled) < 9, pulled
        assert [int(batch["x"][0]) for batch in batches] == list(range(1, 9))
    """
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_batches_are_pulled_one_after_the_other(files):
    spec = shop_spec()
    learn(spec, files)
    iterations = _Iterations(BatchReader(spec, files, batch_size=64), 1, (0, 0))
    key, _ = iterations.begin()
    iterations.pull(key, 0)
    with pytest.raises(RuntimeError, match="Received: batch 2 when 1 was next"):
        iterations.pull(key, 2)


def test_elements_without_weights_or_labels(files):
    plain = shop_dict()
    del plain["weight"]
    spec = FeatureSpec.from_dict(plain)
    assert len(make_dataset(spec, files, learn=True).element_spec) == 2
    features = next(iter(make_dataset(spec, files, labels=False)))
    assert isinstance(features, dict) and features["user"].shape == (len(ROWS),)


@pytest.mark.parametrize("by_reference", [True, False])
def test_evaluation_reads_the_same_rows_and_shares_events_by_reference(files, by_reference):
    spec = shop_spec(by_reference=by_reference)
    in_order = batches_of(make_dataset(spec, files, 64, learn=True))
    gathered = batches_of(evaluation_dataset(spec, files, 64))
    labels, wanted = (
        np.concatenate([np.hstack([x["user"][:, None], y]) for x, y, _ in batches])
        for batches in (gathered, in_order)
    )
    assert (labels.tolist() == wanted.tolist()) == (not by_reference)
    assert sorted(labels.tolist()) == sorted(wanted.tolist())
    events, most = (
        sum(len(x["history/item"]) for x, _, _ in batches) for batches in (gathered, in_order)
    )
    # Rows of other ages share nothing.
    assert events < 0.95 * most if by_reference else events == most


def test_a_fixed_batch_size_without_remainder(files):
    dataset = make_dataset(shop_spec(), files, 64, drop_remainder=True, learn=True)
    assert dataset.element_spec[1].shape.as_list() == [64, 2] and len(list(dataset)) == 3


def orders(dataset):
    return [tuple(batch[0]["since"]) for batch in batches_of(dataset)]


def test_each_iteration_goes_on_with_the_next_epochs(files):
    spec = shop_spec()
    dataset = make_dataset(spec, files, batch_size=64, shuffle=True, seed=5, epochs=2)
    reader = BatchReader(spec, files, batch_size=64, shuffle=True, seed=5)
    wanted = [
        [tuple(features["since"]) for epoch in pair for features, _, _ in reader.read(epoch)]
        for pair in ((0, 1), (2, 3), (4, 5))
    ]
    assert [orders(dataset) for _ in range(3)] == wanted
    assert len({tuple(order) for order in wanted}) == 3
    again = make_dataset(spec, files, batch_size=64, shuffle=True, seed=5, epochs=2)
    assert orders(again) == wanted[0]


def test_starting_in_the_middle(files):
    spec = shop_spec()
    learn(spec, files)
    options = {"batch_size": 64, "shuffle": True, "seed": 5}
    reader = BatchReader(spec, files, **options)
    wanted = [tuple(f["since"]) for f, _, _ in [*reader.read(3, 2), *reader.read(4)]]
    assert orders(make_dataset(spec, files, epochs=5, start=(3, 2), **options)) == wanted


def test_start_may_be_asked_for_when_an_iteration_begins(files):
    spec = shop_spec()
    learn(spec, files)
    reader = BatchReader(spec, files, batch_size=64, shuffle=True, seed=5)
    start = [0, 0]
    dataset = reader_dataset(reader, start=lambda: tuple(start))
    for start[:] in ([0, 0], [2, 3], [2, 4], [1, 0]):
        assert orders(dataset) == [tuple(f["since"]) for f, _, _ in reader.read(*start)]


def test_the_training_data_are_learned_from(files):
    spec = shop_spec()
    make_dataset(spec, files, limit=20, learn=True)
    assert set(spec.assets.vocabularies["user"]) == {row["user"] for row in ROWS[:20]}
    # Shuffled data are training data.
    other = shop_spec()
    make_dataset(other, files, limit=20, shuffle=True)
    assert other.assets == spec.assets


def test_nothing_is_learned_from_data_to_evaluate_on(files):
    for options in ({}, {"shuffle": True, "learn": False}):
        spec = shop_spec()
        with pytest.raises(UserError, match="`spec` must have its vocabularies .* Load the spec"):
            make_dataset(spec, files, **options)
        assert not spec.assets.vocabularies and not spec.assets.statistics


def test_what_lies_learned_beside_the_data_serves_evaluation(tmp_path):
    files, learned = write_parquet(tmp_path, ROWS), shop_spec()
    write_events(tmp_path, EVENTS)
    learn(learned, files)
    learned.assets.save(tmp_path)
    spec = shop_spec()
    make_dataset(spec, files, limit=20)
    assert spec.assets.vocabularies == learned.assets.vocabularies


def test_a_dataset_tells_the_ids_it_has(files):
    spec = shop_spec()
    dataset = make_dataset(spec, files, shuffle=True)
    assert dataset_fingerprint(dataset) == fingerprint(spec)
    changed = dataset.map(lambda *parts: parts).take(2).prefetch(1).with_options(tf.data.Options())
    zipped = tf.data.Dataset.zip((tf.data.Dataset.range(3), changed))
    assert dataset_fingerprint(zipped) == fingerprint(spec)
    assert dataset_fingerprint(tf.data.Dataset.range(3)) == dataset_fingerprint(None) == {}


def test_many_iterations_can_be_given_up(files):
    dataset = make_dataset(shop_spec(), files, batch_size=16, prefetch=0, learn=True)
    for _ in range(40):
        next(iter(dataset))
    assert len(list(dataset)) == len(dataset)


def test_too_many_iterations_at_once(files):
    dataset = make_dataset(shop_spec(), files, batch_size=16, prefetch=0, learn=True)
    iterators = [iter(dataset) for _ in range(17)]
    for iterator in iterators:
        next(iterator)
    with pytest.raises(tf.errors.OpError, match="at most 16 iterations over one dataset"):
        next(iterators[0])


def test_a_reader_is_kept_as_long_as_its_dataset(files):
    reader = BatchReader(learned(files), files, batch_size=16)
    kept, count = weakref.ref(reader), reader.batches_per_epoch
    iterator = iter(reader_dataset(reader).map(lambda *parts: parts).prefetch(1))
    del reader
    gc.collect()
    assert kept() is not None and sum(1 for _ in iterator) == count
    del iterator
    gc.collect()
    assert kept() is None


def test_a_dataset_within_a_function_keeps_its_reader(files):
    spec = learned(files)
    dataset = tf.data.Dataset.range(1).flat_map(lambda _: make_dataset(spec, files, 16))
    gc.collect()
    assert sum(1 for _ in dataset) == len(make_dataset(spec, files, 16))


def test_batches_of_a_dataset_that_is_gone_are_refused(files):
    dataset = make_dataset(learned(files), files, 16)
    variant, spec = tf.data.experimental.to_variant(dataset), dataset.element_spec
    del dataset
    gc.collect()
    with pytest.raises(tf.errors.OpError, match="the dataset must be kept while batches are read"):
        list(tf.data.experimental.from_variant(variant, spec))


def test_shards_are_left_to_the_reader(files):
    policy = tf.data.experimental.AutoShardPolicy
    parts = [make_dataset(shop_spec(), files, shard=(i, 2), learn=True) for i in range(2)]
    assert sum(len(batch[1]) for part in parts for batch in part) == len(ROWS)
    options = parts[0].options().experimental_distribute
    assert options.auto_shard_policy == policy.OFF
    whole = make_dataset(shop_spec(), files, learn=True).options().experimental_distribute
    assert whole.auto_shard_policy != policy.OFF


def test_wrong_data_are_told_as_the_user_error_that_they_are(tmp_path):
    rows = [dict(row) for row in ROWS]
    rows[150]["click"] = 2
    dataset = make_dataset(shop_spec(nested=False), write_csv(tmp_path, rows, files=1), learn=True)
    message = "train-0.csv: column `click`, row 151: label `click` must be 0 or 1. Received: 2$"
    with pytest.raises(UserError, match=message):
        with user_errors():
            list(dataset)
    with pytest.raises(tf.errors.OpError, match="label `click` must be 0 or 1"):
        list(dataset)


def test_other_errors_stay_as_they_are():
    with pytest.raises(tf.errors.NotFoundError, match="gone"):
        with user_errors():
            raise tf.errors.NotFoundError(None, None, "gone")


@pytest.mark.parametrize("strategy", [None, "mirrored"])
def test_a_model_fits(files, strategy):
    spec = shop_spec()
    dataset = make_dataset(spec, files, batch_size=64, shuffle=True)
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"]) if strategy else None
    with strategy.scope() if strategy else tf.distribute.get_strategy().scope():
        look = keras.Input((3,), name="look")
        model = keras.Model({"look": look}, keras.layers.Dense(2, activation="sigmoid")(look))
        model.compile("sgd", "binary_crossentropy")
    chosen = dataset.map(lambda features, labels, weights: ({"look": features["look"]}, labels))
    history = model.fit(chosen, epochs=2, verbose=0, shuffle=False)
    assert len(history.history["loss"]) == 2 and np.isfinite(history.history["loss"]).all()


def test_a_delimiter_is_kept_for_the_datasets_that_follow(tmp_path):
    spec, other = shop_spec(nested=False), shop_spec(nested=False)
    wanted = batches_of(make_dataset(spec, write_csv(tmp_path, ROWS), 64, learn=True))
    for path in tmp_path.glob("*.csv"):
        path.write_text(path.read_text().replace(",", ";"))
    with pytest.raises(UserError, match="';' in it: give it as `delimiter`"):
        make_dataset(other, str(tmp_path / "*.csv"), learn=True)
    found = make_dataset(other, str(tmp_path / "*.csv"), batch_size=64, delimiter=";", learn=True)
    assert_same(batches_of(found), wanted)
    assert other.assets.delimiter == ";"
    assert_same(batches_of(make_dataset(other, str(tmp_path / "*.csv"), batch_size=64)), wanted)
    with pytest.raises(UserError, match="`delimiter` must be one ASCII character"):
        make_dataset(other, str(tmp_path / "*.csv"), delimiter="::")

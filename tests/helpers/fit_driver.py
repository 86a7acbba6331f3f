"""Trains a small LMN on a cluster of two workers and two servers; prints what it saw as JSON."""

import sys
import tempfile

import local_cluster
import numpy as np
from sklearn.metrics import roc_auc_score


def main(kind):
    strategy = local_cluster.connect()
    import keras
    import tiny_run

    import lmn_tf

    keras.utils.set_random_seed(1)

    market = tiny_run.market()
    spec = lmn_tf.FeatureSpec.load(tiny_run.ROOT / "feature_specs" / "synthetic.yaml").to_dict()
    spec["tables"]["item"]["placement"] = "row_wise"
    spec = lmn_tf.FeatureSpec.from_dict(spec)
    train = lmn_tf.make_dataset(spec, f"{market}/train-*.parquet", batch_size=256, learn=True)
    valid = lmn_tf.make_dataset(spec, f"{market}/valid-*.parquet", batch_size=100)
    options = {"num_keys": 6, "top_k": 4, "hidden_units": (8,), "memory_placement": "row_wise"}
    metrics = ["auc", "gauc", "logloss"]

    rules = {"tables": {"row_wise_adagrad": {"frequency_rate": kind == "fit"}}}
    with strategy.scope():
        model = lmn_tf.models.LMN(spec, **options)
        model.compile(lmn_tf.optimizers.from_spec(rules), metrics=metrics)
        model.build()
    if kind == "workers":
        result = {"on_batch": figures(model.train_on_batch(*next(iter(train)), return_dict=True))}
        local_cluster.finish({**result, **on_workers(model, train)})
    result = {}
    tables = [
        one for one in model.trainable_weights if type(one).__name__ == "ParameterServerTable"
    ]
    for table in tables:
        table.exchange = "sums"  # which such small ones would not choose
    model.steps_in_flight = 1
    weights = model.get_weights()
    result["one"] = history(model.fit(train, epochs=1, validation_data=valid, verbose=0))
    result["predict_on_batch"] = np.asarray(model.predict_on_batch(next(iter(valid))[0])).shape
    result["evaluate"] = figures(model.evaluate(valid, return_dict=True, verbose=0))
    if kind == "plain":
        # One step at a time is what plain Keras does.
        plain = lmn_tf.models.LMN(spec, **options)
        plain.compile(metrics=metrics)
        plain.build()
        plain.set_weights(weights)
        result["plain"] = history(plain.fit(train, epochs=1, validation_data=valid, verbose=0))
        result["predictions"] = apart(model, plain, valid)
        plain.set_weights(model.get_weights())
        result["plain_evaluate"] = figures(plain.evaluate(valid, return_dict=True, verbose=0))
        local_cluster.finish(result)

    states = [
        model.optimizer.tables.state_of(one)
        for one in model.trainable_weights
        if lmn_tf.optimizers.is_table(one)
    ]
    result["reads"] = [
        (float(np.max(one["reads"].numpy())), float(one["most_reads"].numpy())) for one in states
    ]

    labels = np.concatenate([batch[1].numpy() for batch in valid])
    logits = model.predict(valid, verbose=0)
    result["rank_auc"] = float(roc_auc_score(labels, logits))
    result["log_loss"] = float(np.mean(np.log1p(np.exp(logits)) - labels * logits))

    result["tables"] = {one.path: [part.device for part in one.shards] for one in tables}
    accumulators = [
        optimizer.state_of(one)["accumulator"]
        for optimizer in model.optimizer.optimizers
        for one in tables
        if hasattr(optimizer, "state_of")
    ]
    result["moved"] = [float(np.mean(one.numpy() > 0)) for one in accumulators]

    # Several in flight, with callbacks.
    model.fit_driver.coordination.queue.max_in_flight = 4
    counter = Counter()
    with tempfile.TemporaryDirectory() as folder:
        best = f"{folder}/best.weights.h5"
        callbacks = [
            counter,
            keras.callbacks.ModelCheckpoint(best, save_weights_only=True),
            keras.callbacks.TensorBoard(f"{folder}/board", update_freq=2, write_graph=False),
            keras.callbacks.EarlyStopping("val_loss", mode="max", patience=1),
        ]
        found = model.fit(train, epochs=5, validation_data=valid, callbacks=callbacks, verbose=0)
        result["many"] = history(found)
        before = model.get_weights()
        model.load_weights(best)
        result["saved"] = max(
            float(np.abs(one - other).max())
            for one, other in zip(model.get_weights(), before, strict=True)
        )
    result["batches"], result["epochs"] = counter.batches, counter.epochs
    result["iterations"] = int(model.optimizer.iterations.numpy())
    result["dense_iterations"] = int(model.optimizer.dense.iterations.numpy())
    stopper = Counter(stop_after=3)
    model.fit(train, epochs=2, callbacks=[stopper], verbose=0)
    result["stopped"] = stopper.batches
    local_cluster.finish(result)


class Counter:
    """Counts what Keras calls, as a callback."""

    def __new__(cls, **options):
        import keras

        class Counting(keras.callbacks.Callback):
            def __init__(self, stop_after=None):
                super().__init__()
                self.batches, self.epochs, self._stop_after = 0, 0, stop_after

            def on_train_batch_end(self, batch, logs=None):
                self.batches += bool(logs["loss"] > 0)
                if self.batches == self._stop_after:
                    self.model.stop_training = True

            def on_epoch_end(self, epoch, logs=None):
                self.epochs += 1

        return Counting(**options)


def on_workers(model, train):
    """Each worker makes its own dataset; then mistakes, told."""
    import tensorflow as tf

    batch = next(iter(train))
    arrays = tf.nest.map_structure(lambda tensor: tensor.numpy(), batch)

    def make_dataset():
        tf.distribute.coordinator.experimental_get_current_worker_index()
        return tf.data.Dataset.from_tensors(tf.nest.map_structure(tf.constant, arrays))

    found = history(model.fit(make_dataset, steps_per_epoch=6, epochs=2, verbose=0))
    steps = int(model.fit_driver.coordination.steps.sum())
    try:
        model.fit(make_dataset, verbose=0)
    except ValueError as error:
        return {"loss": found["loss"], "steps": steps, "message": str(error)}


def history(found):
    return {key: [float(value) for value in values] for key, values in found.history.items()}


def figures(results):
    return {key: float(value) for key, value in results.items()}


def apart(one, other, dataset):
    first, second = one.predict(dataset, verbose=0), other.predict(dataset, verbose=0)
    return float(np.abs(first - second).max()) if first.shape == second.shape else -1.0


if __name__ == "__main__":
    main(*sys.argv[1:])

"""A model of TensorFlow Recommenders with a memory, trained in a process of its own.

TensorFlow Recommenders needs `TF_USE_LEGACY_KERAS=1` before TensorFlow is asked for Keras, which
other tests must not have. Prints what the test checks, as JSON.
"""

import sys
import tempfile

import local_cluster
import numpy as np
import tensorflow as tf
import tensorflow_recommenders as tfrs
import tf_keras

from lmn_tf.integrations import LargeMemory, SparseMemory
from lmn_tf.metrics import FactorizedTopK

USERS, ITEMS, ROWS = 20, 40, 256


class ClickModel(tfrs.models.Model):
    """A ranking and a retrieval model whose user reads a memory."""

    def __init__(self):
        super().__init__()
        self.user = tf_keras.layers.Embedding(USERS, 8)
        self.item = tf_keras.layers.Embedding(ITEMS, 8)
        self.memory = LargeMemory(num_keys=6, top_k=4)
        self.sparse = SparseMemory(num_keys=6, top_k=4, gate="residual")
        self.interaction = tfrs.layers.dcn.Cross()
        self.head = tf_keras.layers.Dense(1)
        # Under a strategy, tf-keras refuses a mean over the batch in a loss of a model's own step.
        loss = tf_keras.losses.BinaryCrossentropy(from_logits=True, reduction="sum")
        self.ranking = tfrs.tasks.Ranking(loss=loss, metrics=[tf_keras.metrics.AUC()])
        self.retrieval = tfrs.tasks.Retrieval()

    def read(self, features, training=None):
        user, history = self.user(features["user"]), self.item(features["history"])
        mask = features["history"] > 0
        return self.sparse(self.memory(history, user=user, mask=mask, training=training))

    def towers(self, features, training=None):
        return self.read(features, training), self.item(features["item"])

    def call(self, features, training=None):
        return self.score(*self.towers(features, training))

    def score(self, query, candidate):
        return self.head(self.interaction(tf.concat([query, candidate], axis=-1)))

    def compute_loss(self, features, training=False):
        query, candidate = self.towers(features, training)
        logits = self.score(query, candidate)
        ranking = self.ranking(labels=features["click"], predictions=logits)
        return ranking + 0.1 * self.retrieval(query, candidate, compute_metrics=not training)


def batches():
    random = np.random.default_rng(0)
    user, item = random.integers(0, USERS, ROWS), random.integers(1, ITEMS, ROWS)
    history = random.integers(0, ITEMS, (ROWS, 5))
    click = (item % 2)[:, None].astype("float32")
    features = {"user": user, "item": item, "history": history, "click": click}
    return tf.data.Dataset.from_tensor_slices(features).batch(64)


def compiled():
    tf_keras.utils.set_random_seed(1)
    model = ClickModel()
    model(next(iter(batches())))
    model.compile(optimizer=tf_keras.optimizers.Adagrad(0.1))
    return model


def train():
    model, batch = compiled(), next(iter(batches()))
    before = [weight.numpy() for weight in model.memory.trainable_weights]
    history = model.fit(batches(), epochs=3, verbose=0).history
    moved = [
        bool(np.any(weight.numpy() != old))
        for weight, old in zip(model.memory.trainable_weights, before, strict=True)
    ]
    alone = model.memory.to_keras_layer()
    arguments = {
        "user": model.user(batch["user"]).numpy(),
        "mask": batch["history"].numpy() > 0,
        "training": False,
    }
    vectors = model.item(batch["history"]).numpy()
    return {
        "losses": history["total_loss"],
        "logged": sorted(history),
        "moved": moved,
        "keras_3": difference(alone(vectors, **arguments), model.memory(vectors, **arguments)),
        "top_k": top_k(),
    }


def top_k():
    """The corpus-wide accuracy of either package."""
    random = np.random.default_rng(0)
    corpus, queries = (random.normal(size=(n, 4)).astype("float32") for n in (300, 64))
    positives = corpus[:64]
    blocks = tf.data.Dataset.from_tensor_slices(corpus).batch(70)
    ours, theirs = FactorizedTopK(blocks), tfrs.metrics.FactorizedTopK(blocks)
    ours.update_state(queries, positives)
    theirs.update_state(queries, positives)
    return [[float(x) for x in ours.result().values()], [float(x) for x in theirs.result()]]


def save():
    model, batch = compiled(), next(iter(batches()))
    scores = model(batch).numpy()
    with tempfile.TemporaryDirectory() as folder:
        model.save_weights(f"{folder}/weights")
        other = ClickModel()
        other(batch)
        other.load_weights(f"{folder}/weights")
        columns = tf.TensorSpec([None], tf.int64)
        model.serve = tf.function(
            lambda user, history, item: model({"user": user, "history": history, "item": item}),
            input_signature=[columns, tf.TensorSpec([None, None], tf.int64), columns],
        )
        tf.saved_model.save(model, f"{folder}/saved")
        loaded = tf.saved_model.load(f"{folder}/saved")
        served = loaded.serve(batch["user"], batch["history"], batch["item"])
    return {"restored": difference(other(batch), scores), "served": difference(served, scores)}


def train_on_servers():
    strategy = local_cluster.connect(workers=1, servers=2)
    with strategy.scope():
        model = compiled()
    before = model.memory.keras_layer.memory.memory_values.numpy()
    history = model.fit(batches().repeat(), epochs=4, steps_per_epoch=4, verbose=0).history
    after = model.memory.keras_layer.memory.memory_values.numpy()
    return {"losses": history["total_loss"], "moved": bool(np.any(before != after))}


def difference(one, other):
    return float(np.max(np.abs(np.asarray(one) - np.asarray(other))))


if __name__ == "__main__":
    local_cluster.finish({"train": train, "save": save, "servers": train_on_servers}[sys.argv[1]]())

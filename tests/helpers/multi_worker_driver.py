"""One of two processes that train a small model together; prints what it saw as JSON."""

import os
import sys
import warnings

import local_cluster
import numpy as np


def main(index, market):
    import tensorflow as tf

    strategy = tf.distribute.MultiWorkerMirroredStrategy()
    import keras
    import tiny_run

    import lmn_tf

    warnings.simplefilter("error", UserWarning)
    keras.utils.set_random_seed(3)
    spec = lmn_tf.FeatureSpec.load(tiny_run.ROOT / "feature_specs" / "synthetic.yaml")
    lmn_tf.make_dataset(spec, f"{market}/train-*.parquet", learn=True)
    train, valid = (
        lmn_tf.make_dataset(spec, f"{market}/{name}-*.parquet", batch_size=128, shard=(index, 2))
        for name in ("train", "valid")
    )
    with strategy.scope():
        model = lmn_tf.models.DNN(spec, hidden_units=(8,))
        model.compile(metrics=["auc"])
    found = model.fit(train, epochs=3, validation_data=valid, verbose=0)
    result = {key: [float(value) for value in values] for key, values in found.history.items()}
    result["weights"] = float(sum(np.abs(one).sum() for one in model.get_weights()))
    result["iterations"] = int(model.optimizer.iterations.numpy())
    result["evaluate"] = model.evaluate(valid, verbose=0)
    model.compile(steps_per_execution=2)
    result["predicted"] = model.predict(valid, verbose=0).shape
    result["batches"] = int(train.cardinality())
    local_cluster.finish(result)


if __name__ == "__main__":
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    main(int(sys.argv[1]), sys.argv[2])

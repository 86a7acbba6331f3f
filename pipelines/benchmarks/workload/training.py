"""Models on the click log, and their training steps."""

_HEAD = {"hidden_units": (200, 80)}
_QUICK = {"num_keys": 10, "top_k": 4}


def options_of(name, quick):
    """Options of a model in a benchmark: the defaults, or with `quick` a tiny memory.

    Args:
        name: String. Name of the model.
        quick: Boolean. Whether sizes are tiny.
    """
    # Imported here: the calling process does not load TensorFlow.
    from lmn_tf.models import registry

    known = registry.options(name) if quick else {}
    return {option: value for option, value in _QUICK.items() if option in known}


def compiled_model(name, spec, **options):
    """A built and compiled model.

    Args:
        name: String. Name of the model.
        spec: `FeatureSpec` with learned vocabularies.
        **options: Options of the model.
    """
    from lmn_tf.models import registry

    model = registry.build(name, spec, {**_HEAD, **options})
    model.compile()
    model.build()
    model.optimizer.build(model.trainable_variables)
    return model


def training_steps(model, dataset, batches):
    """Function that runs one training step of `fit`, cycling over the first batches.

    Args:
        model: A compiled `keras.Model`.
        dataset: `tf.data.Dataset`; its batches are kept in memory.
        batches: Integer. Number of batches.
    """
    import tensorflow as tf

    dataset = dataset.take(batches).cache().repeat()
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MirroredStrategy):  # one shard per device
        dataset = strategy.experimental_distribute_dataset(dataset)
    iterator = iter(dataset)
    model.make_train_function()

    def step():
        model.train_function(iterator)
        tf.test.experimental.sync_devices()

    return step

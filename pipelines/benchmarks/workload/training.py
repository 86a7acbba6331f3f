"""Models on the click log, and the step that `fit` takes for each batch."""

_HEAD = {"hidden_units": (200, 80)}
_QUICK = {"num_keys": 10, "top_k": 4}


def options_of(name, quick):
    """The options of a model in a benchmark: its defaults, and with `quick` a tiny memory.

    Args:
        name: String. A model of the registry.
        quick: Boolean. Whether sizes are tiny.
    """
    # No TensorFlow in the process that asks.
    from lmn_tf.models import registry

    known = registry.options(name) if quick else {}
    return {option: value for option, value in _QUICK.items() if option in known}


def compiled_model(name, spec, **options):
    """A model of the registry, built and compiled as users do.

    Args:
        name: String. A model of the registry.
        spec: `FeatureSpec` whose vocabularies are learned.
        **options: Options of the model.
    """
    from lmn_tf.models import registry

    model = registry.build(name, spec, {**_HEAD, **options})
    model.compile()
    model.build()
    model.optimizer.build(model.trainable_variables)
    return model


def training_steps(model, dataset, batches):
    """The function that trains on the next of the first `batches`, over and over, as `fit` does.

    Args:
        model: A compiled `keras.Model`.
        dataset: `tf.data.Dataset`; its batches are kept in memory.
        batches: Integer. How many are used.
    """
    import tensorflow as tf

    dataset = dataset.take(batches).cache().repeat()
    strategy = model.distribute_strategy
    if isinstance(strategy, tf.distribute.MirroredStrategy):  # Each device takes its share.
        dataset = strategy.experimental_distribute_dataset(dataset)
    iterator = iter(dataset)
    model.make_train_function()

    def step():
        model.train_function(iterator)
        tf.test.experimental.sync_devices()

    return step

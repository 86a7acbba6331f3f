"""What every layer owes its users, checked in one place for any layer."""

import json

import keras
import numpy as np
import tensorflow as tf
from replicas import replicas


def check_layer(
    layer_class, arguments, inputs, mask=None, zero_when_empty=False, fixed_length=False
):
    """Checks that a layer behaves as Keras users expect.

    Args:
        layer_class: A registered layer class.
        arguments: Dict of constructor arguments.
        inputs: Dict from names of call arguments to float arrays, the main one
            first. Arrays of rank 3 are sequences of shape `(batch, length, d)`.
        mask: Optional boolean array of shape `(batch, length)`, passed as `mask`.
            It must be true on the left and false on the right of each row.
        zero_when_empty: Boolean. Whether a row whose mask is all false must give
            exactly 0.
        fixed_length: Boolean. Whether the layer must know the length of sequences
            when it is built.
    """
    inputs = {name: np.asarray(value, "float32") for name, value in inputs.items()}
    layer = layer_class(**arguments)
    want = call(layer, inputs, mask).numpy()
    assert np.isfinite(want).all()
    check_config(layer)
    check_build_by_shape(layer, inputs, mask, want)
    check_symbolic_shape(layer, inputs, mask, want, fixed_length)
    check_modes(layer, inputs, mask, want)
    check_mixed_precision(layer, inputs, mask, want)
    after = check_fit_and_saving(layer, inputs, mask, fixed_length)
    check_two_replicas(layer, inputs, mask, fixed_length, after)
    if mask is not None:
        check_padding(layer, inputs, mask, want)
        check_keras_mask(layer, inputs, mask, want)
        check_empty(layer, inputs, mask, zero_when_empty)


def call(layer, inputs, mask=None, training=None):
    """Calls a layer with its first input by position and the others by name."""
    (_, first), *others = inputs.items()
    arguments = dict(others)
    if mask is not None:
        arguments["mask"] = mask
    if training is not None:
        arguments["training"] = training
    return layer(first, **arguments)


def copy_of(layer, inputs, mask, **changes):
    """A layer of the same configuration (but for changes) and the same weights."""
    twin = type(layer).from_config({**layer.get_config(), **changes})
    call(twin, inputs, mask)
    twin.set_weights(layer.get_weights())
    return twin


def as_model(layer, inputs, mask, fixed_length=False):
    """A functional model of unknown batch and length that ends in one number a row."""
    symbols = [
        keras.Input(
            (None, *value.shape[2:]) if value.ndim > 2 and not fixed_length else value.shape[1:],
            name=name,
        )
        for name, value in inputs.items()
    ]
    named = dict(zip(inputs, symbols, strict=True))
    mask_symbol = None
    if mask is not None:
        # Not boolean: under a strategy, Keras averages a batch over replicas to see its shape.
        symbols.append(keras.Input((None,), name="mask"))
        mask_symbol = keras.ops.cast(symbols[-1], "bool")
    output = call(layer, named, mask_symbol)
    score = keras.layers.Dense(1, dtype="float32")(output)
    if len(output.shape) > 2:
        score = keras.ops.max(score, axis=1)
    return keras.Model(symbols, score), output


def arrays(inputs, mask):
    return [*inputs.values()] if mask is None else [*inputs.values(), mask.astype("float32")]


def check_config(layer):
    config = json.loads(json.dumps(layer.get_config()))
    twin = type(layer).from_config(config)
    assert json.loads(json.dumps(twin.get_config())) == config
    by_name = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert type(by_name) is type(layer)
    assert keras.saving.get_registered_name(type(layer)).startswith("lmn_tf>")


def check_build_by_shape(layer, inputs, mask, want):
    twin = type(layer).from_config(layer.get_config())
    shapes = [(None, *value.shape[1:]) for value in inputs.values()]
    first, *others = zip(inputs, shapes, strict=True)
    twin.build(first[1], **{f"{name}_shape": shape for name, shape in others})
    twin.set_weights(layer.get_weights())
    np.testing.assert_allclose(call(twin, inputs, mask), want, rtol=1e-5, atol=1e-6)
    assert [weight.path.split("/", 1)[1] for weight in twin.weights] == [
        weight.path.split("/", 1)[1] for weight in layer.weights
    ]


def check_symbolic_shape(layer, inputs, mask, want, fixed_length):
    twin = type(layer).from_config(layer.get_config())
    _, output = as_model(twin, inputs, mask, fixed_length)
    symbolic = tuple(output.shape)
    assert symbolic[0] is None and len(symbolic) == want.ndim
    assert all(s in (None, w) for s, w in zip(symbolic, want.shape, strict=True))
    assert symbolic[-1] == want.shape[-1]
    if any(value.ndim > 2 for value in inputs.values()) and not fixed_length:
        one = {n: v[:, :1] if v.ndim > 2 else v for n, v in inputs.items()}
        short = call(layer, one, None if mask is None else mask[:, :1])
        assert np.isfinite(short).all()  # a length of 1


def check_modes(layer, inputs, mask, want):
    """Eager and XLA agree, on values and on gradients; graphs are run by `fit`."""
    names = list(inputs)

    def run(*tensors):
        with tf.GradientTape() as tape:
            tape.watch(tensors)
            output = call(layer, dict(zip(names, tensors, strict=True)), mask)
            loss = tf.reduce_sum(tf.square(output))
        weights = [weight.value for weight in layer.trainable_weights]
        gradients = tape.gradient(loss, [*tensors, *weights])
        return output, [None if g is None else tf.convert_to_tensor(g) for g in gradients]

    tensors = [tf.constant(value) for value in inputs.values()]
    eager = run(*tensors)
    np.testing.assert_allclose(eager[0], want, rtol=1e-5, atol=1e-6)
    output, gradients = tf.function(run, jit_compile=True, autograph=False)(*tensors)
    np.testing.assert_allclose(output, want, rtol=1e-4, atol=1e-5)
    for got, expected in zip(gradients, eager[1], strict=True):
        assert (got is None) == (expected is None)
        if got is not None:
            np.testing.assert_allclose(got, expected, rtol=1e-3, atol=1e-4)


def check_mixed_precision(layer, inputs, mask, want):
    for policy, dtype, tolerance in (
        ("mixed_float16", "float16", 0.02),
        ("mixed_bfloat16", "bfloat16", 0.15),
    ):
        twin = copy_of(layer, inputs, mask, dtype=policy)
        output = call(twin, inputs, mask)
        assert output.dtype == dtype
        assert all(weight.dtype == "float32" for weight in twin.weights)
        error = np.abs(tf.cast(output, "float32").numpy() - want)
        assert error.max() <= tolerance * max(1.0, np.abs(want).max())


def check_fit_and_saving(layer, inputs, mask, fixed_length):
    """Trains a step, saves and loads; returns the model's weights after the step."""
    # A graph: `check_modes` has compiled the layer and its gradient with XLA.
    model, twin = compiled(layer, inputs, mask, fixed_length, jit_compile=False)
    data = arrays(inputs, mask)
    dataset = tf.data.Dataset.from_tensors((tuple(data), np.ones(len(data[0]))))
    history = model.fit(dataset, shuffle=False, verbose=0)
    assert all(np.isfinite(values).all() for values in history.history.values())
    before, after = layer.get_weights(), twin.get_weights()
    if layer.trainable_weights:
        assert any((a != b).any() for a, b in zip(before, after, strict=True))
    assert all(np.isfinite(value).all() for value in after)
    predicted = model(data, training=False)
    folder = tf.io.gfile.join(tf.compat.v1.test.get_temp_dir(), "check_layer")
    tf.io.gfile.makedirs(folder)
    path = tf.io.gfile.join(folder, "model.keras")
    model.save(path)
    loaded = keras.saving.load_model(path)
    np.testing.assert_allclose(loaded(data, training=False), predicted, rtol=1e-5, atol=1e-6)
    return model.get_weights()


def compiled(layer, inputs, mask, fixed_length, **options):
    """A compiled model with a copy of the layer, and the copy."""
    keras.utils.set_random_seed(3)
    twin = type(layer).from_config(layer.get_config())
    model, _ = as_model(twin, inputs, mask, fixed_length)
    twin.set_weights(layer.get_weights())
    model.compile(keras.optimizers.SGD(0.1), "mse", **options)
    model.optimizer.build(model.trainable_variables)  # else the step is traced twice
    return model, twin


def check_two_replicas(layer, inputs, mask, fixed_length, want):
    """A step on two replicas, each with the whole batch, gives the weights of one."""
    if len(tf.config.list_logical_devices("CPU")) < 2:
        return
    with replicas(2).scope():
        # Eager: `check_fit_and_saving` has traced the step, and models are on replicas in graphs.
        model, _ = compiled(layer, inputs, mask, fixed_length, run_eagerly=True)
    # Not `fit`: a distributed dataset takes a third of the time and says nothing of the layer.
    # Keras gives each replica the whole of a single batch.
    data = [tf.constant(value) for value in arrays(inputs, mask)]
    assert np.isfinite(model.train_on_batch(data, tf.ones(len(data[0])))).all()
    for two, one in zip(model.get_weights(), want, strict=True):
        np.testing.assert_allclose(two, one, rtol=1e-4, atol=1e-5)


def check_padding(layer, inputs, mask, want):
    """Neither what stands at padding nor the side it stands on changes a result."""
    for filling in (7.0, np.nan):
        dirty = {
            name: np.where(mask[..., None], value, np.float32(filling)) if value.ndim > 2 else value
            for name, value in inputs.items()
        }
        output = call(layer, dirty, mask).numpy()
        if output.shape[:2] == mask.shape and output.ndim > 2:
            output, clean = output[mask], want[mask]
        else:
            clean = want
        np.testing.assert_allclose(output, clean, rtol=1e-5, atol=1e-6)
    # Each row moved to the right end, its order kept.
    places = (np.arange(mask.shape[1]) + mask.sum(axis=1, keepdims=True)) % mask.shape[1]
    rows = np.arange(len(mask))[:, None]
    moved = {n: v[rows, places] if v.ndim > 2 else v for n, v in inputs.items()}
    for training in (False, True):
        left, right = (
            call(copy_of(layer, inputs, mask), side, m, training).numpy()
            for side, m in ((inputs, mask), (moved, mask[rows, places]))
        )
        if left.ndim > 2 and left.shape[:2] == mask.shape:
            left, right = left[mask], right[mask[rows, places]]
        np.testing.assert_allclose(left, right, rtol=1e-4, atol=1e-5)


def check_keras_mask(layer, inputs, mask, want):
    """A mask that comes with the first input counts like one that is passed."""
    name, first = next(iter(inputs.items()))
    source = keras.layers.Masking(mask_value=-9.0)
    masked = source(np.where(mask[..., None], first, np.float32(-9.0)))
    output = call(layer, {**inputs, name: masked}).numpy()
    if output.ndim > 2 and output.shape[:2] == mask.shape:
        output, want = output[mask], want[mask]
    np.testing.assert_allclose(output, want, rtol=1e-5, atol=1e-6)


def check_empty(layer, inputs, mask, zero_when_empty):
    """A batch of nothing but padding gives finite outputs, losses, gradients and statistics."""
    nothing = np.zeros_like(mask)
    twin = copy_of(layer, inputs, mask)
    with tf.GradientTape() as tape:
        output = call(twin, inputs, nothing, True if twin._call_has_training_arg else None)
        loss = tf.reduce_sum(tf.square(output)) + sum(twin.losses)
    gradients = tape.gradient(loss, [weight.value for weight in twin.trainable_weights])
    gradients = [tf.convert_to_tensor(g) for g in gradients if g is not None]
    if zero_when_empty:
        np.testing.assert_array_equal(output, np.zeros_like(output))
    assert all(np.isfinite(value).all() for value in (output, *gradients, *twin.get_weights()))

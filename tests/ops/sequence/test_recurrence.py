import numpy as np
import tensorflow as tf

from lmn_tf.ops import plain_kernels
from lmn_tf.ops.sequence.recurrence import recurrence

MASK = np.arange(5)[:, None] < np.array([0, 1, 4, 5])


def example(*shape, seed=0):
    return np.random.default_rng(seed).normal(size=shape).astype("float32")


def step(state, x, parameters):
    fast = tf.tanh(tf.matmul(state["fast"], parameters["kernel"]) + x)
    return {"fast": fast, "slow": parameters["rate"] * state["slow"] + fast[:, None] * x[..., None]}


def tensors():
    return (
        tf.constant(example(5, 4, 3)),
        tf.constant(example(4, 3, seed=1)),
        tf.constant(example(4, 3, 3, seed=2)),
        tf.constant(example(3, 3, seed=3)),
        tf.constant(0.5),
    )


def run(inputs, fast, slow, kernel, rate):
    state, parameters = {"fast": fast, "slow": slow}, {"kernel": kernel, "rate": rate}
    return recurrence(step, state, inputs, parameters, tf.constant(MASK))


def unrolled(inputs, fast, slow, kernel, rate):
    states, parameters = [], {"kernel": kernel, "rate": rate}
    state = {"fast": fast, "slow": slow}
    for x, valid in zip(tf.unstack(inputs), MASK, strict=True):
        new = step(state, x, parameters)
        state = {
            "fast": tf.where(valid[:, None], new["fast"], state["fast"]),
            "slow": tf.where(valid[:, None, None], new["slow"], state["slow"]),
        }
        states.append(state)
    return {name: tf.stack([one[name] for one in states]) for name in state}


def gradients(function, *arguments):
    with tf.GradientTape() as tape:
        tape.watch(arguments)
        states = function(*arguments)
        loss = tf.reduce_sum(states["fast"] * example(5, 4, 3, seed=8))
        loss += tf.reduce_sum(states["slow"][-1] ** 2)
    return tape.gradient(loss, arguments)


def test_equals_the_unrolled_steps(run_mode):
    states, want = run_mode(run)(*tensors()), unrolled(*tensors())
    for name, one in want.items():
        np.testing.assert_allclose(states[name], one, rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(states["fast"][:, 0], [tensors()[1][0]] * 5)  # all masked


def test_gradients_are_those_of_the_unrolled_steps(run_mode):
    found = run_mode(lambda *arguments: gradients(run, *arguments))(*tensors())
    for one, want in zip(found, gradients(unrolled, *tensors()), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-4, atol=1e-5)


def test_unknown_sizes():
    signature = [tf.TensorSpec([None, None, 3]), tf.TensorSpec([None, 3])]

    @tf.function(input_signature=signature)
    def last(inputs, fast):
        slow, kernel = tf.zeros([tf.shape(fast)[0], 3, 3]), tf.ones([3, 3])
        parameters = {"kernel": kernel, "rate": tf.constant(0.5)}
        return recurrence(step, {"fast": fast, "slow": slow}, inputs, parameters)["slow"][-1]

    for length, rows in ((1, 2), (4, 3)):
        assert last(tf.ones([length, rows, 3]), tf.ones([rows, 3])).shape == (rows, 3, 3)


def test_long_histories_are_compiled_and_give_the_same():
    def plain(*arguments):
        with plain_kernels():
            return run(*arguments)

    def run(inputs, fast, slow, kernel, rate):
        state, parameters = {"fast": fast, "slow": slow}, {"kernel": kernel, "rate": rate}
        states = recurrence(step, state, inputs, parameters)
        return {"fast": states["fast"][:5], "slow": states["slow"]}

    arguments = tf.constant(example(20, 4, 3)), *tensors()[1:]
    for one, want in zip(gradients(run, *arguments), gradients(plain, *arguments), strict=True):
        np.testing.assert_allclose(one, want, rtol=1e-4, atol=1e-5)

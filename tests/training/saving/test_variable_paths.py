import keras

from lmn_tf.training.saving.variable_paths import keyed_variables, stable_paths


def test_equal_models_get_equal_keys_in_one_process():
    def model():
        layers = [keras.layers.Dense(3), keras.layers.Dropout(0.5), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input([4]), *layers])
        model.compile("adam", "mse")
        model.optimizer.build(model.trainable_variables)
        return model

    first, second = model(), model()
    keys = keyed_variables(first, first.optimizer)
    assert list(keys) == list(keyed_variables(second, second.optimizer))
    assert len(keys) == len(first.variables) + len(first.optimizer.variables)
    kernel = first.layers[0].kernel
    assert keys["model/" + stable_paths([v.path for v in first.variables])[0]] is kernel
    slots = [key for key in keys if key.endswith("kernel/momentum")]
    assert len(slots) == 2 and all(keys[key].shape in ((4, 3), (3, 1)) for key in slots)


def test_numbers_are_counted_within_a_parent():
    paths = ["m_2/a_7/w", "m_2/a_9/w", "m_2/a_9/w", "m_2/b/c_4/w", "m_2/e/c_1/w"]
    assert stable_paths(paths) == ["m/a/w", "m/a_1/w", "m/a_1/w#2", "m/b/c/w", "m/e/c/w"]


def test_the_unnumbered_name_comes_first():
    assert stable_paths(["x/d/w", "x/d_1/w"]) == ["x/d/w", "x/d_1/w"]

import keras
import numpy as np
import pytest
from replicas import replicas

from lmn_tf.distribute import row_access, row_storage
from lmn_tf.distribute.row_storage import StoresRows
from lmn_tf.distribute.row_wise_table import add_table


@keras.saving.register_keras_serializable(package="lmn_tf_tests")
class Tables(StoresRows, keras.layers.Layer):
    def build(self, input_shape=None):
        normal = keras.initializers.RandomNormal()
        self.table = add_table(self, "embeddings", (50, 3), normal, "row_wise")
        self.half = self.add_weight(shape=(50, 3), dtype="bfloat16", name="half")
        self.scale = self.add_weight(shape=(), name="scale")

    def call(self, inputs):
        return inputs


def make(count):
    strategy = replicas(count) if count > 1 else None
    with strategy.scope() if strategy else keras.name_scope("alone"):
        model = keras.Sequential([keras.Input((1,)), Tables()])
    return model


@pytest.mark.parametrize(("before", "after"), [(4, 1), (1, 3), (3, 2)])
def test_a_model_is_saved_and_loaded_in_pieces_on_any_number_of_devices(
    before, after, tmp_path, monkeypatch
):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 60)  # 5 rows
    model, other = make(before), make(after)
    largest = []
    for module, name in ((row_storage, "get_rows"), (row_access, "set_rows")):
        original = getattr(module, name)

        def spy(variable, start, last, original=original):
            rows = last - start if isinstance(last, int) else len(last)
            largest.append(rows)
            return original(variable, start, last)

        monkeypatch.setattr(module, name, spy)
    want = [np.asarray(one, "f") for one in model.weights]
    model.save_weights(tmp_path / "model.weights.h5")
    other.load_weights(tmp_path / "model.weights.h5")
    for one, two in zip(want, other.weights, strict=True):
        np.testing.assert_array_equal(np.asarray(two, "f"), one)
    assert max(largest) <= 5
    assert sum(largest) >= 100  # The table went this way, out and in.
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(np.asarray(again.weights[0]), want[0])


def test_other_stores_take_whole_variables():
    model, store = make(1), {}
    layer = model.layers[0]
    layer.save_own_variables(store)
    assert [value.shape for value in store.values()] == [(50, 3), (50, 3), ()]
    layer.load_own_variables(store)
    store["0"] = np.zeros((4, 3))
    with pytest.raises(ValueError, match="must match"):
        layer.load_own_variables(store)

import keras
import pytest

from lmn_tf.layers.core.activations import activation_config, get_activation, make_activation
from lmn_tf.layers.core.dice import Dice


@pytest.mark.parametrize(("name", "layer"), [("prelu", keras.layers.PReLU), ("dice", Dice)])
def test_names_of_layers_stay_names(name, layer):
    assert get_activation(name) == name
    assert activation_config(name) == name
    made = make_activation(name, 3, "mine")
    assert isinstance(made, layer) and made.name == "mine"


@pytest.mark.parametrize("given", ["relu", keras.activations.relu])
def test_others_are_those_of_keras(given):
    found = get_activation(given)
    assert found is keras.activations.relu
    assert activation_config(found) == "relu"
    assert make_activation(found, 2, "mine").activation is found


def test_an_unknown_name_is_refused():
    with pytest.raises(ValueError, match="Could not interpret activation function identifier"):
        get_activation("relo")

import keras

from lmn_tf.models.options import (
    CTRModelOptions,
    LargeMemoryOptions,
    LMNOptions,
    MIMNOptions,
    ProductKeyMemoryOptions,
)


def test_arguments_are_what_a_record_adds():
    options = MIMNOptions.make({"controller_units": 3, "dropout": 0.5})
    arguments = options.arguments(MIMNOptions, controller_units="units")
    assert arguments["units"] == 3 and "controller_units" not in arguments
    assert not set(arguments) & set(CTRModelOptions.model_fields)


def test_arguments_of_a_part_of_the_options():
    options = LMNOptions.make({"top_k": 3, "memorize": "cross"})
    part, whole = (options.arguments(one) for one in (ProductKeyMemoryOptions, LargeMemoryOptions))
    assert part["top_k"] == 3 and part.items() <= whole.items()
    assert "memorize" not in whole and "attention_units" not in whole


def test_activations_are_those_that_keras_makes():
    options = CTRModelOptions.described()["activation"].schema["enum"]
    for name in set(options) - {"prelu", "dice"}:
        assert callable(keras.activations.get(name))
    assert CTRModelOptions.make({"activation": "tanh"}).activation == "tanh"

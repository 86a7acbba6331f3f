import inspect

import keras
import pytest
from kitchen_sink import SMALL, kitchen_sink_spec

from lmn_tf.layers import LargeMemory, ProductKeyMemory, SparseMemory
from lmn_tf.models import DIEN, DIN, LMN, registry
from lmn_tf.models.base.memory_plugin import MemoryPlugin
from lmn_tf.models.options import LargeMemoryOptions, ProductKeyMemoryOptions, SparseMemoryOptions
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()


@keras.saving.register_keras_serializable(package="tests")
class Doubled(DIN):
    """A model with an argument of a constructor of its own."""

    def __init__(self, spec, *, times: int = 2, **options):
        super().__init__(spec, **options)
        self.times = times


class Plugged(MemoryPlugin, DIEN):
    """A memory beside a host that the registry has not.

    Args:
        **options: Options.
    """


@pytest.mark.parametrize("name", registry.names())
def test_signature_and_documentation_are_of_the_record(name):
    model, options = registry.model_class(name), registry.options(name)
    parameters = dict(inspect.signature(model).parameters)
    assert list(parameters) == ["spec", *options, "kwargs"]
    for key, one in options.items():
        assert parameters[key].default == one.default
        assert parameters[key].annotation == one.annotation
        assert f"\n    {key}: " in inspect.getdoc(model)
    assert "**options: " not in model.__doc__ and "**kwargs: " in model.__doc__


def test_documentation_says_rule_meaning_and_default():
    text = " ".join(inspect.getdoc(LMN).split())
    rule = "top_k: Integer of at least 2. Number of slots that a head reads for each query. "
    assert f"{rule}Defaults to `32`." in text


def test_a_model_called_has_no_signature_of_the_class():
    assert "top_k" not in inspect.signature(LMN(SPEC, **SMALL)).parameters


def test_options_are_attributes():
    model = LMN(SPEC, top_k=3, **SMALL)
    assert model.top_k == model.options.top_k == 3
    assert model.hidden_units == tuple(SMALL["hidden_units"])
    with pytest.raises(AttributeError, match="'LMN' object has no attribute 'topk'"):
        _ = model.topk


def test_unknown_and_wrong_options():
    with pytest.raises(UserError, match="`num_key` must be an option of LMN. .*`num_keys`"):
        LMN(SPEC, num_key=3)
    with pytest.raises(UserError, match="`top_k` of LMN must be an integer of at least 2"):
        LMN(SPEC, top_k=1)


def test_arguments_of_own_constructors_are_saved():
    model = Doubled(SPEC, times=3, dropout=0.1, **SMALL)
    config = model.get_config()
    assert (config["times"], config["dropout"]) == (3, 0.1)
    again = Doubled.from_config(config)
    assert (again.times, again.dropout) == (3, 0.1)
    assert inspect.signature(Doubled).parameters["times"].default == 2


def test_options_of_several_bases_are_combined():
    assert Plugged.Options.__name__ == "PluggedOptions"
    assert {"variant", "top_k", "dropout"} <= set(Plugged.Options.model_fields)
    assert "variant: One of augru" in Plugged.__doc__
    assert Doubled.Options is DIN.Options


def test_a_config_of_an_earlier_version_loads():
    config = LMN(SPEC, top_k=3, **SMALL).get_config()
    again = LMN.from_config({**config, "smooth_l1_beta": 1.0})
    assert again.get_config() == config
    with pytest.raises(UserError, match="`smooth_l1_beta` of LMN must be left out: .*=0.5"):
        LMN.from_config({**config, "smooth_l1_beta": 0.5})


@pytest.mark.parametrize(
    ("layer", "record"),
    [
        (ProductKeyMemory, ProductKeyMemoryOptions),
        (LargeMemory, LargeMemoryOptions),
        (SparseMemory, SparseMemoryOptions),
    ],
)
def test_layers_have_the_defaults_of_the_options(layer, record):
    renamed = {"memory_pooling": "pooling", "memory_hidden_units": "hidden_units"}
    config = layer().get_config()
    for name, value in record().values().items():
        assert config[renamed.get(name, name)] == value, name

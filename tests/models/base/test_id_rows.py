import pytest
from growing_shop import shop
from kitchen_sink import SMALL_OPTIONS

from lmn_tf.models import registry
from lmn_tf.training.saving.variable_paths import keyed_variables

MODELS = [
    *((name, {}) for name in registry.names() if name in SMALL_OPTIONS),
    ("pooling", {"softmax_weight": 0.1, "wide": True, "rates": True, "counts": True}),
    ("lmn_pair", {"pair_values": "trained", "pair_slots": None}),
    ("lmn_pair", {"pair_values": "ease", "pair_slots": None}),
    ("lmn_pair", {"pair_values": "trained", "pair_slots": None, "pair_rows": "keys"}),
    ("lmn_pair", {"pair_values": "trained", "pair_slots": None, "pair_columns": "keys"}),
]


def variables(name, items, options):
    model = registry.build(name, shop(items), {**SMALL_OPTIONS[name], **options})
    model.build()
    return keyed_variables(model), {id(one.variable): one for one in model.id_rows()}


@pytest.mark.parametrize(("name", "options"), MODELS)
def test_what_grows_with_the_vocabulary_is_listed(name, options):
    few, _ = variables(name, "abcd", options)
    many, listed = variables(name, "abcdefgh", options)
    grown = {key for key in many if many[key].shape != few[key].shape}
    found = {key for key, variable in many.items() if id(variable) in listed}
    assert grown and grown <= found
    assert len(found) == len(listed)  # all of them are variables of the model

import pytest

from lmn_tf.models.options import (
    LMNOptions,
    LMNSIMOptions,
    MSNOptions,
    UBR4CTROptions,
    UserAwarePoolingOptions,
)
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize(
    ("values", "key", "message"),
    [
        ({"num_keys": 5, "open_keys": 6}, "open_keys", "at most `num_keys`, 5. Received: .*=6"),
        ({"memorize": "hidden", "num_experts": 2}, "num_experts", "must be 0 for `memorize='hid"),
        ({"memorize": "cross", "query_target": True}, "memorize", "left alone.*query_target=True"),
        (
            {"memorize": "cross", "memory_pooling": "target_attention"},
            "memorize",
            "left alone.*memory_pooling='target_attention'",
        ),
    ],
)
def test_options_that_do_not_go_together(values, key, message):
    [(found, _)] = LMNSIMOptions.problems(values)
    assert found == key
    with pytest.raises(UserError, match=message):
        LMNOptions.make(values)


def test_a_memory_may_grow_in_a_warm_start():
    assert set(LMNOptions.may_grow) == set(MSNOptions.may_grow) == {"num_keys", "open_keys"}
    assert UserAwarePoolingOptions.may_grow == ()


def test_options_of_earlier_versions_may_have_the_value_that_stayed():
    assert LMNOptions.make({"smooth_l1_beta": 1.0, "top_k": 3}).top_k == 3
    [(key, message)] = LMNOptions.problems({"smooth_l1_beta": 0.5}, "model `lmn`")
    assert key == "smooth_l1_beta" and "must be left out: it is no longer an option" in message
    assert UBR4CTROptions.make({"selector_heads": 2}) == UBR4CTROptions()


def test_models_saved_with_an_integer_of_widths_load():
    record = LMNOptions.make({"memory_hidden_units": 64}, "LMN")
    assert record.memory_hidden_units == (64,)
    for wrong in (True, 0, [0]):
        with pytest.raises(
            UserError, match="`memory_hidden_units` of LMN must be a list of 1 or more"
        ):
            LMNOptions.make({"memory_hidden_units": wrong}, "LMN")

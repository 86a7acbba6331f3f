import pytest

from lmn_tf.models.options import MSNOptions, RankMixerOptions, SparseMoEOptions
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize(
    ("record", "values", "key", "message"),
    [
        (RankMixerOptions, {"num_tokens": 7}, "num_tokens", "divide `token_dim`, 64. .*tokens=7"),
        (MSNOptions, {"num_tokens": 7}, "num_tokens", "divide `token_dim`, 64. .*tokens=7"),
        (
            SparseMoEOptions,
            {"routed_experts": 4, "active_experts": 8},
            "active_experts",
            "at most `routed_experts`, 4. Received: active_experts=8",
        ),
        (
            SparseMoEOptions,
            {"expansion": 1, "active_experts": 3},
            "active_experts",
            "must divide `expansion . token_dim`, 64. Received: active_experts=3",
        ),
        (MSNOptions, {"gate": "sigmoid", "zero_output": True}, "zero_output", "must be False with"),
    ],
)
def test_options_that_do_not_go_together(record, values, key, message):
    [(found, _)] = record.problems(values)
    assert found == key
    with pytest.raises(UserError, match=message):
        record.make(values)


def test_tokens_have_no_meaning_in_one_block():
    assert MSNOptions.problems({"host": "mlp", "num_tokens": 7}) == []


def test_defaults_of_the_two_memories_differ():
    options = MSNOptions()
    assert (options.num_keys, options.top_k, options.key_dim) == (128, 16, 32)
    described = MSNOptions.described()["top_k"]
    assert described.schema["default"] == 16 and described.meaning.startswith(
        "Number of slots that a head"
    )

from lmn_tf.metrics.descriptions import DESCRIPTIONS, describe
from lmn_tf.metrics.figures import QUALITY, SLOTS


def test_every_figure_of_an_evaluation_is_described():
    for figure in (*QUALITY, *SLOTS):
        assert describe(f"valid/{figure.name}") == DESCRIPTIONS[figure.name]
    assert describe("usage/block_1_slots_used") == DESCRIPTIONS["slots_used"]
    assert describe("valid/clicks_attention_entropy_3") == DESCRIPTIONS["attention_entropy"]
    assert describe("valid/unheard_of") == ""

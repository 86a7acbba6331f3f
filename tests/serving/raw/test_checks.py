import pytest
import tensorflow as tf

from lmn_tf.serving.raw.checks import check_values


@pytest.mark.parametrize("graph", [False, True])
def test_the_first_value_that_breaks_a_rule_is_told(graph):
    def check(values):
        check_values(values > 0, "x", "the value must be positive", values)
        return values

    check = tf.function(check, autograph=False) if graph else check
    assert check(tf.constant([1, 2])).numpy().tolist() == [1, 2]
    with pytest.raises(
        tf.errors.InvalidArgumentError, match=r"`x`: the value must be positive. Received:.*\[-3\]"
    ):
        check(tf.constant([1, -3, -4]))

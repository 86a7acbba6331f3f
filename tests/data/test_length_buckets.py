import pytest

from lmn_tf.data.length_buckets import length_buckets, round_up


def test_powers_of_two_and_one_and_a_half_times_them():
    assert length_buckets(200) == (8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 200)
    assert length_buckets(24) == (8, 12, 16, 24)
    assert length_buckets(13) == (8, 12, 13)
    assert length_buckets(8) == (8,)
    assert length_buckets(5) == (5,)


@pytest.mark.parametrize("max_length", [1, 7, 8, 9, 100, 1000])
def test_rounding_up_wastes_at_most_a_half(max_length):
    for length in range(max_length + 1):
        width = round_up(length, max_length)
        assert length <= width <= max_length
        assert width <= max(8, 1.5 * length)

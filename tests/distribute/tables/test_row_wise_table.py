import pytest

from lmn_tf.distribute.tables.row_wise_table import RowWiseTable


def test_what_a_table_must_define():
    with pytest.raises(NotImplementedError, match="`lookup` must be defined"):
        RowWiseTable().lookup([0])
    with pytest.raises(NotImplementedError, match="`weighted_sum` must be defined"):
        RowWiseTable().weighted_sum([0], [1])

import numpy as np

from lmn_tf.data.disk_array import DiskArray


def test_parts_come_back_as_one_with_a_zero_item_behind(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.array([[1, 2], [3, 4]], np.float32))
    array.append(np.array([[5, 6]], np.float32))
    values = array.finish()
    assert values.tolist() == [[1, 2], [3, 4], [5, 6], [0, 0]] and values.dtype == np.float32
    assert list(tmp_path.iterdir()) == []


def test_nothing_but_the_zero_item(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.zeros(0, np.int32))
    assert array.finish().tolist() == [0]


def test_close_without_finishing(tmp_path):
    array = DiskArray(str(tmp_path / "a"))
    array.append(np.zeros(3, np.int32))
    array.close()

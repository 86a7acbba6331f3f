from lmn_tf.distribute.undistributed import Undistributed


def test_a_dataset_stays_as_it_is():
    dataset = object()
    assert Undistributed.experimental_distribute_dataset(dataset) is dataset

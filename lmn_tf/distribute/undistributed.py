"""A dataset that is to stay as it is."""


class Undistributed:
    """Stands for a strategy where Keras would distribute a dataset.

    Example:

    >>> Undistributed.experimental_distribute_dataset([1, 2])
    [1, 2]
    """

    @staticmethod
    def experimental_distribute_dataset(dataset):
        """Returns the dataset.

        Args:
            dataset: Anything.
        """
        return dataset

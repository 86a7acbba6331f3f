"""Variables for counts inside layers."""

import keras


def uncast_variable(shape, name, dtype="float64", initializer="zeros", aggregation="sum"):
    """Creates a variable that counts right inside a layer of mixed precision.

    Such a layer sees half-precision copies of its variables: a bfloat16 count stops at 256. This
    variable is never cast. Each replica adds to its own part, and reading puts the parts together.
    Keep it in an attribute of a layer or metric, which tracks it: `add_weight` and `add_variable`
    have no say in how replicas synchronize.

    Args:
        shape: Tuple of integers.
        name: String.
        dtype: String. Defaults to `"float64"`.
        initializer: Keras initializer. Defaults to `"zeros"`.
        aggregation: `"sum"` or `"mean"`: how reading puts the parts of replicas together. Defaults
            to `"sum"`.

    Returns:
        A `keras.Variable` that is not trained.

    Example:

    >>> reads = uncast_variable((4,), "reads")
    >>> reads.dtype, reads.trainable
    ('float64', False)
    """
    return keras.Variable(
        initializer=initializer,
        shape=shape,
        dtype=dtype,
        trainable=False,
        autocast=False,
        aggregation=aggregation,
        synchronization="on_read",
        name=name,
    )

"""Variables for counts inside layers."""

import keras


def uncast_variable(
    shape: tuple[int, ...],
    name: str,
    dtype: str = "float64",
    initializer: str | keras.initializers.Initializer = "zeros",
    aggregation: str = "sum",
) -> keras.Variable:
    """Creates a variable for counts inside a layer of mixed precision.

    Such a layer sees half-precision copies of its variables: a bfloat16 count stops at 256. This
    variable is never cast. Each replica updates its own part, and a read combines the parts.
    Keep it in an attribute of a layer or metric, which tracks it: `add_weight` and `add_variable`
    cannot set how replicas synchronize.

    Args:
        shape: Tuple of integers.
        name: String.
        dtype: String. Defaults to `"float64"`.
        initializer: Keras initializer. Defaults to `"zeros"`.
        aggregation: `"sum"` or `"mean"`: how a read combines the parts of replicas. Defaults to
            `"sum"`.

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

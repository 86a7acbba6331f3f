"""The check that an input has the axes that a layer reads."""

TOKENS = "(batch, tokens, D)"


def check_axes(name, shape, axes="(batch, length, d)"):
    """Refuses an input of another rank than a layer documents.

    Args:
        name: String. What the layer calls the input.
        shape: Shape of the input, a tuple.
        axes: String. The documented shape. Defaults to `"(batch, length, d)"`.

    Raises:
        ValueError: If the shape has more or fewer axes.

    Example:

    >>> check_axes("history", (32, 8))
    Traceback (most recent call last):
    ...
    ValueError: `history` must have shape (batch, length, d). Received: history.shape=(32, 8)
    """
    if len(shape) != len(axes.split(",")):
        raise ValueError(f"`{name}` must have shape {axes}. Received: {name}.shape={tuple(shape)}")

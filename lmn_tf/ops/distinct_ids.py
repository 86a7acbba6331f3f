"""Lists ids once each, and remembers in the graph that they are."""

import tensorflow as tf

_MARK = "_lmn_tf_distinct"


def distinct_ids(ids):
    """Lists each id once.

    Args:
        ids: Integer tensor.

    Returns:
        Tuple `(distinct, positions)`: the distinct ids in order of first
        appearance, of shape `(rows,)`, and int32 positions shaped like `ids`,
        with `distinct[positions] == ids`.

    Example:

    >>> distinct, positions = distinct_ids([[4, 2], [4, 4]])
    >>> distinct.numpy().tolist(), positions.numpy().tolist()
    ([4, 2], [[0, 1], [0, 0]])
    """
    ids = tf.convert_to_tensor(ids)
    distinct, positions = tf.unique(tf.reshape(ids, [-1]))
    distinct = tf.identity(distinct, name="distinct_ids")
    if not tf.executing_eagerly():
        value = tf.compat.v1.AttrValue(b=True)
        distinct.op._set_attr(_MARK, value)
    return distinct, tf.reshape(positions, tf.shape(ids))


def are_distinct(ids):
    """Says whether a tensor is the result of `distinct_ids`, as far as the graph can tell.

    What is gathered by distinct ids has a gradient with distinct indices, which
    need no second search for duplicates.

    Args:
        ids: Integer tensor, such as the indices of `tf.IndexedSlices`.

    Returns:
        `True` if they are known to be distinct; `False` otherwise, and always
        `False` in eager execution, which has no graph to look at.
    """
    if tf.executing_eagerly() or not hasattr(ids, "op"):
        return False
    operation = ids.op
    while operation.type in ("Identity", "Reshape"):
        if _is_marked(operation):
            return True
        operation = operation.inputs[0].op
    return False


def _is_marked(operation):
    try:
        return operation.get_attr(_MARK)
    except ValueError:
        return False

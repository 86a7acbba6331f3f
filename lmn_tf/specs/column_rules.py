"""Which keys a column of each kind needs, and which it must not have."""

from lmn_tf.specs.column import DEFAULTS, KIND_KEYS, KIND_NEEDS, OPTIONAL_KEYS
from lmn_tf.specs.errors import short
from lmn_tf.specs.section import Problem


def check_column(column):
    """Raises `Problem` when a feature or a field has what its kind cannot use, or lacks it."""
    kind = column.kind
    for key in OPTIONAL_KEYS:
        if not hasattr(column, key):
            continue
        value, unset = getattr(column, key), DEFAULTS.get(key)
        if value != unset and key not in KIND_KEYS[kind]:
            kinds = " or ".join(k for k, keys in KIND_KEYS.items() if key in keys)
            raise Problem(
                (key,),
                f"`{key}` must be given for kind {kinds} only. Received: `{key}` for kind {kind}",
            )
        if value == unset and key in KIND_NEEDS.get(kind, ()):
            raise Problem((), f"`{key}` must be given for kind {kind}. Received: nothing")
    if kind == "numeric" and column.table is not None and column.bucketize is None:
        raise Problem(
            ("table",),
            "`table` must be given for a numeric column only with `bucketize`."
            f" Received: table={column.table!r}",
        )
    if kind == "cross":
        _check_cross(column)
    if column.default is not None:
        _check_default(column)


def _check_cross(column):
    if len(column.of) < 2:
        raise Problem(("of",), f"`of` must name two features or more. Received: {list(column.of)}")
    seen = set()
    for index, name in enumerate(column.of):
        if name in seen:
            raise Problem(("of", index), f"`of` must not repeat. Received: {name!r} twice")
        seen.add(name)
    if column.lookup.hash is None:
        raise Problem(
            ("lookup", column.lookup.way),
            f"`lookup` of a cross must be `hash`. Received: {column.lookup.way}",
        )
    if getattr(column, "column", None) is not None:
        raise Problem(
            ("column",),
            "`column` must not be given for kind cross, which is made of features."
            f" Received: column={column.column!r}",
        )


def _check_default(column):
    default = column.default
    is_number = isinstance(default, (int, float))
    if column.kind == "numeric":
        if not is_number:
            raise Problem(
                ("default",),
                "`default` of a numeric column must be a number."
                f" Received: default={short(default)}",
            )
        return
    if isinstance(default, float):
        raise Problem(
            ("default",),
            f"`default` of a {column.kind} column must be text or an integer."
            f" Received: default={default!r}",
        )
    lookup = column.lookup
    if lookup.identity is not None and not (is_number and 0 <= default < lookup.identity):
        raise Problem(
            ("default",),
            f"`default` must be an integer in [0, {lookup.identity}), as `identity` says."
            f" Received: default={short(default)}",
        )
    if isinstance(lookup.vocabulary, tuple) and default not in lookup.vocabulary:
        raise Problem(
            ("default",),
            f"`default` must be in the vocabulary. Received: default={short(default)}",
        )

"""Registry of models by name, with their options, without importing TensorFlow.

A model of a user is named by an entry point or by its path, see `Parts`. Its options are those of
its class, whose module is imported when they are asked for.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from lmn_tf.models import options as records
from lmn_tf.models.options.record import Option, Options
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.parts.parts import Parts
from lmn_tf.specs.yaml.document import located

if TYPE_CHECKING:
    import keras

    from lmn_tf.specs.feature_spec import FeatureSpec

MODELS = {
    "dnn": "lmn_tf.models.hosts.dnn:DNN",
    "pooling": "lmn_tf.models.hosts.pooling:Pooling",
    "strong_pooling": "lmn_tf.models.hosts.strong_pooling:StrongPooling",
    "din": "lmn_tf.models.hosts.din:DIN",
    "dien": "lmn_tf.models.hosts.dien:DIEN",
    "mimn": "lmn_tf.models.hosts.mimn:MIMN",
    "lmn": "lmn_tf.models.memory.lmn:LMN",
    "lmn_sim": "lmn_tf.models.memory.lmn_sim:LMNSIM",
    "lmn_mimn": "lmn_tf.models.memory.lmn_mimn:LMNMIMN",
    "lmn_pair": "lmn_tf.models.memory.lmn_pair:LMNPair",
    "lmn_control": "lmn_tf.models.memory.user_aware_pooling:UserAwarePooling",
    "sim": "lmn_tf.models.hosts.sim:SIM",
    "sasrec": "lmn_tf.models.hosts.sasrec:SASRec",
    "ubr4ctr": "lmn_tf.models.hosts.ubr4ctr:UBR4CTR",
    "rankmixer": "lmn_tf.models.hosts.rankmixer:RankMixer",
    "sparse_moe": "lmn_tf.models.hosts.sparse_moe:SparseMoE",
    "msn": "lmn_tf.models.memory.msn:MSN",
    "imn": "lmn_tf.models.memory.imn:IMN",
    "two_tower": "lmn_tf.models.hosts.two_tower:TwoTower",
    "lmn_two_tower": "lmn_tf.models.memory.lmn_two_tower:LMNTwoTower",
}
# Rows of comparisons without a network. They are fitted, not trained, and are no Keras models.
BASELINES = {
    "rates": "lmn_tf.models.baselines.rates:Rates",
    "svd": "lmn_tf.models.baselines.svd:SVD",
    "ease": "lmn_tf.models.baselines.ease:EASE",
    "item_knn": "lmn_tf.models.baselines.item_knn:ItemKNN",
}
PARTS = Parts("a model", "lmn_tf.models", {**MODELS, **BASELINES}, base="lmn_tf.models:CTRModel")


def names() -> tuple[str, ...]:
    """Returns the names of the networks of this package, in the order of the documentation.

    Returns:
        Tuple of strings.

    Example:

    >>> "lmn" in names()
    True
    """
    return tuple(MODELS)


def baselines() -> tuple[str, ...]:
    """Returns the names of the rows of comparisons that have no network.

    Returns:
        Tuple of strings, in the order of the documentation.

    Example:

    >>> baselines()
    ('rates', 'svd', 'ease', 'item_knn')
    """
    return tuple(BASELINES)


def is_baseline(name: str) -> bool:
    """Returns whether a name is that of a row without a network.

    Args:
        name: String.

    Example:

    >>> is_baseline("rates"), is_baseline("din")
    (True, False)
    """
    return name in BASELINES


def record(name: str) -> type[Options]:
    """Returns the record of the options of a model.

    Args:
        name: String. Name or path of a model.

    Returns:
        A subclass of `Options`.

    Raises:
        UserError: If no such model exists, or it cannot be imported.

    Example:

    >>> record("lmn").__name__
    'LMNOptions'
    """
    path = PARTS.path(name)
    if name in PARTS.builtin:
        return getattr(records, f"{path.partition(':')[2]}Options")
    return model_class(name).Options


def options(name: str) -> dict[str, Option]:
    """Returns the options of a model.

    Args:
        name: String. Name or path of a model.

    Returns:
        Dictionary from option name to `Option`.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> options("lmn")["top_k"].default
    32
    """
    return record(name).described()


def check_options(name: str, options: Mapping[str, Any]) -> dict[str, Any]:
    """Checks options of a model separately, without their combinations.

    Args:
        name: String. Name or path of a model.
        options: Mapping from option name to value.

    Returns:
        Dictionary of the given options, lists turned into tuples.

    Raises:
        UserError: If the model or an option does not exist, or a value breaks its rule.

    Example:

    >>> check_options("din", {"hidden_units": [64, 32]})
    {'hidden_units': (64, 32)}
    """
    return record(name).checked(options, f"model `{name}`")


def check_model(
    model: Mapping[str, Any],
    source: tuple[Any, Any] = (None, None),
    path: tuple[str | int, ...] = ("model",),
) -> None:
    """Checks the section `model` of a YAML file; errors have their file and line.

    Args:
        model: Mapping of the model's `name` and its options.
        source: Pair of the path of the file and its `Marks`, as of `Document.source`; each may be
            `None`. Defaults to `(None, None)`.
        path: Tuple of keys and indices. Position of the section in the file. Defaults to
            `("model",)`.

    Raises:
        UserError: If the model or an option does not exist, a value breaks its rule, or options do
            not go together; with file and line, unless the value is not from a file (`--set`).
            Further mistakes are in its `others`.

    Example:

    >>> check_model({"name": "din", "hidden_units": [64, 32]})
    """
    name = model["name"]
    given = {key: value for key, value in model.items() if key != "name"}
    cause = None
    try:
        problems = record(name).problems(given, f"model `{name}`")
    except UserError as error:
        problems, cause = [("name", error.message)], error.__cause__
    errors = [located(message, source, (*path, key)) for key, message in problems]
    if errors:
        first = errors[0]
        raise UserError(first.message, first.file, first.line, others=errors[1:]) from cause


def build(
    name: str, spec: "FeatureSpec", options: Mapping[str, Any] | None = None
) -> "keras.Model":
    """Builds a registered model.

    Args:
        name: String. Name or path of a model.
        spec: `FeatureSpec` whose sizes are known.
        options: Mapping of model options, or `None`. Defaults to `None`.

    Returns:
        A `keras.Model`.

    Raises:
        UserError: If the model or an option does not exist, a value is not allowed, or the model
            has no network.

    Example:

    >>> build("dnn", spec, {"hidden_units": (8,)}).name
    'dnn'
    """
    check_model({**(options or {}), "name": name})
    if is_baseline(name):
        raise UserError(
            f"`name` must be a model with a network: {', '.join(MODELS)}. Received: name={name!r}, "
            "which `lmn-tf compare` and `lmn-tf train` fit without one"
        )
    try:
        return model_class(name)(spec, **(options or {}))
    except UserError:
        raise
    except ValueError as error:  # a value that the option allows but the layer does not
        raise UserError(f"model `{name}`: {error}") from error


def model_class(name: str) -> "type[keras.Model]":
    """Returns the class of a model, which imports TensorFlow.

    Args:
        name: String. Name or path of a model.

    Returns:
        A subclass of `CTRModel`, or the class of a row without a network.

    Raises:
        UserError: If no such model exists, or it cannot be imported.

    Example:

    >>> model_class("dnn").reads_histories
    False
    """
    return PARTS.load(name)


def name_of(kind: type) -> str:
    """Returns the name of the class of a model: that of this package, otherwise its path.

    Args:
        kind: A class.

    Example:

    >>> name_of(model_class("dnn"))
    'dnn'
    """
    path = f"{kind.__module__}:{kind.__qualname__}"
    return next((name for name, known in MODELS.items() if known == path), path)

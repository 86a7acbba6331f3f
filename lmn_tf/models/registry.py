"""The models by name, and the options each one takes, without importing TensorFlow."""

import ast
import difflib
import functools
import importlib
import math
import pathlib
import typing

from lmn_tf.specs.errors import UserError

MODELS = {
    "dnn": "lmn_tf.models.dnn:DNN",
    "pooling": "lmn_tf.models.pooling:Pooling",
    "din": "lmn_tf.models.din:DIN",
    "dien": "lmn_tf.models.dien:DIEN",
    "mimn": "lmn_tf.models.mimn:MIMN",
    "lmn": "lmn_tf.models.lmn:LMN",
    "lmn_sim": "lmn_tf.models.lmn_sim:LMNSIM",
    "lmn_mimn": "lmn_tf.models.lmn_mimn:LMNMIMN",
    "lmn_control": "lmn_tf.models.user_aware_pooling:UserAwarePooling",
    "sim": "lmn_tf.models.sim:SIM",
    "sasrec": "lmn_tf.models.sasrec:SASRec",
    "ubr4ctr": "lmn_tf.models.ubr4ctr:UBR4CTR",
    "rankmixer": "lmn_tf.models.rankmixer:RankMixer",
    "sparse_moe": "lmn_tf.models.sparse_moe:SparseMoE",
    "msn": "lmn_tf.models.msn:MSN",
    "imn": "lmn_tf.models.imn:IMN",
}

_PACKAGE = pathlib.Path(__file__).resolve().parents[1]


class Option(typing.NamedTuple):
    """One option of a model: its name, its type as written in the constructor, its default.

    Example:

    >>> Option("top_k", "int", 32).default
    32
    """

    name: str
    annotation: str
    default: typing.Any


class ModelClass(typing.NamedTuple):
    """A class as its source tells of it: its name, its docstring, the options it adds.

    Example:

    >>> ModelClass("DNN", "The base click model.", ()).name
    'DNN'
    """

    name: str
    docstring: str
    options: tuple[Option, ...]


def names():
    """The registered model names, in the order in which they are documented.

    Returns:
        Tuple of strings.

    Example:

    >>> "lmn" in names()
    True
    """
    return tuple(MODELS)


def options(name):
    """The options of a model, read from its constructor's source.

    The keyword-only arguments of the class and of the classes it derives from are the options;
    nothing is imported, so this answers before TensorFlow could be loaded.

    Args:
        name: String. A registered model name.

    Returns:
        Dictionary from option name to `Option`.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> options("lmn")["top_k"]
    Option(name='top_k', annotation='int', default=32)
    """
    return _known_options(name)


def classes(name):
    """The class of a model and those of this package that it derives from, nearest first.

    Args:
        name: String. A registered model name.

    Returns:
        Tuple of `ModelClass`, read from the source as `options` are.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> [one.name for one in classes("din")]
    ['DIN', 'CTRModel', 'ParameterServerFit', 'MultiWorkerFit', 'ReplicatedSteps']
    """
    return _classes(*_class_path(name).split(":"))


def check_options(name, options):
    """Checks the options of a model in a pipeline.

    Args:
        name: String. A registered model name.
        options: Mapping from option name to value.

    Returns:
        Dictionary of the given options, lists turned into tuples.

    Raises:
        UserError: If the model or an option does not exist, or a value has another type.

    Example:

    >>> check_options("din", {"hidden_units": [64, 32]})
    {'hidden_units': (64, 32)}
    """
    known = _known_options(name)
    checked = {}
    for key, value in options.items():
        if key not in known:
            raise UserError(
                f"`{key}` must be an option of model `{name}`. Received: {key}={value!r}."
                f"{_did_you_mean(key, known)}"
            )
        checked[key] = _checked_value(name, known[key], value)
    return checked


def check_model(model, place=(None, None), path=("model",)):
    """Checks the section `model` of a YAML file, and says where in the file a mistake is.

    Args:
        model: Mapping of the model's `name` and its options.
        place: Pair of the file's path and its `Marks`, as `Document.place` gives it; each may be
            `None`. Defaults to `(None, None)`.
        path: Tuple of keys and indices. Where the section stands in the file. Defaults to
            `("model",)`.

    Raises:
        UserError: If the model or an option does not exist, or a value has another type; with
            file and line, unless the value is from elsewhere, as `--set` is.

    Example:

    >>> check_model({"name": "din", "hidden_units": [64, 32]})
    """
    file, marks = place
    name = model["name"]
    steps = [({}, "name")]
    steps += [({key: value}, key) for key, value in model.items() if key != "name"]
    for some, key in steps:
        try:
            check_options(name, some)
        except UserError as error:
            where = (file, None) if marks is None else marks.place((*path, key), file)
            raise UserError(error.message, *(where if where[1] else (None, None))) from None


def build(name, spec, options=None):
    """Builds a registered model.

    Args:
        name: String. A registered model name.
        spec: `FeatureSpec` whose sizes are known.
        options: Mapping of model options, or `None`. Defaults to `None`.

    Returns:
        A `keras.Model`.

    Raises:
        UserError: If the model or an option does not exist, or a value is not allowed.

    Example:

    >>> build("dnn", spec, {"hidden_units": (8,)}).name
    'dnn'
    """
    checked = check_options(name, options or {})
    try:
        return model_class(name)(spec, **checked)
    except UserError:
        raise
    except ValueError as error:  # a value that an option's type allows and its layer does not
        raise UserError(f"model `{name}`: {error}") from error


def model_class(name):
    """The class of a registered model; this imports TensorFlow.

    Args:
        name: String. A registered model name.

    Returns:
        A subclass of `CTRModel`.

    Raises:
        UserError: If no such model exists.

    Example:

    >>> model_class("dnn").reads_histories
    False
    """
    module, class_name = _class_path(name).split(":")
    return getattr(importlib.import_module(module), class_name)


def _known_options(name):
    known = {}
    for one in classes(name):
        for option in one.options:
            known.setdefault(option.name, option)
    return known


def _class_path(name):
    if name not in MODELS:
        raise UserError(
            f"`name` must be a model: {', '.join(MODELS)}. Received: name={name!r}."
            f"{_did_you_mean(name, MODELS)}"
        )
    return MODELS[name]


def _did_you_mean(name, known):
    close = difflib.get_close_matches(str(name), list(known), n=1, cutoff=0.5)
    return f" Did you mean `{close[0]}`?" if close else ""


@functools.cache
def _classes(module, class_name):
    tree = _parse(module)
    definition = next(
        node for node in tree.body if isinstance(node, ast.ClassDef) and node.name == class_name
    )
    found = [ModelClass(class_name, ast.get_docstring(definition) or "", _own_options(definition))]
    for base_module, base_name in _bases(tree, definition):
        found += _classes(base_module, base_name)
    # What several classes derive from comes after all of them, as in Python.
    return tuple(one for index, one in enumerate(found) if one not in found[index + 1 :])


def _own_options(definition):
    own = []
    for node in definition.body:
        if isinstance(node, ast.FunctionDef) and node.name == "__init__":
            for argument, default in zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True):
                annotation = ast.unparse(argument.annotation)
                own.append(Option(argument.arg, annotation, ast.literal_eval(default)))
    return tuple(own)


def _parse(module):
    path = _PACKAGE.joinpath(*module.split(".")[1:]).with_suffix(".py")
    return ast.parse(path.read_text(encoding="utf-8"))


def _bases(tree, definition):
    """Yields (module, class) of the bases that this package imports by name."""
    imported = {
        alias.asname or alias.name: (node.module, alias.name)
        for node in tree.body
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lmn_tf.models")
        for alias in node.names
    }
    for base in definition.bases:
        if isinstance(base, ast.Name) and base.id in imported:
            yield imported[base.id]


def _checked_value(model, option, value):
    rule = ast.parse(option.annotation, mode="eval").body
    converted, fits = _convert(rule, value)
    if not fits:
        raise UserError(
            f"`{option.name}` of model `{model}` must be {_describe(rule)}. "
            f"Received: {option.name}={value!r}."
            f"{_did_you_mean(value, _choices(rule)) if isinstance(value, str) else ''}"
        )
    return converted


def _convert(rule, value):
    """Returns (value in the rule's type, whether it fits)."""
    if isinstance(rule, ast.BinOp):
        for side in (rule.left, rule.right):
            converted, fits = _convert(side, value)
            if fits:
                return converted, True
        return value, False
    if isinstance(rule, ast.Constant):
        return value, value is rule.value
    if isinstance(rule, ast.Subscript):
        if rule.value.id == "Literal":
            return value, isinstance(value, str) and value in _choices(rule)
        return _convert_tuple(rule.slice.elts[0], value)
    return _convert_plain(rule.id, value)


def _convert_tuple(rule, values):
    if not isinstance(values, list | tuple):
        return values, False
    pairs = [_convert(rule, value) for value in values]
    return tuple(value for value, _ in pairs), all(fits for _, fits in pairs)


def _convert_plain(kind, value):
    if kind == "float" and isinstance(value, int | float) and not isinstance(value, bool):
        return float(value), math.isfinite(value)
    types = {"int": int, "bool": bool, "str": str}
    return value, kind in types and type(value) is types[kind]


def _choices(rule):
    if isinstance(rule, ast.BinOp):
        return _choices(rule.left) + _choices(rule.right)
    if isinstance(rule, ast.Subscript) and rule.value.id == "Literal":
        parts = rule.slice.elts if isinstance(rule.slice, ast.Tuple) else [rule.slice]
        return [part.value for part in parts]
    return []


def _describe(rule):
    words = {"int": "an integer", "float": "a number", "bool": "true or false", "str": "a string"}
    if isinstance(rule, ast.BinOp):
        return f"{_describe(rule.left)} or {_describe(rule.right)}"
    if isinstance(rule, ast.Constant):
        return "null"
    if isinstance(rule, ast.Subscript):
        if rule.value.id == "Literal":
            return "one of " + ", ".join(_choices(rule))
        return "a list, each item " + _describe(rule.slice.elts[0])
    return words[rule.id]

"""Records of model options: type, default, rule and meaning."""

import functools
import inspect
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

import pydantic

from lmn_tf.models.options.rules import rule_text
from lmn_tf.specs.errors import UserError, did_you_mean, short
from lmn_tf.specs.yaml.section import Positive, Problem

# Types of options, in addition to those of sections of YAML files.
AtLeastTwo = Annotated[int, pydantic.Field(strict=True, ge=2, le=2**63 - 1)]
Share = Annotated[float, pydantic.Field(strict=True, ge=0, lt=1)]
Widths = tuple[Positive, ...]
SomeWidths = Annotated[tuple[Positive, ...], pydantic.Field(min_length=1)]

# Names of activations: those of layers of this package, and those of Keras.
Activation = Literal[
    "prelu",
    "dice",
    "relu",
    "gelu",
    "silu",
    "sigmoid",
    "tanh",
    "elu",
    "selu",
    "celu",
    "leaky_relu",
    "relu6",
    "softplus",
    "softsign",
    "hard_sigmoid",
    "hard_silu",
    "swish",
    "mish",
    "exponential",
    "linear",
]

_UNKNOWN = ("extra_forbidden", "invalid_key")


class Option(typing.NamedTuple):
    """One option of a model.

    Args:
        name: String.
        annotation: Python type of the values.
        default: Default value.
        meaning: String. Description in one or two sentences.
        schema: Dictionary. JSON Schema of the values, with `default` and `description`.
        owner: String. Name of the class that declares the option.

    Example:

    >>> from lmn_tf.models.options import PoolingOptions
    >>> PoolingOptions.described()["pooling"].default
    'mean'
    """

    name: str
    annotation: Any
    default: Any
    meaning: str
    schema: dict
    owner: str


def option(default: Any, meaning: str) -> Any:
    """Declares the default and the meaning of an option in a record.

    Args:
        default: Default value.
        meaning: String. Description in one or two sentences.

    Returns:
        A pydantic field.

    Example:

    >>> class MyOptions(Options):
    ...     width: Positive = option(8, "Width of the map.")
    """
    return pydantic.Field(default, description=meaning)


class Options(pydantic.BaseModel):
    """Base class of records of model options: frozen, with strict names, types and rules.

    A record `NameOptions` declares the options of the class `Name`, and derives from the records of
    the bases of `Name`. Constructors and configs of models, checks of pipelines, the JSON Schema
    and the models page are derived from it. `check` has the rules for combinations of options,
    `retired` the options of earlier versions with the only value that they may still have,
    `implied` the values for models that were saved before an option existed, and `may_grow` the
    names of options that a warm start may change. A record that gives an option of a base another
    default repeats its type, not its meaning.

    Example:

    >>> class MyOptions(Options):
    ...     width: Positive = option(8, "Width of the map.")
    >>> MyOptions.make({"widht": 9})
    Traceback (most recent call last):
    ...
    lmn_tf.specs.errors.UserError: `widht` must be an option. Received: widht=9. Did you mean \
`width`?
    """

    model_config = pydantic.ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True
    )

    retired: ClassVar[dict] = {}
    implied: ClassVar[dict] = {}
    may_grow: ClassVar[tuple] = ()

    @classmethod
    def __pydantic_init_subclass__(cls, **kwargs: Any) -> None:
        super().__pydantic_init_subclass__(**kwargs)
        # Pydantic takes the first base that has an option, even if it inherits it and a later base
        # declares it anew; a default is that of the nearest record that declares it, as in Python.
        for name in cls.model_fields:
            owner = next(one for one in cls.__mro__ if name in inspect.get_annotations(one))
            cls.model_fields[name] = owner.model_fields[name]

    def check(self) -> None:
        """Raises `Problem` for invalid combinations of options; subclasses extend it."""

    @classmethod
    def make(cls, values: Mapping[str, Any], owner: str = "") -> "Options":
        """Creates a record from values.

        Args:
            values: Mapping from the name of an option to its value.
            owner: String. Owner of the options, for messages. Defaults to `""`.

        Raises:
            UserError: If an option does not exist, breaks its rule, or is invalid in combination.
        """
        record, problems = cls._validated(values, owner)
        if problems:
            raise UserError(problems[0][1])
        return record

    @classmethod
    def checked(cls, values: Mapping[str, Any], owner: str = "") -> dict[str, Any]:
        """Returns given values in the types of the options, after separate checks.

        Args:
            values: Mapping from the name of an option to its value.
            owner: String. Owner of the options, for messages. Defaults to `""`.

        Raises:
            UserError: If an option does not exist, or breaks its rule.
        """
        record, problems = cls._validated(values, owner, together=False)
        if problems:
            raise UserError(problems[0][1])
        return {key: getattr(record, key) for key in cls._kept(values)}

    @classmethod
    def problems(
        cls, values: Mapping[str, Any], owner: str = "", together: bool = True
    ) -> list[tuple[str, str]]:
        """Returns the problems of given values.

        Args:
            values: Mapping from the name of an option to its value.
            owner: String. Owner of the options, for messages. Defaults to `""`.
            together: Boolean. Whether to check combinations of options. Defaults to `True`.

        Returns:
            List of pairs of an option's name and a message, in the order of the values.
        """
        return cls._validated(values, owner, together)[1]

    @classmethod
    def _validated(cls, values, owner, together=True):
        """Returns the record (`None` if invalid) and the list of problems."""
        of = f" of {owner}" if owner else ""
        record, wrong = None, {}
        for key, value in cls.all_retired().items():
            if key in values and _plain(values[key]) != value:
                text = f"`{key}`{of} must be left out: it is no longer an option, and always "
                wrong[key] = f"{text}{value!r}. Received: {key}={short(values[key])}."
        try:
            record = cls.model_validate(cls._kept(values))
        except pydantic.ValidationError as error:
            for item in reversed(error.errors(include_url=False)):
                key = item["loc"][0]
                wrong[key] = cls._message(key, values[key], item["type"], of)
        if not wrong and together:
            try:
                record.check()
            except Problem as problem:
                return record, [(problem.path[0], problem.message)]
        return record, [(key, wrong[key]) for key in values if key in wrong]

    @classmethod
    def described(cls) -> dict[str, Option]:
        """Returns the options, starting with those of the record itself.

        Returns:
            Dictionary from name to `Option`.
        """
        return dict(_described(cls))

    def values(self) -> dict[str, Any]:
        """Returns the values of all options, by name."""
        return {name: getattr(self, name) for name in type(self).model_fields}

    @classmethod
    def json_schema(cls) -> dict[str, Any]:
        """Returns the JSON Schema of a mapping from options to values."""
        properties = {name: option.schema for name, option in cls.described().items()}
        return {
            "type": "object",
            "description": cls.__doc__,
            "properties": properties,
            "additionalProperties": False,
        }

    @classmethod
    def all_retired(cls) -> dict[str, Any]:
        """Returns the options of earlier versions with their values, including bases."""
        return cls._of_bases("retired")

    @classmethod
    def all_implied(cls) -> dict[str, Any]:
        """Returns the values for models that were saved before an option existed."""
        return cls._of_bases("implied")

    @classmethod
    def _of_bases(cls, attribute):
        values = {}
        for record in reversed(cls.__mro__):
            values |= vars(record).get(attribute, {})
        return values

    @classmethod
    def _kept(cls, values):
        retired = cls.all_retired()
        return {key: value for key, value in values.items() if key not in retired}

    @classmethod
    def _message(cls, key, value, kind, of):
        if kind in _UNKNOWN:
            known = did_you_mean(key, cls.model_fields)
            return f"`{key}` must be an option{of}. Received: {key}={short(value)}.{known}"
        schema = _described(cls)[key].schema
        text = f"`{key}`{of} must be {rule_text(schema)}. Received: {key}={short(value)}."
        choices = _choices(schema)
        return text + did_you_mean(value, choices) if choices and isinstance(value, str) else text


@functools.cache
def _described(cls):
    schemas = cls.model_json_schema()["properties"] if cls.model_fields else {}
    options = {}
    for record in cls.__mro__:
        declared = inspect.get_annotations(record) if record in _records(cls) else {}
        for name in declared:
            if name in cls.model_fields and name not in options:
                options[name] = _option(cls, record, name, schemas[name])
    return options


def _records(cls):
    return [record for record in cls.__mro__ if issubclass(record, Options)]


def _option(cls, record, name, schema):
    fields = [base.model_fields[name] for base in _records(cls) if name in base.model_fields]
    meaning = next(field.description for field in fields if field.description)
    schema = {key: value for key, value in schema.items() if key != "title"}
    owner = record.__name__.removesuffix("Options")
    annotation = _plain_type(fields[0].annotation)
    default = fields[0].default
    return Option(name, annotation, default, meaning, {**schema, "description": meaning}, owner)


def _plain_type(kind):
    """A type without annotations for pydantic."""
    origin, args = typing.get_origin(kind), typing.get_args(kind)
    if origin is Annotated:
        return _plain_type(args[0])
    if origin in (types.UnionType, typing.Union):
        return functools.reduce(lambda left, right: left | right, map(_plain_type, args))
    return tuple[_plain_type(args[0]), ...] if origin is tuple else kind


def _plain(value):
    return tuple(value) if isinstance(value, list) else value


def _choices(schema):
    return [choice for part in schema.get("anyOf", [schema]) for choice in part.get("enum", ())]

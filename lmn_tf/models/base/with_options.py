"""Classes whose constructor takes the options of a record."""

import inspect
import re
import textwrap
from collections.abc import Mapping
from typing import Any

from lmn_tf.models.options.record import Options
from lmn_tf.models.options.rules import rule_text
from lmn_tf.specs.errors import UserError, did_you_mean, short

# Other arguments of the constructor: those of Keras and of saved models.
_ARGUMENTS = (
    "activity_regularizer",
    "autocast",
    "dtype",
    "fingerprint",
    "name",
    "sizes",
    "trainable",
)
_ENTRY = re.compile(r"^( *)\*\*options: ", re.M)


class _Signature:
    """Descriptor of a signature with all options, for `inspect.signature`."""

    def __get__(self, instance, owner):
        if instance is not None:
            raise AttributeError("the signature of a call is not that of the class")
        kinds = inspect.Parameter
        options = [
            kinds(
                option.name,
                kinds.KEYWORD_ONLY,
                default=option.default,
                annotation=option.annotation,
            )
            for option in owner.Options.described().values()
        ]
        return inspect.Signature(
            [
                kinds("spec", kinds.POSITIONAL_OR_KEYWORD),
                *_own_arguments(owner).values(),
                *options,
                kinds("kwargs", kinds.VAR_KEYWORD),
            ]
        )


class WithOptions:
    """Mixin of models with the options of the record `Options`.

    A class that does not define a record has the options of all its bases, and arguments of its own
    constructor are options as well. The signature and the documentation of `**options:` are
    generated from the record. Models use `self.options`; each option is also an attribute.

    Example:

    >>> class Wide(lmn_tf.models.DIN):
    ...     pass
    >>> Wide.Options.__name__, inspect.signature(Wide).parameters["dropout"].default
    ('DINOptions', 0.0)
    """

    Options = Options
    __signature__ = _Signature()

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        if "Options" not in vars(cls):
            records = [base.Options for base in cls.__bases__ if hasattr(base, "Options")]
            cls.Options = _combined(f"{cls.__name__}Options", records)
        if cls.__doc__:
            cls.__doc__ = _ENTRY.sub(lambda match: _entries(cls.Options, match), cls.__doc__)

    def __getattr__(self, name):
        options = vars(self).get("options")
        if options is None or name not in type(options).model_fields:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        return getattr(options, name)

    @classmethod
    def split_options(cls, given: Mapping[str, Any]) -> tuple[Options, dict[str, Any]]:
        """Splits arguments into a record of options and other arguments.

        Raises:
            UserError: If an option breaks a rule, or an argument does not exist.
        """
        known = {*cls.Options.model_fields, *cls.Options.all_retired()}
        others = {key: value for key, value in given.items() if key not in known}
        for key in others:
            if key not in _ARGUMENTS:
                raise UserError(
                    f"`{key}` must be an option of {cls.__name__}. "
                    f"Received: {key}={short(given[key])}.{did_you_mean(key, known)}"
                )
        values = {key: value for key, value in given.items() if key in known}
        return cls.Options.make(values, cls.__name__), others

    def option_values(self) -> dict[str, Any]:
        """Returns the values of all options by name, including those of subclasses."""
        own = {name: getattr(self, name) for name in _own_arguments(type(self))}
        return {**own, **self.options.values()}


def _combined(name, records):
    """A record with the options of several records."""
    records = list(dict.fromkeys(records))
    nearest = [
        record for record in records if sum(issubclass(other, record) for other in records) == 1
    ]
    return nearest[0] if len(nearest) == 1 else type(nearest[0])(name, tuple(nearest), {})


def _own_arguments(cls):
    """The keyword-only arguments of the constructors of a class and its bases."""
    return {
        name: parameter
        for base in cls.__mro__
        if issubclass(base, WithOptions) and "__init__" in vars(base)
        for name, parameter in inspect.signature(base.__init__).parameters.items()
        if parameter.kind is parameter.KEYWORD_ONLY and name not in cls.Options.model_fields
    }


def _entries(record, match):
    """Documentation of the options, followed by that of other arguments."""
    indent, lines = match[1], []
    for option in record.described().values():
        rule = re.sub("^an? ", "", rule_text(option.schema))
        text = f"{option.name}: {rule[0].upper()}{rule[1:]}. {option.meaning}"
        if not option.meaning.endswith("."):
            text += "."
        lines += textwrap.wrap(
            f"{text} Defaults to `{option.default!r}`.",
            100,
            initial_indent=indent,
            subsequent_indent=indent + "    ",
            break_long_words=False,
            break_on_hyphens=False,
        )
    return "\n".join([*lines, match[0].replace("**options", "**kwargs")])

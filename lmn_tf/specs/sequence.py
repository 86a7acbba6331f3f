"""One history of events before an impression."""

from typing import Annotated, Literal

import pydantic

from lmn_tf.specs.errors import did_you_mean
from lmn_tf.specs.events import Events
from lmn_tf.specs.field import Field
from lmn_tf.specs.section import Name, Problem, section


@section
class Sequence:
    """A list of events of a user, oldest first.

    Args:
        name: String, unique among features and sequences.
        max_length: Integer. Longer histories are cut.
        keep: `"newest"` or `"oldest"`: the side that survives. Defaults to `"newest"`.
        fields: Tuple of `Field`; their lists are equally long in each row.
        events: `Events` when histories are read by reference. Defaults to `None`: inline lists.
    """

    name: Name
    max_length: Annotated[int, pydantic.Field(strict=True, ge=1, le=1_000_000)]
    keep: Literal["newest", "oldest"] = "newest"
    fields: Annotated[tuple[Field, ...], pydantic.Field(min_length=1)]
    events: Events | None = None

    @pydantic.model_validator(mode="after")
    def _check(self):
        for index, field in enumerate(self.fields):
            names = [other.name for other in self.fields[:index]]
            if field.name in names:
                raise Problem(
                    ("fields", index, "name"),
                    f"names of fields must differ. Received: {field.name!r} twice",
                )
            if field.name == "mask":
                raise Problem(
                    ("fields", index, "name"),
                    "`name` must not be 'mask', which is the sequence's own. Received: name='mask'",
                )
        return self

    def field(self, name):
        """Returns the `Field` called `name`."""
        for field in self.fields:
            if field.name == name:
                return field
        names = [field.name for field in self.fields]
        raise KeyError(f"`{name}` must be a field of `{self.name}`.{did_you_mean(name, names)}")

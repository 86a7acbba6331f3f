import subprocess
import sys
from typing import ClassVar, Literal

import pydantic
import pytest

from lmn_tf.models import options as records
from lmn_tf.models.options.record import AtLeastTwo, Options, SomeWidths, option
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml.section import Problem


class BaseOptions(Options):
    width: AtLeastTwo = option(4, "Width of the map.")
    mode: Literal["sum", "mean"] = option("sum", "How parts are merged.")
    retired: ClassVar[dict] = {"scale": 1.0, "sizes": (2, 3)}

    def check(self):
        super().check()
        if self.mode == "mean" and self.width == 5:
            raise Problem(("width",), "`width` must not be 5. Received: width=5")


class HeirOptions(BaseOptions):
    units: SomeWidths | None = option(None, "Hidden layers.")
    width: AtLeastTwo = 8
    retired: ClassVar[dict] = {"depth": 2}


RECORDS = [getattr(records, name) for name in records.__all__ if name.endswith("Options")]


def test_options_are_described_nearest_class_first():
    found = HeirOptions.described()
    assert list(found) == ["units", "width", "mode"]
    assert [one.owner for one in found.values()] == ["Heir", "Heir", "Base"]
    assert found["units"].annotation == tuple[int, ...] | None
    width = found["width"]
    assert (width.default, width.meaning) == (8, "Width of the map.")
    assert width.schema["default"] == 8 and width.schema["description"] == "Width of the map."


def test_a_record_is_made_of_what_is_given():
    made = HeirOptions.make({"units": [3], "mode": "mean"})
    assert made.values() == {"units": (3,), "mode": "mean", "width": 8}
    assert BaseOptions().width == 4
    with pytest.raises(pydantic.ValidationError, match="frozen"):
        made.width = 3


def test_values_are_checked_alone_and_together():
    wrong = {"mode": "meen", "widht": 3, "width": 1, "units": []}
    assert HeirOptions.problems(wrong, "Heir") == [
        (
            "mode",
            "`mode` of Heir must be one of sum, mean. Received: mode='meen'. Did you mean `mean`?",
        ),
        ("widht", "`widht` must be an option of Heir. Received: widht=3. Did you mean `width`?"),
        ("width", "`width` of Heir must be an integer of at least 2. Received: width=1."),
        (
            "units",
            "`units` of Heir must be a list of 1 or more, each item an integer of at least "
            "1 or null. Received: units=[].",
        ),
    ]
    pair = {"mode": "mean", "width": 5}
    assert HeirOptions.problems(pair) == [("width", "`width` must not be 5. Received: width=5")]
    assert HeirOptions.checked(pair) == pair
    with pytest.raises(UserError, match="`width` must not be 5"):
        HeirOptions.make(pair)
    with pytest.raises(UserError, match="`width` must be an integer of at least 2"):
        HeirOptions.checked({"width": 1})


def test_retired_options_may_have_their_last_value():
    values = {"scale": 1, "sizes": [2, 3], "depth": 2, "width": 3}
    assert HeirOptions.make(values).values() == {"units": None, "mode": "sum", "width": 3}
    assert HeirOptions.checked(values) == {"width": 3}
    assert HeirOptions.problems({"scale": 2.0}, "Heir") == [
        (
            "scale",
            "`scale` of Heir must be left out: it is no longer an option, and always 1.0. "
            "Received: scale=2.0.",
        )
    ]
    assert "scale" not in HeirOptions.described()


def test_a_default_is_that_of_the_nearest_record_that_declares_it():
    class OtherOptions(BaseOptions):
        depth: AtLeastTwo = option(2, "Number of layers.")

    class BothOptions(OtherOptions, HeirOptions):
        pass

    width = BothOptions.described()["width"]
    assert BothOptions().width == BothOptions.make({}).width == 8
    assert (width.default, width.schema["default"], width.owner) == (8, 8, "Heir")


def test_implied_values_are_those_of_all_bases():
    class EldestOptions(HeirOptions):
        implied: ClassVar[dict] = {"width": 4}

    class YoungestOptions(EldestOptions):
        implied: ClassVar[dict] = {"mode": "mean"}

    assert YoungestOptions.all_implied() == {"width": 4, "mode": "mean"}
    assert HeirOptions.all_implied() == {}


def test_the_schema_knows_each_option():
    schema = HeirOptions.json_schema()
    assert set(schema["properties"]) == {"units", "width", "mode"}
    assert schema["additionalProperties"] is False
    assert schema["properties"]["width"]["minimum"] == 2


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record.__name__)
def test_each_option_has_a_meaning_and_a_default_that_keeps_the_rules(record):
    assert record.problems(record().values()) == []
    for name, one in record.described().items():
        assert one.meaning.endswith((".", "`")) and one.meaning[0].isupper(), name


def test_needs_no_tensorflow():
    code = (
        "import sys; from lmn_tf.models.options import LMNOptions; LMNOptions.make({'top_k': 8});"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

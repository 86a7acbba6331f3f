"""Edited copies of the example files, for the tests of what specs refuse."""

import re
from pathlib import Path

import pytest

from lmn_tf.specs import spec_file
from lmn_tf.specs.errors import UserError

EXAMPLES = Path(__file__).resolve().parents[1] / "specs" / "examples"
FEATURES = EXAMPLES / "feature_specs" / "everything.yaml"
PIPELINE = EXAMPLES / "pipelines" / "everything.yaml"
COMPARISON = EXAMPLES / "pipelines" / "comparison.yaml"


def check_refused(file, old, new, message, folder):
    """Checks that `file` with its first `old` replaced is refused, in that line, with `message`.

    `message` is whole sentences of the refusal, but for the end of the last one: a word of a
    sentence stands in many wrong messages too.
    """
    text = file.read_text(encoding="utf-8")
    assert old in text
    line = text[: text.index(old)].count("\n") + 1
    edited = folder / file.name
    edited.write_text(text.replace(old, new, 1), encoding="utf-8")
    with pytest.raises(UserError, match=".") as caught:
        spec_file.load(edited)
    found = re.search(r"(^|[.?] )" + re.escape(message), caught.value.message)
    assert found and " " in message, caught.value.message
    assert (caught.value.file, caught.value.line) == (str(edited), line)

import pytest

from lmn_tf.specs.delimiter import as_delimiter
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineData


@pytest.mark.parametrize("text", [",", ";", "|", " ", "\t", r"\t", "\x01"])
def test_one_character(text):
    assert as_delimiter(text) == text.replace(r"\t", "\t")
    assert PipelineData(train="a.csv", delimiter=text).delimiter == as_delimiter(text)


@pytest.mark.parametrize("text", ["", ";;", '"', "\n", "\r", "\0", "§", r"\n", 7, None, True])
def test_what_is_none(text):
    message = r"`delimiter` must be one ASCII character, not a quote .*; `\\t` is a tab. Received: "
    with pytest.raises(UserError, match=message):
        as_delimiter(text)


def test_a_pipeline_names_the_rule():
    with pytest.raises(ValueError, match="must be one ASCII character, .* Received: ';;'"):
        PipelineData(train="a.csv", delimiter=";;")

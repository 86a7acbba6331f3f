from lmn_tf.specs.docstrings import arguments, opening, sections

TEXT = """Adds two numbers.

    x + y

Args:
    x: Float.
        Also an integer: 1
    y: Float.

    Defaults are in a second paragraph.
    *more: Floats.

Not indented, so it is of no argument: nothing.

Call arguments:
    z: Tensor.
"""


def test_the_opening_ends_at_the_first_section():
    assert opening(TEXT) == "Adds two numbers.\n\n    x + y"
    assert opening("Adds.") == "Adds."


def test_sections_are_not_indented():
    assert sections("Adds.") == {}
    found = sections(TEXT)
    assert list(found) == ["Args", "Call arguments"]
    assert found["Call arguments"] == "z: Tensor."


def test_arguments_end_where_the_indentation_does():
    assert arguments("Adds.") == {}
    assert arguments(TEXT) == {
        "x": "Float. Also an integer: 1",
        "y": "Float. Defaults are in a second paragraph.",
        "*more": "Floats.",
    }

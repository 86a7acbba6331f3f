"""Names of data and of rows of tables, as text of a picture."""


def picture_text(text: str) -> str:
    r"""Returns a text as Matplotlib draws it literally: two dollar signs would begin mathematics.

    Args:
        text: String. A name of the data, a label, or a title that has some.

    Example:

    >>> print(picture_text("A$AP, Ke$ha"))
    A\$AP, Ke\$ha
    """
    return text.replace("$", r"\$")

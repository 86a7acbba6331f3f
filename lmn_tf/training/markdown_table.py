"""Tables in Markdown whose columns also stand below each other as plain text."""


def markdown_table(titles: list[str], rows: list[list[str]]) -> list[str]:
    """Lays out a table.

    Args:
        titles: Titles of the columns.
        rows: Cells of each row.

    Returns:
        Lines of text.

    Example:

    >>> print("\\n".join(markdown_table(["model", "AUC"], [["lmn", "0.7"], ["dnn", "-"]])))
    | model | AUC |
    | ----- | --- |
    | lmn   | 0.7 |
    | dnn   | -   |
    """
    rows = [[cell.replace("|", "\\|") for cell in row] for row in rows]
    widths = [max(len(row[index]) for row in [titles, *rows]) for index in range(len(titles))]

    def line(cells):
        padded = (cell.ljust(width) for cell, width in zip(cells, widths, strict=True))
        return "| " + " | ".join(padded) + " |"

    return [line(titles), line(["-" * width for width in widths]), *map(line, rows)]

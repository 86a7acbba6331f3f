"""The error of an export that cannot be used."""


class ExportError(RuntimeError):
    """An export that would not serve what was trained.

    Example:

    >>> str(ExportError("the export must store each variable once"))
    'the export must store each variable once'
    """

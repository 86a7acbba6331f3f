"""Relative improvement over a baseline, in percent."""


def rela_impr(auc: float, base: float) -> float:
    """Returns the relative improvement of AUC above chance, in percent.

    `((auc - 0.5) / (base - 0.5) - 1) * 100`; a random ranking has an AUC of 0.5.

    Args:
        auc: Float. AUC of the model.
        base: Float above 0.5. AUC of the baseline.

    Returns:
        Float, in percent; positive is better.

    Raises:
        ValueError: If `base` is not above 0.5, where the ratio has no meaning.

    Example:

    >>> round(rela_impr(0.7371, 0.7265), 2)
    4.68

    Reference:
        Yan et al. 2014, "Coupled group lasso for web-scale CTR prediction in display
        advertising", section 4.2.
    """
    if not base > 0.5:
        raise ValueError(f"`base` must be above 0.5, the AUC of chance. Received: base={base}")
    return ((auc - 0.5) / (base - 0.5) - 1.0) * 100.0

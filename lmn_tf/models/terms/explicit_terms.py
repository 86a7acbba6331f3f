"""Terms of a click model beside its MLP: interactions of groups, weights of ids, and rates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.features.wide_logits import WideLogits
from lmn_tf.layers.core.feature_interaction import FeatureInteraction
from lmn_tf.models.terms.columns import check_item_ids
from lmn_tf.models.terms.logit_calibration import LogitCalibration
from lmn_tf.models.terms.rate_terms import RateTerms
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml.section import Problem

if TYPE_CHECKING:
    from lmn_tf.models.base.ctr_model import CTRModel


def make_interaction(model: CTRModel) -> FeatureInteraction | None:
    """Returns the layer of the option `interaction`, or `None` for `"none"`.

    Args:
        model: Click model with its options, spec and encoder.

    Raises:
        UserError: If products with the candidate are asked for without item features in the head.
    """
    kind = model.options.interaction
    if kind == "none":
        return None
    roles = [role for role in model.head_roles if model.encoder.widths[role]]
    if kind == "product" and "item" not in roles:
        raise UserError(
            "`interaction` must not be 'product' for a head that reads no item features. "
            f"Received: interaction='product', and features of {', '.join(roles) or 'no role'}"
        )
    return FeatureInteraction(
        kind,
        num_layers=model.options.cross_layers,
        projection_dim=model.spec.embedding_dim,
        candidate=roles.index("item") if "item" in roles else 0,
        dtype=model.dtype_policy,
        name="feature_interaction",
    )


def check_terms(model: CTRModel) -> None:
    """Raises a `UserError` if an option needs an item feature that the spec does not have.

    Args:
        model: Click model with its options and spec.
    """
    try:
        check_item_ids(model.spec, model.options)
    except Problem as problem:
        raise UserError(str(problem)) from None


def make_wide_logits(model: CTRModel) -> WideLogits | None:
    """Returns the layer of the option `wide`, or `None` without it.

    Args:
        model: Click model with its options, spec and encoder.
    """
    if not model.options.wide:
        return None
    return WideLogits(
        model.spec,
        len(model.label_names),
        model.encoder.sizes,
        model.head_roles,
        dtype="float32",
        name="wide_logits",
    )


def make_rate_terms(model: CTRModel) -> RateTerms | None:
    """Returns the layer of the option `rates`, or `None` without it.

    Args:
        model: Click model with its options, spec and encoder.

    Raises:
        UserError: As in `RateTerms`.
    """
    if not model.options.rates:
        return None
    return RateTerms(
        model.spec,
        len(model.label_names),
        model.encoder.sizes,
        histories=model.reads_histories,
        outcome=model.options.outcome,
        counts=model.options.counts,
        history_counts=model.options.history_counts,
        dtype="float32",
        name="rate_terms",
    )


def make_calibration(model: CTRModel) -> LogitCalibration | None:
    """Returns the layer that weights terms that are written, or `None` without such terms.

    Args:
        model: Click model with its terms.
    """
    if not model.writes_terms:
        return None
    names, labels = model.term_names, model.label_names
    return LogitCalibration(
        len(names),
        len(labels),
        slopes=model.rows_name is not None,
        dtype="float32",
        name="calibration",
    )

"""Terms of a click model beside its MLP: interactions of groups, and weights of ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lmn_tf.features.wide_logits import WideLogits
from lmn_tf.layers.core.feature_interaction import FeatureInteraction
from lmn_tf.specs.errors import UserError

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

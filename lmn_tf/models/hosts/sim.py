"""Search-based interest model."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.attention.multi_head_target_attention import MultiHeadTargetAttention
from lmn_tf.layers.base import RunningMean
from lmn_tf.layers.retrieval.behavior_search import BehaviorSearch
from lmn_tf.models.hosts.din import DIN
from lmn_tf.models.options import SIMOptions
from lmn_tf.ops.sequence.masked import held_ids, take_positions, top_positions
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class SIM(DIN):
    """Click model with DIN on the newest events and attention on the events found by a search.

    Computes `logit = MLP(concat[user, item, context, cross, DIN(newest, target), found])`, where
    `found` is multi-head attention of the candidate on the `search_top_k` events that match it
    best. The soft search, which is the general search unit (GSU) of the paper, scores events by a
    product with the candidate and has a separate prediction: in training, `search_loss_weight`
    times its cross-entropy on the same labels is added to the loss. The hard search selects the
    newest events that share an id with the candidate, and has no weights. Padding is never
    selected; without matching events, `found` is 0.

    Differences from the paper, and choices where it is silent: both stages are trained together on
    the same embeddings, while the deployed search of the paper is an index of frozen ones; elapsed
    time is added to every event, as a row of a table times a linear map, so that both stages use
    it, while the paper concatenates it to the events that were found; heads project their values.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `SIMOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If `search_field` is not a field with ids that a sequence shares with the
            candidate, or if there is no such field for the hard search.

    Complexity:
        `O(length * d)` for the search and `O(search_top_k * d)` for attention, plus DIN on
        `short_length` events; `O(d * search_units)` parameters. Embedded histories can be cached
        per user; the hard search could use an index.

    Example:

    >>> SIM(spec, search_top_k=4, short_length=3, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Pi et al., "Search-based User Interest Modeling with Lifelong Sequential Behavior Data
          for Click-Through Rate Prediction", CIKM 2020, section 3.
    """

    Options = SIMOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        options = self.options
        self.searches, self.search_fields, self.found_attention = {}, {}, {}
        for name in (sequence.name for sequence in self.spec.sequences):
            if options.search == "soft":
                self.searches[name] = self._make_search(f"{name}_search")
            else:
                self.search_fields[name] = self._search_field(name)
            self.found_attention[name] = MultiHeadTargetAttention(
                options.found_units,
                options.found_heads,
                dtype=self.dtype_policy,
                name=f"{name}_found_attention",
            )
        if options.search == "soft":
            self.training_means = [RunningMean(name="search_loss")]

    def _make_search(self, name):
        return BehaviorSearch(
            self.options.search_units,
            self.options.search_hidden_units,
            output_units=len(self.label_names),
            dtype=self.dtype_policy,
            name=name,
        )

    def _search_field(self, name):
        fields = self.encoder.event_fields(name)
        tables = {field: table for field, _, table in fields if table is not None}
        if not tables or self.options.search_field not in (None, *tables):
            raise UserError(
                "`search_field` must be an item feature with ids that a field of the sequence "
                f"{name!r} is `like`: {', '.join(tables) or 'there is none'}. "
                f"Received: search_field={self.options.search_field!r}."
                f"{did_you_mean(self.options.search_field, tables)}"
            )
        sizes = self.encoder.sizes
        return self.options.search_field or min(tables, key=lambda field: sizes[tables[field]])

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        histories = groups["histories"]
        length = self.options.short_length
        newest = {name: history.newest(length) for name, history in histories.items()}
        parts = super().read_histories({**groups, "histories": newest}, training=training)
        for name, history in histories.items():
            scores, mask = self._search(name, history, groups)
            positions, kept = top_positions(scores, mask, self.options.search_top_k)
            found = take_positions(history.padded, positions)
            parts.append(self.found_attention[name](found, history.target, mask=kept))
        return parts

    def _search(self, name, history, groups):
        """Returns the scores of the events of a history, and the mask of selectable ones."""
        mask = history.mask
        if self.options.search == "hard":
            held = held_ids(*history.padded_ids[self.search_fields[name]])
            mask = tf.logical_and(mask, tf.reduce_any(held, axis=-1))
            return tf.zeros_like(mask, tf.float32), mask
        logits, scores = self.searches[name](
            history.padded, history.target, mask=mask, return_scores=True
        )
        groups.setdefault("noted", {})[name] = logits
        return scores, mask

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        losses = [
            tf.nn.sigmoid_cross_entropy_with_logits(labels, tf.cast(search_logits, tf.float32))
            for search_logits in noted.values()
        ]
        rows = tf.reduce_mean(tf.add_n(losses), axis=-1)
        self.training_means[0].update_state(rows / len(losses))
        return self.options.search_loss_weight * rows

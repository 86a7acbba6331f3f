"""User behavior retrieval for click models."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import mean_over_replicas, sum_over_replicas
from lmn_tf.layers.base import RunningMean
from lmn_tf.layers.retrieval.behavior_retrieval import BehaviorRetrieval
from lmn_tf.layers.retrieval.field_selector import FieldSelector
from lmn_tf.layers.retrieval.self_attention_selector import SelfAttentionSelector
from lmn_tf.layers.retrieval.weighted_match import WeightedMatch
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.id_rows import IdRows
from lmn_tf.models.base.labelled_loss import LabelledLoss
from lmn_tf.models.options import UBR4CTROptions
from lmn_tf.ops.losses import log_loss_reward, score_function_loss
from lmn_tf.ops.sequence.masked import row_mean
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

# Decay of the baseline per training step.
_BASELINE_MOMENTUM = 0.9
# Name of the state of random numbers in a saved model.
_DRAWS = "draws"


@keras.saving.register_keras_serializable(package="lmn_tf")
class UBR4CTR(LabelledLoss, CTRModel):
    """Click model that learns by which fields of the candidate to search the history.

    Computes `logit = MLP(concat[user, item, context, cross, found])`. A selector keeps some of the
    candidate's fields. Events are scored by the ids that they share with the candidate in these
    fields, with higher weights of rare ids, and `found` is the attention of the candidate on the
    `top_k` best events. Histories consist of the user's events before the request, so that events
    of other users and later events cannot be found. Without matching events, `found` is 0.

    In training, each field is kept with the selector's probability `p`. The predictor learns from
    the cross-entropy. The selector learns by REINFORCE from the reward
    `1 - log_likelihood / ln(0.5)`, clipped at -1, minus its moving average, with the complete score
    function `z ln p + (1 - z) ln(1 - p)`. In inference nothing is drawn: fields with `p >= 0.5` are
    kept, and always the most probable one.

    The frequency of ids is counted in training, by one non-trainable number for each row of the
    tables of the fields: see `WeightedMatch`. Numeric fields cannot match and are left out; elapsed
    time is part of every event.

    `retrieval="self_attention"` is for data whose items have no fields to select: events are scored
    by the attention between events, independent of the candidate, see `SelfAttentionSelector`. The
    `top_k` best are read as above. No ids are compared, so that every sequence is suitable.

    Differences from the papers, and choices where they are silent:

    - Selector and predictor learn in the same steps, from losses on disjoint variables; the paper
      alternates between them.
    - The reward has a baseline, and fields that were left out count in the score function; the
      released code has neither. It also draws fields in evaluation.
    - The history of the row is searched, not an index of the whole log with later events.
    - Ids of most events have a low weight, but none below 0; among events with equal scores, the
      newest are found.
    - Self-attention is mentioned in the paper of IMN, without equations. Scores by received
      attention are our choice, and so is the training: from the cross-entropy, as if the attention
      of the candidate were proportional to the scores, which trains the selector but not the
      vectors of the events.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `UBR4CTROptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to draw fields, apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If a sequence has no field with ids that is `like` an item feature, with
            `retrieval="fields"`; or if fields are given for another `retrieval`.

    Complexity:
        `O(length * fields)` for retrieval, `O(length ** 2 * selector_units)` by self-attention, and
        `O(top_k * d)` for attention; `O(d ** 2)` parameters, plus the counts. Embedded histories
        and the events found by self-attention can be cached per user; retrieval by fields could use
        an index.

    Example:

    >>> UBR4CTR(spec, top_k=4, hidden_units=(16,))(features).shape
    TensorShape([2, 1])

    Reference:
        - Qin et al., "User Behavior Retrieval for Click-Through Rate Prediction", SIGIR 2020,
          section 3; "Iterative Memory Network for Long Sequential User Behavior Modeling in
          Recommender Systems", section 5.2 (self-attention).
    """

    Options = UBR4CTROptions
    reads_histories = True

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        options = self.options
        self.matches, self.selectors, self.retrievals = {}, {}, {}
        self._match_tables = {}
        for name in (sequence.name for sequence in self.spec.sequences):
            self._make_search(name)
            self.retrievals[name] = BehaviorRetrieval(
                options.top_k, dtype=self.dtype_policy, name=f"{name}_retrieval"
            )
        self.baseline = None
        if options.retrieval == "fields" and options.field_selection == "reinforce":
            self.training_means = [RunningMean(name="reward")]
            self.baseline = self.add_weight(
                (),
                initializer="zeros",
                name="baseline",
                trainable=False,
                dtype="float32",
                autocast=False,
                aggregation="mean",
            )
        self.seed_generator = None
        if options.retrieval == "fields" and options.field_selection != "all":
            self.seed_generator = keras.random.SeedGenerator()

    def _make_search(self, name):
        """Creates the layers that score the events of a sequence."""
        if self.options.retrieval == "self_attention":
            # float32 for every dtype policy: rounding must not decide which events are best.
            self.selectors[name] = SelfAttentionSelector(
                self.options.selector_units, dtype="float32", name=f"{name}_selector"
            )
            return
        fields = self._fields(name)
        for field, _, table in fields:
            self._match_tables[f"{name}/{field}"] = table
            self.matches[f"{name}/{field}"] = WeightedMatch(
                self.encoder.sizes[table], name=f"{name}_{field}_match"
            )
        if self.options.field_selection != "all":
            self.selectors[name] = self._make_selector(name, fields)

    def id_rows(self) -> list[IdRows]:
        counts = [
            IdRows(match.counts, (self._match_tables[key],), "counted")
            for key, match in self.matches.items()
        ]
        return [*super().id_rows(), *counts]

    def _fields(self, name):
        """Features that events can match, each once: triples of name, width and table."""
        fields = self.encoder.event_fields(name)
        fields = list({field[0]: field for field in fields if field[2] is not None}.values())
        if not fields:
            raise UserError(
                f"`fields` of the sequence {name!r} must have one with ids that is `like` an item "
                "feature, for UBR4CTR to search by. Received: none"
            )
        return fields

    def _make_selector(self, name, fields):
        return FieldSelector(
            [width for _, width, _ in fields],
            self.options.selector_units,
            hidden_units=self.options.selector_hidden_units,
            dtype=self.dtype_policy,
            name=f"{name}_selector",
        )

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        return [
            self.retrievals[name](
                history.padded,
                history.target,
                *self._search(name, history, groups, training),
                mask=history.mask,
            )
            for name, history in groups["histories"].items()
        ]

    def _search(self, name, history, groups, training):
        """Returns the parts of the scores of events, and the weight of each part."""
        if self.options.retrieval == "self_attention":
            # The vectors of events learn from the predictor only.
            vectors = tf.stop_gradient(history.padded)
            attention = self.selectors[name](vectors, mask=history.mask)
            return attention, tf.ones_like(attention[:, 0])
        keep = self._keep(name, history, groups, training)
        matches = [
            self.matches[f"{name}/{field}"](*ids, mask=history.mask, training=training)
            for field, ids in history.padded_ids.items()
        ]
        return tf.stack(matches, axis=-1), keep

    def _keep(self, name, history, groups, training):
        """Returns 1 for each field of the candidate to search for, else 0: `(batch, fields)`."""
        if self.options.field_selection == "all":
            return tf.ones([tf.shape(history.target)[0], len(history.padded_ids)])
        # The vectors of fields learn from the predictor only.
        fields = tf.stop_gradient(self._field_vectors(name, history.target))
        logits = tf.cast(self.selectors[name](fields), tf.float32)
        keep = self._choose(logits, training)
        if self.options.field_selection == "straight_through":
            probability = tf.sigmoid(logits)
            return keep + probability - tf.stop_gradient(probability)
        groups.setdefault("noted", {})[name] = logits, keep
        return keep

    def _field_vectors(self, name, target):
        fields = self.encoder.event_fields(name)
        vectors = tf.split(target, [width for _, width, _ in fields], axis=-1)
        # Fields that are like one feature have the same vector of the candidate.
        found = {
            field: vector
            for vector, (field, _, table) in zip(vectors, fields, strict=True)
            if table
        }
        return tf.concat(list(found.values()), axis=-1)

    def _choose(self, logits, training):
        if training:
            drawn = keras.random.uniform(tf.shape(logits), seed=self.seed_generator)
            return tf.cast(drawn < tf.sigmoid(logits), tf.float32)
        likeliest = tf.one_hot(tf.argmax(logits, axis=-1), logits.shape[-1])
        return tf.maximum(tf.cast(logits >= 0, tf.float32), likeliest)

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        reward = log_loss_reward(labels, logits)
        before = tf.convert_to_tensor(self.baseline)
        rows = tf.cast(tf.shape(reward)[0], tf.float32)
        mean = mean_over_replicas(rows, row_mean(reward))
        moved = _BASELINE_MOMENTUM * before + (1 - _BASELINE_MOMENTUM) * mean
        self.baseline.assign(tf.where(sum_over_replicas(rows) > 0, moved, before))
        self.training_means[0].update_state(reward)
        losses = [score_function_loss(*choice, reward - before) for choice in noted.values()]
        return tf.add_n(losses)

    def save_own_variables(self, store: Any) -> None:
        super().save_own_variables(store)
        if self.seed_generator is not None:
            # Keras does not save generators; training continues with the next draws.
            store[_DRAWS] = self.seed_generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        values = {key: store[key] for key in store.keys()}
        draws = values.pop(_DRAWS, None)
        if draws is not None:
            self.seed_generator.state.assign(draws)
        super().load_own_variables(values)

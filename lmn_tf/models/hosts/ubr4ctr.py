"""User behavior retrieval for click models."""

from typing import Any

import keras
import tensorflow as tf

from lmn_tf.distribute.collectives import mean_over_replicas, sum_over_replicas
from lmn_tf.layers.base import RunningMean
from lmn_tf.layers.retrieval.behaviour_retrieval import BehaviourRetrieval
from lmn_tf.layers.retrieval.field_selector import FieldSelector
from lmn_tf.layers.retrieval.self_attention_selector import SelfAttentionSelector
from lmn_tf.layers.retrieval.weighted_match import WeightedMatch
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.labelled_loss import LabelledLoss
from lmn_tf.models.options import UBR4CTROptions
from lmn_tf.ops.losses import log_loss_reward, score_function_loss
from lmn_tf.ops.sequence.masked import row_mean
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec

# Share of the old baseline that is kept in each training step.
_BASELINE_MOMENTUM = 0.9
# Where a saved model keeps the state of its random numbers.
_DRAWS = "draws"


@keras.saving.register_keras_serializable(package="lmn_tf")
class UBR4CTR(LabelledLoss, CTRModel):
    """A click model that learns by which fields of the candidate to search the history.

    Computes `logit = MLP(concat[user, item, context, cross, found])`. A selector keeps some of the
    candidate's fields; events score by the ids that they share with the candidate in those
    fields, rare ids more; `found` is the candidate's attention on the `top_k` best. Histories hold
    a user's events before the request and nothing else, so neither can other users' events be
    found, nor later ones. Where nothing matches, `found` is 0.

    In training each field is kept with the selector's probability `p`. The predictor learns from
    the cross-entropy; the selector by REINFORCE from the reward `1 - log_likelihood / ln(0.5)`, cut
    off at -1, less its moving average, with the whole score function
    `z ln p + (1 - z) ln(1 - p)`. Elsewhere nothing is drawn: fields of `p >= 0.5` are kept, and
    always the likeliest one.

    How rare ids are is counted in training, in one number (not trained) for each row of the
    fields' tables: see `WeightedMatch`. Fields of numbers cannot match and are left out; elapsed
    time is part of every event.

    With `retrieval="self_attention"`, for data whose items have no fields to choose from, events
    score by the attention that they pay to one another, whatever the candidate: see
    `SelfAttentionSelector`. The `top_k` best are read as above. No ids are compared, so any
    sequence will do.

    Where the papers are silent or we differ from them:

    - Selector and predictor learn in the same steps, from losses on disjoint variables; the paper
      alternates between them.
    - The reward has a baseline, and fields that were left out count in the score function; the
      released code has neither. It draws fields in evaluation, too.
    - A row of the batch is searched, not an index of the whole log, which may hold later events.
    - Ids that most events hold weigh little, but not less than 0, and of events that score alike
      the newest are found.
    - Self-attention is named by the paper of IMN, without equations. That events score by the
      attention that they receive is our choice, and so is how it is learned: from the
      cross-entropy, as if the attention of the candidate were in proportion to the scores, which
      trains the selector and not the events' vectors.

    Args:
        spec: `FeatureSpec` whose vocabularies are known.
        **options: Options of `UBR4CTROptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of a batch's columns, as `make_dataset` yields it.
        training: Boolean. Whether to draw fields, drop units and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If a sequence has no field with ids that is `like` an item feature, with
            `retrieval="fields"`; or fields shall be selected for another `retrieval`.

    Complexity:
        `O(length * fields)` for retrieval, `O(length**2 * selector_units)` by self-attention, and
        `O(top_k * d)` for attention; `O(d**2)` parameters, and the counts. Embedded histories can
        be cached per user, and what self-attention finds as well; retrieval by fields could be an
        index.

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
        for name in (sequence.name for sequence in self.spec.sequences):
            self._make_search(name)
            self.retrievals[name] = BehaviourRetrieval(
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
        """Creates what tells the scores of a sequence's events."""
        if self.options.retrieval == "self_attention":
            # In float32 under any precision: rounding must not decide which events are best.
            self.selectors[name] = SelfAttentionSelector(
                self.options.selector_units, dtype="float32", name=f"{name}_selector"
            )
            return
        fields = self._fields(name)
        for field, _, table in fields:
            self.matches[f"{name}/{field}"] = WeightedMatch(
                self.encoder.sizes[table], name=f"{name}_{field}_match"
            )
        if self.options.field_selection != "all":
            self.selectors[name] = self._make_selector(name, fields)

    def _fields(self, name):
        """The fields of a sequence that can match: triples of name, width and table."""
        fields = [field for field in self.encoder.event_fields(name) if field[2] is not None]
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
        """Returns the parts of the events' scores, and the weight of each part."""
        if self.options.retrieval == "self_attention":
            # The events' vectors learn from the predictor alone.
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
        # The fields' vectors learn from the predictor alone.
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
        vectors = [vector for vector, (_, _, table) in zip(vectors, fields, strict=True) if table]
        return tf.concat(vectors, axis=-1)

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
            # Keras leaves generators out; training shall go on with the draws that come next.
            store[_DRAWS] = self.seed_generator.state.numpy()

    def load_own_variables(self, store: Any) -> None:
        values = {key: store[key] for key in store.keys()}
        draws = values.pop(_DRAWS, None)
        if draws is not None:
            self.seed_generator.state.assign(draws)
        super().load_own_variables(values)

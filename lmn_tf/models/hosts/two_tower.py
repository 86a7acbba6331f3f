"""Retrieval model of two towers."""

from collections.abc import Callable, Mapping
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.layers.base import RunningMean
from lmn_tf.layers.retrieval.sampling_probability import SamplingProbability
from lmn_tf.models.base.ctr_head import CTRHead
from lmn_tf.models.base.id_rows import IdRows
from lmn_tf.models.base.labelled_loss import note, noted_in
from lmn_tf.models.base.retrieval_losses import retrieval_losses
from lmn_tf.models.hosts.pooling import Pooling
from lmn_tf.models.options import TwoTowerOptions
from lmn_tf.specs.errors import UserError, did_you_mean
from lmn_tf.specs.feature_spec import FeatureSpec


@keras.saving.register_keras_serializable(package="lmn_tf")
class TwoTower(Pooling):
    """Retrieval model whose query and candidate are vectors that meet in one product only.

    Computes `query = MLP(concat[user, context, pool(history)])`, `candidate = MLP(item)` and
    `logit = scale * query . candidate + bias`, so the best candidates of a query are found in an
    index of their vectors (`lmn-tf index`). Cross features belong to neither tower and are not
    read.

    Training adds the softmax loss of the true candidates, the rows whose label is 1, among all
    candidates of the batch, weighted by label and row weight. Scores are corrected by an estimate
    of how often a candidate is in a batch (logQ, `SamplingProbability`), and other rows of the true
    candidate's id are no negatives. On several replicas, the candidates are those of all of them;
    on parameter servers, those of the worker. The cross-entropy of the labels fits `scale` and
    `bias` alone, so logits are calibrated but the towers are those of the softmax; with
    `ranking=True` it trains the towers as well.

    Rows without a click are candidates too (in the paper, batches have clicks alone), and vectors
    of length 1 are scored at a temperature of 0.05: our choices.

    Evaluation by `lmn-tf train` and `lmn-tf evaluate` includes `retrieval`: the share of true
    candidates among the best of all items of the evaluated rows, as by `FactorizedTopK`.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `TwoTowerOptions`, and base model arguments such as `name`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If `candidate_id` is not an item feature with one id, or `positive_label` is not
            a label.

    Attributes:
        id_feature: String. The item feature that tells candidates apart.

    Complexity:
        `O(L * d)` per user and `O(d * h)` per candidate, whose vector does not depend on the user
        and is kept in an index; a step computes `batch ** 2` scores.

    Example:

    >>> model = TwoTower(spec, tower_dim=8, hidden_units=(16,))
    >>> model(features).shape, model.query_vectors(features).shape
    (TensorShape([2, 1]), TensorShape([2, 8]))

    Reference:
        - Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
          Recommendations", RecSys 2019.
    """

    Options = TwoTowerOptions
    head_roles = ("user", "context")

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.id_feature = self._find_id_feature()
        self._positive = self._find_positive()
        self.candidate_tower = self._make_tower("candidate_tower")
        self.logits = keras.layers.Dense(
            len(self.label_names), kernel_initializer="ones", dtype="float32", name="logits"
        )
        self.sampling_probability = None
        if self.options.sampling_correction:
            size = self.encoder.sizes[self.spec.table_of(self.spec.feature(self.id_feature))[0]]
            self.sampling_probability = SamplingProbability(
                size, self.options.sampling_rate, dtype="float32", name="sampling_probability"
            )
        self.training_means = [RunningMean(name="retrieval_loss")]

    def make_head(self, extra_units: int = 0) -> CTRHead:
        return self._make_tower("query_tower", extra_units)

    def _make_tower(self, name, extra_units=0):
        """A tower is the head of a click model, with the vector in place of the logits."""
        return CTRHead.of_options(
            self.options.tower_dim,
            self.options,
            extra_units=extra_units,
            dtype=self.dtype_policy,
            name=name,
        )

    def _find_id_feature(self):
        tables = self.candidate_tables()
        name = self.options.candidate_id
        if not tables or name not in (None, *tables):
            raise UserError(
                "`candidate_id` must be an item feature with one id in each row: "
                f"{', '.join(tables) or 'there is none'}. Received: candidate_id={name!r}."
                f"{did_you_mean(name, tables)}"
            )
        return name or max(tables, key=lambda key: self.encoder.sizes[tables[key]])

    def id_rows(self) -> list[IdRows]:
        if self.sampling_probability is None:
            return super().id_rows()
        table, _ = self.spec.table_of(self.spec.feature(self.id_feature))
        return [*super().id_rows(), IdRows(self.sampling_probability.batches, (table,), "counted")]

    def _find_positive(self):
        name = self.options.positive_label or self.label_names[0]
        if name not in self.label_names:
            raise UserError(
                f"`positive_label` must be a label: {', '.join(self.label_names)}. "
                f"Received: positive_label={name!r}.{did_you_mean(name, self.label_names)}"
            )
        return self.label_names.index(name)

    def build(self, input_shape: Any = None) -> None:
        if not self.built and self.sampling_probability is not None:
            self.sampling_probability.build()
        super().build(input_shape)

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        groups = self.encoder.encode(features)
        groups["candidate_ids"] = features[self.id_feature]
        return self.combine(groups, self.read_histories(groups, training=training), training)

    def to_logits(
        self,
        vector: tf.Tensor,
        groups: dict[str, Any],
        training: bool | None = None,
        extra: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        query = self._unit(self.head(vector, extra=extra, training=training))  # (batch, dim)
        candidate = self._unit(self.candidate_tower(groups["item"], training=training))
        score = tf.reduce_sum(query * candidate, axis=-1, keepdims=True)  # (batch, 1)
        logits = self.logits(score if self.options.ranking else tf.stop_gradient(score))
        ids = groups["candidate_ids"]
        note(logits, {"query": query, "candidate": candidate, "ids": ids})
        return logits

    def _unit(self, vectors):
        return super()._unit(vectors) if self.options.normalize else vectors

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        losses = retrieval_losses(
            **noted,
            sampling_probability=self.sampling_probability,
            temperature=self.options.softmax_temperature,
            remove_accidental_hits=self.options.remove_accidental_hits,
            num_hard_negatives=self.options.num_hard_negatives,
        )
        rewards = self.rewards(labels)
        self.training_means[0].update_state(losses, sample_weight=rewards)
        return rewards * losses

    def rewards(self, labels: tf.Tensor, weights: tf.Tensor | None = None) -> tf.Tensor:
        """Returns by how much rows count as true candidates: their label, times their weight.

        Args:
            labels: Tensor of shape `(batch, labels)`.
            weights: Tensor of shape `(batch,)`. Defaults to `None`: 1 for each row.

        Returns:
            Float32 tensor of shape `(batch,)`.
        """
        labels = tf.reshape(tf.cast(labels, tf.float32), [-1, len(self.label_names)])
        rewards = labels[:, self._positive]
        if weights is None:
            return rewards
        return rewards * tf.reshape(tf.cast(weights, tf.float32), [-1])

    def query_vectors(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the vectors of queries.

        Args:
            features: Dictionary of the columns of a batch, where those of candidates may be
                missing.

        Returns:
            Float32 tensor of shape `(batch, tower_dim)`.
        """
        rows = self.fit_driver.batches.rows(features)
        blank = {
            key: tf.zeros([rows] + [size or 1 for size in column.shape[1:]], column.dtype)
            for key, column in self.encoder.role_signature("item").items()
        }
        return noted_in(self.call({**blank, **features}, training=False))["query"]

    def query_signature(self) -> dict[str, tf.TensorSpec]:
        """Returns the columns that `query_vectors` needs, with histories in the padded form."""
        signature, of_candidates = self.encoder.signature(), self.encoder.role_signature("item")
        return {key: column for key, column in signature.items() if key not in of_candidates}

    def candidate_vectors(self, features: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """Returns the vectors of candidates.

        Args:
            features: Dictionary of the columns of item features.

        Returns:
            Float32 tensor of shape `(batch, tower_dim)`.
        """
        item = self.encoder.encode_role("item", features)
        return self._unit(self.candidate_tower(item, training=False))

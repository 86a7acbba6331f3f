"""Mixin that adds a softmax over the candidates of the batch to the loss of a click model."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf

from lmn_tf.features.encoded_history import EncodedHistory
from lmn_tf.layers.base import RunningMean
from lmn_tf.layers.core.mlp import MLP
from lmn_tf.layers.core.sequence_pooling import SequencePooling
from lmn_tf.layers.retrieval.sampling_probability import SamplingProbability
from lmn_tf.models.base.ctr_model import CTRModel
from lmn_tf.models.base.id_rows import IdRows
from lmn_tf.models.base.labelled_loss import LabelledLoss
from lmn_tf.models.base.retrieval_losses import retrieval_losses
from lmn_tf.models.options import BatchSoftmaxOptions
from lmn_tf.ops.sequence.shared_window import on_rows
from lmn_tf.specs.feature_spec import FeatureSpec


class BatchSoftmaxPlugin(LabelledLoss, CTRModel):
    """Mixin that trains the tables of a click model to tell each user's next item from others.

    With `softmax_weight`, the loss has another term: the cross-entropy of the true candidates, the
    rows whose first label is 1, among all candidates of the batch, by
    `normalize(MLP(pool(history))) . normalize(MLP(item)) / softmax_temperature`, with the events
    of each history summed and divided by the root of their number. Scores are corrected by how
    often a candidate is in a batch (logQ), and other rows of the candidate's id are no negatives.

    A label tells one bit of one candidate; this term compares it with every other candidate of the
    batch, so that the tables of events and items learn from histories, even where labels are few.
    Without `softmax_score`, the logits do not depend on it: serving is that of the same model
    without it. With it, its score is a term of the logits, with a weight that is fitted to
    validation rows when the model is trained (`write_terms`): what a retrieval model says of the
    candidate, beside what the ranking model says.

    Args:
        spec: `FeatureSpec` with known vocabularies.
        **options: Options of `BatchSoftmaxOptions`, and base model arguments such as `name`.

    Raises:
        UserError: If no item feature has one id in each row.

    Reference:
        - Yi et al., "Sampling-Bias-Corrected Neural Modeling for Large Corpus Item
          Recommendations", RecSys 2019, for the loss. As an addition to that of a click model: Wang
          et al., "AT4CTR: Auxiliary Match Tasks for Enhancing Click-Through Rate Prediction", AAAI
          2024. The query from the pooled history alone is ours.
    """

    Options = BatchSoftmaxOptions

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        super().__init__(spec, **options)
        self.has_batch_softmax = self.options.softmax_weight > 0
        if not self.has_batch_softmax:
            return
        tables = self.candidate_tables()
        self._softmax_id = max(tables, key=lambda key: self.encoder.sizes[tables[key]])
        self.softmax_pool = SequencePooling("sqrtn", dtype=self.dtype_policy, name="softmax_pool")
        self.softmax_query = self._make_map("softmax_query")
        self.softmax_candidate = self._make_map("softmax_candidate")
        size = self.encoder.sizes[tables[self._softmax_id]]
        self.softmax_probability = SamplingProbability(
            size, dtype="float32", name="softmax_probability"
        )
        self.training_means = [RunningMean(name="softmax_loss")]

    def _make_map(self, name):
        dim = self.options.softmax_dim
        return MLP((2 * dim,), "gelu", dim, dtype=self.dtype_policy, name=name)

    def candidate_tables(self) -> dict[str, str]:
        """Returns the table of each item feature with one id in each row."""
        columns = self.encoder.columns_of("item")
        return {c.key: c.table for c in columns if c.table is not None and c.rank == 0}

    def id_rows(self) -> list[IdRows]:
        if not self.has_batch_softmax:
            return super().id_rows()
        table = self.candidate_tables()[self._softmax_id]
        batches = self.softmax_probability.batches
        return [*super().id_rows(), IdRows(batches, (table,), "counted")]

    def build(self, input_shape: Any = None) -> None:
        if not self.built and self.has_batch_softmax:
            self.softmax_probability.build()
        super().build(input_shape)

    def encode(self, features: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        groups = super().encode(features)
        if self.has_batch_softmax:
            groups["softmax_ids"] = features[self._softmax_id]
        return groups

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        # Not in evaluation, unless logits depend on it.
        if self.has_batch_softmax and (training is not False or self.options.softmax_score):
            parts = [
                on_rows(self.softmax_pool(history.vectors, windows=history.windows), groups["item"])
                for history in self.pooled_histories(groups)
            ]
            query = self._unit(self.softmax_query(tf.concat(parts, axis=-1)))
            candidate = self._unit(self.softmax_candidate(groups["item"]))
            # In float32, as all logits.
            both = tf.cast(query, tf.float32) * tf.cast(candidate, tf.float32)
            groups["softmax_score"] = tf.reduce_sum(both, axis=-1)
            if training is not False:
                ids = groups["softmax_ids"]
                groups["noted"] = {"query": query, "candidate": candidate, "ids": ids}
        return super().read_histories(groups, training=training)

    def pooled_histories(self, groups: dict[str, Any]) -> list[EncodedHistory]:
        """Returns the histories that are pooled, for the query of the softmax as well.

        Args:
            groups: As in `read_histories`.
        """
        return list(groups["histories"].values())

    @property
    def term_names(self) -> tuple[str, ...]:
        own = ("softmax_score",) if self.options.softmax_score else ()
        return (*super().term_names, *own)

    def extra_terms(self, groups: dict[str, Any]) -> list[tf.Tensor]:
        terms = super().extra_terms(groups)
        if self.options.softmax_score:
            score = groups["softmax_score"][:, None, None]
            terms.append(tf.repeat(score, len(self.label_names), axis=2))
        return terms

    def labelled_loss(
        self, noted: dict[str, Any], labels: tf.Tensor, logits: tf.Tensor
    ) -> tf.Tensor:
        losses = retrieval_losses(
            **noted,
            sampling_probability=self.softmax_probability,
            temperature=self.options.softmax_temperature,
        )
        self.training_means[0].update_state(losses, sample_weight=labels[:, 0])
        return self.options.softmax_weight * labels[:, 0] * losses

    def _unit(self, vectors):
        # The default epsilon multiplies the gradient of a vector of zeros by a million.
        return tf.math.l2_normalize(vectors, axis=-1, epsilon=1e-4)

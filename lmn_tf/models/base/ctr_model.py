"""Base class of all click models."""

import contextlib
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import tensorflow as tf

from lmn_tf.data.dataset import dataset_fingerprint
from lmn_tf.features.feature_encoder import ROLES, FeatureEncoder
from lmn_tf.keras_internals import clear_losses, is_validation, strategy_of_model, symbolic_build
from lmn_tf.layers.base import RunningMean, own_losses
from lmn_tf.models.base.ctr_head import CTRHead
from lmn_tf.models.base.ctr_metrics import Untracked, check_group, make_metrics, update_grouped
from lmn_tf.models.base.id_rows import WithIdRows
from lmn_tf.models.base.labelled_loss import with_noted
from lmn_tf.models.base.with_options import WithOptions
from lmn_tf.models.fitting import steps
from lmn_tf.models.fitting.choice import driver_of
from lmn_tf.models.fitting.counted_rows import has_weights, refuse_weights
from lmn_tf.models.fitting.fit_driver import FitDriver
from lmn_tf.models.options import CTRModelOptions
from lmn_tf.models.terms.calibrated_logits import CalibratedLogits
from lmn_tf.models.terms.explicit_terms import make_interaction
from lmn_tf.ops.sequence.shared_window import on_rows
from lmn_tf.optimizers.default_optimizer import default
from lmn_tf.optimizers.loss_scale_optimizer import with_loss_scaling
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.learned.fingerprint import check_same, fingerprint


@keras.saving.register_keras_serializable(package="lmn_tf")
class CTRModel(CalibratedLogits, WithIdRows, WithOptions, keras.Model):
    """A `keras.Model` that is built from a feature spec and scores clicks.

    Computes `logits = MLP(concat[user, item, context, cross, *read_histories()])`. Subclasses
    define how histories are read (`read_histories`) and what is computed between the concatenation
    and the head (`interact`). The model trains with plain `fit` on datasets of `make_dataset`, and
    `predict` returns logits.

    The head is the same for all models, independent of their papers: two hidden layers with PReLU
    on a batch-normalized input, and one logit per label. `interaction` appends products of the
    groups to its input, and `wide` adds a weight of each id to the logits. With `rates`, the logits
    of evaluation and serving are `scale * logits + sum_t w_t rate_t + offset`, with the terms of
    `RateTerms`; `write_terms` counts and fits them when the model is trained.

    `compile` needs no argument: the loss is binary cross-entropy from logits, averaged over the
    labels (the code published with DIN and DIEN halves it, so double the weights of its auxiliary
    losses); the optimizer is `lmn_tf.optimizers.default(pairs=self.pair_tables)`. The metric names
    `"auc"`, `"gauc"`, `"qauc"`, `"logloss"` and `"normalized_entropy"` create one metric per label.
    Grouped metrics are computed in `evaluate` (and in the validation of `fit`) only, since they
    store every row.

    Sample weights apply to the losses of the labels and to `weighted_metrics`. A row of weight 0 is
    removed from its batch first, so that it has no effect on training, including memories, batch
    statistics and losses without labels; for these, all rows with other weights count equally.
    XLA needs fixed shapes and cannot remove rows: with `jit_compile=True`, weights are an error.

    `fit`, `evaluate` and `predict` work under no strategy, `MirroredStrategy`,
    `MultiWorkerMirroredStrategy` and `ParameterServerStrategy`: the model is built in
    the scope of the strategy, and its `fit_driver` implements what differs (`FitDriver`,
    `MultiWorkerDriver` or `ParameterServerDriver`). A step on several replicas equals the step of
    one device on the whole batch.

    Args:
        spec: `FeatureSpec` with known vocabularies, or its dictionary.
        sizes: Mapping from table name to number of rows, which overrides those of `spec`. Not an
            option of pipelines. Defaults to `None`.
        **options: Options of `CTRModelOptions`, and base model arguments, such as `name` and
            `dtype`.

    Call arguments:
        features: Dictionary of the columns of a batch of `make_dataset`.
        training: Boolean. Whether to apply dropout and use batch statistics.

    Returns:
        Float32 logits of shape `(batch, labels)`.

    Raises:
        UserError: If a vocabulary has not been learned yet, if the spec has no sequence but the
            model reads one, or if an option needs an item feature that the spec does not have.

    Attributes:
        reads_histories: Boolean. Whether the model reads sequences and overrides
            `read_histories`. If not, training, evaluation and serving do not read sequences.
        head_roles: Tuple of the roles whose groups are inputs of the head. Of the others, only
            item features are read.
        steps_in_flight: Integer or `None`. Number of steps that may be scheduled at a time on
            parameter servers; `None` for twice the number of workers. Set it before the first
            step.
        hang_seconds: Float. If no step on parameter servers has ended for this time, workers and
            servers that do not respond are named on stderr. Set it before the first step.
        pair_tables: Tuple of the names of tables of pairs, which have an optimizer of their own.

    Example:

    >>> model = CTRModel(spec, hidden_units=(16,))
    >>> model.compile(metrics=["auc"])
    >>> model(features).shape
    TensorShape([2, 1])
    """

    Options = CTRModelOptions

    reads_histories = False
    head_roles = ROLES
    steps_in_flight = None
    hang_seconds = 60.0
    pair_tables = ()

    def __init__(self, spec: FeatureSpec | dict[str, Any], **options: Any) -> None:
        record, arguments = self.split_options(options)
        sizes, known = arguments.pop("sizes", None), arguments.pop("fingerprint", None)
        super().__init__(**arguments)
        self.options = record
        self.spec = spec if isinstance(spec, FeatureSpec) else FeatureSpec.from_dict(spec)
        # With `sizes`, as in a saved model, the vocabularies may be unavailable.
        self._fingerprint = fingerprint(self.spec) if sizes is None else dict(known or {})
        self.label_names = tuple(label.name for label in self.spec.labels)
        self._check_spec()
        self.encoder = FeatureEncoder(
            self.spec,
            histories=self.reads_histories,
            roles=("item", *self.head_roles),
            sizes=sizes,
            dtype=self.dtype_policy,
            name="feature_encoder",
        )
        self.feature_interaction = make_interaction(self)
        self.make_terms()
        self.head = self.make_head()
        self._evaluating = False
        self._grouped = self._grouped_weighted = Untracked()

    def make_head(self, extra_units: int = 0) -> CTRHead:
        """Returns the layer that computes the logits; for `extra_units` see `CTRHead`."""
        return CTRHead.of_options(
            len(self.spec.labels),
            self.options,
            extra_units=extra_units,
            dtype=self.dtype_policy,
            name="head",
        )

    def _check_spec(self):
        if self.reads_histories and not self.spec.sequences:
            raise UserError(
                f"`sequences` of the feature spec must not be empty for {type(self).__name__}. "
                f"Received: sequences=() in {self.spec.name!r}"
            )

    def build(self, input_shape: Any = None) -> None:
        """Creates all variables, without data: the spec has all shapes."""
        if self.built:
            return
        signature = self.encoder.signature()
        if tf.executing_eagerly() and not tf.distribute.has_strategy():
            # An eager call on a row of zeros takes a third of the time of a symbolic one.
            row = {
                key: tf.zeros([size or 1 for size in column.shape], column.dtype)
                for key, column in signature.items()
            }
            self.call(row)
            clear_losses(self)  # Losses of this call would stay until the next one.
        else:
            inputs = {
                key: keras.KerasTensor(column.shape, dtype=column.dtype.name)
                for key, column in signature.items()
            }
            self.compute_output_spec(inputs)
        self.built = True

    def build_from_config(self, config: dict[str, Any]) -> None:
        self.build()

    def call(self, features: Mapping[str, tf.Tensor], training: bool | None = None) -> tf.Tensor:
        groups = self.encode(features)
        histories = self.read_histories(groups, training=training)
        return with_noted(self.combine(groups, histories, training), groups)

    def encode(self, features: Mapping[str, tf.Tensor]) -> dict[str, Any]:
        """Returns the groups of `FeatureEncoder.encode`, with the terms of `wide` and `rates`.

        Args:
            features: Dictionary of the columns of a batch.
        """
        groups = self.encoder.encode(features)
        return groups | self.encoded_terms(features, groups)

    def combine(
        self, groups: dict[str, Any], histories: Sequence[tf.Tensor], training: bool | None = None
    ) -> tf.Tensor:
        """Computes logits from the groups and the encoded histories.

        Args:
            groups: Result of `encode`.
            histories: List of float tensors of shape `(batch, ...)`, as in `read_histories`.
            training: Boolean. Whether to use batch statistics.

        Returns:
            Float32 tensor of shape `(batch, labels)`.
        """
        groups = {**groups, "user": on_rows(groups["user"], groups["item"])}
        parts = [groups[role] for role in self.head_roles if self.encoder.widths[role]]
        parts += [on_rows(part, groups["item"]) for part in histories]
        merge = self.feature_interaction or functools.partial(tf.concat, axis=-1)
        vector = self.interact(merge(parts), groups, training=training)
        return self.calibrated(self.to_logits(vector, groups, training), groups, training)

    def read_histories(
        self, groups: dict[str, Any], training: bool | None = None
    ) -> list[tf.Tensor]:
        """Encodes the histories for the head; subclasses override it.

        Args:
            groups: Result of `FeatureEncoder`.
            training: Boolean. Whether to use batch statistics.

        Returns:
            List of float tensors of shape `(batch, ...)`.
        """
        return []

    def interact(
        self, vector: tf.Tensor, groups: dict[str, Any], training: bool | None = None
    ) -> tf.Tensor:
        """Computes the input of the head from the concatenated groups; subclasses override it.

        Args:
            vector: Float tensor of shape `(batch, width)`: groups and encoded histories.
            groups: Result of `FeatureEncoder`.
            training: Boolean. Whether to use batch statistics.

        Returns:
            Float tensor of shape `(batch, ...)`: the input of the head.
        """
        return vector

    def to_logits(
        self,
        vector: tf.Tensor,
        groups: dict[str, Any],
        training: bool | None = None,
        extra: Callable[[tf.Tensor], tf.Tensor] | None = None,
    ) -> tf.Tensor:
        """Computes logits of shape `(batch, labels)` from the result of `interact`.

        Args:
            vector: Float tensor of shape `(batch, ...)`.
            groups: Result of `FeatureEncoder`.
            training: Boolean. Whether to use batch statistics.
            extra: As in `CTRHead`. Defaults to `None`.

        Returns:
            Float32 tensor of shape `(batch, labels)`.
        """
        return self.head(vector, extra=extra, training=training)

    def compile(
        self,
        optimizer: Any = None,
        loss: Any = None,
        metrics: Any = None,
        weighted_metrics: Any = None,
        **kwargs: Any,
    ) -> None:
        """Configures training; see `keras.Model.compile` for further arguments.

        Args:
            optimizer: Keras optimizer. Defaults to `None`:
                `lmn_tf.optimizers.default(pairs=self.pair_tables)`.
            loss: Keras loss. Defaults to `None`: binary cross-entropy from logits.
            metrics: List of metrics and names. Defaults to `None`.
            weighted_metrics: As `metrics`, with sample weights. Defaults to `None`.
            **kwargs: Passed to Keras. `jit_compile` defaults to `False`, and so does `"auto"`: ops
                that gain from XLA are compiled separately, and every new length of histories would
                compile the whole step again. With `True`, rows may not have weights.

        Raises:
            ValueError: If a metric needs groups and the spec has no `group`.
        """
        plain, grouped = make_metrics(metrics, self.label_names)
        plain_weighted, grouped_weighted = make_metrics(weighted_metrics, self.label_names)
        check_group(grouped + grouped_weighted, self.spec.group)
        jit_compile = kwargs.pop("jit_compile", False)
        optimizer = keras.optimizers.get(optimizer or default(pairs=self.pair_tables))
        if self.dtype_policy.name == "mixed_float16" and kwargs.get("auto_scale_loss", True):
            optimizer = with_loss_scaling(optimizer)
        super().compile(
            optimizer=optimizer,
            loss=keras.losses.BinaryCrossentropy(from_logits=True) if loss is None else loss,
            metrics=plain or None,
            weighted_metrics=plain_weighted or None,
            jit_compile=jit_compile != "auto" and jit_compile,
            **kwargs,
        )
        self._grouped, self._grouped_weighted = Untracked(grouped), Untracked(grouped_weighted)

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        """Builds the model under a distribution strategy, with the shapes of the spec.

        Keras would infer them from the first batch, averaged over the replicas, which fails for
        boolean masks.
        """
        if strategy_of_model(self) is None:
            return
        labels = tf.TensorSpec((None, len(self.label_names)), tf.float32)
        with strategy_of_model(self).scope(), self._phase(evaluating=False):
            symbolic_build(self, (self.encoder.signature(), labels))

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """Metrics of the current phase: grouped ones in evaluation, `RunningMean`s in training."""
        metrics = super().metrics
        if not self._evaluating:
            return metrics
        kept = [metric for metric in metrics if not isinstance(metric, RunningMean)]
        return kept + self.evaluation_metrics()

    def evaluation_metrics(self) -> list[keras.metrics.Metric]:
        """Returns the metrics that are computed in evaluation only."""
        return [*self._grouped.metrics, *self._grouped_weighted.metrics]

    def compute_metrics(
        self, x: Any, y: Any, y_pred: Any, sample_weight: Any = None
    ) -> dict[str, Any]:
        """Updates the metrics, the grouped ones by the feature `"group"` in evaluation."""
        if self.fit_driver.is_on_worker:
            return self.fit_driver.hand_over(x, y, y_pred, sample_weight)
        if self._evaluating:
            update_grouped(self._grouped, self._grouped_weighted, x, y, y_pred, sample_weight)
        return super().compute_metrics(x, y, y_pred, sample_weight)

    @property
    def losses(self) -> list[tf.Tensor]:
        """Losses that layers have added; within a replica, those of that replica."""
        return own_losses(super().losses)

    def train_step(self, data: Any) -> dict[str, Any]:
        """One step of training."""
        return steps.train_step(self, data)

    def test_step(self, data: Any) -> dict[str, Any]:
        """One step of evaluation."""
        with self._phase(evaluating=True):
            return steps.test_step(self, data)

    @functools.cached_property
    def fit_driver(self) -> FitDriver:
        """The `FitDriver` of the strategy that the model was built in."""
        return driver_of(self)

    @property
    def distribute_strategy(self) -> Any:
        """As in Keras, except for the distribution of datasets."""
        return self.fit_driver.keras_strategy(super().distribute_strategy)

    def check_ids(self, data: Any) -> None:
        """Raises a `UserError` if data have other ids or statistics than those of the model.

        Args:
            data: Dataset of `make_dataset`, or a `FeatureSpec`. Other data, whose spec is unknown,
                are accepted, and so are all data for models saved by versions without this
                check.
        """
        if isinstance(data, FeatureSpec):
            check_same(self._fingerprint, fingerprint(data), "`spec`")
        else:
            check_same(self._fingerprint, dataset_fingerprint(data), "the data")

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """As `keras.Model.fit`."""
        self.check_ids(x)
        self.check_ids(kwargs.get("validation_data"))
        # Raised before the first step rather than in the first evaluation.
        weighted = has_weights(kwargs.get("validation_data"))
        refuse_weights(weighted and self.jit_compile and not self.fit_driver.runs_steps)
        # Keras asks to shuffle by default, and warns that it cannot shuffle a dataset.
        if isinstance(x, tf.data.Dataset) and not args:
            kwargs = {"shuffle": False, **kwargs}
        with self.fit_driver.running(), self.fit_driver.fit_data(x, kwargs) as x:
            return super().fit(x, *args, **kwargs)

    def make_train_function(self, force: bool = False) -> None:
        """As in Keras, after creating all variables: otherwise the first step is traced twice."""
        if strategy_of_model(self) is None:
            self.build()
            if not self.optimizer.built:
                self.optimizer.build(self.trainable_variables)
        if not self.fit_driver.runs_steps:
            super().make_train_function(force)
        elif self.train_function is None or force:
            self.train_function = self.fit_driver.train_function(self.train_step)

    def make_test_function(self, force: bool = False) -> None:
        """As in Keras."""
        if not self.fit_driver.runs_steps:
            super().make_test_function(force)
        elif self.test_function is None or force:
            self.test_function = self.fit_driver.test_function(self.test_step)

    def make_predict_function(self, force: bool = False) -> Callable:
        """As in Keras."""
        if not self.fit_driver.runs_steps:
            return super().make_predict_function(force)
        if self.predict_function is None or force:
            self.predict_function = self.fit_driver.predict_function(self.predict_step)
        return self.predict_function

    def reset_metrics(self) -> None:
        """As in Keras, after waiting for scheduled steps."""
        self.fit_driver.finish_steps()
        super().reset_metrics()
        self.fit_driver.reset()

    def get_metrics_result(self) -> dict[str, Any]:
        """As in Keras, after waiting for all steps, and with the logs of the driver."""
        figures = self.fit_driver.figures()
        return {**super().get_metrics_result(), **figures}

    def evaluate(self, x: Any = None, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.evaluate`; its result includes the grouped metrics."""
        self.check_ids(x)
        with self._phase(evaluating=True), self.fit_driver.running():
            if not is_validation(kwargs):  # otherwise `fit` has prepared it
                x = self.fit_driver.evaluation_data(x)
            return super().evaluate(x, *args, **kwargs)

    def predict(self, x: Any, *args: Any, **kwargs: Any) -> Any:
        """As `keras.Model.predict`."""
        self.check_ids(x)
        with self.fit_driver.running():
            return super().predict(x, *args, **kwargs)

    @contextlib.contextmanager
    def _phase(self, evaluating):
        before, self._evaluating = self._evaluating, evaluating
        try:
            yield
        finally:
            self._evaluating = before

    def export(
        self,
        filepath: str | os.PathLike,
        format: str = "tf_saved_model",
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """As `keras.Model.export`, with the inputs of the feature spec.

        `lmn_tf.serving.export` also writes the spec, compares the export with the model, and
        stores each variable once (Keras: twice).
        """
        self.build()
        signature = [self.encoder.signature()] if input_signature is None else input_signature
        super().export(filepath, format=format, input_signature=signature, **kwargs)

    def get_compile_config(self) -> dict[str, Any]:
        if not self.compiled:
            return {}
        config = super().get_compile_config()
        for key, grouped in self._grouped_by_argument().items():
            metrics = [keras.saving.serialize_keras_object(metric) for metric in grouped.metrics]
            config[f"grouped_{key}"] = metrics
        return config

    def _grouped_by_argument(self):
        return {"metrics": self._grouped, "weighted_metrics": self._grouped_weighted}

    def compile_from_config(self, config: dict[str, Any]) -> None:
        config = keras.saving.deserialize_keras_object(config)
        for key in self._grouped_by_argument():
            config[key] = [*(config.get(key) or []), *config.pop(f"grouped_{key}", [])]
        self.compile(**config)
        if self.built:
            self.optimizer.build(self.trainable_variables)

    def get_config(self) -> dict[str, Any]:
        config = {
            **super().get_config(),
            "spec": self.spec.to_dict(),
            "sizes": dict(self.encoder.sizes),
            "fingerprint": dict(self._fingerprint),
        }
        return {**config, **self.option_values()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> "CTRModel":
        return cls(**{**cls.Options.all_implied(), **config})

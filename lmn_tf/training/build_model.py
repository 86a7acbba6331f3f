"""Models of pipelines, built and compiled."""

import keras

from lmn_tf.models import registry
from lmn_tf.optimizers import from_spec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.own_parts import check_optimizers


def build_model(
    pipeline: PipelineSpec, spec: FeatureSpec, total_steps: int | None = None
) -> keras.Model:
    """Builds and compiles the model of a pipeline, and creates all its variables.

    Args:
        pipeline: A `PipelineSpec`.
        spec: A `FeatureSpec` with learned assets.
        total_steps: Integer. Number of steps of the run, for schedules. Defaults to `None`.

    Returns:
        The `keras.Model`, with a built optimizer.

    Raises:
        UserError: With file and line, if an optimizer refuses its arguments.
    """
    train = pipeline.train
    model = registry.build(pipeline.model_name, spec, pipeline.model_options)
    # Includes the layer that holds the tables, since a memory may have the name of a table.
    named = {
        f"{model.encoder.name}/{name}": table.optimizer
        for name, table in spec.tables.items()
        if table.optimizer
    } | dict.fromkeys(model.pair_tables, train.optimizer.pairs)
    try:
        optimizer = from_spec(train.optimizer, train.schedule, train.clip_norm, total_steps, named)
    except UserError:
        check_optimizers(pipeline, spec)
        raise
    # Only the loss: metrics of the training set would take time at each step.
    model.compile(optimizer=optimizer, metrics=[])
    model.build()
    model.optimizer.build(model.trainable_variables)
    return model

"""`lmn-tf train`."""

import json

import click

from lmn_tf.specs.errors import UserError


@click.command()
@click.argument("pipeline")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Replace one value.")
@click.option("--run-dir", help="Folder of the run. Defaults to the pipeline's.")
@click.option(
    "--warm-start", metavar="RUN_DIR", help="Start with the weights of that run of the same model."
)
@click.option("--resume", is_flag=True, help="Continue the run in the folder, if there is one.")
@click.option("--no-test", is_flag=True, help="Do not read the test set.")
@click.option("--diagnostics", is_flag=True, help="Also measure what the model owes to its memory.")
@click.option("--json", "as_json", is_flag=True, help="Print the metrics as JSON.")
def train(
    pipeline: str,
    settings: tuple[str, ...],
    run_dir: str | None,
    warm_start: str | None,
    resume: bool,
    no_test: bool,
    diagnostics: bool,
    as_json: bool,
) -> None:
    """Train and evaluate the model of a pipeline.

    Writes the run directory and prints the metrics. A killed run continues with --resume, with the
    same result as without interruption. With --no-test, as in a search for the best configuration,
    there are no test metrics; --resume without --no-test adds them.

    With --diagnostics, the test set is also evaluated with shuffled and with zeroed memories, and
    by the support of its pairs in training data; metrics.json has the figures. --resume adds them.

    Models without a network (rates, svd, ease, item_knn) are fitted in seconds, and do not depend
    on the seed.

    With distribute.strategy=parameter_server, TF_CONFIG sets the role of this process: a worker or
    ps serves until it is ended, and the chief trains on them. `lmn-tf launch` starts a cluster on
    this machine.

    With --warm-start the run starts with the weights of another run, which may have a smaller
    memory (model.num_keys) and other vocabularies; it gives the same scores until it is trained.

    \b
    Example:
      lmn-tf train pipelines/quickstart.yaml --set train.epochs=2 --run-dir runs/two_epochs
    """
    if no_test and diagnostics:
        raise UserError(
            "`--diagnostics` must not come with `--no-test`: they are measured on the test set."
        )
    from lmn_tf.models import registry
    from lmn_tf.models.run_checks import check_run
    from lmn_tf.specs.pipeline_spec import PipelineSpec
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.generated_data import generate_missing
    from lmn_tf.training.own_parts import check_own_parts, names_own_parts
    from lmn_tf.training.saving.run_directory import RunDirectory
    from lmn_tf.xla_flags import let_xla_select_k

    settings = [*settings, *([f"run_dir={json.dumps(run_dir)}"] if run_dir else [])]
    settings += [f"warm_start.run={json.dumps(warm_start)}"] if warm_start else []
    spec = PipelineSpec.load(pipeline).with_overrides(settings)
    features = spec.load_feature_spec()
    own = names_own_parts(spec, features)  # whose modules load TensorFlow
    if own:
        let_xla_select_k()
    # Mistakes are refused before TensorFlow is loaded, which takes seconds.
    registry.check_model(spec.model, spec.source)
    spec.check_features(features)
    check_run(spec, features, spec.source)
    if _serves(spec):
        return
    check_own_parts(spec, features)
    if diagnostics:
        _tell_no_diagnostics(spec)
    if not resume:
        RunDirectory(spec.run_dir).check_free()
    generate_missing(spec.data, lambda text: click.echo(text, err=True))
    if not own:
        let_xla_select_k()
    quiet_tensorflow()
    from lmn_tf.training.daily_trainer import make_trainer

    trainer = make_trainer(spec, resume=resume, test=not no_test, diagnostics=diagnostics)
    metrics = trainer.train()
    if as_json:
        click.echo(json.dumps(metrics, indent=2))
        return
    from lmn_tf.training.evaluation.metrics_table import metrics_table

    click.echo(metrics_table(metrics))
    click.echo(f"Run directory: {spec.run_dir}")


def _tell_no_diagnostics(spec):
    reason = None
    if spec.data.test is None:
        reason = "`data.test` names no test set"
    elif spec.distribute.strategy == "parameter_server":
        reason = "the run is on parameter servers"
    if reason is not None:
        click.echo(f"No diagnostics are measured, since {reason}.", err=True)


def _serves(spec):
    """Serves if this process is a worker or a parameter server by `TF_CONFIG`."""
    if spec.distribute.strategy != "parameter_server":
        return False
    from lmn_tf.distribute.cluster import cluster as clusters
    from lmn_tf.tensorflow_log import quiet_tensorflow

    cluster = clusters.Cluster.from_environment()
    if cluster is None or cluster.role == "chief":
        return False
    quiet_tensorflow()
    clusters.serve(cluster, say=lambda text: click.echo(text, err=True))
    return True

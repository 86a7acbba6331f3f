"""`lmn-tf evaluate`."""

import json

import click


@click.command()
@click.argument("run_dir")
@click.option("--data", help="Glob of the files. Defaults to the test set of the run's pipeline.")
@click.option(
    "--delimiter", metavar="C", help="Delimiter of CSV files. Defaults to that of the pipeline."
)
@click.option("--batch-size", type=click.IntRange(1), help="Rows per batch.")
def evaluate(run_dir: str, data: str | None, delimiter: str | None, batch_size: int | None) -> None:
    """Evaluate a trained model and print its metrics as JSON.

    Columns with values that the run does not know are named on stderr.

    \b
    Example:
      lmn-tf evaluate runs/quickstart --data "data/test-*.parquet"
    """
    from lmn_tf.specs.errors import UserError
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    files = data or pipeline.data.test or pipeline.data.valid
    if files is None:
        raise UserError(f"`--data` must be given: the pipeline of {run_dir} names no test set.")
    quiet_tensorflow()
    from lmn_tf import atomic_files
    from lmn_tf.data.dataset import evaluation_dataset
    from lmn_tf.training.evaluation.evaluator import Evaluator
    from lmn_tf.training.monitor.progress import Progress

    model = directory.load_model()
    dataset = evaluation_dataset(
        spec,
        files,
        batch_size=batch_size or pipeline.data.eval_batch_size,
        histories=model.reads_histories,
        delimiter=delimiter,
    )
    labels = [label.name for label in spec.labels]
    evaluator = Evaluator(model, labels, spec.group is not None, pipeline.metrics)
    progress = Progress(title="evaluate")
    try:
        figures = evaluator.evaluate(dataset, progress)
    finally:
        progress.close()
    for sentence in dataset.unfamiliar_values.sentences():
        click.echo(sentence, err=True)
    click.echo(json.dumps(atomic_files.finite(figures), indent=2))

"""`lmn-tf predict`."""

import click


@click.command()
@click.argument("run_dir")
@click.option("--data", required=True, help="Glob of the files to score, with or without labels.")
@click.option("--output", required=True, help="Parquet file to write.")
@click.option(
    "--columns",
    default="",
    metavar="A,B",
    help="Columns of the data to write beside the probabilities, such as item_id,request_id.",
)
@click.option(
    "--delimiter", metavar="C", help="Delimiter of CSV files. Defaults to that of the pipeline."
)
@click.option("--batch-size", type=click.IntRange(1), help="Rows per batch.")
def predict(
    run_dir: str,
    data: str,
    output: str,
    columns: str,
    delimiter: str | None,
    batch_size: int | None,
) -> None:
    """Write the probabilities of a trained model for each row of the data, in order.

    The file has the group column of the feature spec, if it has one, the columns of --columns, and
    a column for each label. Columns with values that the run does not know are named on stderr.

    \b
    Example:
      lmn-tf predict runs/quickstart --data "data/test-*.parquet" --output scores.parquet
    """
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    quiet_tensorflow()
    from lmn_tf.specs.delimiter import as_delimiter
    from lmn_tf.training.evaluation.prediction import write_predictions

    if delimiter is not None:
        spec.assets.delimiter = as_delimiter(delimiter)
    rows = write_predictions(
        directory.load_model(),
        spec,
        data,
        output,
        batch_size=batch_size or pipeline.data.eval_batch_size,
        columns=[name.strip() for name in columns.split(",") if name.strip()],
    )
    click.echo(f"{rows:,} rows written to {output}")

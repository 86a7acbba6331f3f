"""`lmn-tf export`."""

import json

import click


@click.command()
@click.argument("run_dir")
@click.argument("out_dir")
@click.option("--data", help="Glob of files for the comparison. Defaults to the data of the run.")
@click.option("--rows", type=click.IntRange(1), default=1000, help="Rows for the comparison.")
@click.option(
    "--tolerance",
    type=click.FloatRange(0, 1),
    default=1e-5,
    show_default=True,
    help="Largest accepted difference of two probabilities.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the parity report as JSON.")
def export(
    run_dir: str, out_dir: str, data: str | None, rows: int, tolerance: float, as_json: bool
) -> None:
    """Export a trained model as a SavedModel, reload it and compare both on rows of data.

    A SavedModel is a program: loading it runs its graph. Only load exports from sources that you
    trust.

    \b
    Example:
      lmn-tf export runs/quickstart exports/quickstart
    """
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    quiet_tensorflow()
    from lmn_tf.serving.saved_model import export as export_model

    files = data or pipeline.data.test or pipeline.data.valid or pipeline.data.train
    report = export_model(directory.load_model(), spec, out_dir, files, rows, tolerance)
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    signatures = [report, *(part for part in report.values() if isinstance(part, dict))]
    rounded = max(figures["rows_rounded"] for figures in signatures)
    largest = max(figures["largest_difference"] for figures in signatures)
    click.echo(
        f"Exported to {out_dir}: {report['stored_bytes']:,} bytes, {report['variables']} variables "
        f"stored once. On {report['rows']:,} rows the reloaded model differs by at most "
        f"{largest:.2g}."
        + (f" In {rounded:,} of them rounding broke a tie another way." if rounded else "")
    )

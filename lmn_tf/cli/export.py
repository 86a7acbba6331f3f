"""`lmn-tf export`."""

import json

import click

_DTYPES = click.Choice(["float32", "bfloat16", "int8"])


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
@click.option(
    "--values", type=_DTYPES, default="float32", show_default=True, help="How the values of a "
    "memory are stored; int8 with a scale for each slot."
)  # fmt: skip
@click.option(
    "--embeddings", type=_DTYPES, default="float32", show_default=True, help="How embedding tables "
    "of more than 128 rows are stored."
)  # fmt: skip
@click.option(
    "--max-auc-loss",
    type=click.FloatRange(0, 1),
    default=0.0005,
    show_default=True,
    help="Largest accepted loss of AUC by tables stored as bfloat16 or int8.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the parity report as JSON.")
def export(
    run_dir: str,
    out_dir: str,
    data: str | None,
    rows: int,
    tolerance: float,
    values: str,
    embeddings: str,
    max_auc_loss: float,
    as_json: bool,
) -> None:
    """Export a trained model as a SavedModel, reload it and compare both on rows of data.

    With --values int8 or bfloat16, the memory takes a quarter or half of the bytes; what that costs
    is measured on rows with labels, and refused where it is too much.

    A SavedModel is a program: loading it runs its graph. Only load exports from sources that you
    trust.

    \b
    Example:
      lmn-tf export runs/quickstart exports/quickstart
      lmn-tf export runs/quickstart exports/small --values int8 --rows 10000
    """
    from lmn_tf.data.reading.dated_files import unseen_files
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    quiet_tensorflow()
    from lmn_tf.serving.saved_model import export as export_model

    report = export_model(
        directory.load_model(),
        spec,
        out_dir,
        data or unseen_files(pipeline.data) or pipeline.data.train,
        rows,
        tolerance,
        values=values,
        embeddings=embeddings,
        max_auc_loss=max_auc_loss,
        run_id=directory.run_id,
        data_fingerprint=directory.data_fingerprint,
    )
    click.echo(json.dumps(report, indent=2) if as_json else _told(report, out_dir))


def _told(report, out_dir) -> str:
    rounded = max(figures.get("rows_rounded", 0) for figures in report["signatures"].values())
    text = (
        f"Exported to {out_dir}: {report['stored_bytes']:,} bytes, {report['variables']} variables "
        f"stored once. On {report['rows']:,} rows the reloaded model differs by at most "
        f"{report['largest_difference']:.2g}."
        + (f" In {rounded:,} of them rounding broke a tie another way." if rounded else "")
    )
    if "quantization" not in report:
        return text
    loss, share = report["quantization"], report["stored_bytes"] / report["variable_bytes"]
    aucs = ", ".join(
        f"the AUC of {label} is {auc['exported']:.5f} (before {auc['model']:.5f})"
        for label, auc in loss["auc"].items()
    )
    return (
        f"{text}\nWith values as {loss['values']} and embeddings as {loss['embeddings']} it takes "
        f"{share:.3f} of the bytes; scores differ by at most {loss['largest_difference']:.2g} from "
        f"the model's, {aucs}."
    )

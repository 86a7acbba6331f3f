"""`lmn-tf index`."""

import json

import click


@click.command()
@click.argument("run_dir")
@click.argument("out_dir")
@click.option("--items", help="Glob of files whose items are indexed. Defaults to all of the run.")
@click.option(
    "--k",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    help="Candidates that a query gets.",
)
@click.option("--rows", type=click.IntRange(1), default=1000, help="Rows for the comparison.")
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
def index(run_dir: str, out_dir: str, items: str | None, k: int, rows: int, as_json: bool) -> None:
    """Export the query tower of a two-tower model with an index of its candidates.

    The SavedModel takes the encoded features of a user and returns names of candidates, the best
    first. A SavedModel is a program: loading it runs its graph. Only load indexes from sources that
    you trust.

    \b
    Example:
      lmn-tf index runs/two_tower indexes/two_tower --k 50
    """
    from lmn_tf.specs.pipeline_spec import MARK
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    quiet_tensorflow()
    from lmn_tf.serving.retrieval_index import export_index

    data = pipeline.data
    known = (data.train.replace(MARK, "*"), data.valid, data.test)
    files = items or [glob for glob in known if glob]
    report = export_index(
        directory.load_model(),
        spec,
        out_dir,
        files,
        k,
        rows,
        run_id=directory.run_id,
        data_fingerprint=directory.data_fingerprint,
    )
    if as_json:
        click.echo(json.dumps(report, indent=2))
        return
    click.echo(
        f"Exported to {out_dir}: the best {report['k']:,} of {report['candidates']:,} candidates. "
        f"On {report['rows']:,} rows the reloaded index differs by at most "
        f"{report['largest_difference']:.2g}."
    )

"""`lmn-tf compare`."""

import json

import click


@click.command()
@click.argument("comparison")
@click.option("--seeds", type=click.IntRange(1), help="Use seeds 1 to N instead of the file's.")
@click.option("--output", help="Folder for runs. Defaults to the file's.")
@click.option("--in-process", is_flag=True, help="Load TensorFlow once: faster for small runs.")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON.")
def compare(
    comparison: str, seeds: int | None, output: str | None, in_process: bool, as_json: bool
) -> None:
    """Train several models with several seeds on one data set, and print one table.

    With `vary`, each model is trained with each value of an option, such as the number of training
    rows, and the curve is drawn as well.

    With a `search`, options are first selected on the validation set, with the same number of
    trials for every network. Early stopping is checked after whole epochs: use a patience of 2 or
    more.

    A stopped comparison continues where it stopped. The first seed of every model comes first, and
    after each run the table is written as Markdown, JSON and a picture to the folder of results,
    beside a small file of what the run measured: with these files, the comparison also goes on
    where the runs are not. Each run has its own process unless --in-process is given, which does
    not change results. A failed run does not stop the others; it is reported at the end, and the
    exit status is then 1.

    \b
    Example:
      lmn-tf compare pipelines/quickstart_comparison.yaml --seeds 3
      lmn-tf compare pipelines/synthetic_search.yaml
    """
    import dataclasses

    from lmn_tf.models import registry
    from lmn_tf.specs.comparison_spec import ComparisonSpec
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.comparison.comparison import Comparison
    from lmn_tf.training.comparison.comparison_report import markdown
    from lmn_tf.xla_flags import let_xla_select_k

    spec = ComparisonSpec.load(comparison)
    if output:
        spec = dataclasses.replace(spec, output=output).with_source(spec.base_dir, *spec.source)
    own = any(entry.model["name"] not in registry.PARTS.builtin for entry in spec.models)
    if own:  # their modules load TensorFlow
        let_xla_select_k()
    runs = Comparison(spec, range(1, seeds + 1) if seeds else None, in_process=in_process)
    if not own:
        let_xla_select_k()
    if in_process:
        quiet_tensorflow()
    result = runs.run()
    points = result["curve"]["points"] if result["curve"] else []
    if as_json:
        click.echo(json.dumps(result, indent=2))
    elif result["models"] or any(point["models"] for point in points):
        click.echo(markdown(result))
        curve = ", curve.png" if result["curve"] else ""
        click.echo(
            f"Written to {runs.results}/comparison.md, comparison.json{curve} and comparison.png"
        )
    failed = result["failed"]
    for run in failed:
        click.echo(f"lmn-tf: {runs.output / run['folder']}: failed: {run['reason']}", err=True)
    if failed:
        click.get_current_context().exit(1)

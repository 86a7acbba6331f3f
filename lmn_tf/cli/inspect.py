"""`lmn-tf inspect`."""

import json

import click


@click.command()
@click.argument("run_dir")
@click.option("--data", help="Glob of the files. Defaults to the test set of the run's pipeline.")
@click.option("--rows", type=click.IntRange(1), default=20_000, help="Number of rows to read.")
@click.option("--top", type=click.IntRange(1), default=10, help="Number of slots to show.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows per batch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    run_dir: str, data: str | None, rows: int, top: int, batch_size: int | None, as_json: bool
) -> None:
    """Show how the memory of a trained model is used.

    Reads the first rows of the data and prints, for each memory, the share of slots in use, how
    evenly they are used, and which items and users read the most used slots. Text, JSON and
    pictures are written to the folder `inspect` of RUN_DIR.

    \b
    Example:
      lmn-tf inspect runs/quickstart --top 5
    """
    from lmn_tf.specs.errors import UserError
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    directory = RunDirectory.open(run_dir)
    pipeline, spec = directory.load_pipeline(), directory.load_spec()
    _check_memory(pipeline)
    files = data or pipeline.data.test or pipeline.data.valid or _last_day(pipeline.data)
    if files is None:
        raise UserError(f"`--data` must be given: the pipeline of {run_dir} names no test set.")
    quiet_tensorflow()
    from lmn_tf import atomic_files
    from lmn_tf.data.dataset import make_dataset
    from lmn_tf.training.evaluation.evaluator import Evaluator
    from lmn_tf.training.evaluation.memory_inspection import inspect_memories
    from lmn_tf.training.evaluation.memory_report import draw_memory, memory_text

    model = directory.load_model()
    size = batch_size or pipeline.data.eval_batch_size
    dataset = make_dataset(spec, files, size, limit=rows, histories=model.reads_histories)
    evaluator = Evaluator(model, [label.name for label in spec.labels])
    inspections = inspect_memories(evaluator, spec, dataset, top)
    report = {
        "run_dir": str(run_dir),
        "model": pipeline.model_name,
        "data": str(files),
        "memories": {inspection.name: inspection.figures() for inspection in inspections},
    }
    folder = directory.path / "inspect"
    for inspection in inspections:
        draw_memory(inspection, folder / f"{inspection.name.replace('/', '_')}.png")
    text = memory_text(report)
    atomic_files.write_json(folder / "inspect.json", report)
    atomic_files.write_text(folder / "inspect.txt", text + "\n")
    if as_json:
        click.echo(json.dumps(atomic_files.finite(report), indent=2, ensure_ascii=False))
        return
    click.echo(text)
    click.echo(f"Pictures and JSON: {folder}")


def _check_memory(pipeline):
    from lmn_tf.models import registry
    from lmn_tf.specs.errors import UserError

    if "num_keys" not in registry.options(pipeline.model_name):
        with_memory = [name for name in registry.names() if "num_keys" in registry.options(name)]
        raise UserError(
            f"`RUN_DIR` must hold a model with a memory of slots: {', '.join(with_memory)}. "
            f"Received: model {pipeline.model_name}"
        )


def _last_day(data):
    """Returns the files of the last day of a run over days."""
    if data.days is None:
        return None
    from lmn_tf.data.reading.dated_files import dated_files

    return list(dated_files(data.train, data.days)[0].values())[-1]

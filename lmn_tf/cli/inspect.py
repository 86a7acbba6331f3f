"""`lmn-tf inspect`."""

import json

import click


@click.command()
@click.argument("run_dir")
@click.option("--users", nargs=2, metavar="A B", help="Show the slots that two users share.")
@click.option("--user", help="With --item: show what the row of both reads.")
@click.option("--item", help="With --user.")
@click.option("--slot", type=int, help="Show a slot, its readers, and the slots that are like it.")
@click.option("--data", help="Glob of the files. Defaults to the test set of the run's pipeline.")
@click.option("--rows", type=click.IntRange(1), default=20_000, help="Number of rows to read.")
@click.option("--top", type=click.IntRange(1), default=10, help="Number of slots or pairs to show.")
@click.option("--batch-size", type=click.IntRange(1), help="Rows per batch.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def inspect(
    run_dir: str,
    users: tuple[str, str] | None,
    user: str | None,
    item: str | None,
    slot: int | None,
    data: str | None,
    rows: int,
    top: int,
    batch_size: int | None,
    as_json: bool,
) -> None:
    """Show what the memory of a trained model holds, and who reads it.

    Reads the first rows of the data and prints, for each memory, the share of slots in use, how
    evenly they are used, regions without reads, and which items and user groups read the most used
    slots. A group is a value of a user feature; its lift is its share of the slot's reads divided
    by its share of all reads.

    --users compares two users, --user with --item shows one row and its score without the slots
    that it reads, --slot shows one slot. Users and items are named as in the data. Text, JSON and
    pictures are written to the folder `inspect` of RUN_DIR.

    Of a memory of pairs, it prints the pairs with the largest and the smallest values, and how
    often pairs are read; --user with --item shows what each event of the row adds to its logit.

    \b
    Example:
      lmn-tf inspect runs/quickstart --top 5
    """
    from lmn_tf.tensorflow_log import quiet_tensorflow
    from lmn_tf.training.saving.run_directory import RunDirectory

    _check(users, user, item, slot)
    directory = RunDirectory.open(run_dir)
    quiet_tensorflow()
    from lmn_tf import atomic_files
    from lmn_tf.training.inspection.inspected_run import InspectedRun
    from lmn_tf.training.inspection.memory_report import memory_view
    from lmn_tf.training.inspection.overlap_report import overlap_view
    from lmn_tf.training.inspection.pairs.pair_report import pair_view
    from lmn_tf.training.inspection.pairs.row_pair_report import row_pair_view
    from lmn_tf.training.inspection.row_report import row_view
    from lmn_tf.training.inspection.slot_report import slot_view
    from lmn_tf.training.inspection.view import joined

    run = InspectedRun(directory, data, rows, batch_size)
    if users:
        run.check_keys("--users")
        view = overlap_view(run, users, top)
    elif slot is not None:
        run.check_keys("--slot")
        view = slot_view(run, slot, top)
    else:
        kinds = [(run.memory_names, memory_view, row_view), (run.pairs, pair_view, row_pair_view)]
        view = joined(
            [
                of_all(run, top) if user is None else of_row(run, user, item, top)
                for memories, of_all, of_row in kinds
                if memories
            ]
        )
    folder = directory.path / "inspect"
    paths = view.write(folder)
    if as_json:
        click.echo(json.dumps(atomic_files.finite(view.report), indent=2, ensure_ascii=False))
        return
    click.echo(view.text)
    click.echo(f"{folder}: {', '.join(path.name for path in paths)}")


def _check(users, user, item, slot):
    from lmn_tf.specs.errors import UserError

    if (user is None) != (item is None):
        raise UserError(
            "`--user` and `--item` must be given together. Received: "
            f"{'--item' if user is None else '--user'} alone"
        )
    given = {"--users": users, "--user": user, "--slot": slot}
    given = [name for name, value in given.items() if value not in (None, ())]
    if len(given) > 1:
        raise UserError(
            f"`--users`, `--user` with `--item`, and `--slot` must be given one at a time. "
            f"Received: {' and '.join(given)}"
        )

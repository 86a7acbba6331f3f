"""`lmn-tf benchmark`."""

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import click

from lmn_tf.specs.errors import UserError, did_you_mean

_FOLDER = Path("pipelines") / "benchmarks"


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("name", required=False)
@click.argument(
    "script_options", nargs=-1, type=click.UNPROCESSED, metavar="[OPTIONS OF THE BENCHMARK]"
)
@click.option("--quick", is_flag=True, help="Tiny sizes: does it run at all?")
@click.option("--output", help="Folder of the table. Defaults to results/ beside the benchmarks.")
@click.option("--json", "as_json", is_flag=True, help="Print the figures as JSON.")
@click.option("--rounds", type=click.IntRange(1), help="Turns of each contender.")
@click.option("--only", help="Only the cases whose title holds this text.")
@click.option("--folder", help="Folder of benchmarks. Defaults to pipelines/benchmarks, searched "
              "for from the current folder upwards.")  # fmt: skip
def benchmark(
    name: str | None,
    script_options: tuple[str, ...],
    quick: bool,
    output: str | None,
    as_json: bool,
    rounds: int | None,
    only: str | None,
    folder: str | None,
) -> None:
    """Time contenders side by side and write a table; without NAME, list the benchmarks.

    The benchmarks are scripts of the repository, not of the installed package. Peers such as
    PyTorch come with `pip install -e .[bench]`; missing ones are skipped.

    \b
    Example:
      lmn-tf benchmark
      lmn-tf benchmark product_key_layer --quick
    """
    scripts = _scripts(folder)
    if name is None:
        _list({key: _summary(path) for key, path in scripts.items()}, as_json)
        return
    if name not in scripts:
        raise UserError(f"`{name}` must be a benchmark.{did_you_mean(name, scripts)}")
    options = ["--quick"] * quick + ["--json"] * as_json
    for option, value in (("--output", output), ("--rounds", rounds), ("--only", only)):
        options += [] if value is None else [option, str(value)]
    done = subprocess.run(
        [sys.executable, str(scripts[name]), *options, *script_options],
        env=_environment(),
        check=False,
    )
    # A script that a signal ended has a negative status.
    click.get_current_context().exit(done.returncode if done.returncode >= 0 else 1)


def _scripts(folder) -> dict[str, Path]:
    """Returns the benchmarks by name."""
    if folder is not None:
        scripts_folder = Path(folder)
        if not scripts_folder.is_dir():
            raise UserError("`--folder` must be a folder. Received: no such folder", file=folder)
    else:
        current = Path.cwd()
        candidates = [parent / _FOLDER for parent in (current, *current.parents)]
        scripts_folder = next((candidate for candidate in candidates if candidate.is_dir()), None)
        if scripts_folder is None:
            raise UserError(
                f"`lmn-tf benchmark` must run inside a checkout of lmn_tf, which has {_FOLDER}: "
                f"benchmarks are not installed with the package. Received: {current} "
                "(--folder names another place)"
            )
    scripts = {path.stem: path for path in sorted(scripts_folder.glob("*.py"))}
    if not scripts:
        raise UserError(
            "the folder of benchmarks must hold scripts. Received: none", file=scripts_folder
        )
    return scripts


def _summary(path) -> str:
    """Returns the first line of a script's docstring, without running it."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    return text.partition("\n")[0]


def _list(summaries, as_json) -> None:
    if as_json:
        click.echo(json.dumps(summaries, indent=2))
        return
    width = max(map(len, summaries))
    for name, text in summaries.items():
        click.echo(f"{name:<{width}}  {text}".rstrip())


def _environment() -> dict[str, str]:
    """Returns an environment in which scripts import the package of this command."""
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}

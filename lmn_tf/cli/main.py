"""The command `lmn-tf`: subcommands that load when called, and errors in one line."""

import importlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from lmn_tf.specs.errors import UserError, clipped, did_you_mean
from lmn_tf.version import __version__

# Name → import path, and line in `lmn-tf --help`, which thus imports no command.
COMMANDS = {
    "check": ("lmn_tf.cli.check:check", "Validate a feature spec, a pipeline or a comparison."),
    "schema": ("lmn_tf.cli.schema:schema", "Print the JSON Schema of the YAML files."),
    "prepare": ("lmn_tf.cli.prepare:prepare", "Turn a published data set into training files."),
    "train": ("lmn_tf.cli.train:train", "Train and evaluate the model of a pipeline."),
    "launch": ("lmn_tf.cli.launch:launch", "Train on a parameter-server cluster of this machine."),
    "evaluate": ("lmn_tf.cli.evaluate:evaluate", "Evaluate a trained model."),
    "predict": ("lmn_tf.cli.predict:predict", "Write the scores of a trained model."),
    "compare": ("lmn_tf.cli.compare:compare", "Train several models and print one table."),
    "inspect": ("lmn_tf.cli.inspect:inspect", "Show how the memory of a trained model is used."),
    "models": ("lmn_tf.cli.models:models", "List the models, or show one with its options."),
    "export": ("lmn_tf.cli.export:export", "Export a trained model for serving."),
    "index": ("lmn_tf.cli.index:index", "Export a retrieval model with its candidates."),
    "serve": ("lmn_tf.cli.serve:serve", "Serve an export over HTTP."),
    "benchmark": ("lmn_tf.cli.benchmark:benchmark", "Time contenders side by side."),
    "doctor": (
        "lmn_tf.cli.doctor:doctor",
        "Report versions, devices and their problems.",
    ),
}


class LazyGroup(click.Group):
    """A click group that imports a subcommand's module when it is called."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, function = COMMANDS[cmd_name][0].partition(":")
        return getattr(importlib.import_module(module), function)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        name = args[0] if args else ""
        if args and name not in COMMANDS and not name.startswith("-"):
            raise click.UsageError(
                f"`{name}` must be a command of lmn-tf.{did_you_mean(name, COMMANDS)}"
            )
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, text) for name, (_, text) in COMMANDS.items()])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="lmn-tf")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
def cli(debug: bool) -> None:
    """CTR models with one large trainable memory, shared by all users.

    Example: lmn-tf train pipelines/quickstart.yaml
    """


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line and returns its exit status: 0, or 2 for a user's mistake.

    Args:
        arguments: List of strings. Defaults to `None`: the arguments of the process.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug, arguments = _take_debug(arguments)
    try:
        status = cli.main(args=arguments or ["--help"], prog_name="lmn-tf", standalone_mode=False)
        sys.stdout.flush()
        return status if isinstance(status, int) else 0
    except BrokenPipeError:
        # The reader of the pipe (such as `head`) has closed it: drop the rest of the output.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except (KeyboardInterrupt, click.Abort):
        _say("stopped.")
        return 130
    except Exception as error:
        if debug:
            traceback.print_exc()
        message, status = explain(error)
        _say(message)
        return status


def _take_debug(arguments):
    """Returns whether `--debug` is anywhere among the options, and the other arguments."""
    end = arguments.index("--") if "--" in arguments else len(arguments)
    options = [argument for argument in arguments[:end] if argument != "--debug"]
    return len(options) < end, options + arguments[end:]


def explain(error: Exception) -> tuple[str, int]:
    """Returns the message of an exception in one line, and the exit status."""
    if isinstance(error, UserError):
        count = len(error.others)
        also = f" (and {count} more mistake{'s' if count > 1 else ''})" if count else ""
        return _one_line(error) + also, 2
    if isinstance(error, click.ClickException):
        context = getattr(error, "ctx", None)
        command = context.command_path.partition(" ")[2] if context else ""
        return (f"{command}: " if command else "") + _one_line(error.format_message()), 2
    if isinstance(error, OSError):
        name = f"{error.filename}: " if error.filename else ""
        return f"{name}{error.strerror or _one_line(error)}", 2
    if isinstance(error, ValueError) and "Received:" in str(error):
        return _one_line(error), 2
    if isinstance(error, MemoryError):
        return "memory must suffice for what was asked. Received: out of memory", 1
    name = type(error).__name__
    return f"{name}: {_one_line(error)} (--debug shows where)", 1


def _one_line(message):
    """Returns the first line of a message; `--debug` shows the lines that TensorFlow adds."""
    lines = str(message).strip().splitlines()
    return lines[0] if lines else "no message"


def _say(message):
    click.echo(f"lmn-tf: {clipped(message)}", err=True)


if __name__ == "__main__":
    sys.exit(main())

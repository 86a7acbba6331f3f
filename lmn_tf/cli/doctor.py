"""`lmn-tf doctor`."""

import json

import click


@click.command()
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
def doctor(as_json: bool) -> None:
    """Report versions, devices, XLA and limits, and their problems.

    The exit status is 1 if there are errors, and 0 if there are only warnings or no problems.

    \b
    Example:
      lmn-tf doctor --json
    """
    from lmn_tf.training.diagnosis import diagnose

    report = diagnose()
    if as_json:
        click.echo(json.dumps(report, indent=2))
    else:
        for line in _lines(report):
            click.echo(line)
    if any(problem["severity"] == "error" for problem in report["problems"]):
        click.get_current_context().exit(1)


def _lines(report: dict):
    from lmn_tf.training.evaluation.metrics_table import aligned

    for section in ("versions", "devices", "xla", "limits"):
        rows = [[f"  {key}", _text(value)] for key, value in report[section].items()]
        if section == "versions":
            rows = [[key, value + _range(report["tested"].get(key.strip()))] for key, value in rows]
        yield section
        yield from aligned(rows)
    problems = report["problems"]
    yield "problems" if problems else "no problems"
    for problem in problems:
        yield f"  {problem['severity']}: {problem['message']}"


def _range(tested) -> str:
    return f" (tested: {tested[0]} to {tested[1]})" if tested else ""


def _text(value) -> str:
    if isinstance(value, list):
        return ", ".join(map(str, value)) or "none"
    return f"{value:,.1f}" if isinstance(value, float) else str(value)

"""`lmn-tf serve`."""

import importlib.util
from typing import Any

import click

from lmn_tf.serving.server.options import ServerOptions
from lmn_tf.specs.errors import UserError

_PACKAGES = {
    "starlette": "starlette",
    "uvicorn": "uvicorn",
    "prometheus_client": "prometheus-client",
}


def _option(name, kind, text):
    default = getattr(ServerOptions, name)
    flag = "--" + name.replace("_", "-")
    return click.option(flag, type=kind, default=default, show_default=True, help=text)


@click.command()
@click.argument("export")
@_option("host", str, "Address to listen on; 0.0.0.0 for all of this machine.")
@_option("port", click.IntRange(0, 65535), "Port; 0 takes any that is free.")
@click.option(
    "--threads", type=click.IntRange(1), help="CPU threads that score. Defaults to all cores."
)
@click.option("--events-dir", help="Folder of the event files of histories by reference.")
@_option("max_rows", click.IntRange(1), "Most rows, or candidates, of a request.")
@_option("max_body_kib", click.IntRange(1), "Largest body of a request in KiB.")
@_option("max_pending", click.IntRange(1), "Requests that may wait or be scored at a time.")
@_option("timeout", click.FloatRange(0, min_open=True), "Seconds that an answer may take.")
@_option("batch_rows", click.IntRange(1), "Most rows that are scored at once.")
@_option("batch_wait_ms", click.FloatRange(0), "Milliseconds that rows wait for further ones.")
@_option("cache_mib", click.IntRange(0), "Memory for what was computed of recent users, in MiB.")
@_option("poll", click.FloatRange(0, min_open=True), "Seconds between looks for a new export.")
def serve(export: str, **options: Any) -> None:
    """Serve an export over HTTP: JSON in, probabilities out.

    EXPORT is a folder that `lmn-tf export` wrote, or one with such folders that have numbers as
    names, of which the highest is served. A new export is loaded while the server runs.

    A SavedModel is a program: loading it runs its graph. Only serve exports from sources that you
    trust.

    \b
    Example:
      lmn-tf serve exports/quickstart --port 8000
    """
    missing = [name for module, name in _PACKAGES.items() if not importlib.util.find_spec(module)]
    if missing:
        raise UserError(
            'the packages of the server must be installed: pip install "lmn_tf[serve]". '
            f"Received: no {', '.join(missing)}"
        )
    from lmn_tf.tensorflow_log import quiet_tensorflow

    quiet_tensorflow()
    from lmn_tf.serving.server.run import run_server

    run_server(export, ServerOptions(**options), announce=click.echo)

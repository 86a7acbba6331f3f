"""`lmn-tf schema`: the JSON Schema of the YAML files."""

import json

import click


@click.command()
def schema() -> None:
    """Print the JSON Schema of feature specs, pipelines and comparisons.

    Example: lmn-tf schema > lmn_tf.schema.json
    """
    from lmn_tf.models import registry
    from lmn_tf.specs.schema import json_schema

    models = {name: registry.record(name).json_schema() for name in registry.names()}
    click.echo(json.dumps(json_schema(models), indent=2))

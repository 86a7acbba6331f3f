"""`lmn-tf schema`: the JSON Schema of the YAML files."""

import json

import click


@click.command()
def schema():
    """Print the JSON Schema of feature specs, pipelines and comparisons.

    Example: lmn-tf schema > lmn_tf.schema.json
    """
    from lmn_tf.models import registry
    from lmn_tf.specs.schema import json_schema

    click.echo(json.dumps(json_schema(models=registry.names()), indent=2))

import json

import jsonschema

from lmn_tf.cli.main import main


def test_prints_a_valid_schema_that_knows_the_models(capsys):
    assert main(["schema"]) == 0
    schema = json.loads(capsys.readouterr().out)
    jsonschema.Draft202012Validator.check_schema(schema)
    model = schema["$defs"]["PipelineSpec"]["properties"]["model"]
    assert "lmn" in model["properties"]["name"]["enum"]

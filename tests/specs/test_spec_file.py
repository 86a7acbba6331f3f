import pytest
from spec_edits import COMPARISON, FEATURES, PIPELINE

from lmn_tf.specs import spec_file
from lmn_tf.specs.errors import UserError


@pytest.mark.parametrize(
    "path, kind", [(FEATURES, "feature spec"), (PIPELINE, "pipeline"), (COMPARISON, "comparison")]
)
def test_the_version_key_tells_the_kind(path, kind):
    found, spec, marks = spec_file.load(path)
    assert found == kind
    assert spec == type(spec).load(path)
    assert marks.line(("name" if kind != "pipeline" else "model",)) > 1


@pytest.mark.parametrize(
    "text, message",
    [
        ("", "a.yaml: file must not be empty."),
        ("# nothing\n", "a.yaml: file must not be empty."),
        ("- a\n", "a.yaml:1: file must hold a mapping."),
        ("text\n", "a.yaml:1: file must hold a mapping."),
        ("a: 1\n", "a.yaml: file must have one of `spec_version`, `pipeline_version`, `comparis"),
        ("{}\n", "Received: nothing"),
        ("\nspec_verson: 1\n", "a.yaml:2: unknown key `spec_verson`. Did you mean `spec_version`?"),
        ("spec_version: 1\npipeline_version: 1\n", "a.yaml:2: unknown key `pipeline_version`."),
    ],
)
def test_refuses(text, message, tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=".") as caught:
        spec_file.load(path)
    assert message in str(caught.value)

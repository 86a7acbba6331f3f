import pytest
import yaml
from own_modules import write_modules
from tiny_run import document

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.training.own_parts import check_own_parts, load_parts, names_own_parts

SPEC = """spec_version: 1
name: small
GROUP
labels:
  - {name: click, column: click}
tables:
  item: {dim: 4}
features:
  - {name: user, role: user, kind: categorical, lookup: {hash: 10}}
  - {name: item, role: item, kind: categorical, lookup: {hash: 10}, table: item}
"""
ROWS = "users_metrics:Rows"


@pytest.fixture
def load(tmp_path, monkeypatch):
    """Returns a function that writes and reads a pipeline, and the feature spec."""
    write_modules(tmp_path, monkeypatch)

    def load(group=True, table="", **changes):
        text = SPEC.replace("GROUP", "group: user" if group else "")
        (tmp_path / "spec.yaml").write_text(text.replace("dim: 4", f"dim: 4{table}"))
        data = {**document("run", {"name": "dnn"}), **changes}
        (tmp_path / "pipeline.yaml").write_text(yaml.dump(data))
        pipeline = PipelineSpec.load(tmp_path / "pipeline.yaml")
        return pipeline, FeatureSpec.load(tmp_path / "spec.yaml")

    return load


def rule(**optimizer):
    return {"optimizer": optimizer}


def test_whether_parts_of_users_are_named(load):
    own = {"users_optimizers:Plain": 0.1}
    assert not names_own_parts(*load())
    assert names_own_parts(*load(metrics=[ROWS]))
    assert names_own_parts(*load(model={"name": "users_models:Wide"}))
    assert names_own_parts(*load(train=rule(tables=own)))
    assert names_own_parts(*load(table=", optimizer: {users_optimizers:Plain: 0.1}"))


def test_parts_that_fit(load):
    found = load(
        table=", optimizer: {users_optimizers:Plain: {momentum: 0.1}}",
        train=rule(dense={"users_optimizers:Plain": 0.1}),
        metrics=[ROWS, {ROWS: {"power": 2, "name": "again"}}, "users_metrics:Grouped"],
    )
    check_own_parts(*found)
    load_parts(*found)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"metrics": ["users_metrics:Row"]}, r"pipeline.yaml:\d+: .*Did you mean `Rows`"),
        ({"metrics": [{ROWS: {"power": 0}}]}, r"pipeline.yaml:\d+: metric `.*Received: power=0"),
        ({"metrics": [ROWS, ROWS]}, r"pipeline.yaml:\d+: `metrics` must have .*'rows' twice"),
        (
            {"metrics": ["users_metrics:Grouped"], "group": False},
            r"pipeline.yaml:\d+: `group` must be given .* for the metric `grouped`",
        ),
        (
            {"train": rule(dense={"users_optimizers:Plain": {"momentm": 1}})},
            r"pipeline.yaml:\d+: .*no argument `momentm`",
        ),
        (
            {"train": rule(tables={"users_optimizers:Plan": 1})},
            r"pipeline.yaml:\d+: `optimizer` must name .*Did you mean `Plain`",
        ),
        ({"table": ", optimizer: {nowhere:Plain: 1}"}, "spec.yaml:7: .*No module named 'nowhere'"),
    ],
)
def test_mistakes_have_their_line(load, changes, message):
    with pytest.raises(UserError, match=message):
        check_own_parts(*load(**changes))

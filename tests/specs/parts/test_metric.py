import own_shop
import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.parts.metric import name_and_arguments, with_path
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml

TEXT = """pipeline_version: 1
feature_spec: a.yaml
data: {train: a}
model: {name: dnn}
run_dir: run
metrics:
- RULE
"""


def parse(rule):
    data, marks = strict_yaml.loads(TEXT.replace("RULE", rule), file="p.yaml")
    return PipelineSpec.from_dict(data, file="p.yaml", marks=marks)


def test_names_and_arguments():
    metrics = parse("a.b:C\n- {a.b:D: {k: 3}}").metrics
    assert metrics == ("a.b:C", {"a.b:D": {"k": 3}})
    assert [name_and_arguments(rule) for rule in metrics] == [("a.b:C", {}), ("a.b:D", {"k": 3})]
    assert [with_path(rule) for rule in metrics] == list(metrics)


def test_a_name_is_written_as_its_path(tmp_path, monkeypatch):
    own_shop.register(tmp_path, "mine", {"lmn_tf.metrics": {"brier": "my_shop.metrics:Brier"}})
    monkeypatch.syspath_prepend(tmp_path)
    assert with_path("brier") == "my_shop.metrics:Brier"
    assert with_path({"brier": {"name": "b"}}) == {"my_shop.metrics:Brier": {"name": "b"}}


@pytest.mark.parametrize(
    ("rule", "message"),
    [
        ("a.b.C", "`metrics` must be a metric: auc,.* Did you mean `a.b:C`?"),
        ("bri", "`metrics` must be a metric: .*Received: metrics='bri'"),
        ("auc", "`metrics` must be metrics of your own: auc is part of every evaluation"),
        ("3", r"`metrics\[0\]` must be text or a mapping"),
        ("{}", "must name exactly one metric. Received: none"),
        ("{a:B: {}, a:C: {}}", "must name exactly one metric. Received: a:B, a:C"),
        ("{a:B: 3}", "must be a mapping of arguments. Received: a:B=3"),
    ],
)
def test_mistakes_have_their_line(rule, message):
    with pytest.raises(UserError, match=f"^p.yaml:7: .*{message}"):
        parse(rule)

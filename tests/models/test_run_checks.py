import pytest
from rated_items import rated_dict
from tiny_run import document

from lmn_tf.models.run_checks import check_run
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml

RATES = {"name": "rates", "outcome": "liked"}


def check(model, **keys):
    pipeline = {**document("runs/x", model), "data": {"train": "x/{day}.csv"}, **keys}
    if "data" not in keys:
        pipeline["data"] = {"train": "x.csv"}
    pipeline["train"] = {}
    text = strict_yaml.dump(pipeline)
    data, marks = strict_yaml.loads(text, file="p.yaml")
    spec = PipelineSpec.from_dict(data, file="p.yaml", marks=marks)
    check_run(spec, FeatureSpec.from_dict(rated_dict()), ("p.yaml", marks))
    return text


def test_a_pipeline_that_suits():
    check(RATES)
    check({"name": "dnn"}, warm_start={"run": "runs/other"})  # for networks all is as before


def test_a_column_that_is_not_there_is_told_with_its_line():
    line = check(RATES).splitlines().index("  outcome: liked") + 1
    with pytest.raises(UserError, match=rf"^p.yaml:{line}: `outcome` must be.*mean `liked`\?"):
        check({"name": "rates", "outcome": "like"})


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {
                "data": {
                    "train": "x/{day}.csv",
                    "days": {"first": "2024-01-01", "last": "2024-01-02"},
                }
            },
            r"`data.days` must not be given with model `rates`, which has no network",
        ),
        ({"warm_start": {"run": "r"}}, "`warm_start` must not be given with.*Received: run='r'"),
        (
            {"distribute": {"strategy": "mirrored"}},
            "`distribute.strategy` must be none with model `rates`, .*strategy='mirrored'",
        ),
    ],
)
def test_what_only_a_network_can_do_is_refused(keys, message):
    with pytest.raises(UserError, match=message):
        check(RATES, **keys)


@pytest.mark.parametrize("key", ["rates", "softmax_score"])
def test_terms_that_are_fitted_need_validation_rows(key):
    options = {"name": "pooling", key: True}
    options |= {"softmax_weight": 0.1} if key == "softmax_score" else {}
    check(options, data={"train": "x.csv", "valid": "y.csv"})
    with pytest.raises(UserError, match=f"^p.yaml:[0-9]+: `data.valid` .*`{key}: true`.*no data"):
        check(options)


def test_the_outcome_of_rates_is_told_with_its_line():
    data = {"train": "x.csv", "valid": "y.csv"}
    check({"name": "pooling", "rates": True, "outcome": "liked"}, data=data)
    with pytest.raises(UserError, match=r"^p.yaml:[0-9]+: `outcome` must be.*mean `liked`\?"):
        check({"name": "pooling", "rates": True, "outcome": "like"}, data=data)

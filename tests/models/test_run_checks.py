import pytest
from rated_items import rated_dict
from tiny_run import document

from lmn_tf.models.run_checks import check_run, fits_weights
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.specs.pipeline_spec import PipelineSpec
from lmn_tf.specs.yaml import strict_yaml

RATES = {"name": "rates", "outcome": "liked"}


PAIRS = {"name": "lmn_pair", "pair_values": "ease", "outcome": "liked"}
WITH_VALID = {"train": "x.csv", "valid": "v.csv"}
BY_DAY = {"train": "x/{day}.csv", "days": {"first": "2024-01-01", "last": "2024-01-02"}}


def crossed_spec():
    plain = rated_dict()
    plain["sequences"][0]["crosses"] = [{"name": "rated", "of": ["item", "liked"]}]
    return FeatureSpec.from_dict(plain)


def check(model, features=None, **keys):
    pipeline = {**document("runs/x", model), "data": {"train": "x/{day}.csv"}, **keys}
    if "data" not in keys:
        pipeline["data"] = {"train": "x.csv"}
    pipeline["train"] = {}
    text = strict_yaml.dump(pipeline)
    data, marks = strict_yaml.loads(text, file="p.yaml")
    spec = PipelineSpec.from_dict(data, file="p.yaml", marks=marks)
    features = features or FeatureSpec.from_dict(rated_dict())
    check_run(spec, features, ("p.yaml", marks))
    return text


def test_a_pipeline_that_suits():
    check(RATES)
    check({"name": "dnn"}, warm_start={"run": "runs/other"})  # for networks all is as before


def test_a_column_that_is_not_there_is_told_with_its_line():
    line = check(RATES).splitlines().index("  outcome: liked") + 1
    with pytest.raises(UserError, match=rf"^p.yaml:{line}: `outcome` must be.*mean `liked`\?"):
        check({"name": "rates", "outcome": "like"})


def test_an_outcome_of_pairs_that_is_not_there_is_told_with_its_line():
    line = 1 + check(PAIRS, crossed_spec(), data=WITH_VALID).splitlines().index("  outcome: liked")
    with pytest.raises(UserError, match=rf"^p.yaml:{line}: `outcome` must .*mean `liked`\?$"):
        check({**PAIRS, "outcome": "like"}, crossed_spec(), data=WITH_VALID)
    with pytest.raises(UserError, match=rf"^p.yaml:{line}: .* crossed .*outcome='liked'"):
        check(PAIRS, data=WITH_VALID)  # the spec has no cross


def test_pairs_need_histories_of_items():
    plain = rated_dict()
    del plain["sequences"]
    trained = {"name": "lmn_pair", "rates": False, "softmax_score": False, "pair_values": "trained"}
    line = check(trained).splitlines().index("  name: lmn_pair") + 1
    with pytest.raises(UserError, match=rf"^p.yaml:{line}: `sequences` of the feature spec must"):
        check(trained, FeatureSpec.from_dict(plain))


def test_defaults_that_need_validation_rows_are_named_with_what_turns_them_off():
    check({"name": "lmn_pair", "outcome": "liked"}, crossed_spec(), data=WITH_VALID)
    off = {"rates": False, "softmax_score": False, "pair_values": "trained"}
    check({"name": "lmn_pair", **off})
    check({"name": "lmn_pair", **off}, data=BY_DAY)
    terms = "`rates: true`, `softmax_score: true` and `pair_values: ease`"
    advice = "by `rates: false`, `softmax_score: false` and `pair_values: trained`"
    given = f"`data.valid` must be given for {terms}: weights are fitted to its rows. Received: no"
    with pytest.raises(
        UserError, match=rf"^p.yaml:[0-9]+: {given} data.valid. Give .* {advice}\.$"
    ):
        check({"name": "lmn_pair"})
    refused = f"{terms} must be turned off with `data.days`, .* data.days. Turn them off {advice}"
    with pytest.raises(UserError, match=rf"^p.yaml:[0-9]+: {refused}\.$"):
        check({"name": "lmn_pair"}, data=BY_DAY)


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        (
            {"data": BY_DAY},
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


@pytest.mark.parametrize(
    ("model", "fits"),
    [
        ({"name": "rates"}, True),
        ({"name": "lmn_pair"}, True),
        ({"name": "dnn", "rates": True}, True),
        ({"name": "dnn"}, False),
    ],
)
def test_weights_are_fitted_to_validation_rows_without_a_network_or_for_terms(model, fits):
    plain = document("runs/x", model)
    assert fits_weights(PipelineSpec.from_dict(plain)) is fits
    del plain["data"]["valid"]
    assert fits_weights(PipelineSpec.from_dict(plain)) is False


def test_the_outcome_of_rates_is_told_with_its_line():
    data = {"train": "x.csv", "valid": "y.csv"}
    check({"name": "pooling", "rates": True, "outcome": "liked"}, data=data)
    with pytest.raises(UserError, match=r"^p.yaml:[0-9]+: `outcome` must be.*mean `liked`\?"):
        check({"name": "pooling", "rates": True, "outcome": "like"}, data=data)


def test_terms_that_are_fitted_are_not_for_training_by_day():
    message = "`rates: true` must be turned off with `data.days`.*Turn it off by `rates: false`.$"
    with pytest.raises(UserError, match=message):
        check({"name": "pooling", "rates": True}, data=BY_DAY)


@pytest.mark.parametrize(("key", "value"), [("rates", True), ("softmax_weight", 0.5)])
def test_options_that_need_ids_of_candidates_are_told_with_their_line(key, value):
    plain = rated_dict()
    plain["features"] = [one for one in plain["features"] if one["name"] != "item"]
    plain["sequences"] = []
    model = {"name": "pooling", key: value}
    line = check(model, data=WITH_VALID).splitlines().index(f"  {key}: {str(value).lower()}") + 1
    with pytest.raises(
        UserError, match=f"^p.yaml:{line}: `{key}` must be .* for a feature spec wi"
    ):
        check(model, FeatureSpec.from_dict(plain), data=WITH_VALID)

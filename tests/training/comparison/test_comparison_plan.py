import pytest
from tiny_run import write_pipeline

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison.comparison_plan import ComparisonPlan

DNN = {"label": "dnn", "model": {"name": "dnn", "hidden_units": [8]}}
LMN = {"label": "lmn", "model": {"name": "lmn", "num_keys": 6, "top_k": 4}}
RATES = {"label": "rates", "model": {"name": "rates"}}


def plan(folder, models, seeds=(1, 2), draw=False, test=True, **more):
    document = strict_yaml.load(write_pipeline(folder / "base.yaml", folder / "unused"))[0]
    if not test:
        del document["data"]["test"]
    if draw:
        document["data"] |= {"train_rows": 100, "draw_rows": True}
    (folder / "base.yaml").write_text(strict_yaml.dump(document))
    data = {"comparison_version": 1, "name": "tiny", "pipeline": "base.yaml", "models": models}
    data |= {"output": "out", "seeds": list(seeds), **more}
    spec = ComparisonSpec.from_dict(data, base_dir=folder)
    return ComparisonPlan(spec, seeds)


def folders(runs):
    return [run.folder for run in runs]


def test_the_first_seed_of_every_model_comes_first(tmp_path):
    found = plan(tmp_path, [DNN, LMN, RATES])
    want = ["dnn-seed1", "lmn-seed1", "rates-seed1", "dnn-seed2", "lmn-seed2"]
    assert folders(found.finals({})) == want and len(found) == 5
    assert sorted(folders(found.everything())) == sorted(want)
    assert found.seeds_of(found.finals({})[2]) == (1, 2)


def test_the_chosen_trials_come_after_those_of_all_models(tmp_path):
    search = {"trials": 2, "seed": 2, "grid": {"model.dropout": [0.1, 0.2, 0.3]}}
    found = plan(tmp_path, [DNN, LMN], search=search)
    assert folders(found.trials("lmn")) == ["lmn-trial1-seed2", "lmn-trial2-seed2"]
    want = ["dnn-trial2-seed1", "lmn-trial1-seed1", "dnn-trial2-seed2", "lmn-trial1-seed2"]
    assert folders(found.finals({"dnn": 2, "lmn": 1})) == want and len(found) == 8


def test_rows_are_varied_for_every_model_with_the_table_s_first(tmp_path):
    found = plan(tmp_path, [DNN, RATES], vary={"data.train_rows": ["5%", "100%"]})
    first = ["dnn-train_rows_100pct-seed1", "rates-train_rows_100pct-seed1"]
    want = [*first, *(name.replace("100", "5") for name in first)]
    want += [name.replace("seed1", "seed2") for name in want]
    assert folders(found.finals({})) == want and len(found) == 8
    run = found.finals({})[2]
    assert str(run) == "dnn, train_rows=5%, seed 1"
    data = found.pipeline(run).data
    assert (data.train_rows, data.draw_rows) == ("5%", True)
    assert found.value_names == ["train_rows=5%", "train_rows=100%"]


def test_an_option_is_varied_where_there_is_one(tmp_path):
    found = plan(tmp_path, [DNN, LMN], seeds=[1], vary={"model.num_keys": [4, 8]})
    want = ["dnn-seed1", "lmn-num_keys_8-seed1", "lmn-num_keys_4-seed1"]
    assert folders(found.finals({})) == want
    assert found.pipeline(found.finals({})[2]).model["num_keys"] == 4


def test_what_draws_its_rows_depends_on_the_seed(tmp_path):
    found = plan(tmp_path, [RATES], draw=True)
    assert folders(found.finals({})) == ["rates-seed1", "rates-seed2"]


def test_rows_that_have_seen_the_labels_of_the_table_are_those_without_a_test_set(tmp_path):
    trained = {"name": "lmn_pair", "pair_values": "trained", "rates": False, "softmax_score": False}
    models = [DNN, RATES, {"label": "pairs", "model": {"name": "lmn_pair"}}]
    models += [{"label": "trained", "model": trained}]
    assert plan(tmp_path, models).fitted_labels() == []
    assert plan(tmp_path, models, test=False).fitted_labels() == ["rates", "pairs"]
    varied = plan(tmp_path, models, test=False, vary={"model.rates": [False, True]})
    assert varied.fitted_labels() == ["dnn", "rates", "pairs", "trained"]
    varied = plan(tmp_path, models, test=False, vary={"model.rates": [True, False]})
    assert varied.fitted_labels() == ["rates", "pairs"]


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ({"model.num_key": [4, 8]}, "`num_key` must be an option of one of the models. Did you m"),
        ({"model.num_keys": [4, 1]}, "`num_keys` of model `lmn` must be an integer of at least 2"),
    ],
)
def test_wrong_values_are_refused(vary, message, tmp_path):
    with pytest.raises(UserError, match=message):
        plan(tmp_path, [DNN, LMN], vary=vary)

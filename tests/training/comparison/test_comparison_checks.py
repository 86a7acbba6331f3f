import pytest
from own_modules import write_modules
from tiny_run import write_pipeline

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml
from lmn_tf.training.comparison.comparison_checks import check_runs, model_grid, trials

TEXT = """comparison_version: 1
name: tiny
pipeline: base.yaml
search:
  trials: 4
  monitor: auc
  grid:
    train.optimizer.dense.adam: [0.001, 0.01]
    model.num_keys: [4, 5]
    model.dropout: [0, 0.5]
models:
  - {label: dnn, model: {name: dnn}}
  - {label: lmn, model: {name: lmn}, grid: {model.top_k: [2, 3], model.dropout: [0.1]}}
output: out
"""


def load(folder, old="", new="", base=lambda document: None):
    document = strict_yaml.load(write_pipeline(folder / "base.yaml", folder / "unused"))[0]
    base(document)
    (folder / "base.yaml").write_text(strict_yaml.dump(document))
    assert old in TEXT
    (folder / "comparison.yaml").write_text(TEXT.replace(old, new, 1))
    return ComparisonSpec.load(folder / "comparison.yaml")


def check(spec):
    base = spec.load_pipeline()
    check_runs(spec, base, base.load_feature_spec())


def test_a_model_s_grid_is_what_it_has_of_the_common_one_and_its_own(tmp_path):
    spec = load(tmp_path)
    check(spec)
    rate = {"train.optimizer.dense.adam": (0.001, 0.01)}
    assert model_grid(spec, spec.models[0]) == {**rate, "model.dropout": (0, 0.5)}
    assert model_grid(spec, spec.models[1]) == {
        **rate,
        "model.num_keys": (4, 5),
        "model.dropout": (0.1,),
        "model.top_k": (2, 3),
    }
    for entry in spec.models:
        tried = trials(spec, entry)
        assert len(tried) == 4 and tried == trials(spec, entry)


def test_a_row_without_a_network_tries_its_own_grid(tmp_path):
    rates = "{label: rates, model: {name: rates}, grid: {model.shrinkage: [5.0, 20.0]}}"
    spec = load(tmp_path, "{label: dnn, model: {name: dnn}}", rates)
    check(spec)
    assert model_grid(spec, spec.models[0]) == {"model.shrinkage": (5.0, 20.0)}
    tried = trials(spec, spec.models[0])
    assert sorted(one["model.shrinkage"] for one in tried) == [5.0, 20.0]
    spec = load(tmp_path, "{label: dnn, model: {name: dnn}}", "{label: svd, model: {name: svd}}")
    check(spec)
    assert trials(spec, spec.models[0]) == [{}]


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        (
            "model: {name: dnn}}",
            "model: {name: svd, outcome: likes}}",
            "`outcome` must be a categorical field of `history`",
        ),
        ("name: dnn}", "name: svd, rnk: 3}", "`rnk` must be an option of model `svd`.*`rank`"),
        ("name: dnn}", "name: svd, rank: 0}", "`rank` of model `svd` must be an integer of at lea"),
        (
            "model: {name: dnn}}",
            "model: {name: ease}, train: {epochs: 2}}",
            "`train` must be left out for `dnn`: model `ease` has no network to train",
        ),
        (
            "model: {name: dnn}}",
            "model: {name: ease}, grid: {train.epochs: [1, 2]}}",
            "`train.epochs` must not be in the grid of `dnn`: model `ease` has no network to train",
        ),
        ("name: dnn}", "name: dn}", "`name` must be a model.*Did you mean `dnn`"),
        ("name: lmn}", "name: lmn, topk: 3}", "`topk` must be an option of model `lmn`.*`top_k`"),
        (
            "model.num_keys",
            "model.num_key",
            "`num_key` must be an option of one of the models. Did",
        ),
        ("model.top_k", "model.topk", "`topk` must be an option of model `lmn`.*`top_k`"),
        (
            "[4, 5]",
            "[4, x]",
            "`num_keys` of model `lmn` must be an integer of at least 2. Received: num_keys='x'",
        ),
        (
            "model.num_keys: [4, 5]",
            "model.open_keys: [2, 50_000]",
            "`open_keys` .*Received: .*50_?000",
        ),
        ("0.01]", "-0.01]", "model `dnn`: the learning rate of `adam` must be a number greater"),
        (
            "dense.adam",
            "dense.sgd",
            "model `dnn`: `dense` must name exactly one optimizer. Received: adam, sgd",
        ),
        (
            "model.top_k: [2, 3]",
            "train.optimizer.dense: [{adam: 1.0}]",
            "`train.optimizer.dense.adam` must not be in the grid of model `lmn` beside",
        ),
        (
            "  - {label: dnn, model: {name: dnn}}",
            "  - {label: dnn, model: {name: dnn}, grid: {model.dropout: [0]}}",
            "grid of model `dnn` must have 4 configurations or more.*Received: 2",
        ),
    ],
)
def test_mistakes_are_told_with_their_line(old, new, message, tmp_path):
    spec = load(tmp_path, old, new)
    line = TEXT[: TEXT.index(old)].count("\n") + 1
    with pytest.raises(UserError, match=message) as caught:
        check(spec)
    assert (caught.value.file, caught.value.line) == (str(tmp_path / "comparison.yaml"), line)


@pytest.mark.parametrize(
    ("key", "message"),
    [
        (
            "valid",
            "comparison.yaml:4: `data.valid` of the pipeline must be given for a `search`",
        ),
        ("test", "the test set must not choose them. Received: nothing"),
    ],
)
def test_a_search_needs_both_sets(key, message, tmp_path):
    spec = load(tmp_path, base=lambda document: document["data"].pop(key))
    with pytest.raises(UserError, match=message):
        check(spec)


def test_models_are_compared_by_rows_of_their_own(tmp_path):
    def only_training_rows(document):
        document["data"] = {"train": document["data"]["train"]}

    spec = load(tmp_path, base=only_training_rows)
    message = r"comparison.yaml:\d+: `data.test` or `data.valid` of the pipeline must be given for"
    with pytest.raises(UserError, match=message):
        check(spec)


def test_what_is_wrong_together_is_told(tmp_path):
    """Each value alone would do with the others of the base."""
    grid = "{model.num_keys: [4, 40], model.open_keys: [2, 30], model.top_k: [4]}"
    spec = load(tmp_path, "{model.top_k: [2, 3], model.dropout: [0.1]}", grid)
    with pytest.raises(UserError, match="`open_keys` .*, in the trial .*model.num_keys=4"):
        check(spec)


def test_values_that_vary_are_checked_as_whole_runs(tmp_path):
    old = TEXT[TEXT.index("search:") : TEXT.index("output:")]
    new = "vary: {model.rates: [false, true]}\nmodels: [{label: dnn, model: {name: dnn}}]\n"
    check(load(tmp_path, old, new))
    spec = load(tmp_path, old, new, base=lambda document: document["data"].pop("valid"))
    with pytest.raises(UserError, match="comparison.yaml:4: `data.valid` must be given for"):
        check(spec)


def test_gauc_needs_groups(tmp_path):
    from dataclasses import replace

    spec = load(tmp_path, "monitor: auc", "monitor: gauc")
    base = spec.load_pipeline()
    features = replace(base.load_feature_spec(), group=None)
    message = "comparison.yaml:6: `search.monitor` must be auc or logloss where the feature spec"
    with pytest.raises(UserError, match=message):
        check_runs(spec, base, features)


def test_early_stopping_by_group_needs_groups(tmp_path):
    from dataclasses import replace

    stopping = "train: {early_stopping: {monitor: gauc}}"
    spec = load(tmp_path, "model: {name: dnn}}", f"model: {{name: dnn}}, {stopping}}}")
    base = spec.load_pipeline()
    features = replace(base.load_feature_spec(), group=None)
    message = "comparison.yaml:12: `train.early_stopping.monitor` must be auc or logloss"
    with pytest.raises(UserError, match=message):
        check_runs(spec, base, features)


def test_parts_of_users(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    check(load(tmp_path, "name: dnn}", "name: users_models:Wide}"))
    for old, new, message in (
        ("name: dnn}", "name: users_models:Wid}", "comparison.yaml:12: .*Did you mean `Wide`"),
        (
            "{name: dnn}",
            "{name: dnn}, train: {optimizer: {tables: {users_optimizers:Plan: 1}}}",
            "comparison.yaml:12: .*Did you mean `Plain`",
        ),
        (
            "dense.adam: [0.001, 0.01]",
            "dense: [{users_optimizers:Plan: 1}, {adam: 1}]",
            "comparison.yaml:8: .*Did you mean `Plain`",
        ),
    ):
        with pytest.raises(UserError, match=message):
            check(load(tmp_path, old, new))

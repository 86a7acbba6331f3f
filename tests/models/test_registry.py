import subprocess
import sys

import pytest
from kitchen_sink import kitchen_sink_spec, slim_spec
from own_modules import write_modules

from lmn_tf.models import registry
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml


def test_names_are_the_documented_ones():
    assert {"dnn", "pooling", "din", "lmn", "lmn_control"} <= set(registry.names())
    assert registry.names()[0] == "dnn"


def test_options_are_those_of_the_record():
    options = registry.options("lmn")
    assert options["num_keys"].default == 300 and options["num_keys"].annotation is int
    assert options["key_dim"].default is None and options["key_dim"].annotation == int | None
    assert options["attention_units"].default == (80, 40)
    assert options["hidden_units"].default == (200, 80)
    assert "num_keys" not in registry.options("lmn_control")
    assert "spec" not in options


@pytest.mark.parametrize("name", (*registry.names(), *registry.baselines()))
def test_each_model_has_the_record_of_its_name(name):
    model = registry.model_class(name)
    assert model.Options is registry.record(name)
    assert registry.record(name).__name__ == f"{model.__name__}Options"


def test_checking_needs_no_tensorflow():
    code = (
        "import sys; from lmn_tf.models import registry;"
        "registry.check_options('lmn', {'top_k': 8}); registry.options('din');"
        "sys.exit('tensorflow' in sys.modules or 'keras' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_values_are_converted():
    checked = registry.check_options(
        "lmn",
        {
            "hidden_units": [64, 32],
            "memory_loss_weight": 1,
            "memory_hidden_units": None,
            "key_dim": 8,
            "attention": False,
            "query_norm": "none",
        },
    )
    assert checked == {
        "hidden_units": (64, 32),
        "memory_loss_weight": 1.0,
        "memory_hidden_units": None,
        "key_dim": 8,
        "attention": False,
        "query_norm": "none",
    }


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("lnm", {}, "`name` must be a model: dnn,.*Received: name='lnm'. Did you mean `lmn`?"),
        ("rate", {}, "`name` must be a model: dnn,.*Received: name='rate'. Did you mean `rates`?"),
        ("svd", {"rnk": 3}, "`rnk` must be an option of model `svd`. Rec.*Did you mean `rank`?"),
        ("ease", {"l2": 0}, "`l2` of model `ease` must be a number above 0. Received: l2=0"),
        (
            "item_knn",
            {"similarity": "cos"},
            "must be one of cosine, mean. Received: similarity='cos'. Did you mean `cosine`?",
        ),
        ("lmn", {"num_key": 3}, "Received: num_key=3. Did you mean `num_keys`?"),
        (
            "lmn",
            {"top_k": "many"},
            "`top_k` of model `lmn` must be an integer of at least 2. Received: top_k=",
        ),
        ("lmn", {"top_k": True}, "must be an integer of at least 2. Received: top_k=True"),
        ("lmn", {"top_k": 3.0}, "must be an integer of at least 2. Received: top_k=3.0"),
        ("lmn", {"top_k": None}, "must be an integer of at least 2. Received: top_k=None"),
        ("lmn", {"temperature": True}, "must be a number above 0. Received: temperature=True"),
        (
            "lmn",
            {"temperature": float("nan")},
            "must be a number above 0. Received: temperature=nan",
        ),
        ("lmn", {"top_k": 1}, "must be an integer of at least 2. Received: top_k=1"),
        ("dnn", {"dropout": 1}, "must be a number of at least 0 and below 1. Received: dropout=1"),
        ("dnn", {7: 1}, "`7` must be an option of model `dnn`. Received: 7=1."),
        ("lmn", {"attention": 1}, "must be true or false. Received: attention=1"),
        (
            "lmn",
            {"key_dim": "8"},
            "must be an integer of at least 1 or null. Received: key_dim='8'",
        ),
        (
            "din",
            {"hidden_units": [8, "x"]},
            r"a list of 1 or more, each item an integer of at least 1. Received: .*'x'\]",
        ),
        ("din", {"hidden_units": 8}, "must be a list of 1 or more, each item .*Received: .*=8"),
        (
            "lmn",
            {"query_norm": "bach"},
            "must be one of batch, layer, none. Received: query_norm='bach'. Did you mean `batch`?",
        ),
    ],
)
def test_mistakes_are_told(name, options, message):
    with pytest.raises(UserError, match=message):
        registry.check_options(name, options)


def test_a_mistake_in_a_file_is_told_with_its_line():
    text = "a: 1\nmodel:\n  name: lmn\n  top_k: 8\n  num_key: 3\n"
    data, marks = strict_yaml.loads(text, file="p.yaml")
    with pytest.raises(UserError, match="^p.yaml:5: `num_key` must be an option.*`num_keys`"):
        registry.check_model(data["model"], ("p.yaml", marks))
    data["model"]["name"] = "lnm"
    with pytest.raises(UserError, match="^p.yaml:3: `name` must be a model.*Did you mean `lmn`"):
        registry.check_model(data["model"], ("p.yaml", marks))
    with pytest.raises(UserError, match="^`name` must be a model"):
        registry.check_model(data["model"])
    elsewhere = marks.without([("model", "name")])
    with pytest.raises(UserError, match="^`name` must be a model"):
        registry.check_model(data["model"], ("p.yaml", elsewhere))


def test_all_mistakes_of_a_model_are_told():
    text = "model:\n  name: lmn\n  top_k: 1\n  num_key: 3\n"
    data, marks = strict_yaml.loads(text, file="p.yaml")
    with pytest.raises(UserError, match="^p.yaml:3: `top_k` of model `lmn`") as told:
        registry.check_model(data["model"], ("p.yaml", marks))
    assert [str(error)[:18] for error in told.value.others] == ["p.yaml:4: `num_key"]


def test_options_that_do_not_go_together_are_told_with_their_line():
    text = "model:\n  name: lmn\n  num_keys: 5\n  open_keys: 6\n"
    data, marks = strict_yaml.loads(text, file="p.yaml")
    with pytest.raises(UserError, match="^p.yaml:4: `open_keys` must be at most `num_keys`, 5"):
        registry.check_model(data["model"], ("p.yaml", marks))
    assert registry.check_options("lmn", {"open_keys": 500}) == {"open_keys": 500}


def test_build_checks_the_options():
    with pytest.raises(UserError, match="`top_k` of model `lmn` must be .* 2. Received: top_k=1"):
        registry.build("lmn", kitchen_sink_spec(), {"top_k": 1})


def test_a_row_without_a_network_is_not_built():
    assert registry.is_baseline("rates") and not set(registry.names()) & set(registry.baselines())
    message = "`name` must be a model with a network: dnn,.*Received: name='rates', which `lmn-tf"
    with pytest.raises(UserError, match=message):
        registry.build("rates", kitchen_sink_spec())


def test_build_tells_what_a_layer_refuses(monkeypatch):
    def refuse(spec, **options):
        raise ValueError("no good")

    monkeypatch.setattr(registry, "model_class", lambda name: refuse)
    with pytest.raises(UserError, match="^model `lmn`: no good"):
        registry.build("lmn", kitchen_sink_spec())


@pytest.fixture
def own(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    return tmp_path


@pytest.mark.parametrize("name", ["dnn", "lmn", "msn"])
def test_the_name_of_a_class(name):
    assert registry.name_of(registry.model_class(name)) == name


def test_the_name_of_a_class_of_a_user_is_its_path():
    assert registry.name_of(dict) == "builtins:dict"


def test_a_model_of_a_user(own):
    assert registry.options("users_models:Wide")["width"].owner == "Wide"
    assert registry.check_options("users_models:Wide", {"width": 9}) == {"width": 9}
    registry.check_model({"name": "users_models:Wide", "dropout": 0.5})
    model = registry.build("users_models:Wide", slim_spec(), {"width": 9, "hidden_units": (4,)})
    assert type(model) is registry.model_class("users_models:Wide") and model.width == 9
    assert "num_keys" in registry.options("users_models:Memory")
    assert registry.names() == tuple(registry.MODELS)


@pytest.mark.parametrize(
    ("text", "line", "message"),
    [
        ("name: users_models:Wid", 2, "`users_models` has no `Wid`. Did you mean `Wide`?"),
        ("name: users_models.Wide", 2, "Did you mean `users_models:Wide`?"),
        ("name: users_model:Wide", 2, "No module named 'users_model'"),
        ("name: users_models:build", 2, "subclass of `lmn_tf.models.CTRModel`. .*, a function"),
        ("name: users_models:Wide\n  widht: 3", 3, "must be an option of model `users_models:W"),
        ("name: users_models:Wide\n  width: 0", 3, "must be an integer of at least 1"),
        ("name: users_models:Wide\n  width: 100", 3, "`width` must be at most 99. Received: wi"),
    ],
)
def test_mistakes_with_a_model_of_a_user(own, text, line, message):
    data, marks = strict_yaml.loads(f"model:\n  {text}\n", file="p.yaml")
    with pytest.raises(UserError, match=f"^p.yaml:{line}: .*{message}"):
        registry.check_model(data["model"], ("p.yaml", marks))


def test_a_model_that_cannot_be_imported_keeps_its_cause(own):
    (own / "users_models.py").write_text("undefined")
    with pytest.raises(UserError, match="NameError: name 'undefined'") as caught:
        registry.check_model({"name": "users_models:Wide"})
    assert isinstance(caught.value.__cause__, NameError)

import inspect
import subprocess
import sys

import pytest

from lmn_tf.models import registry
from lmn_tf.specs import strict_yaml
from lmn_tf.specs.errors import UserError


def test_names_are_the_documented_ones():
    assert {"dnn", "pooling", "din", "lmn", "lmn_control"} <= set(registry.names())
    assert registry.names()[0] == "dnn"


def test_options_are_read_from_the_constructors():
    options = registry.options("lmn")
    assert options["num_keys"] == ("num_keys", "int", 300)
    assert options["key_dim"] == ("key_dim", "int | None", None)
    assert options["attention_units"].default == (80, 40)
    assert options["hidden_units"].default == (200, 80)
    assert list(options)[0] == "num_keys"
    assert "num_keys" not in registry.options("lmn_control")
    assert "spec" not in options


def test_classes_are_in_the_order_of_python():
    for name in registry.names():
        module, class_name = registry.MODELS[name].split(":")
        cls = getattr(__import__(module, fromlist=[class_name]), class_name)
        want = [one.__name__ for one in cls.__mro__ if one.__module__.startswith("lmn_tf.models")]
        assert [one.name for one in registry.classes(name)] == want
        assert registry.classes(name)[0].docstring == inspect.getdoc(cls)


def test_no_option_hides_from_the_registry():
    for name in registry.names():
        module, class_name = registry.MODELS[name].split(":")
        cls = getattr(__import__(module, fromlist=[class_name]), class_name)
        documented = "".join(base.__doc__ for base in cls.__mro__[:-1] if base.__doc__)
        for option in registry.options(name):
            assert f"{option}:" in documented, f"{class_name} does not document `{option}`"


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
        ("lmn", {"num_key": 3}, "Received: num_key=3. Did you mean `num_keys`?"),
        ("lmn", {"top_k": "many"}, "`top_k` of model `lmn` must be an integer. Received: top_k="),
        ("lmn", {"top_k": True}, "must be an integer. Received: top_k=True"),
        ("lmn", {"top_k": 3.0}, "must be an integer. Received: top_k=3.0"),
        ("lmn", {"top_k": None}, "must be an integer. Received: top_k=None"),
        ("lmn", {"temperature": True}, "must be a number. Received: temperature=True"),
        ("lmn", {"temperature": float("nan")}, "must be a number. Received: temperature=nan"),
        ("lmn", {"attention": 1}, "must be true or false. Received: attention=1"),
        ("lmn", {"key_dim": "8"}, "must be an integer or null. Received: key_dim='8'"),
        ("din", {"hidden_units": [8, "x"]}, r"a list, each item an integer. Received: .*'x'\]"),
        ("din", {"hidden_units": 8}, "must be a list, each item an integer. Received: .*=8"),
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


def test_build_tells_what_a_constructor_refuses():
    from kitchen_sink import kitchen_sink_spec

    with pytest.raises(UserError, match="model `lmn`: `top_k` must be at least 2.*top_k=1"):
        registry.build("lmn", kitchen_sink_spec(), {"top_k": 1})

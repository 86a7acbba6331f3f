import types

import keras
import numpy as np
import pytest
from own_modules import write_modules

from lmn_tf.optimizers import (
    GroupOptimizer,
    RowWiseAdagrad,
    default,
    from_spec,
    make_optimizer,
)
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.optimizer import OPTIMIZERS


def rates(optimizer, steps):
    schedule = optimizer._learning_rate
    return [float(schedule(step)) for step in steps]


@pytest.mark.parametrize("name", OPTIMIZERS.builtin)
def test_every_name_makes_an_optimizer(name):
    optimizer = make_optimizer({name: 0.25}, clip_norm=3.0)
    assert type(optimizer) is OPTIMIZERS.load(name)
    assert float(optimizer.learning_rate) == 0.25
    assert optimizer.global_clipnorm == 3.0
    again = make_optimizer(name)
    assert float(again.learning_rate) == pytest.approx(type(again)().get_config()["learning_rate"])


def test_arguments_are_passed_on():
    optimizer = make_optimizer({"adam": {"learning_rate": 1, "beta_1": 0.8, "clipnorm": 2.0}})
    assert (float(optimizer.learning_rate), optimizer.beta_1, optimizer.clipnorm) == (1, 0.8, 2)
    own = make_optimizer({"adam": {"clipnorm": 2.0}}, clip_norm=1.0)
    assert own.global_clipnorm is None


@pytest.mark.parametrize("name", ["row_wise_adagrad", "row_wise_adam", "sparse_adagrad"])
def test_row_optimizers_decay_and_clip_as_told(name):
    optimizer = make_optimizer({name: {"weight_decay": 0.1, "clipnorm": 2.0}}, clip_norm=1.0)
    assert (optimizer.weight_decay, optimizer.clipnorm) == (0.1, 2.0)
    assert optimizer.global_clipnorm is None
    with pytest.raises(UserError, match=f"`{name}` refuses its arguments: `weight_decay` must be"):
        make_optimizer({name: {"weight_decay": -0.1}})


def test_a_pipeline_s_optimizer_has_two_groups():
    spec = types.SimpleNamespace(dense={"sgd": 0.1}, tables={"row_wise_adagrad": 0.2})
    optimizer = from_spec(spec, clip_norm=5.0, named={"item": {"sgd": 0.3}})
    assert isinstance(optimizer, GroupOptimizer)
    assert type(optimizer.dense) is keras.optimizers.SGD
    assert type(optimizer.tables) is RowWiseAdagrad
    assert optimizer.dense.global_clipnorm == optimizer.tables.global_clipnorm == 5.0
    assert float(optimizer.named["item"].learning_rate) == pytest.approx(0.3)


def test_defaults_are_those_of_the_default_optimizer():
    made, plain = from_spec(), default()
    assert type(made.dense) is type(plain.dense) and type(made.tables) is type(plain.tables)
    assert float(made.dense.learning_rate) == float(plain.dense.learning_rate)
    assert float(made.tables.learning_rate) == float(plain.tables.learning_rate)


def test_schedules_scale_both_groups():
    schedule = types.SimpleNamespace(
        kind="cosine", warmup_steps=10, decay_steps=None, decay_rate=0.5
    )
    optimizer = from_spec(schedule=schedule, total_steps=110)
    for group, rate in ((optimizer.dense, 0.001), (optimizer.tables, 0.05)):
        got = rates(group, [0, 9, 10, 60, 110, 500])
        np.testing.assert_allclose(got, np.multiply(rate, [0.1, 1, 1, 0.5, 0, 0]), atol=1e-8)


def test_exponential_and_constant_schedules():
    schedule = {"kind": "exponential", "decay_steps": 10, "decay_rate": 0.5}
    got = rates(make_optimizer({"sgd": 0.8}, schedule), [0, 10, 20])
    np.testing.assert_allclose(got, [0.8, 0.4, 0.2], rtol=1e-6)
    warm = make_optimizer({"sgd": 0.8}, {"kind": "constant", "warmup_steps": 4})
    np.testing.assert_allclose(rates(warm, [0, 3, 99]), [0.2, 0.8, 0.8], rtol=1e-6)
    plain = make_optimizer({"sgd": 0.8}, {"kind": "constant"})
    assert isinstance(plain._learning_rate, keras.Variable)


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        (3, "an optimizer must be one `NAME: learning rate` or `NAME: {arguments}`. Received: 3"),
        (
            {"adamm": 0.1},
            "Received: optimizer='adamm'. Did you mean `adam`?",
        ),
        ({"adam": {"beta1": 0.1}}, "`adam` has no argument `beta1`. Did you mean `beta_1`?"),
        ({"adam": {"loss_scale_factor": 8.0}}, "`adam` has no argument `loss_scale_factor`"),
        ({"adam": -1.0}, "must be a number greater than 0. Received: learning_rate=-1.0"),
        ({"adam": "fast"}, "must be a number greater than 0. Received: learning_rate='fast'"),
        ({"adam": 0.1, "sgd": 0.1}, "must name exactly one optimizer. Received: adam, sgd"),
        ({"row_wise_adagrad": {"epsilon": -1.0}}, "refuses its arguments: `epsilon` must be"),
        (
            {"row_wise_sgd": {"frequency_rate": 1}},
            "refuses its arguments: `frequency_rate` must be",
        ),
        ({"row_wise_sgd": {"epsilon": 1e-6}}, "`row_wise_sgd` has no argument `epsilon`"),
        ({"row_wise_sgd": {"frequency_rates": True}}, "Did you mean `frequency_rate`?"),
        ({"sgd": {"momentum": 7}}, "refuses its arguments: `momentum` must be"),
    ],
)
def test_mistakes_are_named(spec, message):
    import re

    with pytest.raises(UserError, match=re.escape(message)):
        make_optimizer(spec)


@pytest.mark.parametrize(
    ("schedule", "message"),
    [
        ({"kind": "cosin", "decay_steps": 3}, "`kind` must be .* Did you mean `cosine`?"),
        ({"kind": "cosine"}, "`decay_steps` must be given for a schedule of kind `cosine` where"),
        ({"kind": "cosine", "decay_steps": 0}, "`decay_steps` must be"),
        ({"kind": "exponential"}, "`decay_steps` must be given for kind exponential"),
        ({"warmup_steps": -1}, "`warmup_steps` must be"),
    ],
)
def test_mistakes_in_schedules_are_named(schedule, message):
    with pytest.raises(UserError, match=message):
        make_optimizer({"sgd": 0.1}, schedule)


def test_an_optimizer_of_a_user(tmp_path, monkeypatch):
    write_modules(tmp_path, monkeypatch)
    optimizer = make_optimizer({"users_optimizers:Plain": {"momentum": 0.5}}, clip_norm=2.0)
    assert type(optimizer).__name__ == "Plain" and optimizer.momentum == 0.5
    assert float(optimizer.learning_rate) == pytest.approx(0.01)
    assert optimizer.global_clipnorm == 2.0
    made = make_optimizer({"users_optimizers:NoRate": 0.5})
    assert float(made.learning_rate) == 0.5
    for rule, message in (
        ({"users_optimizers:NoRate": {}}, "`learning_rate` must be given for `users_optimizers:No"),
        ({"users_optimizers:Plain": {"momentm": 1}}, "no argument `momentm`. Did you mean `mome"),
        ({"keras.layers:Dense": 1}, "must be a subclass of `keras.optimizers.Optimizer`"),
    ):
        with pytest.raises(UserError, match=message):
            make_optimizer(rule)

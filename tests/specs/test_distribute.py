import pydantic
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.pipeline_spec import Distribute


def test_default():
    assert Distribute().strategy == "none"


def test_refuses(tmp_path):
    message = "`distribute.strategy` must be one of 'none', 'mirrored' or 'parameter_server'."
    check_refused(PIPELINE, "strategy: mirrored", "strategy: mirored", message, tmp_path)


def test_a_strategy_for_python_only_is_refused_with_what_takes_its_place(tmp_path):
    message = (
        "`distribute.strategy` must be parameter_server to train on several machines, or mirrored "
        "for several devices of one; in Python, `model.fit` takes a MultiWorkerMirroredStrategy. "
        "Received: strategy='multi_worker'"
    )
    check_refused(PIPELINE, "strategy: mirrored", "strategy: multi_worker", message, tmp_path)


def test_editors_offer_the_strategies_that_can_be_trained_with():
    schema = pydantic.TypeAdapter(Distribute).json_schema()
    assert schema["properties"]["strategy"]["enum"] == ["none", "mirrored", "parameter_server"]


def test_options_of_parameter_servers():
    assert Distribute().steps_in_flight is None and Distribute().hang_seconds == 60
    assert Distribute(strategy="parameter_server", steps_in_flight=3).steps_in_flight == 3


def test_devices_of_a_mirrored_strategy():
    assert Distribute().replicas is None
    assert Distribute(strategy="mirrored", replicas=4).replicas == 4


def test_refuses_numbers_out_of_range(tmp_path):
    message = "`distribute.steps_in_flight` must be at least 1."
    edited = "strategy: mirrored, steps_in_flight: 0"
    check_refused(PIPELINE, "strategy: mirrored", edited, message, tmp_path)

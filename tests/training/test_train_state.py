import pytest

from lmn_tf.training.train_state import TrainState


def test_goes_through_plain_values():
    state = TrainState(epoch=1, step=7, history=[{"loss": 0.5}], best_file="best-0000.npz")
    assert TrainState(**state.to_dict()) == state


def test_speed_leaves_the_building_of_the_graph_out():
    state = TrainState(
        examples=300, seconds=13.0, timed_examples=200, timed_seconds=2.0, waited=0.5
    )
    assert state.examples_per_second == 100
    assert state.input_wait == 0.25


def test_speed_of_a_single_step():
    state = TrainState(examples=300, seconds=3.0)
    assert state.examples_per_second == pytest.approx(100)
    assert state.input_wait == 0.0
    assert TrainState().examples_per_second == 0.0

import pytest
from tiny_run import DNN, market, pair_run, pipeline, trained_run

from lmn_tf.callbacks import MemoryTensorBoard
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.monitor.memory_board import MemoryBoard
from lmn_tf.training.saving.run_directory import RunDirectory


@pytest.fixture(scope="module")
def opened():
    directory = RunDirectory.open(trained_run())
    return directory.load_pipeline(), directory.load_spec(), directory.load_model()


def test_a_run_gets_curves_and_a_projector(opened, tmp_path):
    run, spec, model = opened
    board = MemoryBoard(run, spec, Evaluator(model), run.data.train, tmp_path)
    [callback] = board.callbacks()
    assert isinstance(callback, MemoryTensorBoard) and callback.update_freq == 50
    reads = callback.probe.measure().reads["history_memory"]
    assert reads.shape == (36,) and reads.sum() > 0
    board.finish(steps=49)
    assert not list(tmp_path.iterdir())
    board.finish(steps=50)
    names = {path.name for path in tmp_path.iterdir()}
    assert {"projector_config.pbtxt", "projector_history_memory.tsv"} <= names


def test_a_memory_of_pairs_gets_no_projector(tmp_path):
    directory = RunDirectory.open(pair_run())
    run, spec = directory.load_pipeline(), directory.load_spec()
    board = MemoryBoard(run, spec, Evaluator(directory.load_model()), run.data.train, tmp_path)
    assert isinstance(*board.callbacks(), MemoryTensorBoard)
    board.finish(steps=50)
    assert not list(tmp_path.iterdir())


def test_a_run_without_tensorboard_gets_nothing(opened, tmp_path):
    run, spec, model = opened
    run = run.with_overrides(["train.tensorboard=false"])
    board = MemoryBoard(run, spec, Evaluator(model), run.data.train, tmp_path)
    board.finish(steps=50)
    assert board.callbacks() == [] and not list(tmp_path.iterdir())


def test_a_model_without_a_memory_gets_nothing(opened, tmp_path):
    _, spec, _ = opened
    run = pipeline(tmp_path / "run", DNN)
    evaluator = Evaluator(opened[2])
    evaluator.memories, evaluator.slot_memories, evaluator.walks = [], [], []
    board = MemoryBoard(run, spec, evaluator, f"{market()}/train-*.parquet", tmp_path)
    board.finish(steps=1000)
    assert board.callbacks() == [] and not list(tmp_path.iterdir())

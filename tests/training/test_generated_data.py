import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import PipelineData
from lmn_tf.training.generated_data import generate_missing


def test_is_generated_once(tmp_path):
    folder = str(tmp_path / "market")
    options = {"users": 30, "items": 20, "rows": 300}
    data = PipelineData(train=f"{folder}/train-*", directory=folder, synthetic=options)
    said = []
    generate_missing(data, said.append)
    times = {path: path.stat().st_mtime_ns for path in (tmp_path / "market").iterdir()}
    generate_missing(data, said.append)
    assert said == [f"Generating the synthetic market in {folder}."]
    assert {path: path.stat().st_mtime_ns for path in times} == times
    assert (tmp_path / "market" / "train-00000.parquet").exists()


def test_other_arguments_are_refused(tmp_path):
    folder = str(tmp_path)
    first = PipelineData(train="x", directory=folder, synthetic={"users": 30, "rows": 300})
    generate_missing(first)
    other = PipelineData(train="x", directory=folder, synthetic={"users": 31, "rows": 300})
    with pytest.raises(UserError, match="`users` must be the one .* 30. Received: users=31"):
        generate_missing(other)


def test_nothing_happens_to_real_data(tmp_path):
    generate_missing(PipelineData(train="x", directory=str(tmp_path)))
    assert list(tmp_path.iterdir()) == []


def test_generated_data_need_a_folder():
    class Data:
        synthetic, directory = {"rows": 5}, None

    with pytest.raises(UserError, match="`data.directory` must be given with `data.synthetic`"):
        generate_missing(Data())

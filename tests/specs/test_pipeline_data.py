import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.pipeline_spec import PipelineData


def test_defaults():
    data = PipelineData(train="a-*.parquet")
    assert (data.batch_size, data.eval_batch_size, data.shuffle_buffer) == (512, 4096, 100_000)
    assert data.rows_per_group == 1


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("train_rows: 900", "train_rows: 0", "`data.train_rows` must be at least 1"),
        ("train_rows: 900", "train_rows: 0%", "`data.train_rows` must be at least 1, or a share"),
        ("train_rows: 900", "train_rows: 5 %", "`data.train_rows` must be at least 1, or a share"),
        ("train_rows: 900", "train_rows: 2.5", "`data.train_rows` must be an integer or text."),
        ("train_rows: 900", "draw_rows: true", "`train_rows` must be given with `draw_rows`. Re"),
        ("rows_per_group: 8", "rows_per_group: 0", "`data.rows_per_group` must be at least 1"),
        ("rows_per_group: 8", "rows_per_group: 2.5", "`data.rows_per_group` must be an integer"),
        ("train_rows: 900", "delimiter: '::'", "`data.delimiter` must be one ASCII character"),
        ("batch_size: 128", "batch_size: 1.5", "`data.batch_size` must be an integer"),
        ("valid: data", "validation: data", "Did you mean `valid`?"),
        ("synthetic: {rows: 1000, seed: 1}", "synthetic: 3", "`data.synthetic` must be a mapping."),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(PIPELINE, old, new, message, tmp_path)


def test_generated_data_need_a_folder(tmp_path):
    edited = tmp_path / PIPELINE.name
    text = PIPELINE.read_text(encoding="utf-8").replace("  directory: data/everything\n", "")
    edited.write_text(text, encoding="utf-8")
    message = "`directory` must be given with `synthetic`. Received: nothing"
    check_refused(edited, "  synthetic:", "  synthetic:", message, tmp_path)

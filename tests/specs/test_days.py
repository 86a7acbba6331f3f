import pytest
from spec_edits import PIPELINE, check_refused

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import Days, PipelineSpec
from lmn_tf.specs.yaml import strict_yaml

DAILY = """\
pipeline_version: 1
feature_spec: spec.yaml
data:
  train: logs/{day}/*.parquet
  days: {first: 2024-02-28, last: 2024-03-01, format: "%Y%m%d"}
model: {name: lmn}
run_dir: run
"""


@pytest.fixture
def daily(tmp_path):
    (tmp_path / "daily.yaml").write_text(DAILY)
    return tmp_path / "daily.yaml"


def test_paths_of_days(daily):
    data = PipelineSpec.load(daily).data
    assert data.days.paths(data.train) == {
        "2024-02-28": "logs/20240228/*.parquet",
        "2024-02-29": "logs/20240229/*.parquet",
        "2024-03-01": "logs/20240301/*.parquet",
    }
    assert (data.days.missing, data.days.vocabularies) == ("error", "first_day")
    written = strict_yaml.dump(PipelineSpec.load(daily).to_dict())
    daily.write_text(written)
    assert PipelineSpec.load(daily).data.days == data.days


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("first: 2024-02-28", "frist: 2024-02-28", "Did you mean `first`?"),
        ("last: 2024-03-01", "last: 20240301", "`data.days.last` must be text"),
        (
            "last: 2024-03-01",
            "last: 2024-3-1",
            "`data.days.last` must be a day such as 2024-01-31. Received: last='2024-3-1'",
        ),
        ("last: 2024-03-01", "last: 2024-02-30", "`last` must be a day there is"),
        (
            "last: 2024-03-01",
            "last: 2124-03-01",
            "`last` must be less than 36,525 days after `first`, 2024-02-28.",
        ),
        ("last: 2024-03-01", "last: 2024-02-27", "`last` must not be before `first`, 2024-02-28."),
        ('format: "%Y%m%d"', "format: day", "`format` must write each day differently"),
        ('format: "%Y%m%d"', "missing: skipp", "Did you mean `skip`?"),
    ],
)
def test_refuses(old, new, message, daily, tmp_path):
    (tmp_path / "edited").mkdir()
    check_refused(daily, old, new, message, tmp_path / "edited")


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("train: logs/{day}/*", "train: logs/*", "`train` must name the day as `{day}`"),
        ("  days: {", "  valid: v.parquet\n  days: {", "`valid` must not be given with `days`"),
        ("run_dir: run", "train: {epochs: 2}\nrun_dir: run", "`train.epochs` must be 1"),
    ],
)
def test_refuses_what_does_not_go_with_days(old, new, message, daily):
    text = daily.read_text().replace(old, new)
    daily.write_text(text)
    with pytest.raises(UserError, match="must") as caught:
        PipelineSpec.load(daily)
    assert message in caught.value.message


def test_a_day_needs_days():
    with pytest.raises(UserError, match="`days` must be given for"):
        PipelineSpec.load(PIPELINE).with_overrides(["data.train=logs/{day}.csv"])


def test_days_of_python():
    assert len(Days(first="2023-12-31", last="2024-01-01").paths("{day}")) == 2

import pytest

from lmn_tf.data.reading.dated_files import dated_files, unseen_files
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.pipeline_spec import Days, PipelineData


@pytest.fixture
def logs(tmp_path):
    for day in ("01", "02", "04"):
        (tmp_path / f"d{day}").mkdir()
        for part in "ba":
            (tmp_path / f"d{day}" / f"{part}.csv").write_text("x")
    return f"{tmp_path}/d{{day}}/*.csv"


def days(last, **options):
    return Days(first="2024-01-01", last=f"2024-01-{last:02}", format="%d", **options)


def test_files_of_each_day_in_order(logs):
    found, missing = dated_files(logs, days(2))
    assert list(found) == ["2024-01-01", "2024-01-02"] and missing == []
    assert [file[-5:] for file in found["2024-01-02"]] == ["a.csv", "b.csv"]


def test_missing_days_are_told_or_skipped(logs):
    with pytest.raises(UserError, match=r"Received: none for 1 of 4 days: 2024-01-03 \(`days.mis"):
        dated_files(logs, days(4))
    found, missing = dated_files(logs, days(4, missing="skip"))
    assert len(found) == 3 and missing == ["2024-01-03"]
    with pytest.raises(UserError, match="none for 9 of 9 days: .*2024-01-05, ...$"):
        dated_files("absent-{day}", days(9, missing="skip"))


def test_a_file_belongs_to_one_day(logs):
    with pytest.raises(UserError, match="must name other files .* for 2024-01-01 and 2024-01-02"):
        dated_files(logs.replace("{day}", "*"), days(2))


def test_an_empty_file_is_told(logs, tmp_path):
    (tmp_path / "d01" / "a.csv").write_text("")
    with pytest.raises(UserError, match="the file must not be empty"):
        dated_files(logs, days(1))


def test_files_that_were_not_trained_on(logs):
    sets = {"valid": "v.csv", "test": "t.csv"}
    assert unseen_files(PipelineData(train="a.csv", **sets)) == "t.csv"
    assert unseen_files(PipelineData(train="a.csv", valid="v.csv")) == "v.csv"
    assert unseen_files(PipelineData(train="a.csv")) is None
    [first, second] = unseen_files(PipelineData(train=logs, days=days(2)))
    assert (first[-9:], second[-9:]) == ("d02/a.csv", "d02/b.csv")

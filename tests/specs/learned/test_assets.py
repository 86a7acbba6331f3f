import json

import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.assets import Assets, read_vocabulary


@pytest.mark.parametrize(
    "values, suffix",
    [
        (["a", "b c", "é", " x ", "#"], ".txt"),
        ([3, 1, 2], ".json"),
        (["a\nb"], ".json"),
        (["a\r", "b"], ".json"),
        (["", "a"], ".json"),
        (["a", ""], ".txt"),
        (["\ufeffa"], ".json"),
        (["a\u2028b", "\x85"], ".txt"),
        ([], ".txt"),
    ],
)
def test_round_trip(values, suffix, tmp_path):
    assets = Assets({"s.a": values}, {"x": {"mean": 0.5, "quantiles": [1.0]}}, {"s.a": 4})
    assets.save(tmp_path)
    assert (tmp_path / "vocabularies" / f"s.a{suffix}").exists()
    loaded = Assets.load(tmp_path)
    assert loaded == assets
    assert loaded.vocabularies["s.a"] == values


def test_how_text_files_are_read_is_kept(tmp_path):
    for assets in (Assets(), Assets(delimiter=";"), Assets(text_ids=False)):
        assets.save(tmp_path)
        assert Assets.load(tmp_path) == assets


def test_older_runs_go_on_guessing_the_type_of_ids(tmp_path):
    (tmp_path / "statistics.json").write_text('{"statistics": {}, "sizes": {}}')
    assert not Assets.load(tmp_path).text_ids
    assert Assets().text_ids and Assets.load(tmp_path / "none").text_ids


def test_saving_again_leaves_one_file_a_vocabulary(tmp_path):
    Assets({"a": ["x"]}).save(tmp_path)
    Assets({"a": [1]}).save(tmp_path)
    assert sorted(p.name for p in tmp_path.rglob("*.*")) == ["a.json", "statistics.json"]


def test_numpy_values_are_written_as_plain_ones(tmp_path):
    np = pytest.importorskip("numpy")
    Assets({"a": list(np.arange(3))}, {"x": {"mean": np.float32(0.5), "q": np.ones(2)}}).save(
        tmp_path
    )
    loaded = Assets.load(tmp_path)
    assert loaded.vocabularies["a"] == [0, 1, 2]
    assert loaded.statistics["x"] == {"mean": 0.5, "q": [1.0, 1.0]}


def test_nothing_is_loaded_from_nowhere(tmp_path):
    assert Assets.load(tmp_path / "none") == Assets()
    assert "vocabularies=(a=1)" in repr(Assets({"a": ["x"]}))


def test_a_file_is_whole_or_absent(tmp_path):
    Assets({"a": ["x"]}).save(tmp_path)
    with pytest.raises(TypeError, match="must be JSON serializable"):
        Assets({"a": ["y"]}, {"s": object()}).save(tmp_path)
    assert not [p for p in tmp_path.rglob(".*")]
    assert json.loads((tmp_path / "statistics.json").read_text())["statistics"] == {}


def test_what_a_killed_run_left_of_a_file_is_no_vocabulary(tmp_path):
    Assets({"a": ["x"]}).save(tmp_path)
    (tmp_path / "vocabularies" / ".partial-00000000-a.txt").write_text("x\nx\n")
    assert list(Assets.load(tmp_path).vocabularies) == ["a"]


@pytest.mark.parametrize(
    "name, text, message",
    [
        ("a.txt", "x\ny\nx\n", "a.txt:3: vocabulary must not repeat. Received: 'x' twice"),
        ("a.json", '["x", "x"]', "vocabulary must not repeat"),
        ("a.json", '["007", 7, "7"]', "vocabulary must not repeat. Received: '7' twice"),
        ("a.json", "{}", "must be a JSON list of text or of integers"),
        ("a.json", "[1.5]", "must be a JSON list of text or of integers"),
        ("a.json", "[true]", "must be a JSON list of text or of integers"),
        ("a.json", "[1,\n", "a.json:2: file must be JSON"),
        ("a.json", "[" * 100_000, "file must be JSON"),
        ("a.json", "9" * 5000, "file must be JSON"),
    ],
)
def test_bad_vocabularies(name, text, message, tmp_path):
    (tmp_path / name).write_text(text)
    with pytest.raises(UserError, match=".") as caught:
        read_vocabulary(tmp_path / name)
    assert message in str(caught.value)


def test_windows_line_ends(tmp_path):
    (tmp_path / "a.txt").write_bytes(b"x\r\ny\r\n")
    assert read_vocabulary(tmp_path / "a.txt") == ["x", "y"]


def test_bad_statistics(tmp_path):
    (tmp_path / "statistics.json").write_text("[]")
    with pytest.raises(UserError, match="`statistics.json` must hold a mapping"):
        Assets.load(tmp_path)


@pytest.mark.parametrize("name", ["mean", "std", "min", "max"])
@pytest.mark.parametrize("value", ["NaN", "-Infinity", "1e400", "9" * 400, '"1"', "null", "true"])
def test_statistics_that_are_no_numbers(name, value, tmp_path):
    text = f'{{"statistics": {{"price": {{"{name}": {value}}}}}}}'
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(UserError, match=f"json: `{name}` of `price` must be a finite number"):
        Assets.load(tmp_path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"statistics": []}', "`statistics` must be a mapping. Received: \\[\\]"),
        ('{"statistics": null}', "`statistics` must be a mapping. Received: None"),
        ('{"statistics": {"d": 5}}', "`d` must be a mapping. Received: 5"),
        ('{"sizes": 1}', "`sizes` must be a mapping. Received: 1"),
        ('{"text_files": []}', "`text_files` must be a mapping. Received: \\[\\]"),
        ('{"text_files": {"delimiter": 5}}', "`delimiter` must be one ASCII character"),
    ],
)
def test_statistics_of_another_shape(text, message, tmp_path):
    (tmp_path / "statistics.json").write_text(text)
    with pytest.raises(UserError, match=f"statistics.json: {message}"):
        Assets.load(tmp_path)


def test_a_deviation_below_zero(tmp_path):
    (tmp_path / "statistics.json").write_text('{"statistics": {"price": {"std": -1.0}}}')
    with pytest.raises(UserError, match="`std` of `price` must be .* of 0 or more. Received: -1.0"):
        Assets.load(tmp_path)

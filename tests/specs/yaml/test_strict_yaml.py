import math

import pytest
import yaml

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.yaml import strict_yaml


@pytest.fixture(params=["CSafeLoader", "SafeLoader"], autouse=True)
def parser(request, monkeypatch):
    """Runs each test with the C parser and with the Python one: PyYAML may lack the former."""
    if not hasattr(yaml, request.param):
        pytest.skip("PyYAML was built without libyaml")
    monkeypatch.setattr(strict_yaml, "_Loader", getattr(yaml, request.param))


@pytest.mark.parametrize(
    "text, value",
    [
        ("no", "no"),
        ("on", "on"),
        ("true", True),
        ("12:30", "12:30"),
        ("2020-01-01", "2020-01-01"),
        ("1e-3", 0.001),
        ("1.", 1.0),
        (".5", 0.5),
        ("010", 10),
        ("100_000", 100_000),
        ("0x10", "0x10"),
        ("'7'", "7"),
        ("! '7'", "7"),
        ("~", None),
        ("", None),
        ("-.inf", -math.inf),
        ("1e999", math.inf),
    ],
)
def test_scalars_mean_what_yaml_1_2_says(text, value):
    data, _ = strict_yaml.loads(f"a: {text}\n")
    assert data == {"a": value}
    assert type(data["a"]) is type(value)


def test_nan():
    assert math.isnan(strict_yaml.loads("a: .nan\n")[0]["a"])


@pytest.mark.parametrize(
    "text, line, message",
    [
        ("a: 1\nb: 2\na: 3\n", 3, "key `a` must be written once. It is also in line 1."),
        ("a: {b: 1, b: 2}\n", 1, "key `b` must be written once"),
        ("1: a\n", 1, "a key must be text. Received: 1"),
        ("null: a\n", 1, "a key must be text. Received: None"),
        ("[1]: a\n", 1, "a key must be text"),
        ("a: {b: 1}\n<<: {c: 1}\n", 2, "merge keys must not be used"),
        ("a: &x 1\n", 1, "anchors and aliases must not be used"),
        ("b: 1\na: *x\n", 2, "anchors and aliases must not be used"),
        ("a: !!int 1\n", 1, "tags must not be used"),
        ("a: !!python/name:os.system\n", 1, "tags must not be used"),
        ("a: !x [1]\n", 1, "tags must not be used"),
        ("a: 1\n---\nb: 1\n", 2, "a file must hold one YAML document"),
        ("a:\n\tb: 1\n", 2, "indentation must be spaces, not tabs"),
        ("a: [1, 2\n", 2, "file must be valid YAML"),
        ("a:\n    - x\n  - y\n", 3, "file must be valid YAML"),
        ("a: 1\nb: \x07\n", 2, "file must be valid YAML"),
        ("a: " + "[" * 100_000 + "\n", 1, "nesting must be at most 32 deep"),
        ("a: " + "{b: " * 2000 + "\n", 1, "nesting must be at most 32 deep"),
        ("a: 1\nb: [\n" + "[\n" * 2000, 33, "nesting must be at most 32 deep"),
        ("".join(" " * i + "a:\n" for i in range(1100)), 33, "nesting must be at most 32 deep"),
        ("- " * 2000 + "\n", 1, "nesting must be at most 32 deep"),
        ("a: " + "9" * 5000 + "\n", 1, "a number must have at most 100 digits"),
    ],
)
def test_refuses(text, line, message):
    with pytest.raises(UserError, match=".") as caught:
        strict_yaml.loads(text, file="f.yaml")
    assert message in caught.value.message
    if "\x07" not in text:  # PyYAML's C parser tells no line of a control character
        assert caught.value.line == line


class _ShallowLoader(yaml.SafeLoader):
    """Stops at a depth of its own, which the scanner meets before any value is told of."""

    def fetch_flow_collection_start(self, TokenClass):
        if self.flow_level == 50:
            raise yaml.scanner.ScannerError(None, None, "too much", self.get_mark())
        super().fetch_flow_collection_start(TokenClass)


def test_our_depth_speaks_before_the_parsers(monkeypatch):
    monkeypatch.setattr(strict_yaml, "_Loader", _ShallowLoader)
    assert strict_yaml.loads("a: " + "[" * 31 + "]" * 31 + "\n")[0].keys() == {"a"}
    with pytest.raises(UserError, match="^f.yaml:2: nesting must be at most 32 deep"):
        strict_yaml.loads("a: 1\nb: " + "[" * 60 + "]" * 60 + "\n", file="f.yaml")


def test_marks_are_the_lines_of_keys_and_items():
    _, marks = strict_yaml.load("# a\na:\n  - b\n  - c: 1\n    d: [1,\n      2]\n")
    assert marks == {
        (): 2, ("a",): 2, ("a", 0): 3, ("a", 1): 4, ("a", 1, "c"): 4, ("a", 1, "d"): 5,
        ("a", 1, "d", 0): 5, ("a", 1, "d", 1): 6,
    }  # fmt: skip
    assert marks.line(("a", 1, "missing", "deep")) == 4


@pytest.mark.parametrize("text", ["\n", "# nothing\n"])
def test_nothing(text):
    assert strict_yaml.load(text)[0] is None


def test_reads_files(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_bytes(b"\xef\xbb\xbfa: 1\r\nb: 2\r\n")
    assert strict_yaml.load(path)[0] == {"a": 1, "b": 2}


def test_missing_file_names_its_neighbor(tmp_path):
    (tmp_path / "movielens.yaml").write_text("a: 1\n")
    with pytest.raises(
        UserError, match="movilens.yaml: file must exist. Did you mean `.*movielens"
    ):
        strict_yaml.load(tmp_path / "movilens.yaml")
    with pytest.raises(UserError, match="file must exist.$"):
        strict_yaml.load(tmp_path / "none" / "a.yaml")


def test_unreadable_files(tmp_path):
    with pytest.raises(UserError, match="path must be a file. Received: a folder"):
        strict_yaml.load(tmp_path)
    with pytest.raises(UserError, match="file must be readable"):
        strict_yaml.load(tmp_path / ("a" * 5000))
    with pytest.raises(UserError, match="file must be readable"):
        strict_yaml.load(tmp_path / "a\x00b")
    path = tmp_path / "latin.yaml"
    path.write_bytes(b"a: 1\nb: caf\xe9\n")
    with pytest.raises(
        UserError, match="latin.yaml:2: file must be UTF-8 text. Received: byte 0xe9"
    ):
        strict_yaml.load(path)


@pytest.mark.parametrize(
    "value, finite", [(1, True), (0.5, True), (math.nan, False), (True, False)]
)
def test_is_finite(value, finite):
    assert strict_yaml.is_finite(value) is finite


TEXTS = [
    "08", "1e-3", "1e5", "-1", "+.5", "1_000", "1.", "no", "y", "on", "true", "True", "null", "~",
    "", " ", ".nan", ".inf", "-.Inf", "12:30", "2020-01-01", "<<", "=", "0x10", "0o7", "a: b", "#",
    "- a", "'", '"', "a\nb", "a\n", "\t", "é", "\u2028", "\x85", "\ufeff", "a" * 300, "a " * 100,
    "!x", "&x", "*x", "?", "|", "%", "@", "`", "[", "{", "---", "...",
]  # fmt: skip


@pytest.mark.parametrize("text", TEXTS)
def test_dumped_text_reads_back_as_text(text):
    assert strict_yaml.loads(strict_yaml.dump({"a": [text], "b": text}))[0] == {
        "a": [text],
        "b": text,
    }
    assert strict_yaml.loads(strict_yaml.dump({"k" + text: 1}))[0] == {"k" + text: 1}


def test_dumped_data_read_back_as_they_were():
    shared = [1, 2.5, 1e-30, 1e300, -7, True, None, {}]
    data = {"a": shared, "b": shared, "c": {"d": [], "e": {"f": 10**18}}}
    again = strict_yaml.loads(strict_yaml.dump(data))[0]
    assert again == data
    assert [type(value) for value in again["a"]] == [type(value) for value in shared]


def test_lines_of_values_from_elsewhere_are_unknown():
    _, marks = strict_yaml.loads("a: 1\nb:\n  c: 2\n  d: {e: 3}\n")
    kept = marks.without([("b", "d"), ("x",)])
    assert [kept.line(path) for path in [("a",), ("b", "c"), ("b", "d", "e")]] == [1, 3, None]
    assert [kept.line(path) for path in [("b",), ("x", "y"), ("z",)]] == [2, None, 1]
    assert marks.line(("b", "d", "e")) == 4

import sys

import own_shop
import pytest

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.parts.parts import Parts

BUILTIN = {"dumps": "json:dumps", "loads": "json:loads"}
FUNCTIONS = Parts("a function", "lmn_tf.functions", BUILTIN)
CODE = '"""A module."""\n\n\ndef work():\n    return 3\n\n\nclass Thing:\n    pass\n'


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The current folder, with a package of one module."""
    before, known = list(sys.path), set(sys.modules)
    package = tmp_path / "some_parts"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "work.py").write_text(CODE)
    (package / "broken.py").write_text("import json\n\nundefined\n")
    (package / "unfinished.py").write_text("def f(:\n")
    (package / "needs.py").write_text("import no_such_dependency\n")
    (package / "ends.py").write_text("raise SystemExit(0)\n")
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.path[:] = before
    for name in sys.modules.keys() - known:
        if name.partition(".")[0] == "some_parts":
            del sys.modules[name]


def register(folder, name, **points):
    own_shop.register(folder, name, {"lmn_tf.functions": points})
    if str(folder) not in sys.path:
        sys.path.append(str(folder))


def test_a_name_of_this_package():
    assert FUNCTIONS.names() == ("dumps", "loads")
    assert FUNCTIONS.path("dumps") == "json:dumps"
    assert FUNCTIONS.written("dumps") == "dumps"
    assert FUNCTIONS.load("dumps")(1) == "1"


def test_a_path_is_found_in_the_current_folder_after_all_others(folder):
    (folder / "json").mkdir()
    assert FUNCTIONS.load("some_parts.work:work")() == 3
    assert sys.path[-1] == str(folder)
    assert FUNCTIONS.load("json:dumps")(1) == "1"
    assert sys.path.count(str(folder)) == 1


def test_an_entry_point_is_found_and_imported_when_it_is_asked_for(folder):
    register(folder, "my-parts", work="some_parts.work:work")
    assert FUNCTIONS.names() == ("dumps", "loads", "work")
    assert FUNCTIONS.path("work") == FUNCTIONS.written("work") == "some_parts.work:work"
    assert "some_parts" not in sys.modules
    assert FUNCTIONS.load("work")() == 3


def test_the_folder_of_a_run_is_not_searched(folder, monkeypatch):
    for name in ("model.keras", "pipeline.yaml"):
        (folder / name).touch()
    (folder / "checkpoints").mkdir()
    for inner in (folder, folder / "checkpoints"):
        monkeypatch.chdir(inner)
        with pytest.raises(UserError, match="No module named 'some_parts'"):
            FUNCTIONS.load("some_parts.work:work")
    (folder / "model.keras").unlink()
    monkeypatch.chdir(folder)
    assert FUNCTIONS.load("some_parts.work:work")() == 3


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("dump", "`name` must be a function: dumps, loads. Received: name='dump'. Did you mean `d"),
        ("zzz", "named by its path, such as `my_package.module:Class`"),
        ("some_parts.work.work", "Did you mean `some_parts.work:work`?"),
        ("some_parts:work:work", "Did you mean `some_parts.work:work`?"),
        ("some-parts:work", "`name` must be a function: .*some-parts"),
        ("some_parts.work:", "`name` must be a function: "),
        ("some_parts.work:work\n", "`name` must be a function: "),
        (7, "`name` must be a function: .*name=7"),
        (
            "other_parts.work:work",
            r"installed, in the current folder \(.*\) or on PYTHONPATH. Received: "
            "name='other_parts.work:work': No module named 'other_parts'",
        ),
        ("some_parts.wrk:work", "No module named .*wrk'. Did you mean `some_parts.work`?"),
        ("some_parts.work:wrk", "`some_parts.work` has no `wrk`. Did you mean `work`?"),
        ("some_parts.work:Thing", "must be a function. Received: .*:Thing', a class of object"),
        ("some_parts.broken:x", r"can be imported. .*NameError: name 'undefined' .*ken.py:3\)"),
        ("some_parts.unfinished:x", r"SyntaxError: .*unfinished.py:1\)"),
        ("some_parts.needs:x", r"No module named 'no_such_dependency' \(.*needs.py:1\)"),
        ("some_parts.ends:x", r"SystemExit: 0 \(.*ends.py:1\)"),
    ],
)
def test_mistakes(folder, name, message):
    with pytest.raises(UserError, match=message):
        FUNCTIONS.load(name)


def test_the_cause_is_kept_for_its_traceback(folder):
    with pytest.raises(UserError, match="can be imported") as caught:
        FUNCTIONS.load("some_parts.broken:x")
    assert isinstance(caught.value.__cause__, NameError)


def test_a_part_must_be_of_its_kind(folder):
    kinds = Parts("an encoder", "lmn_tf.encoders", {}, base="json:JSONEncoder")
    for path, kind in (("work:work", "a function"), ("work:Thing", "a class of object")):
        with pytest.raises(
            UserError,
            match=f"`dense` must be a subclass of `json.JSONEncoder`. Received: .*, {kind}$",
        ):
            kinds.load(f"some_parts.{path}", "dense")
    (folder / "some_parts" / "work.py").write_text(
        "import json\n\n\nclass Mine(json.JSONEncoder):\n    pass\n"
    )
    del sys.modules["some_parts.work"]
    assert kinds.load("some_parts.work:Mine").__name__ == "Mine"


def test_a_name_must_be_of_one_package(folder):
    register(folder, "first", work="some_parts.work:work", dumps="some_parts.work:Thing")
    register(folder, "second", work="some_parts.other:work", Work="some_parts.work:work")
    assert FUNCTIONS.path("Work") == "some_parts.work:work"
    with pytest.raises(
        UserError,
        match="must be a function of one package. Received: name='work', of second "
        r"\(some_parts.other:work\) and first \(some_parts.work:work\). Write one of these paths",
    ):
        FUNCTIONS.path("work")
    with pytest.raises(UserError, match=r"'dumps', of lmn_tf \(json:dumps\) and first \(some_"):
        FUNCTIONS.path("dumps")


def test_an_entry_point_must_be_a_path(folder):
    register(folder, "first", work="some_parts.work", deep="some_parts.work:Thing.inner")
    with pytest.raises(UserError, match="for which first registers 'some_parts.work'"):
        FUNCTIONS.path("work")
    with pytest.raises(UserError, match="for which first registers 'some_parts.work:Thing.inner'"):
        FUNCTIONS.path("deep")

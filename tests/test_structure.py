"""The script that measures the structure of the package, on a tree of six files."""

import importlib.util
import subprocess
import sys

import pytest

FILES = {
    "lmn_tf/__init__.py": "",
    "lmn_tf/layers/__init__.py": '_EXPORTS = {"Memory": "memory"}\n',
    "lmn_tf/layers/memory.py": '''
"""A memory.

Of two lines.
"""
import os
from typing import TYPE_CHECKING

from lmn_tf.ops.read import read

if TYPE_CHECKING:
    from lmn_tf.models.lmn import LMN


class Memory:
    """Reads.

    Args:
        top_k: Integer.
        units: Integer.
            More of it: here.

    Example: top_k
    """

    def __init__(self, top_k=3, units=4, *, a=1, b=1, c=1, d=1, e=1, f=1, g=1, h=1, i=1, **kw):
        self.top_k = top_k
        self._units = units

    def call(self, x):
        os._exit
        return read(getattr(x, "_keras_mask", None), x._secret, top_k=self.top_k) + self._units

    def get_config(self):
        return {"top_k": self.top_k}
''',
    "lmn_tf/models/__init__.py": "",
    "lmn_tf/models/lmn.py": """
from keras.src import backend

from lmn_tf.layers import Memory
from lmn_tf.models.base import Base


class LMN(Base):
    def __init__(self, spec, top_k: int = 3):
        self.memory = Memory(top_k=top_k)

    def unrelated(self):
        return self.num_buckets
""",
    "lmn_tf/models/base.py": """
class Base:
    lookup: str
    table: str
    default: str

    def build(self):
        from lmn_tf.models.lmn import LMN
""",
    "lmn_tf/ops/__init__.py": "",
    "lmn_tf/ops/read.py": "def read(x, y, top_k):\n    return x\n",
    "tests/test_it.py": """
def test_it():
    assert True
    np.testing.assert_allclose(1, 1)
    with pytest.raises(ValueError, match="x"):
        helper()
""",
}


@pytest.fixture(scope="module")
def structure(root):
    spec = importlib.util.spec_from_file_location("structure", root / ".ci" / "structure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree")
    for name, text in FILES.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text.removeprefix("\n"), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def tree(structure, folder):
    return structure.Tree(folder)


def test_figures_of_files(structure, tree):
    figures = dict(structure.file_figures(tree))
    lines = [text.removeprefix("\n").count("\n") for text in FILES.values()]
    memory = FILES["lmn_tf/layers/memory.py"].removeprefix("\n").count("\n")
    assert figures == {
        "source files": 4,
        "lines": sum(lines) - 1 - lines[-1],  # without `_EXPORTS` and the test
        "median lines of a file": "10",
        "files under 60 lines": "4 (100 %)",
        "longest file without docstrings": f"{memory - 4 - 9} (lmn_tf/layers/memory.py)",
        "lines of a function: median, p95, most": "2, 3, 3",
        "widest folder": "2 (lmn_tf/models)",
    }


def test_arrows_reach_the_file_behind_a_package(structure, tree):
    arrows = structure.arrows(tree)
    assert arrows == {
        "lmn_tf/layers/memory.py": {"lmn_tf/ops/read.py"},
        "lmn_tf/models/base.py": {"lmn_tf/models/lmn.py"},
        "lmn_tf/models/lmn.py": {"lmn_tf/layers/memory.py", "lmn_tf/models/base.py"},
        "lmn_tf/ops/read.py": set(),
    }
    assert structure.circles(arrows) == [["lmn_tf/models/base.py", "lmn_tf/models/lmn.py"]]


def test_an_option_is_followed_from_the_model_to_the_op(structure, tree, folder):
    hops = structure.hops(tree)
    layer, model = "lmn_tf/layers/memory.py", "lmn_tf/models/lmn.py"
    assert [(file, kind) for file, _, kind in hops] == [
        *((layer, kind) for kind in ("docstring", "signature", "attribute", "forward", "string")),
        *((model, kind) for kind in ("signature", "forward")),
    ]
    for file, line, _ in hops:
        assert "top_k" in (folder / file).read_text(encoding="utf-8").splitlines()[line - 1]


def test_files_that_declare_columns(structure, tree):
    assert structure.column_files(tree) == ["lmn_tf/models/base.py"]


def test_lines_that_restate_options(structure, tree):
    assert structure.option_lines(tree) == {
        "signature": 11 + 2,
        "docstring": 2,
        "attribute": 2,
        "forward": 2,
        "config": 1,
    }


def test_private_names_are_those_of_others(structure, tree):
    assert structure.private_names(tree) == {
        "_keras_mask": {"lmn_tf/layers/memory.py"},
        "_secret": {"lmn_tf/layers/memory.py"},
        "keras.src": {"lmn_tf/models/lmn.py"},
    }


def test_tests_and_constructors_are_counted(structure, tree):
    assert dict(structure.test_figures(tree)) == {
        "files in tests": 1,
        "test functions": 1,
        "assertions": 3,
    }
    figures = dict(structure.code_figures(tree))
    assert figures["constructors of more than ten arguments"] == 1
    assert figures["widest constructor"] == "Memory, 11"


def run(root, *arguments):
    command = [sys.executable, str(root / ".ci" / "structure.py"), *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_another_tree_as_a_table(root, folder):
    done = run(root, folder, "--markdown", "--details")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("| figure | value |\n| --- | --- |\n| source files | 4 |\n")
    assert "- lmn_tf/layers/memory.py: Memory, 11\n" in done.stdout


def test_a_folder_without_the_package(root, tmp_path):
    done = run(root, tmp_path)
    assert done.returncode == 1 and done.stdout == ""
    assert f"`PATH` must hold the folder lmn_tf. Received: PATH='{tmp_path}'" in done.stderr

"""The rules of the house that a machine can check, over every file of the package."""

import ast
import configparser
import doctest
import functools
import importlib
import importlib.util
import inspect
import os
import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml

from lmn_tf.keras_internals import HOOKS

ROOT = Path(__file__).resolve().parent.parent
PACKAGE = ROOT / "lmn_tf"
FILES = sorted(PACKAGE.rglob("*.py"))
SPEC_FILES = sorted((ROOT / "feature_specs").glob("*.yaml"))
PIPELINE_FILES = sorted((ROOT / "pipelines").glob("*.yaml"))

LEVEL = {
    "atomic_files": -1,
    "keras_internals": -1,
    "keras_registry": -1,
    "lazy_exports": -1,
    "tensorflow_log": -1,
    "version": -1,
    "xla_flags": -1,
    "keras_backend": 0,
    "ops": 0,
    "specs": 0,
    "data": 1,
    "distribute": 1,
    "layers": 2,
    "metrics": 2,
    "optimizers": 2,
    "features": 3,
    "callbacks": 4,
    "models": 4,
    "integrations": 5,
    "serving": 5,
    "training": 5,
    "cli": 6,
}

# Packages and modules whose public signatures are annotated throughout.
ANNOTATED = (
    "atomic_files",
    "callbacks",
    "cli",
    "data",
    "distribute",
    "features",
    "integrations",
    "keras_backend",
    "keras_internals",
    "keras_registry",
    "layers",
    "lazy_exports",
    "metrics",
    "models",
    "ops",
    "optimizers",
    "serving",
    "specs",
    "tensorflow_log",
    "training",
    "version",
    "xla_flags",
)

# The only part that needs the extra `serve`.
SERVER = PACKAGE / "serving" / "server"

# Folders that do not import TensorFlow when imported.
LIGHT = (("data", "preparers"), ("models", "options"), ("models", "baselines"))

# Import name → name on the package index, where they differ.
DISTRIBUTION = {
    "yaml": "pyyaml",
    "prometheus_client": "prometheus-client",
    "keras_rs": "keras-rs",
    "sklearn": "scikit-learn",
    "tf_keras": "tf-keras",
}


def relative(path):
    return str(path.relative_to(ROOT))


@functools.cache
def tree(path):
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@functools.cache
def nodes(path):
    return list(ast.walk(tree(path)))


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def each(paths):
    return pytest.mark.parametrize("path", paths, ids=relative)


def none_break(violations):
    """Fails with a line for each violation of a rule."""
    violations = list(violations)
    assert not violations, "\n".join(["", *violations])


def imported_modules(path):
    """Full names of all modules a file imports, wherever in it."""
    for node in nodes(path):
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports must be absolute"
            if node.module == "lmn_tf":
                yield from (f"lmn_tf.{name.name}" for name in node.names)
            else:
                yield node.module


def upward_imports(path):
    part = path.relative_to(PACKAGE).parts[0]
    for module in imported_modules(path):
        if module == "lmn_tf":
            yield f"{relative(path)}: import the part that is used, not lmn_tf"
        elif module.split(".")[0] == "lmn_tf":
            other = module.split(".")[1]
            if other != part and LEVEL[other] >= LEVEL[part]:
                yield f"{relative(path)} (level {LEVEL[part]}) imports {module} ({LEVEL[other]})"


def test_imports_only_point_down():
    files = [path for path in FILES if path.parent != PACKAGE]
    none_break(line for path in files for line in upward_imports(path))


def test_every_import_is_a_declared_dependency():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    declared, extra = (
        {re.split(r"[<>=\[]", line)[0] for line in text.splitlines() if line}
        for text in (
            setup["options"]["install_requires"],
            setup["options.extras_require"]["serve"],
        )
    )
    known = {"lmn_tf", *sys.stdlib_module_names}
    for path in FILES:
        used = {name.split(".")[0] for name in imported_modules(path)} - known
        allowed = declared | extra if SERVER in path.parents else declared
        assert {DISTRIBUTION.get(name, name) for name in used} - allowed == set(), relative(path)


def test_keras_2_is_left_to_the_integrations():
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] != "integrations":
            used = {name.split(".")[0] for name in imported_modules(path)}
            assert not used & {"tf_keras", "tensorflow_recommenders"}, relative(path)


def test_specs_data_preparation_and_commands_do_not_import_tensorflow():
    light = [
        module_name(path)
        for path in FILES
        if path.relative_to(PACKAGE).parts[0] in ("specs", "cli")
        or path.relative_to(PACKAGE).parts[:2] in LIGHT
        or path.stem.startswith("synthetic")
        or path.name in ("version.py", "registry.py")
        or path.parent == PACKAGE
    ]
    code = (
        "import importlib, sys\n"
        "for name in sys.argv[1:]:\n"
        "    importlib.import_module(name)\n"
        "    if 'tensorflow' in sys.modules or 'keras' in sys.modules:\n"
        "        sys.exit(name)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, *light], capture_output=True, text=True, cwd=ROOT
    )
    assert done.returncode == 0, f"imports TensorFlow or fails: {done.stderr}"


def docstring_lines(node):
    kinds = ast.Module, ast.ClassDef, ast.FunctionDef
    if not isinstance(node, kinds) or ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def too_long(path):
    # Documentation never forces a split.
    lines = len(path.read_text(encoding="utf-8").splitlines())
    lines -= sum(docstring_lines(node) for node in nodes(path))
    if lines > 330:
        yield f"{relative(path)}: {lines} lines of code"
    for node in nodes(path):
        if isinstance(node, ast.FunctionDef):
            body = node.body[1:] if ast.get_docstring(node) else node.body
            lines = node.end_lineno - body[0].lineno + 1 if body else 0
            if lines > 50:
                yield f"{relative(path)}: {node.name} has {lines} lines"


def test_files_and_functions_are_short():
    none_break(line for path in FILES for line in too_long(path))


def test_no_assert_in_shipped_code():
    none_break(
        f"{relative(path)}:{node.lineno}: assert"
        for path in FILES
        for node in nodes(path)
        if isinstance(node, ast.Assert)
    )


QUESTION_WORDS = {"all", "how", "on", "what", "when", "where", "which", "who", "whose", "why"}


ANNOTATED_FILES = [
    path
    for path in FILES
    if any(PACKAGE / part in (path.with_suffix(""), *path.parents) for part in ANNOTATED)
]


def test_module_docstrings_are_noun_phrases():
    docstrings = {path: ast.get_docstring(tree(path)) or "" for path in FILES}
    none_break(
        f"{relative(path)}: {text.splitlines()[0]}"
        for path, text in docstrings.items()
        if text and text.split()[0].lower() in QUESTION_WORDS
    )


def unannotated(function):
    """Names of the arguments of a function without a type, and "return" where it has none."""
    spec = function.args
    given = [*spec.posonlyargs, *spec.args, *spec.kwonlyargs, spec.vararg, spec.kwarg]
    names = [item.arg for item in given if item and item.annotation is None]
    return [name for name in names if name not in ("self", "cls")] + (
        ["return"] if function.returns is None else []
    )


def public_functions(path):
    body = tree(path).body
    yield from public(body, ast.FunctionDef)
    for node in public(body, ast.ClassDef):
        yield from (item for item in node.body if getattr(item, "name", "") == "__init__")
        yield from public(node.body, ast.FunctionDef)


def test_public_signatures_are_annotated():
    none_break(
        f"{relative(path)}: {node.name} has no type for {', '.join(unannotated(node))}"
        for path in ANNOTATED_FILES
        for node in public_functions(path)
        if unannotated(node)
    )


def structure():
    """The script that measures the structure of the package."""
    spec = importlib.util.spec_from_file_location("structure", ROOT / ".ci" / "structure.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def stateful_random_operations(root):
    """Lines of the package and its tests with operations that keep a state in their kernel."""
    for path in [*(root / "lmn_tf").rglob("*.py"), *(root / "tests").rglob("*.py")]:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(r"^[^#\"]*\btf\.random\.(?!stateless_)", line):
                yield f"{path.relative_to(root)}: {line.strip()}"


def test_random_operations_are_stateless():
    none_break(stateful_random_operations(ROOT))


def test_a_stateful_random_operation_is_found(tmp_path):
    (tmp_path / "lmn_tf").mkdir()
    code = "x = tf.random.normal([2])\ny = tf.random.stateless_normal([2], [1, 2])\n"
    (tmp_path / "lmn_tf" / "layer.py").write_text(code)
    assert [*stateful_random_operations(tmp_path)] == ["lmn_tf/layer.py: x = tf.random.normal([2])"]


def private_names_elsewhere(root):
    """Private names of Keras and TensorFlow → the files that hold them but should not."""
    script, hooks = structure(), {hook.name for hook in HOOKS}
    package = script.Tree(root)
    used = {
        name: files - {"lmn_tf/keras_internals.py"}
        for name, files in script.used_names(package).items()
    }
    overridden = script.overridden_names(package)
    unknown = {name: files for name, files in overridden.items() if name not in hooks}
    return {name: files for name, files in [*used.items(), *unknown.items()] if files}


def test_private_names_of_keras_and_tensorflow_stand_in_one_file():
    assert private_names_elsewhere(ROOT) == {}


@pytest.mark.parametrize(
    ("code", "name"),
    [
        ("from keras.src import backend", "keras.src"),
        ("import tensorflow.python.ops", "tensorflow.python.ops"),
        ("tf.__internal__.distribute", "tf.__internal__"),
        ("model._flatten_layers()", "_flatten_layers"),
        ("layer._never_seen_here", "_never_seen_here"),
        ("self._value = 1", "_value"),
        ("getattr(x, '_keras_mask', None)", "_keras_mask"),
        ("model.evaluate(_use_cached_eval_dataset=True)", "_use_cached_eval_dataset"),
        ("class A(Layer):\n    def _clear_losses(self): pass", "_clear_losses"),
        ("class A(Layer):\n    def f(self): super()._get_own_losses()", "_get_own_losses"),
        ("optimizer._clip_gradients([])", "_clip_gradients"),
    ],
)
def test_a_private_name_elsewhere_is_found(code, name, tmp_path):
    (tmp_path / "lmn_tf").mkdir()
    (tmp_path / "lmn_tf" / "layer.py").write_text(code, encoding="utf-8")
    assert private_names_elsewhere(tmp_path) == {name: {"lmn_tf/layer.py"}}


def test_hooks_and_own_private_names_are_not_found(tmp_path):
    (tmp_path / "lmn_tf").mkdir()
    (tmp_path / "lmn_tf" / "optimizer.py").write_text(
        "import os\n"
        "class A(Optimizer):\n"
        "    def _var_key(self, variable):\n"
        "        os._exit(self._count(variable))\n"
        "        return super()._var_key(variable)\n"
        "    def _count(self, variable): pass\n",
        encoding="utf-8",
    )
    assert private_names_elsewhere(tmp_path) == {}


def has_public_names(path):
    kinds = ast.ClassDef, ast.FunctionDef
    return any(isinstance(node, kinds) and node.name[0] != "_" for node in tree(path).body)


def mirror(path):
    inner = path.relative_to(PACKAGE)
    return ROOT / "tests" / inner.with_name(f"test_{inner.name}")


def test_each_source_file_has_its_mirror():
    sources = [path for path in FILES if path.name != "__init__.py" and has_public_names(path)]
    none_break(
        f"{relative(path)} has no {relative(mirror(path))}"
        for path in sources
        if not mirror(path).exists()
    )


def unmatched_errors(path):
    for node in ast.walk(tree(path)):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute)):
            continue
        if node.func.attr == "raises" and ast.unparse(node.func) == "pytest.raises":
            given = {keyword.arg for keyword in node.keywords}
            # An exception that only the test itself can raise needs no message.
            exempt = not ast.unparse(node.args[0]).split(".")[-1].endswith(("Error", "Exception"))
            if "match" not in given and not exempt:
                yield f"{relative(path)}:{node.lineno}: pytest.raises without match="


def test_expected_errors_are_told_apart_by_their_message():
    files = sorted((ROOT / "tests").rglob("test_*.py"))
    none_break(line for path in files for line in unmatched_errors(path))


def public(nodes, kind):
    return [node for node in nodes if isinstance(node, kind) and not node.name.startswith("_")]


def documented():
    """(path, name, docstring, signature) of every public class and function with arguments."""
    for path in FILES:
        body = tree(path).body
        for node in public(body, ast.FunctionDef):
            yield path, node.name, ast.get_docstring(node), arguments(node)
        for node in public(body, ast.ClassDef):
            inits = [item for item in node.body if getattr(item, "name", "") == "__init__"]
            given = arguments(inits[0]) if inits else fields(node)
            yield path, node.name, ast.get_docstring(node), given
            for method in public(node.body, ast.FunctionDef):
                name = f"{node.name}.{method.name}"
                yield path, name, ast.get_docstring(method), arguments(method)


def arguments(function):
    """Argument names with their defaults as source text."""
    spec = function.args
    plain = [*spec.posonlyargs, *spec.args]
    defaults = [None] * (len(plain) - len(spec.defaults)) + spec.defaults
    pairs = [*zip(plain, defaults, strict=True), *zip(spec.kwonlyargs, spec.kw_defaults)]  # noqa: B905
    found = {name.arg: value for name, value in pairs}
    if spec.kwarg:
        found["**"] = None
    return found


def fields(node):
    """The same of a dataclass: its annotated fields."""
    return {
        item.target.id: item.value
        for item in node.body
        if isinstance(item, ast.AnnAssign) and isinstance(item.target, ast.Name)
    }


def documented_defaults(docstring):
    """Argument name → the source text that the docstring gives as its default."""
    section = re.search(r"^Args:\n(.*?)(?=^\S|\Z)", docstring or "", re.S | re.M)
    if not section:
        return {}
    text = inspect.cleandoc("\n" + section[1])
    entries = re.split(r"^(?=\*{0,2}\w+(?: \([^)]*\))?:)", text, flags=re.M)
    found = {}
    for entry in entries:
        default = re.search(r"Defaults\s+to\s+`([^`]*)`", entry)
        if default:
            found[re.match(r"\w+", entry)[0]] = default[1]
    return found


def value(default):
    """A default's value, from its node or its documented text: a literal, else the source text."""
    if isinstance(default, str):
        try:
            node = ast.parse(default, mode="eval").body
        except SyntaxError:
            return default
    else:
        node = made_by_field(default)
    try:
        return ast.literal_eval(node)
    except (ValueError, TypeError):
        text = ast.unparse(node)
        # Specs document mappings as YAML writes them.
        return yaml.safe_load(text) if isinstance(node, ast.Dict) else text


def made_by_field(node):
    """The default inside a dataclass field, or the node itself."""
    if not (isinstance(node, ast.Call) and ast.unparse(node.func).lower().endswith("field")):
        return node
    given = {item.arg: item.value for item in node.keywords}
    factory = given.get("default_factory")
    if isinstance(factory, ast.Lambda):
        return factory.body
    if factory is not None:
        empty = {"list": "[]", "dict": "{}", "tuple": "()"}.get(ast.unparse(factory))
        return ast.parse(empty, mode="eval").body if empty else factory
    return given.get("default", node)


def test_documented_defaults_equal_the_real_ones():
    wrong = []
    for path, name, docstring, real in documented():
        for argument, text in documented_defaults(docstring).items():
            where = f"{relative(path)}: {name}({argument})"
            if argument not in real and "**" in real:
                continue  # passed on to a base class
            if real.get(argument) is None:
                wrong.append(f"{where} has no default, documented as {text}")
            elif value(text) != value(real[argument]):
                wrong.append(f"{where} is {ast.unparse(real[argument])}, documented as {text}")
    assert wrong == []


def test_every_documented_argument_exists():
    wrong = []
    for path, name, docstring, real in documented():
        for argument in documented_defaults(docstring):
            if argument not in real and "**" not in real:
                wrong.append(f"{relative(path)}: {name} has no argument {argument}")
    assert wrong == []


KERAS_PARTS = ("layers", "features", "models", "metrics", "optimizers")


def keras_classes():
    import keras

    kinds = (
        keras.layers.Layer,
        keras.metrics.Metric,
        keras.losses.Loss,
        keras.optimizers.Optimizer,
        keras.optimizers.schedules.LearningRateSchedule,
    )
    for path in FILES:
        if path.relative_to(PACKAGE).parts[0] not in KERAS_PARTS:
            continue
        part = importlib.import_module(f"lmn_tf.{path.relative_to(PACKAGE).parts[0]}")
        for node in public(tree(path).body, ast.ClassDef):
            found = getattr(importlib.import_module(module_name(path)), node.name)
            if issubclass(found, kinds) and node.name in part.__all__:
                yield found


def test_public_keras_classes_are_registered_and_documented():
    import keras

    wrong = []
    for found in keras_classes():
        if not keras.saving.get_registered_name(found).startswith("lmn_tf>"):
            wrong.append(f"{found.__name__} is not registered in the package lmn_tf")
        text = found.__doc__ or ""
        given = set(inspect.signature(found.__init__).parameters) - {"self", "kwargs", "args"}
        for section in (["Args:"] if given else []) + ["Example:"]:
            if section not in text:
                wrong.append(f"{found.__name__} has no section {section}")
    assert wrong == []


def test_all_lists_what_is_exported():
    for path in FILES:
        if path.name == "__init__.py":
            module = importlib.import_module(module_name(path))
            names = getattr(module, "__all__", ())
            assert len(set(names)) == len(names), relative(path)
            for name in names:
                assert getattr(module, name) is not None, f"{relative(path)}: {name}"


@pytest.fixture(scope="session")
def market(tmp_path_factory):
    """A learned spec and one batch of two rows: the `spec` and `features` of the examples."""
    import lmn_tf
    from lmn_tf.data.synthetic import generate

    folder = tmp_path_factory.mktemp("market")
    generate(folder, users=50, items=30, rows=500)
    spec = lmn_tf.FeatureSpec.load(ROOT / "feature_specs" / "synthetic.yaml")
    batches = lmn_tf.make_dataset(spec, str(folder / "train-*.parquet"), batch_size=2, learn=True)
    features, labels = next(iter(batches))
    return {"spec": spec, "features": features, "labels": labels}


@each([path for path in FILES if ">>>" in path.read_text(encoding="utf-8")])
def test_examples_run(path, tmp_path, monkeypatch, request):
    import keras
    import numpy as np
    import tensorflow as tf

    import lmn_tf

    monkeypatch.chdir(tmp_path)
    for folder in ("feature_specs", "pipelines"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    names = {"np": np, "keras": keras, "tf": tf, "lmn_tf": lmn_tf, "folder": str(tmp_path)}
    if re.search(r">>>.*\b(spec|features|labels)\b", path.read_text(encoding="utf-8")):
        names.update(request.getfixturevalue("market"))
    # Else names count on: dnn, dnn_1, ... Collecting garbage would take longer than most examples.
    keras.utils.clear_session(free_memory=False)
    keras.utils.set_random_seed(1)
    module = importlib.import_module(module_name(path))
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=flags)
    assert failed == 0


def load_with_any_environment(kind, path, monkeypatch):
    for name in re.findall(r"\$\{(\w+)\}", path.read_text(encoding="utf-8")):
        monkeypatch.setenv(name, os.environ.get(name, "data"))
    return kind.load(path)


@each(SPEC_FILES)
def test_each_feature_spec_loads(path):
    import lmn_tf

    assert lmn_tf.FeatureSpec.load(path).features


@each(PIPELINE_FILES)
def test_each_pipeline_and_comparison_loads(path, monkeypatch):
    import lmn_tf
    from lmn_tf.models import registry
    from lmn_tf.specs.comparison_spec import ComparisonSpec

    if "comparison_version" not in path.read_text(encoding="utf-8"):
        spec = load_with_any_environment(lmn_tf.PipelineSpec, path, monkeypatch)
        models = [spec.model]
    else:
        spec = load_with_any_environment(ComparisonSpec, path, monkeypatch)
        base = path.parent / spec.pipeline
        load_with_any_environment(lmn_tf.PipelineSpec, base, monkeypatch)
        models = [entry.model for entry in spec.models]
    for model in models:
        options = dict(model)
        registry.check_options(options.pop("name"), options)


def test_settings_name_what_exists():
    for part in [*LEVEL, *KERAS_PARTS, *ANNOTATED]:
        assert (PACKAGE / part).is_dir() or (PACKAGE / f"{part}.py").is_file(), part
    ignores = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    for pattern in ignores["tool"]["ruff"]["lint"]["per-file-ignores"]:
        assert any(ROOT.glob(pattern)), pattern
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    for package, patterns in setup["options.package_data"].items():
        folder = ROOT / package.replace(".", "/")
        for pattern in patterns.split(","):
            assert any(folder.glob(pattern.strip())), f"{package}: {pattern}"


def test_the_license_is_the_one_that_the_package_names():
    setup = configparser.ConfigParser()
    setup.read(ROOT / "setup.cfg")
    assert setup["metadata"]["license"] == "Apache-2.0"
    text = (ROOT / setup["metadata"]["license_files"]).read_text(encoding="utf-8")
    assert text.split()[:4] == ["Apache", "License", "Version", "2.0,"]
    assert text.rstrip().endswith("limitations under the License.")


def test_the_rules_find_what_they_look_for():
    docstring = (
        "Does.\n\nArgs:\n    k: Integer. Defaults\n        to `3`.\n    s: Text.\n\nReturns:\n"
    )
    assert documented_defaults(inspect.cleandoc(docstring)) == {"k": "3"}
    function = ast.parse("def f(a, k=3, *, s='x', t): pass").body[0]
    assert {name: node and value(node) for name, node in arguments(function).items()} == {
        "a": None,
        "k": 3,
        "s": "x",
        "t": None,
    }
    assert unannotated(function) == ["a", "k", "s", "t", "return"]
    assert value('"x"') == value(ast.parse("'x'", mode="eval").body)
    assert SPEC_FILES and PIPELINE_FILES and len(list(documented())) > 20


# Layers whose arguments are all options of users, and two readers of a whole run: none may grow.
WIDE_CONSTRUCTORS = {
    "BatchReader": 12,
    "IterativeMemory": 11,
    "ProductKeyMemory": 13,
    "TrainingLoop": 12,
    "UserInterestMemory": 11,
}


def folders():
    return sorted({path.parent for path in FILES})


def test_folders_are_taken_in_at_a_glance():
    counts = {path: len(set(path.glob("*.py")) - {path / "__init__.py"}) for path in folders()}
    none_break(f"{relative(path)}: {count} files" for path, count in counts.items() if count > 16)


def wide_constructors(path):
    for node in nodes(path):
        if isinstance(node, ast.ClassDef):
            for item in node.body:
                if getattr(item, "name", "") == "__init__":
                    count = len(item.args.args + item.args.kwonlyargs) - 1
                    if count > WIDE_CONSTRUCTORS.get(node.name, 10):
                        yield f"{relative(path)}: {node.name} takes {count} arguments"


def test_constructors_take_few_arguments():
    none_break(line for path in FILES for line in wide_constructors(path))


def test_the_rules_name_the_place(tmp_path, monkeypatch):
    here = sys.modules[__name__]
    monkeypatch.setattr(here, "ROOT", tmp_path)
    monkeypatch.setattr(here, "PACKAGE", tmp_path / "lmn_tf")
    source = tmp_path / "lmn_tf" / "ops" / "bad.py"
    source.parent.mkdir(parents=True)
    arguments = ", ".join(f"a{number}" for number in range(11))
    lines = ["import lmn_tf", "from lmn_tf.layers import MLP", "from lmn_tf.ops import compile"]
    lines += ["class Bad:", f"    def __init__(self, {arguments}):", *["        pass"] * 51]
    source.write_text("\n".join(lines + ["x = 1"] * 300), encoding="utf-8")
    assert list(upward_imports(source)) == [
        "lmn_tf/ops/bad.py: import the part that is used, not lmn_tf",
        "lmn_tf/ops/bad.py (level 0) imports lmn_tf.layers (2)",
    ]
    assert list(too_long(source)) == [
        "lmn_tf/ops/bad.py: 356 lines of code",
        "lmn_tf/ops/bad.py: __init__ has 51 lines",
    ]
    assert list(wide_constructors(source)) == ["lmn_tf/ops/bad.py: Bad takes 11 arguments"]
    assert [unannotated(node)[:2] for node in public_functions(source)] == [["a0", "a1"]]
    test = mirror(source)
    assert relative(test) == "tests/ops/test_bad.py"
    test.parent.mkdir(parents=True)
    calls = ["ValueError", "ValueError, match='x'", "Killed"]
    test.write_text("\n".join(f"pytest.raises({call})" for call in calls), encoding="utf-8")
    assert list(unmatched_errors(test)) == ["tests/ops/test_bad.py:1: pytest.raises without match="]
    with pytest.raises(AssertionError, match="a\n  b"):
        none_break(["a", "b"])

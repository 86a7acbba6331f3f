"""Measures the structure of the package: how long its files are and how they hang together.

    python .ci/structure.py                       # this checkout
    python .ci/structure.py PATH --markdown       # another one, as a table
    python .ci/structure.py --details             # with the places behind the figures

Standard library only, and nothing of the measured tree is imported, so any commit can be measured.
All is counted in the syntax trees:

- Source files: Python files of `lmn_tf/` without `__init__.py`. Lines are all lines; "without
  docstrings" leaves out the docstrings of modules, classes and functions.
- Functions: with their docstrings; methods and nested functions too.
- Import arrows: pairs of source files of which the first imports the second, wherever in the file
  (`TYPE_CHECKING` blocks aside). An import from a package counts for the file that the package's
  `__init__.py` has the name from. Circles: groups of files that reach one another by arrows.
- Restatements of `top_k`: places between the model `LMN` and the first op where it is an argument
  of a signature, a field of a record, an entry of a docstring's `Args`, an attribute that is set, a
  keyword that forwards it, or a string in a list or a configuration. Followed are the model, its
  bases, and whatever they name that says `top_k` in its code, outside `ops/`.
- Files that declare a column's fields: where one class has, or one constant at the top of the file
  lists, three or more of the keys that YAML knows for a column (`COLUMN_KEYS`).
- Lines that restate options, in `layers/`, `models/`, `features/` and in records that are named
  `...Options`: for each argument of a constructor or field of such a record, its entry in the
  signature, its entry in the docstring's `Args`, `self.x = x`, `x=x` or `x=self.x` in a call, and
  `"x": self.x` in a dictionary.
- Private names of Keras and TensorFlow: attributes with a leading underscore that no file of the
  package defines (read, set, or named to `getattr` and its like), the names that
  `lmn_tf/keras_internals.py` of this script's own checkout holds wherever they stand, and private
  modules. Private names of the standard library do not count.
- Constructors: the arguments of `__init__` without `self`, `*args` and `**kwargs`.
- Assertions: `assert` statements, `pytest.raises`, `pytest.warns`, and calls of functions named
  `assert_...`.
"""

import argparse
import ast
import collections
import functools
import math
import pathlib
import re
import statistics
import sys

PACKAGE = "lmn_tf"
MODEL, OPTION = "LMN", "top_k"
OPTION_PARTS = ("layers", "models", "features")
COLUMN_KEYS = {
    "lookup", "table", "transform", "default", "weights", "max_values", "separator", "size",
    "num_buckets", "unit",
}  # fmt: skip
PRIVATE_MODULES = ("keras.src", "tensorflow.python", "tensorflow.core", "tensorflow.compiler")

Function = (ast.FunctionDef, ast.AsyncFunctionDef)
Documented = (ast.Module, ast.ClassDef, *Function)


class Source:
    """A file of the package.

    Args:
        path: `pathlib.Path` of the file.
        root: `pathlib.Path` of the tree.
    """

    def __init__(self, path, root):
        text = path.read_text(encoding="utf-8")
        self.name = path.relative_to(root).as_posix()
        self.module = ".".join(path.relative_to(root).with_suffix("").parts)
        self.lines = len(text.splitlines())
        self.tree = ast.parse(text, filename=self.name)
        self.nodes = list(ast.walk(self.tree))

    @property
    def part(self):
        """The folder of the package that the file stands in, or the file's own name."""
        return self.module.split(".")[1]

    def of(self, *kinds):
        """Returns the syntax nodes of these kinds."""
        return [node for node in self.nodes if isinstance(node, kinds)]


class Tree:
    """A checkout: the files of its package and its tests.

    Args:
        root: `pathlib.Path` of the folder that holds `lmn_tf/`.
    """

    def __init__(self, root):
        sources = [Source(path, root) for path in sorted((root / PACKAGE).rglob("*.py"))]
        if not sources:
            sys.exit(f"`PATH` must hold the folder {PACKAGE}. Received: PATH={str(root)!r}")
        self.sources = [one for one in sources if not one.module.endswith(".__init__")]
        self.modules = {one.module: one for one in self.sources}
        self.packages = {
            one.module.removesuffix(".__init__"): exports(one)
            for one in sources
            if one.module.endswith(".__init__")
        }
        self.root = root

    @functools.cached_property
    def tests(self):
        return [Source(path, self.root) for path in sorted((self.root / "tests").rglob("*.py"))]

    @functools.cached_property
    def imports(self):
        return {one.name: imported(one, self) for one in self.sources}

    def find(self, module, name):
        """Returns the file that an import of a name from a module reaches, or `None`."""
        for _ in range(10):  # a package may have the name from another package
            if f"{module}.{name}" in self.modules:
                return self.modules[f"{module}.{name}"]
            if module not in self.packages:
                break
            module = self.packages[module].get(name, "")
        return self.modules.get(module)


def docstring_lines(node):
    """Returns the number of lines of a node's docstring."""
    if not isinstance(node, Documented) or ast.get_docstring(node) is None:
        return 0
    return node.body[0].end_lineno - node.body[0].lineno + 1


def exports(source):
    """Returns name → module of a package's `__init__.py`: what it imports or loads on first use."""
    package = source.module.removesuffix(".__init__")
    found = {}
    for node in source.nodes:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            found.update({name.asname or name.name: node.module for name in node.names})
        elif isinstance(node, ast.Dict):
            for key, value in zip(node.keys, node.values, strict=True):
                if is_text(key) and is_text(value):
                    found[key.value] = f"{package}.{value.value}"
    return found


def is_text(node):
    """Returns whether a node is a string."""
    return isinstance(node, ast.Constant) and isinstance(node.value, str)


def imported(source, tree):
    """Returns name → (file it is from, its name there) of a file's imports inside the package."""
    aside = [
        child
        for node in source.of(ast.If)
        if ast.unparse(node.test).endswith("TYPE_CHECKING")
        for child in ast.walk(node)
    ]
    found = {}
    for node in source.of(ast.ImportFrom, ast.Import):
        if node in aside:
            continue
        for name in node.names:
            module = node.module if isinstance(node, ast.ImportFrom) else name.name
            if (module or "").split(".")[0] != PACKAGE:
                continue
            target = tree.find(module, name.name)
            if target is not None and target is not source:
                found[name.asname or name.name] = (target, name.name)
    return found


def arrows(tree):
    """Returns file name → set of the names of the files that it imports."""
    return {name: {file.name for file, _ in to.values()} for name, to in tree.imports.items()}


def circles(graph):
    """Returns the groups of files that reach one another, as sorted lists."""
    reached = {}
    for start in graph:
        seen, waiting = set(), list(graph[start])
        while waiting:
            file = waiting.pop()
            if file not in seen:
                seen.add(file)
                waiting += graph[file]
        reached[start] = seen
    groups = {
        tuple(sorted(other for other in reached[file] if file in reached[other]))
        for file in graph
        if file in reached[file]
    }
    return [list(group) for group in sorted(groups)]


def definitions(source):
    """Returns name → node of what stands at the top of a file."""
    found = {}
    for node in source.tree.body:
        if isinstance(node, (ast.ClassDef, *Function)):
            found[node.name] = node
        elif isinstance(node, ast.Assign):
            found.update({item.id: node for item in node.targets if isinstance(item, ast.Name)})
    return found


def restatements(node, option):
    """Yields (line, kind) of each place in a node where an option is restated."""
    for item in ast.walk(node):
        if isinstance(item, ast.arg) and item.arg == option:
            yield item.lineno, "signature"
        elif isinstance(item, ast.AnnAssign) and ast.unparse(item.target) == option:
            yield item.lineno, "field"
        elif isinstance(item, ast.Attribute) and isinstance(item.ctx, ast.Store):
            if item.attr.lstrip("_") == option:
                yield item.lineno, "attribute"
        elif isinstance(item, ast.Call):
            for keyword in item.keywords:
                if keyword.arg == option:
                    yield keyword.value.lineno, "forward"
        elif is_text(item) and item.value == option:
            yield item.lineno, "string"
        if isinstance(item, Documented):
            for line in argument_lines(item):
                if line[0] == option:
                    yield line[1], "docstring"


def argument_lines(node):
    """Yields (argument, line) of the entries of a docstring's `Args`."""
    if not docstring_lines(node):
        return
    inside = False
    for number, line in enumerate(node.body[0].value.value.splitlines()):
        text = line.strip()
        if text == "Args:":
            inside = True
        elif inside and (not text or text.endswith(":") and " " not in text):
            inside = False
        elif inside and text.split(":")[0].split(" ")[0].isidentifier() and ":" in text:
            yield text.split(":")[0].split(" ")[0], node.body[0].lineno + number


def hops(tree, model=MODEL, option=OPTION):
    """Returns (file name, line, kind) of each restatement of an option on its way to the op."""
    known = {one.name: definitions(one) for one in tree.sources}
    waiting = [
        (one, model) for one in tree.sources if isinstance(known[one.name].get(model), ast.ClassDef)
    ]
    seen, places = set(), set()
    while waiting:
        source, name = waiting.pop()
        node = known[source.name].get(name)
        if node is None or (source.name, name) in seen or source.part == "ops":
            continue
        seen.add((source.name, name))
        places |= {(source.name, *place) for place in restatements(node, option)}
        bases = {ast.unparse(base) for base in getattr(node, "bases", ())}
        for used in {item.id for item in ast.walk(node) if isinstance(item, ast.Name)}:
            target, there = tree.imports[source.name].get(used, (source, used))
            other = known[target.name].get(there)
            if other is None:
                continue
            says = {kind for _, kind in restatements(other, option)} - {"docstring"}
            if used in bases or says:
                waiting.append((target, there))
    return sorted(places)


def column_files(tree):
    """Returns the names of the files that declare or list the fields of a column."""
    found = []
    for source in tree.sources:
        groups = [
            {item.target.id for item in node.body if is_field(item)}
            for node in source.of(ast.ClassDef)
        ]
        groups += [
            {item.value for item in ast.walk(node) if is_text(item)}
            for node in source.tree.body
            if isinstance(node, ast.Assign)
        ]
        if any(len(group & COLUMN_KEYS) >= 3 for group in groups):
            found.append(source.name)
    return found


def is_field(node):
    """Returns whether a statement of a class is an annotated field."""
    return isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)


def constructor(node):
    """Returns the names of a class's constructor arguments, or `None` without a constructor."""
    for item in node.body:
        if isinstance(item, Function) and item.name == "__init__":
            given = [*item.args.posonlyargs, *item.args.args, *item.args.kwonlyargs]
            return [argument.arg for argument in given[1:]]
    return None


def option_lines(tree):
    """Returns kind → number of the lines that restate options of layers and models."""
    count = collections.Counter()
    for source in tree.sources:
        for node in source.of(ast.ClassDef):
            if node.name.endswith("Options"):
                options = [item.target.id for item in node.body if is_field(item)]
            elif source.part in OPTION_PARTS:
                options = constructor(node) or []
            else:
                continue
            count["signature"] += len(options)
            count["docstring"] += sum(name in options for name, _ in argument_lines(node))
            for item in ast.walk(node):
                count.update(restated(item, set(options)))
    return count


def restated(node, options):
    """Yields the kind of each restatement of one of these options that a node is."""
    if isinstance(node, ast.Assign) and isinstance(node.value, ast.Name):
        if {f"self.{node.value.id}", f"self._{node.value.id}"} & set(
            map(ast.unparse, node.targets)
        ):
            if node.value.id in options:
                yield "attribute"
    elif isinstance(node, ast.Call):
        for item in node.keywords:
            if item.arg in options and is_same(item.arg, item.value):
                yield "forward"
    elif isinstance(node, ast.Dict):
        for key, value in zip(node.keys, node.values, strict=True):
            if is_text(key) and key.value in options and is_same(key.value, value):
                yield "config"


def is_same(name, node):
    """Returns whether a node is `name`, `self.name` or `self._name`."""
    return ast.unparse(node) in (name, f"self.{name}", f"self._{name}")


def borrowed():
    """Returns the private names of Keras and TensorFlow that this checkout knows it uses."""
    here = pathlib.Path(__file__).resolve().parent.parent
    source = Source(here / PACKAGE / "keras_internals.py", here)
    names = {node.attr for node in source.of(ast.Attribute)}
    names |= {node.value for node in source.of(ast.Constant) if is_text(node)}
    return {name for name in names if re.fullmatch(r"_[a-z]\w*", name)}


def private_names(tree):
    """Returns private name of Keras or TensorFlow → set of the names of the files it stands in."""
    used, overridden = used_names(tree), overridden_names(tree)
    names = sorted({*used, *overridden})
    return {name: used.get(name, set()) | overridden.get(name, set()) for name in names}


def used_names(tree):
    """Returns the part of `private_names` that is read, called, set, passed or imported."""
    known = borrowed()
    own = own_names(tree, known)
    found = collections.defaultdict(set)
    for source in tree.sources:
        foreign = standard_modules(source)
        for node in source.nodes:
            for name in private(node, foreign, known):
                if name not in own:
                    found[name].add(source.name)
    return dict(found)


def overridden_names(tree):
    """Returns the part of `private_names` that classes define, and call of their bases."""
    known = borrowed()
    own = own_names(tree, known)
    found = collections.defaultdict(set)
    for source in tree.sources:
        for node in source.of(ast.ClassDef):
            for name in known & {item.name for item in node.body if isinstance(item, Function)}:
                found[name].add(source.name)
        for node in source.of(ast.Attribute):
            if is_private(node.attr) and node.attr not in own and is_super(node.value):
                found[node.attr].add(source.name)
    return dict(found)


def own_names(tree, known):
    """Returns the private names that the package defines, without those of others it knows."""
    return set().union(*(bound(source) for source in tree.sources)) - known


def is_super(node):
    """Returns whether a node is `super()`."""
    return ast.unparse(node) == "super()"


def bound(source):
    """Returns the private names that a file defines."""
    found = {node.name for node in source.of(ast.ClassDef, *Function)}
    found |= {node.arg for node in source.of(ast.arg)}
    found |= {node.id for node in source.of(ast.Name) if isinstance(node.ctx, ast.Store)}
    found |= {
        node.attr
        for node in source.of(ast.Attribute)
        if isinstance(node.ctx, ast.Store) and ast.unparse(node.value) in ("self", "cls")
    }
    return {name for name in found if name.startswith("_")}


def standard_modules(source):
    """Returns the names in a file that stand for modules of the standard library."""
    names = {
        (name.asname or name.name.split(".")[0]): name.name.split(".")[0]
        for node in source.of(ast.Import)
        for name in node.names
    }
    return {name for name, module in names.items() if module in sys.stdlib_module_names}


def private(node, foreign, known):
    """Yields the private names that a node reaches for, and the private modules that it imports."""
    if isinstance(node, ast.Attribute):
        if node.attr != "__internal__" and not is_private(node.attr):
            return
        owner = ast.unparse(node.value)
        if owner not in (*foreign, "super()"):
            yield "tf.__internal__" if node.attr == "__internal__" else node.attr
    elif isinstance(node, ast.Call) and ast.unparse(node.func) in ("getattr", "hasattr", "setattr"):
        if is_text(node.args[1]) and is_private(node.args[1].value):
            yield node.args[1].value
    elif isinstance(node, ast.keyword):
        yield from known & {node.arg}
    elif isinstance(node, ast.Import):
        yield from (name.name for name in node.names if name.name.startswith(PRIVATE_MODULES))
    elif isinstance(node, ast.ImportFrom):
        if (node.module or "").startswith(PRIVATE_MODULES):
            yield node.module
    elif is_text(node):
        module = node.value.startswith(PRIVATE_MODULES) and " " not in node.value
        if module or node.value in known:
            yield node.value


def is_private(name):
    """Returns whether a name is private: not special, and no method of named tuples."""
    named_tuple = ("_asdict", "_fields", "_make", "_replace")
    return name.startswith("_") and not name.endswith("__") and name not in named_tuple


def assertions(tree):
    """Returns the number of assertions in the tests."""
    calls = [ast.unparse(node.func) for one in tree.tests for node in one.of(ast.Call)]
    return (
        sum(len(one.of(ast.Assert)) for one in tree.tests)
        + sum(call in ("pytest.raises", "pytest.warns") for call in calls)
        + sum(call.split(".")[-1].startswith("assert_") for call in calls)
    )


def share(part, whole):
    """Returns a count with its percentage."""
    return f"{part} ({100 * part / max(whole, 1):.0f} %)"


def file_figures(tree):
    """Returns pairs of a figure's name and its value: files and functions."""
    lines = [source.lines for source in tree.sources]
    code, longest = max(
        (source.lines - sum(docstring_lines(node) for node in source.nodes), source.name)
        for source in tree.sources
    )
    lengths = sorted(
        node.end_lineno - node.lineno + 1 for one in tree.sources for node in one.of(*Function)
    )
    p95 = lengths[math.ceil(0.95 * len(lengths)) - 1]
    folders = collections.Counter(one.name.rpartition("/")[0] for one in tree.sources)
    folder, files = folders.most_common(1)[0]
    small = sum(count < 60 for count in lines)
    return [
        ("source files", len(lines)),
        ("lines", sum(lines)),
        ("median lines of a file", f"{statistics.median(lines):.0f}"),
        ("files under 60 lines", share(small, len(lines))),
        ("longest file without docstrings", f"{code} ({longest})"),
        (
            "lines of a function: median, p95, most",
            f"{statistics.median(lengths):.0f}, {p95}, {lengths[-1]}",
        ),
        ("widest folder", f"{files} ({folder})"),
    ]


def code_figures(tree):
    """Returns pairs of a figure's name and its value: arrows, options, private names."""
    graph = arrows(tree)
    rings = circles(graph)
    places = hops(tree)
    columns = column_files(tree)
    options = option_lines(tree)
    names = private_names(tree)
    files = set().union(*names.values())
    wide = [
        (len(constructor(node) or []), node.name)
        for source in tree.sources
        for node in source.of(ast.ClassDef)
    ]
    wide = sorted((one for one in wide if one[0] > 10), reverse=True)
    return [
        ("import arrows between files", sum(map(len, graph.values()))),
        ("circles", f"{len(rings)}" + "".join(f"; {', '.join(ring)}" for ring in rings)),
        (f"`{OPTION}` restated before the op", len(places)),
        (f"files that restate `{OPTION}`", len({place[0] for place in places})),
        ("files that declare a column's fields", len(columns)),
        ("lines that restate options", sum(options.values())),
        *((f"- {kind}", options[kind]) for kind in sorted(options)),
        ("private names of Keras and TensorFlow", len(names)),
        ("files with private names", len(files)),
        ("constructors of more than ten arguments", len(wide)),
        ("widest constructor", f"{wide[0][1]}, {wide[0][0]}" if wide else "-"),
    ]


def test_figures(tree):
    """Returns pairs of a figure's name and its value: the tests."""
    functions = [node.name for one in tree.tests for node in one.of(*Function)]
    return [
        ("files in tests", len(tree.tests)),
        ("test functions", sum(name.startswith("test_") for name in functions)),
        ("assertions", assertions(tree)),
    ]


def details(tree):
    """Returns (title, lines) of the lists behind the figures."""
    names = private_names(tree)
    wide = [
        f"{source.name}: {node.name}, {len(constructor(node))}"
        for source in tree.sources
        for node in source.of(ast.ClassDef)
        if len(constructor(node) or []) > 10
    ]
    return [
        (f"`{OPTION}` from {MODEL} to the op", ["{}:{} {}".format(*one) for one in hops(tree)]),
        ("Files that declare a column's fields", column_files(tree)),
        (
            "Private names of Keras and TensorFlow",
            [f"{name}: {', '.join(sorted(names[name]))}" for name in sorted(names)],
        ),
        ("Constructors of more than ten arguments", wide),
    ]


def main(arguments=None):
    """Prints the figures of a tree, and the lists behind them where they are asked for."""
    parser = argparse.ArgumentParser(description="Measures the structure of the package.")
    here = pathlib.Path(__file__).resolve().parent.parent
    parser.add_argument("path", nargs="?", type=pathlib.Path, default=here, metavar="PATH")
    parser.add_argument("--markdown", action="store_true", help="print a Markdown table")
    parser.add_argument(
        "--details", action="store_true", help="print the places behind the figures"
    )
    options = parser.parse_args(arguments)
    tree = Tree(options.path.resolve())
    rows = [*file_figures(tree), *code_figures(tree), *test_figures(tree)]
    width = max(len(name) for name, _ in rows)
    if options.markdown:
        print("| figure | value |\n| --- | --- |")
    for name, value in rows:
        print(f"| {name} | {value} |" if options.markdown else f"{name:<{width}}  {value}")
    for title, lines in details(tree) if options.details else ():
        print(f"\n{title}:\n\n" + "\n".join(f"- {line}" for line in lines))


if __name__ == "__main__":
    main()

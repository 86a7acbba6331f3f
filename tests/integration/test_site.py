"""The pages of the documentation site; `make docs` builds it, and refuses broken links."""

import importlib
import importlib.util

import pytest

griffe = pytest.importorskip("griffe", reason="install with the extra `docs`")
yaml = pytest.importorskip("mkdocs.utils.yaml", reason="install with the extra `docs`")


@pytest.fixture(scope="module")
def hook(root):
    """Loads a module of `docs/site`."""

    def load(name):
        spec = importlib.util.spec_from_file_location(name, root / "docs" / "site" / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module

    return load


def test_sections_of_keras_docstrings_are_read(hook):
    text = (
        "Adds.\n\nArgs:\n    x: Float.\n\nCall arguments:\n    y: Tensor.\n\n"
        "Example:\n\n>>> f(1)\n2\n\nThen:\n\n>>> f(2)\n3\n\nReference:\n    A paper.\n"
    )
    parsed = griffe.parse_google(griffe.Docstring(hook("docstrings").google_style(text)))
    kinds = [section.kind.value for section in parsed]
    assert kinds == ["text", "parameters", "other parameters", "examples", "admonition"]
    assert parsed[2].title == "Call arguments:"
    assert [item.name for item in parsed[2].value] == ["y"]
    assert [kind.value for kind, _ in parsed[3].value] == ["examples", "text", "examples"]


def test_names_that_load_on_first_use_are_found_without_importing(hook, root):
    extensions = griffe.load_extensions(hook("docstrings").KerasStyle())
    package = griffe.load(
        "lmn_tf.layers",
        search_paths=[root],
        extensions=extensions,
        allow_inspection=False,
    )
    memory = package["LargeMemory"]
    assert memory.is_class and memory.canonical_path.startswith("lmn_tf.layers.memory.")
    assert "Examples: Example:\n    >>> layer" in memory.docstring.value


def test_the_reference_has_every_public_name(hook, root):
    pages = hook("pages")
    for package in pages.PACKAGES:
        folder = root / package.replace(".", "/")
        if package == "lmn_tf.ops":  # is imported with TensorFlow, and listed in its source
            names = set(pages.exports(package))
        else:
            names = set(importlib.import_module(package).__all__)
        modules = {path.stem for path in folder.iterdir()} | {"__version__"}
        shown = {name for part in pages.parts(package).values() for name in part}
        assert shown == names - modules or shown == names


def test_every_page_of_the_folder_and_the_reference_is_in_the_navigation(hook, root):
    loaded = yaml.yaml_load((root / "mkdocs.yml").read_text(encoding="utf-8"))
    shown = set(addresses(loaded["nav"]))
    written = {f"docs/{path.name}" for path in (root / "docs").glob("*.md")}
    assert (written | set(hook("pages").reference())) - shown == set()


def addresses(entries):
    """Yields the files of a navigation."""
    for entry in entries:
        if isinstance(entry, dict):
            (entry,) = entry.values()
        if isinstance(entry, str):
            yield entry
        else:
            yield from addresses(entry)

"""Pages of the site that are beside the code they describe, or are generated from it.

A hook of MkDocs. Pages have the addresses of their files in the repository, so a relative link
means the same on the site as in a checkout. Other files of the repository become part of the site
where a page links to them.
"""

import ast
import pathlib
import posixpath
import re

from mkdocs.structure.files import File

ROOT = pathlib.Path(__file__).resolve().parents[2]
BESIDE_CODE = (
    "README.md",
    "CHANGELOG.md",
    "CONTRIBUTING.md",
    "feature_specs/README.md",
    "lmn_tf/*/README.md",
    "pipelines/*/README.md",
    "pipelines/benchmarks/results/*.md",
    "pipelines/results/*/comparison.md",
)
# The packages of the reference, in order. Layers and models have a page for each of their folders.
PACKAGES = (
    "lmn_tf",
    "lmn_tf.data",
    "lmn_tf.specs",
    "lmn_tf.layers",
    "lmn_tf.models",
    "lmn_tf.ops",
    "lmn_tf.metrics",
    "lmn_tf.optimizers",
    "lmn_tf.callbacks",
    "lmn_tf.training",
    "lmn_tf.features",
    "lmn_tf.serving",
    "lmn_tf.integrations",
)
BY_FOLDER = ("lmn_tf.layers", "lmn_tf.models")
LINK = re.compile(r"\]\((?!\w+:)([^)#\s]+)((?:#[^)]*)?)\)")


def on_files(files, config):
    """Replaces the files of `docs` by all pages, and by the files that these link to."""
    for file in [file for file in files if file.src_dir == config.docs_dir]:
        files.remove(file)
        files.append(in_repository(f"docs/{file.src_uri}", config, file.dest_uri))
    for pattern in BESIDE_CODE:
        for path in sorted(ROOT.glob(pattern)):
            files.append(in_repository(path.relative_to(ROOT).as_posix(), config))
    for uri, text in {"docs/yaml.md": yaml_page(), **reference()}.items():
        file = File.generated(config, uri, content=text)
        file.dest_uri = file.dest_uri.removeprefix("docs/")
        files.append(file)
    for page in list(files.documentation_pages()):
        for target in targets(page.src_uri, page.content_string):
            if files.get_file_from_path(target) is None and (ROOT / target).is_file():
                files.append(in_repository(target, config))
    return files


def on_page_markdown(markdown, page, **_):
    """Completes links to folders, which show their README elsewhere."""

    def completed(match):
        target = beside(page.file.src_uri, match[1])
        if not (ROOT / target / "README.md").is_file():
            return match[0]
        return f"]({match[1].rstrip('/')}/README.md{match[2]})"

    return LINK.sub(completed, markdown)


def in_repository(uri, config, dest_uri=None):
    """Returns a file of the repository as a file of the site."""
    return File(uri, str(ROOT), config.site_dir, config.use_directory_urls, dest_uri=dest_uri)


def targets(page, markdown):
    """Yields the paths of the files that a page links to."""
    return (beside(page, target) for target, _ in LINK.findall(markdown))


def beside(page, target):
    """Returns the path of a link's target in the repository."""
    return posixpath.normpath(posixpath.join(posixpath.dirname(page), target))


def yaml_page():
    """Returns the page of the keys of YAML files."""
    from lmn_tf.cli.schema import page  # does not load TensorFlow

    return page()


def reference():
    """Returns address → text of the pages of the reference."""
    pages = {}
    for package in PACKAGES:
        for part, names in parts(package).items():
            pages[f"docs/api/{part.removeprefix('lmn_tf.')}.md"] = page_of(package, part, names)
    return pages


def page_of(package, part, names):
    """Returns the text of a page with some names of a package."""
    options = {
        "members": f"[{', '.join(names)}]",
        "show_root_heading": "false",
        "show_root_toc_entry": "false",
        "heading_level": "2",
    }
    lines = [f"        {key}: {value}" for key, value in options.items()]
    return "\n".join([f"# {part}", "", f"::: {package}", "    options:", *lines, ""])


def parts(package):
    """Returns title → public names of the pages of a package."""
    names = exports(package)
    if package not in BY_FOLDER:
        return {package: list(names)}
    pages = {}
    for name, module in names.items():
        pages.setdefault(f"{package}.{module.rpartition('.')[0]}", []).append(name)
    return dict(sorted(pages.items()))


def exports(package):
    """Returns public name → module of a package, without importing it."""
    path = ROOT / package.replace(".", "/") / "__init__.py"
    nodes = ast.parse(path.read_text(encoding="utf-8")).body
    values = {
        node.targets[0].id: node.value
        for node in nodes
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name)
    }
    if "_EXPORTS" in values:  # loaded on first use
        return ast.literal_eval(values["_EXPORTS"])
    return dict.fromkeys(ast.literal_eval(values["__all__"]), "")

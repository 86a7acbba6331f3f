import re

import pytest

from lmn_tf.cli.models_page import page, section
from lmn_tf.models import catalogue, registry


def test_the_committed_page_is_current(root):
    committed = (root / "lmn_tf" / "models" / "README.md").read_text(encoding="utf-8")
    assert committed == page(), (
        "docstrings, options or pipelines have changed: "
        "lmn-tf models --markdown > lmn_tf/models/README.md"
    )


def test_links_lead_somewhere(root):
    text = page()
    titles = re.findall(r"^## (.*)$", text, re.M)
    places = {title.lower().replace(" ", "-") for title in titles}
    assert set(registry.names()) <= places
    for target in re.findall(r"\]\(([^)]+)\)", text):
        if target.startswith("#"):
            assert target[1:] in places
        else:
            assert (root / "lmn_tf" / "models" / target).exists(), target


@pytest.mark.parametrize("name", registry.names())
def test_each_option_stands_once(name):
    """In the model's own section, or in that of a class it links to."""
    own = set(re.findall(r"^\| `(\w+)` \|", section(catalogue.describe(name)), re.M))
    linked = re.findall(r"\]\(#([\w-]+)\)", section(catalogue.describe(name)))
    found = set(own)
    for other in linked:
        part = page().partition(f"\n## {other}\n")[2] or page().partition("\n## Options of ev")[2]
        found |= set(re.findall(r"^\| `(\w+)` \|", part.partition("\n## ")[0], re.M))
    assert set(registry.options(name)) <= found


def test_bars_do_not_end_a_cell():
    model = catalogue.describe("pooling")
    model["options"][0]["meaning"] = "O(|x|)"
    assert "| O(\\|x\\|) |" in section(model)

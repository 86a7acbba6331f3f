import sys

import pytest

from lmn_tf.lazy_exports import lazy_exports


@pytest.fixture
def shop(tmp_path, monkeypatch):
    """A package with a function and a module that load on first use."""
    folder = tmp_path / "lazy_shop"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from lmn_tf.lazy_exports import lazy_exports\n"
        '__all__ = ["price", "stock"]\n'
        '__getattr__, __dir__ = lazy_exports(__name__, __all__, {"price": "prices"})\n'
    )
    (folder / "prices.py").write_text("def price():\n    return 3\n")
    (folder / "stock.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    import lazy_shop

    yield lazy_shop
    for name in [name for name in sys.modules if name.startswith("lazy_shop")]:
        del sys.modules[name]


def test_loads_a_name_when_it_is_asked_for(shop):
    assert "lazy_shop.prices" not in sys.modules
    assert shop.price() == 3
    assert shop.stock is sys.modules["lazy_shop.stock"]


def test_lists_the_public_names_without_loading_them(shop):
    assert dir(shop) == ["price", "stock"]
    assert "lazy_shop.prices" not in sys.modules


def test_an_unknown_name_is_refused(shop):
    with pytest.raises(AttributeError, match="module 'lazy_shop' has no attribute 'prize'"):
        _ = shop.prize


def test_a_place_of_a_name_that_is_not_public_is_refused():
    with pytest.raises(ValueError, match="`modules` must be of `names`. Received: b"):
        lazy_exports("lmn_tf.specs", ["a"], {"b": "errors"})


def test_a_module_that_would_hide_its_function_is_refused():
    with pytest.raises(ValueError, match="`modules` must differ from their names. Received: a='a'"):
        lazy_exports("lmn_tf.specs", ["a"], {"a": "a"})

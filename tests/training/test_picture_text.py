import pytest
from matplotlib.figure import Figure

from lmn_tf.training.picture_text import picture_text

NAMES = ["Ke$ha", "A$AP, Ke$ha", "Cash $$ & Co", r"$\frac$", r"a\$b", "$x_1$", "plain"]


@pytest.mark.parametrize("name", NAMES)
def test_names_are_drawn_as_they_are(name):
    figure = Figure()
    drawn = figure.text(0, 0, picture_text(name))
    figure.canvas.draw()
    expected = figure.text(0, 0, name, parse_math=False)
    assert drawn.get_window_extent().bounds == expected.get_window_extent().bounds

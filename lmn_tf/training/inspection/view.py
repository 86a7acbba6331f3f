"""View of `lmn-tf inspect`: a report, its text and its pictures."""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from matplotlib.figure import Figure

from lmn_tf import atomic_files
from lmn_tf.training.picture_text import picture_text

_LONGEST_NAME, _LONGEST_LABEL = 60, 28


class View(NamedTuple):
    """A report of memories as plain values, as text and as pictures.

    Attributes:
        name: String. Name of the files, without ending.
        report: Dictionary of plain values.
        text: String.
        pictures: Dictionary from the name of a memory to a Matplotlib figure.
    """

    name: str
    report: dict
    text: str
    pictures: Mapping[str, Figure]

    def write(self, folder: str | os.PathLike) -> list[Path]:
        """Writes `NAME.json`, `NAME.txt`, and for each memory `NAME_MEMORY.png`.

        Args:
            folder: Folder to write to.

        Returns:
            List of the paths.
        """
        stem = Path(folder) / file_name(self.name)
        paths = [stem.with_name(f"{stem.name}{suffix}") for suffix in (".json", ".txt")]
        atomic_files.write_json(paths[0], self.report)
        atomic_files.write_text(paths[1], self.text + "\n")
        for memory, figure in self.pictures.items():
            paths.append(stem.with_name(f"{stem.name}_{file_name(memory)}.png"))
            with atomic_files.atomic_path(paths[-1]) as temporary:
                figure.savefig(temporary)
        return paths


def joined(views: Sequence[View]) -> View:
    """Returns views of different memories of a run as one.

    Args:
        views: At least one `View`, with the name of the first one.
    """
    report = {key: value for view in views for key, value in view.report.items()}
    pictures = {name: figure for view in views for name, figure in view.pictures.items()}
    return View(views[0].name, report, "\n\n".join(view.text for view in views), pictures)


def file_name(text: str) -> str:
    """Returns a text as part of the name of a file.

    Example:

    >>> file_name("users a/b c")
    'users_a_b_c'
    """
    return re.sub(r"[^\w.-]+", "_", text)[:_LONGEST_NAME]


def new_figure(height: float, title: str) -> Figure:
    """Returns an empty figure as wide as a README, 900 pixels.

    Args:
        height: Float. Height in units of 100 pixels.
        title: String.
    """
    figure = Figure(figsize=(9, height), dpi=100, layout="constrained")
    figure.suptitle(picture_text(title), fontsize=12)
    return figure


def signed_bars(axes: object, values: Sequence[float]) -> None:
    """Draws horizontal bars of values above 0 (green) and below (red), from the first place on.

    Args:
        axes: Matplotlib axes.
        values: Floats.
    """
    colors = ["tab:red" if value < 0 else "tab:green" for value in values]
    axes.barh(range(len(values)), values, color=colors, alpha=0.75)
    axes.axvline(0, color="black", linewidth=1)
    axes.margins(x=0.3)
    for place, value in enumerate(values):
        axes.annotate(
            f"{value:+.3f}",
            (value, place),
            xytext=(4 if value >= 0 else -4, 0),
            textcoords="offset points",
            ha="left" if value >= 0 else "right",
            va="center",
            fontsize=8,
        )


def percent(share: float) -> str:
    """Returns a share as text.

    Example:

    >>> percent(0.031), percent(0.5), percent(0.0002)
    ('3.1 %', '50 %', '0.02 %')
    """
    value = 100 * share
    digits = 0 if value >= 10 or value == 0 else 1 if value >= 1 else 2
    return f"{value:.{digits}f} %"


def reader_text(readers: Sequence[Mapping]) -> str:
    """Returns readers with their shares, and their lifts if they have any, as text.

    Example:

    >>> reader_text([{"value": "shoes", "share": 0.62, "lift": 4.08}])
    'shoes: 62 % (x4.1)'
    """
    return ", ".join(
        f"{reader['value']}: {percent(reader['share'])}"
        + (f" (x{reader['lift']:.1f})" if "lift" in reader else "")
        for reader in readers
    )


def short_label(text: str) -> str:
    """Returns a text that is short enough for the axis of a picture, as `picture_text` does.

    Example:

    >>> short_label("a title that is much longer than the axis")
    'a title that is much long...'
    """
    is_short = len(text) <= _LONGEST_LABEL
    return picture_text(text if is_short else f"{text[: _LONGEST_LABEL - 3]}...")

"""The package of `docs/own_parts.md`, as if it were installed."""

import csv
import re
import tomllib
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "own_parts.md"


def files() -> dict:
    """Returns the files of the page by name."""
    text = PAGE.read_text(encoding="utf-8")
    return dict(re.findall(r'^```\w+ title="([^"]+)"\n(.*?)^```', text, re.S | re.M))


def commands() -> list:
    """Returns the commands of the page, each with the lines of output that it shows."""
    [text] = re.findall(r"^```console\n(.*?)^```", PAGE.read_text(encoding="utf-8"), re.S | re.M)
    parts = [part.splitlines() for part in text.split("$ lmn-tf ")[1:]]
    return [(command, shown) for command, *shown in parts]


def write_package(folder):
    """Writes the package into a folder, with the entry points of its `pyproject.toml`."""
    for name, text in files().items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    (folder / "my_shop" / "__init__.py").touch()
    project = tomllib.loads((folder / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    register(folder, project["name"], project["entry-points"])


def register(folder, name, groups):
    """Registers entry points of a distribution, whose folder has to be on `sys.path`."""
    info = folder / f"{name.replace('-', '_')}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in groups.items():
        lines += [f"[{group}]", *(f"{key} = {path}" for key, path in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines) + "\n")


def write_log(folder):
    """Writes the log that the page prepares: 12 customers, 20 days, 9 products."""
    folder.mkdir()
    with open(folder / "log.csv", "w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["customer", "product", "second", "amount"])
        for day in range(20):
            for customer in range(12):
                product = (7 * customer + day * day) % 9
                second = 86400 * day + customer
                writer.writerow([customer, f"p{product}", second, (customer + product) % 4])

"""Writes the files of the oldest and the newest supported version of every dependency.

    .venv/bin/python .ci/constraints.py     # or: make constraints

What `setup.cfg` allows is asked of pip, which installs nothing: once with every requirement at its
lower bound, once as it is. What the requirements need in turn is written down too, in the newest
version that fits, so that an installation is the same on every day.
"""

import configparser
import json
import pathlib
import re
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
EXTRAS = ("test", "notebooks", "docs", "serve")  # what `make test` installs
HEADER = "# The {} supported versions. Written by `make constraints`; bounds are in setup.cfg.\n"


def requirements():
    """Returns the lines of `setup.cfg` that tell what `make test` installs."""
    config = configparser.ConfigParser()
    config.read(ROOT / "setup.cfg", encoding="utf-8")
    texts = [config["options"]["install_requires"]]
    texts += [config["options.extras_require"][extra] for extra in EXTRAS]
    return [line.strip() for text in texts for line in text.splitlines() if line.strip()]


def oldest(requirement):
    """Returns a requirement of the lower bound alone: `"click==8.1"` of `"click>=8.1,<9"`."""
    name, bound = re.fullmatch(r"([\w.-]+)>=([\w.]+)(?:,.*)?", requirement).groups()
    return f"{name}=={bound}"


def resolved(wanted):
    """Returns the lines `name==version` of all that pip would install, sorted."""
    options = ["--quiet", "--dry-run", "--ignore-installed", "--report", "-"]
    report = subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, *wanted],
        check=True, stdout=subprocess.PIPE, text=True,
    ).stdout  # fmt: skip
    found = [item["metadata"] for item in json.loads(report)["install"]]
    names = {re.sub(r"[-_.]+", "-", one["name"]).lower(): one["version"] for one in found}
    return [f"{name}=={version}\n" for name, version in sorted(names.items())]


def main():
    """Writes both files into the package, where `lmn-tf doctor` reads them."""
    wanted = requirements()
    for age, lines in (("oldest", [oldest(one) for one in wanted]), ("newest", wanted)):
        path = ROOT / "lmn_tf" / f"constraints-{age}.txt"
        path.write_text(HEADER.format(age) + "".join(resolved(lines)), encoding="utf-8")
        print(f"wrote {path.relative_to(ROOT)}")


if __name__ == "__main__":
    main()

"""What the pages of the documentation show runs, and prints what they say.

Pages that continue the tutorial run in a copy of its folder, others in one with the repository's
feature specs and pipelines.
"""

import contextlib
import json
import pathlib
import shutil
import urllib.request

import pytest
from documents import Block, blocks, commands, compare, parse, run_block, run_page
from launched import Launched

from lmn_tf.serving import Scorer
from lmn_tf.specs.errors import UserError

ROOT = pathlib.Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
PATTERNS = ("docs/*.md", "feature_specs/*.md", "lmn_tf/*/README.md", "pipelines/*/README.md")
PAGES = [path for pattern in PATTERNS for path in sorted(ROOT.glob(pattern))]
RUNNING = [page for page in PAGES if any(block.language for block in blocks(page))]


def each(pages):
    return pytest.mark.parametrize("page", pages, ids=lambda page: str(page.relative_to(ROOT)))


@pytest.fixture(scope="session")
def tutorial(tmp_path_factory):
    """A function that returns the folder of the tutorial, with or without its trained run."""
    folders = {}

    def folder(slow):
        if slow not in folders:
            folders[slow] = tmp_path_factory.mktemp("tutorial")
            with contextlib.chdir(folders[slow]):
                run_page(TUTORIAL, slow)
        return folders[slow]

    return folder


@pytest.fixture
def run_in_folder(tutorial, tmp_path, monkeypatch):
    """A function that runs a page where its reader would be."""

    def run(page, slow):
        folder = tmp_path / "folder"
        if "of the [tutorial](tutorial.md)" in page.read_text(encoding="utf-8"):
            shutil.copytree(tutorial(slow), folder)
        else:
            folder.mkdir()
            for name in ("feature_specs", "pipelines"):
                (folder / name).symlink_to(ROOT / name)
        monkeypatch.chdir(folder)
        run_page(page, slow)

    return run


@each(PAGES)
def test_every_command_exists_with_its_options(page):
    for line in commands(page, "lmn-tf"):
        parse(line)


@each(RUNNING)
def test_the_quick_part_of_a_page_runs(page, run_in_folder):
    run_in_folder(page, slow=False)


@pytest.mark.slow
@each([page for page in RUNNING if any(block.mark == "slow" for block in blocks(page))])
def test_a_whole_page_runs(page, run_in_folder):
    run_in_folder(page, slow=True)


@pytest.mark.slow
def test_the_requests_of_the_serving_page_are_answered(tutorial, tmp_path, monkeypatch):
    folder = shutil.copytree(tutorial(slow=True), tmp_path / "folder")
    monkeypatch.chdir(folder)
    names = run_page(ROOT / "docs" / "serving.md", slow=True)
    client, served = names["score"], names["outputs"]
    requests = [json.loads((folder / name).read_text()) for name in ("request.json", "rows.json")]
    scorer = Scorer("exports/my_log")
    want = [scorer.score_candidates(**requests[0]), scorer.score(requests[1]["rows"])]
    inputs = json.loads((folder / "predict.json").read_text())["inputs"]
    assert inputs.pop("history__length") == [len(one) for one in inputs["history__item"]]
    alike = scorer.score({**inputs, "time": [1_702_600_000] * len(inputs["item"])})
    assert served["click"] == pytest.approx(alike["click"].tolist(), abs=1e-6)
    with Launched(folder / "exports" / "my_log", "--port", 0, command="serve") as launched:
        url = launched.wait_for(r"Serving `my_log` at (http\S+)")[1] + "/v1/score"
        for request, scores in zip(requests, want, strict=True):
            found = client(request, url)["click"]
            assert found == pytest.approx(scores["click"].tolist(), abs=1e-6)


@pytest.mark.slow
def test_the_tutorial_ends_in_a_served_score(tutorial):
    folder = tutorial(slow=True)
    options = ("--events-dir", folder / "data" / "my_log", "--port", 0)
    with Launched(folder / "exports" / "my_log", *options, command="serve") as launched:
        url = launched.wait_for(r"Serving `my_log` at (http\S+)")[1] + "/v1/score"
        body = (folder / "request.json").read_bytes()
        request = urllib.request.Request(url, body, {"Content-Type": "application/json"})
        with urllib.request.urlopen(request) as answer:
            found = json.load(answer)["scores"]["click"]
    scorer = Scorer(folder / "exports" / "my_log", events_dir=folder / "data" / "my_log")
    items = [{"item": f"i{number}", "category": f"c{number}"} for number in range(6)]
    want = scorer.score_candidates(json.loads(body)["user"], items)["click"]
    assert found == pytest.approx(want.tolist(), abs=1e-6)


def test_the_tutorial_has_at_most_eight_commands():
    shown = [
        line
        for program in ("pip", "lmn-tf", "tensorboard", "curl")
        for line in commands(TUTORIAL, program)
    ]
    assert 5 <= len(shown) <= 8


def test_blocks_are_found_with_their_marks(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        '```python title="x.py"\nx = 1\n```\n\n'
        "<!-- slow -->\n```console\n$ lmn-tf models \\\n    lmn\nlmn "
        "(LMN, ...)\n```\n<!-- not run: needs a GPU -->\n\n```yaml\na: 1\n```\n",
        encoding="utf-8",
    )
    first, second, third = blocks(page)
    assert first == Block("python", "x = 1\n", file="x.py")
    assert (second.language, second.mark) == ("console", "slow")
    assert third == Block("yaml", "a: 1\n", "not run: needs a GPU")
    assert list(commands(page, "lmn-tf")) == ["lmn-tf models lmn"]


@pytest.mark.parametrize(
    ("language", "text", "message"),
    [
        ("python", "assert x == 2, x", "1"),
        ("pycon", ">>> x\n2\n", "Expected:\n    2\nGot:\n    1"),
        ("yaml", "train: {epoch: 1}\n", "Did you mean `epochs`"),
        ("yaml", "model: {name: lmn, num_key: 3}\n", "Did you mean `num_keys`"),
        ("yaml", "features: []\n", "features"),
        ("console", "$ lmn-tf models lmn\nnothing\n", "does not print 'nothing'"),
        ("console", "$ lmn-tf check nothing.yaml\n", "nothing.yaml"),
    ],
)
def test_what_is_not_so_is_found(language, text, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises((AssertionError, UserError), match=message):
        run_block(Block(language, text), {"x": 1}, "page")


def test_files_of_a_page_are_written_and_loaded(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    run_block(Block("python", "x = 1\n", file="a/x.py"), {}, "page")
    assert (tmp_path / "a" / "x.py").read_text(encoding="utf-8") == "x = 1\n"
    with pytest.raises(UserError, match="pipeline_version"):
        run_block(Block("yaml", "pipeline_version: 2\n", file="p.yaml"), {}, "page")


DIGESTS = '"run": "log-12345678"\n"of": "beefdead12ab34cd"\n'


def test_lines_may_be_left_out_and_numbers_differ():
    found = "start\nepoch 1 | loss 0.5\n\nsaved 1,024 rows in 3 files\nend\n"
    compare("c", ["epoch 2 | loss 0.49", "...", "saved 20 rows in ..."], found)
    compare("c", ['"run": "log-1a2b3c4d"', '"of": "00fe00fe12ab34cd"'], DIGESTS)
    for wrong in (["end", "start"], ["epoch one | loss 0.5"], ["saved 20 rows"]):
        with pytest.raises(AssertionError, match="does not print"):
            compare("c", wrong, found)

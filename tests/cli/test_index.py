import inspect
import json
import subprocess
import sys

import numpy as np
import pytest
import tensorflow as tf
from tiny_run import TWO_TOWER, market, two_tower_run, write_pipeline

from lmn_tf.cli.main import main
from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import ItemCorpus
from lmn_tf.serving.request_functions import input_name
from lmn_tf.training.saving.run_directory import RunDirectory

FILES = f"{market()}/test-*.parquet"


def hits(folder, file, ks):
    """The shares of true candidates among the best: with TensorFlow alone."""
    serve = tf.saved_model.load(folder).signatures["serving_default"]
    columns = dict(np.load(file))
    names, clicks = columns.pop("names"), columns.pop("clicks")
    found = serve(**{key: tf.constant(cells) for key, cells in columns.items()})
    found = np.char.decode(found["candidates"].numpy().astype("S"))
    return [float(np.mean((found[clicks, :k] == names[clicks, None]).any(axis=1))) for k in ks]


# Does so in a process of its own.
ALONE = f"""
import json, sys
import numpy as np
import tensorflow as tf

{inspect.getsource(hits)}
print(json.dumps(hits(*sys.argv[1:3], json.loads(sys.argv[3]))))
assert not [name for name in sys.modules if name.split(".")[0] in ("lmn_tf", "keras_rs")]
"""


@pytest.fixture(scope="module")
def run():
    return RunDirectory.open(two_tower_run())


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """An index that the command wrote, of the candidates of the test rows."""
    out = tmp_path_factory.mktemp("index") / "out"
    assert main(["index", str(two_tower_run()), str(out), "--items", FILES, "--rows", "50"]) == 0
    return out


def test_a_run_reports_retrieval(run):
    retrieval = run.read_metrics()["test"]["retrieval"]
    assert list(retrieval) == ["items", "top_1", "top_5", "top_10", "top_50", "top_100"]
    assert 50 < retrieval["items"] <= 60
    shares = list(retrieval.values())[1:]
    assert shares == sorted(shares) and shares[-1] == 1.0 and 0 < shares[2] < 1


@pytest.fixture(scope="module")
def ranked(run, tmp_path_factory):
    """The numbers of candidates, the shares that `FactorizedTopK` finds, and a file of the rows."""
    model, spec = run.load_model(), run.load_spec()
    data = make_dataset(spec, FILES, batch_size=5000)
    corpus, ks = ItemCorpus(model, data), (1, 5, 10, 50)
    want = [float(share) for share in corpus.top_k(data, ks).result().values()]
    features, labels = next(iter(data))
    padded = model.fit_driver.batches.padded(features)
    columns = {input_name(key): padded[key].numpy() for key in model.query_signature()}
    vocabulary = spec.vocabulary(spec.feature("item_id"))
    columns["names"] = [str(vocabulary[one - 2]) for one in features["item_id"]]
    columns["clicks"] = labels[:, 0].numpy() == 1
    file = tmp_path_factory.mktemp("ranked") / "columns.npz"
    np.savez(file, **columns)
    return ks, want, file


def test_the_index_ranks_as_factorized_top_k(run, written, ranked):
    ks, want, file = ranked
    assert want == [pytest.approx(run.read_metrics()["test"]["retrieval"][f"top_{k}"]) for k in ks]
    np.testing.assert_allclose(hits(str(written / "saved_model"), file, ks), want, rtol=1e-6)


@pytest.mark.slow  # starts TensorFlow; in the quick tests, tests/serving/raw does so
def test_plain_tensorflow_reads_the_index(written, ranked):
    ks, want, file = ranked
    command = [sys.executable, "-c", ALONE, written / "saved_model", file, json.dumps(ks)]
    done = subprocess.run([*map(str, command)], check=True, capture_output=True, text=True)
    np.testing.assert_allclose(json.loads(done.stdout), want, rtol=1e-6)


def test_says_what_it_wrote(run, tmp_path, capsys):
    arguments = ["index", str(two_tower_run()), str(tmp_path / "out"), "--k", "7", "--rows", "20"]
    assert main(arguments) == 0
    said = capsys.readouterr().out
    assert said.startswith(f"Exported to {tmp_path / 'out'}: the best 7 of 60 candidates. On 20 ro")
    report = json.loads((tmp_path / "out" / "index.json").read_text())
    assert report["candidates"] == 60 and report["k"] == 7 and report["rows"] == 20
    assert report["largest_difference"] < 1e-5
    info = json.loads((tmp_path / "out" / "export.json").read_text())
    assert info["model"] == "lmn_two_tower"
    assert info["run_id"] == RunDirectory(two_tower_run()).run_id


def test_a_taken_folder_is_refused(tmp_path, capsys):
    (tmp_path / "a.txt").write_text("")
    assert main(["index", str(two_tower_run()), str(tmp_path)]) == 2
    assert "`OUT_DIR` must be a new or empty folder" in capsys.readouterr().err


def test_a_memory_that_reads_the_candidate_is_refused_by_check(tmp_path, capsys):
    model = {**TWO_TOWER, "query_target": True}
    path = write_pipeline(tmp_path / "pipeline.yaml", tmp_path / "run", model)
    assert main(["check", str(path)]) == 2
    assert "`query_target` must not read the candidate" in capsys.readouterr().err

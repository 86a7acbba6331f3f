import glob
import json
import subprocess
import sys

import numpy as np
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from small_shop import shop_rows, shop_spec, write_events, write_parquet
from tiny_run import exported, market, trained_run

from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import registry
from lmn_tf.serving.raw.raw_rows import RawRows
from lmn_tf.serving.saved_model import export, save
from lmn_tf.specs.learned.spec_folder import load_spec
from lmn_tf.training.saving.run_directory import RunDirectory

FILES = f"{market()}/test-*.parquet"
# A program that knows nothing of the package that wrote the export.
PROGRAM = """
import json, sys
import tensorflow as tf
loaded = tf.saved_model.load(sys.argv[1])
serve = loaded.signatures["serving_raw"]
inputs = json.load(sys.stdin)
kinds = {name: spec.dtype for name, spec in serve.structured_input_signature[1].items()}
found = serve(**{name: tf.constant(values, kinds[name]) for name, values in inputs.items()})
assert not [name for name in sys.modules if name.split(".")[0] == "lmn_tf"]
print(json.dumps(found["click"].numpy().tolist()))
"""


@pytest.fixture(scope="module")
def signatures():
    loaded = tf.saved_model.load(str(exported() / "saved_model"))
    return loaded, loaded.signatures


def tensors(serve, inputs):
    kinds = serve.structured_input_signature[1]
    return {name: tf.constant(values, kinds[name].dtype) for name, values in inputs.items()}


def one_user(serve, inputs, row, rows):
    """The inputs of the user of one row, and of the candidates of others."""
    kinds = serve.structured_input_signature[1]
    of_user = {name for name, kind in kinds.items() if kind.shape[0] == 1}
    return {n: v[row : row + 1] if n in of_user else v[rows] for n, v in inputs.items()}, of_user


@pytest.fixture
def model_and_rows():
    """The trained run, its model, and some rows as raw inputs and with the scores of the model."""
    directory = RunDirectory.open(trained_run())
    model = directory.load_model()
    features = next(iter(make_dataset(directory.load_spec(), FILES, batch_size=50, labels=False)))
    want = 1 / (1 + np.exp(-model(features, training=False).numpy()[:, 0]))
    table = pq.read_table(glob.glob(FILES)[0]).slice(0, 50)
    return directory, model, RawRows(load_spec(exported())).inputs(table), want


def scored_elsewhere(folder, inputs):
    """Scores of a program that has TensorFlow alone."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, folder / "saved_model"],
        input=json.dumps({name: values.tolist() for name, values in inputs.items()}),
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


def test_plain_tensorflow_scores_raw_rows(model_and_rows):
    _, _, inputs, want = model_and_rows
    np.testing.assert_allclose(scored_elsewhere(exported(), inputs), want, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("values", ["bfloat16", "int8"])
def test_plain_tensorflow_reads_values_in_fewer_bits(model_and_rows, tmp_path, values):
    directory, model, inputs, want = model_and_rows
    out, spec = tmp_path / "out", directory.load_spec()
    report = export(model, spec, out, FILES, 100, values=values, max_auc_loss=1)
    largest = report["quantization"]["largest_difference"]
    assert report["largest_difference"] < 1e-5 < largest < 0.02
    np.testing.assert_allclose(scored_elsewhere(out, inputs), want, atol=largest + 1e-6)


def test_candidates_of_a_user_score_as_rows(signatures):
    _, functions = signatures
    inputs = RawRows(load_spec(exported())).inputs(pq.read_table(glob.glob(FILES)[0]))
    serve, rows = functions["score_candidates"], slice(5, 25)
    given, of_user = one_user(serve, inputs, 7, rows)
    assert {"segment", "time", "history_item_id", "history__length"} <= of_user
    repeated = {n: v if n not in of_user else np.repeat(v, 20, axis=0) for n, v in given.items()}
    want = functions["serving_raw"](**tensors(functions["serving_raw"], repeated))
    found = serve(**tensors(serve, given))
    for label in ("click", "click_logit"):
        np.testing.assert_allclose(found[label], want[label], atol=1e-6)


def test_a_value_that_breaks_a_rule_is_told(signatures):
    _, functions = signatures
    serve = functions["serving_raw"]
    inputs = RawRows(load_spec(exported())).inputs(pq.read_table(glob.glob(FILES)[0]).slice(0, 3))
    wrong = {**inputs, "price": np.array([1.0, np.nan, 2.0])}
    with pytest.raises(tf.errors.InvalidArgumentError, match="`price`: a number must be given"):
        serve(**tensors(serve, wrong))
    wrong = {**inputs, "history__length": np.array([1, 1, 99])}
    with pytest.raises(tf.errors.InvalidArgumentError, match=r"column `history`: a length .*99"):
        serve(**tensors(serve, wrong))


def test_rows_are_encoded_by_a_function_of_its_own(signatures):
    _, functions = signatures
    inputs = RawRows(load_spec(exported())).inputs(pq.read_table(glob.glob(FILES)[0]).slice(0, 30))
    spec = RunDirectory.open(trained_run()).load_spec()
    want = next(iter(make_dataset(spec, FILES, batch_size=30, labels=False)))
    found = functions["encode_raw"](**tensors(functions["encode_raw"], inputs))
    assert set(found) == {key.replace("/", "__") for key in want if key != "group"}
    np.testing.assert_array_equal(found["item_id"], want["item_id"])
    np.testing.assert_array_equal(found["history__length"], want["history/length"])


@pytest.mark.slow
def test_requests_carry_the_history_of_a_spec_by_reference(tmp_path):
    rows, events = shop_rows(40)
    write_events(tmp_path, events)
    spec, options = shop_spec(by_reference=True), {"hidden_units": (4,), "attention_units": (4,)}
    dataset = make_dataset(spec, write_parquet(tmp_path, rows, files=1), batch_size=40, learn=True)
    want = next(iter(dataset))[0]
    model = registry.build("din", spec, options)
    model.build()
    save(model, tmp_path / "saved_model", spec)
    (tmp_path / "events.arrow").unlink()
    serve = tf.saved_model.load(str(tmp_path / "saved_model")).signatures["serving_raw"]
    inline = RawRows(shop_spec()).inputs(pq.read_table(tmp_path / "train-0.parquet"))
    names = serve.structured_input_signature[1]
    assert "count" not in names and "history__h_item" in names
    inputs = {name: inline.get(name, inline.get(name.removeprefix("history__"))) for name in names}
    found = serve(**tensors(serve, inputs))
    logits = model(want, training=False).numpy()
    np.testing.assert_allclose(found["click_logit"], logits[:, 0], rtol=1e-5, atol=1e-6)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["dnn", "din"])
def test_columns_of_every_kind_on_either_side(tmp_path, name):
    rows, _ = shop_rows(40)
    spec = shop_spec()
    dataset = make_dataset(spec, write_parquet(tmp_path, rows, files=1), batch_size=40, learn=True)
    attention = {} if name == "dnn" else {"attention_units": (4,)}
    model = registry.build(name, spec, {"hidden_units": (4,), **attention})
    model.build()
    save(model, tmp_path / "saved_model", spec)
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    serve, features = loaded.signatures["serving_raw"], next(iter(dataset))[0]
    want = model(features, training=False).numpy()
    table = pq.read_table(tmp_path / "train-0.parquet")
    inputs = RawRows(spec, histories=name != "dnn").inputs(table)
    found = serve(**tensors(serve, inputs))
    for at, label in enumerate(("click", "buy")):
        np.testing.assert_allclose(found[f"{label}_logit"], want[:, at], rtol=1e-5, atol=1e-6)
    assert ("score_candidates" in loaded.signatures) is (name != "dnn")
    if name == "dnn":
        return
    candidates = loaded.signatures["score_candidates"]
    given, of_user = one_user(candidates, inputs, 3, slice(3, 4))
    found = candidates(**tensors(candidates, given))
    np.testing.assert_allclose(found["buy_logit"], want[3:4, 1], rtol=1e-5, atol=1e-6)

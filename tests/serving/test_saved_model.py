import json
import shutil

import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import request_features, shared_features
from padded_batch import padded
from tiny_run import exported, market, trained_run

import lmn_tf
from lmn_tf.data.dataset import make_dataset
from lmn_tf.models import registry
from lmn_tf.serving import saved_model as module
from lmn_tf.serving.saved_model import ExportError, export, input_name
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.learned.spec_folder import load_spec
from lmn_tf.training.saving.run_directory import RunDirectory

FILES = f"{market()}/test-*.parquet"


@pytest.fixture(scope="module")
def run():
    directory = RunDirectory.open(trained_run())
    return directory.load_model(), directory.load_spec()


@pytest.fixture
def saved_before(monkeypatch):
    """Takes the SavedModel of the run's export in place of saving the same model again."""
    exported()

    def save(model, folder, *_):
        shutil.copytree(exported() / "saved_model", folder)

    monkeypatch.setattr(module, "save", save)


def test_what_an_export_holds(run):
    names = {path.name for path in exported().iterdir()}
    assert names == {
        "saved_model",
        "feature_spec.yaml",
        "fingerprints.json",
        "vocabularies",
        "statistics.json",
        "export.json",
        "parity.json",
    }
    report = json.loads((exported() / "parity.json").read_text())
    assert report["rows"] > 100 and report["largest_difference"] <= report["tolerance"] == 1e-5
    signatures = report["signatures"]
    assert {figures["rows"] for figures in signatures.values()} == {report["rows"]}
    encoding = signatures.pop("encode_raw")
    assert encoding["ids_equal"] is True and encoding["ids"] > report["rows"]
    assert set(signatures) == {
        "serving_default",
        "serving_windows",
        "serving_raw",
        "score_encoded",
        "score_candidates",
    }
    largest = [figures["largest_difference"] for figures in signatures.values()]
    assert max(largest) == report["largest_difference"]
    assert signatures["serving_raw"]["largest_difference"] <= 1e-6
    assert "quantization" not in report
    model, spec = run
    assert report["variables"] == len(model.variables)
    assert load_spec(exported()) == spec and load_spec(exported()).assets == spec.assets


@pytest.mark.parametrize("name", ["serving_default", "serving_windows"])
def test_signatures_are_those_of_the_feature_spec(run, name):
    model, _ = run
    serve = tf.saved_model.load(str(exported() / "saved_model")).signatures[name]
    inputs = serve.structured_input_signature[1]
    padded = name == "serving_default"
    assert set(inputs) == {input_name(key) for key in model.encoder.signature(padded)}
    assert inputs["history__item_id"].dtype == tf.int32
    assert inputs["history__item_id"].shape.rank == 1 + padded
    assert ("history__mask" in inputs) is padded and ("history__first" in inputs) is not padded
    assert set(serve.structured_outputs) == {"click", "click_logit"}


def test_a_model_without_histories_has_the_default_signature_alone(run, tmp_path):
    _, spec = run
    model = registry.build("dnn", spec, {"hidden_units": (4,)})
    model.build()
    export(model, spec, tmp_path, FILES, rows=20)
    signatures = {"serving_default", "serving_raw", "encode_raw"}
    loaded = tf.saved_model.load(str(tmp_path / "saved_model"))
    assert set(loaded.signatures) == {*signatures, "export_info"}
    assert set(json.loads((tmp_path / "parity.json").read_text())["signatures"]) == signatures


@pytest.mark.parametrize("name", ["serving_default", "serving_windows"])
def test_scores_and_logits_of_the_export(run, name):
    model, spec = run
    serve = tf.saved_model.load(str(exported() / "saved_model")).signatures[name]
    features = next(iter(make_dataset(spec, FILES, batch_size=50)))[0]
    want = model(features, training=False).numpy()[:, 0]
    if name == "serving_default":
        features = padded(features, spec.sequences)
    inputs = {input_name(key): tf.convert_to_tensor(features[key]) for key in features}
    outputs = serve(**{key: inputs[key] for key in serve.structured_input_signature[1]})
    np.testing.assert_allclose(outputs["click_logit"], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(outputs["click"], 1 / (1 + np.exp(-want)), atol=1e-5)


def test_a_server_may_keep_what_is_encoded_of_a_user(run):
    model, spec = run
    request, windows = request_features(spec, events=4, candidates=5)
    signatures = tf.saved_model.load(str(exported() / "saved_model")).signatures
    given = {input_name(key): tf.convert_to_tensor(values) for key, values in request.items()}
    for name in ("encode_events", "encode_user", "score_encoded"):
        serve = signatures[name]
        given |= serve(**{key: given[key] for key in serve.structured_input_signature[1]})
    want = model(windows, training=False).numpy()[:, 0]
    np.testing.assert_allclose(given["click_logit"], want, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(given["click"], 1 / (1 + np.exp(-want)), atol=1e-5)


def test_rows_of_a_user_may_share_events(run):
    model, spec = run
    features, twin = shared_features(spec)
    serve = tf.saved_model.load(str(exported() / "saved_model")).signatures["serving_windows"]
    keys = model.encoder.signature(padded=False)
    outputs = serve(**{input_name(key): tf.convert_to_tensor(features[key]) for key in keys})
    want = model(twin, training=False).numpy()[:, 0]
    np.testing.assert_allclose(outputs["click_logit"], want, rtol=1e-4, atol=1e-5)


def test_each_variable_is_stored_once(run):
    model, _ = run
    reader = tf.train.load_checkpoint(str(exported() / "saved_model/variables/variables"))
    stored = [key for key in reader.get_variable_to_shape_map() if "VARIABLE_VALUE" in key]
    assert len(stored) == len(model.variables)


def test_a_folder_that_is_taken_is_refused(run, tmp_path):
    (tmp_path / "a.txt").write_text("")
    with pytest.raises(UserError, match="`OUT_DIR` must be a new or empty folder"):
        export(*run, tmp_path, FILES)


@pytest.mark.usefixtures("saved_before")
def test_an_export_that_differs_is_refused_and_removed(run, tmp_path, monkeypatch):
    model, spec = run
    save = module.save

    def save_and_train_on(model, folder, *others):
        save(model, folder, *others)
        bias = model.head.trainable_variables[-1]
        bias.assign(bias + 0.5)

    weights = model.get_weights()
    monkeypatch.setattr(module, "save", save_and_train_on)
    with pytest.raises(ExportError, match="like the model, within 1e-05. Received: a .* 20 of 20"):
        export(model, spec, tmp_path / "out", FILES, rows=20)
    model.set_weights(weights)
    assert list(tmp_path.iterdir()) == []


@pytest.mark.usefixtures("saved_before")
def test_a_model_that_gives_no_number_is_refused(run, tmp_path):
    model, spec = run
    weights = model.get_weights()
    bias = model.head.trainable_variables[-1]
    bias.assign(bias * float("nan"))
    with pytest.raises(ExportError, match=r"finite probabilities.* Received: \[nan\] in row 1"):
        export(model, spec, tmp_path / "out", FILES, rows=20)
    model.set_weights(weights)
    assert list(tmp_path.iterdir()) == []


def test_doubled_variables_are_refused(run, tmp_path):
    model, _ = run
    folder = tmp_path / "saved_model"
    (folder / "variables").mkdir(parents=True)
    (folder / "variables" / "data").write_bytes(b"0" * 1_000_000)
    with pytest.raises(ExportError, match="must store each variable once: .* 1,000,000 bytes"):
        module.check_size(model, folder)


def test_the_package_exports_the_function():
    assert lmn_tf.serving.export is export

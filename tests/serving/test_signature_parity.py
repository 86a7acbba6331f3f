import types

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import tensorflow as tf
from kitchen_sink import SMALL_OPTIONS
from raw_market import raw_rows, raw_spec
from tiny_run import exported, market, trained_run

from lmn_tf.models import registry
from lmn_tf.serving import signature_parity as module
from lmn_tf.serving.parity import ExportError
from lmn_tf.serving.saved_model import export, load
from lmn_tf.serving.signature_parity import check_encoding, compare_signatures
from lmn_tf.specs.feature_spec import FeatureSpec
from lmn_tf.training.saving.run_directory import RunDirectory

FILES = f"{market()}/test-*.parquet"
SCORING = ("serving_raw", "score_candidates", "score_encoded", "serving_windows", "serving_default")


@pytest.fixture(scope="module")
def run():
    """The model of the trained run, its export loaded, and its spec."""
    directory = RunDirectory.open(trained_run())
    return directory.load_model(), load(exported() / "saved_model"), directory.load_spec()


@pytest.mark.quick_cases(1)
@pytest.mark.parametrize("signature", SCORING)
def test_each_signature_is_compared(run, monkeypatch, signature):
    served_probabilities = module.served_probabilities

    def wrong(model, loaded, name, inputs=None):
        served = served_probabilities(model, loaded, name, inputs)
        return lambda features: served(features) + (0.1 if name == signature else 0.0)

    monkeypatch.setattr(module, "served_probabilities", wrong)
    with pytest.raises(ExportError, match="like the model, within 1e-05. Received: a .* 20 of 20"):
        compare_signatures(*run, FILES, rows=20, tolerance=1e-5)


def encoded(run, change):
    """Compares what 30 rows are encoded as, after a change of it."""
    model, loaded, spec = run
    encode = loaded.signatures["encode_raw"]

    def changed(**inputs):
        outputs = {name: values.numpy() for name, values in encode(**inputs).items()}
        change(outputs)
        return {name: tf.constant(values) for name, values in outputs.items()}

    dataset = module.make_dataset(spec, FILES, batch_size=20, limit=30, labels=False)
    return check_encoding(model, changed, module.raw_batches(spec, FILES, 20, 30), dataset)


def test_equal_ids_and_numbers(run):
    report = encoded(run, lambda outputs: None)
    assert report["rows"] == 30 and report["ids"] > 100 and report["ids_equal"] is True
    assert report["largest_number_difference"] <= 3e-7


def test_another_id_is_told(run):
    def change(outputs):
        if len(outputs["item_id"]) == 10:
            outputs["item_id"][3] += 1

    with pytest.raises(ExportError, match=r"Received: `item_id` \d+ in row 24, where .* gives \d+"):
        encoded(run, change)


@pytest.mark.parametrize(("step", "is_told"), [(1e-7, False), (1e-5, True), (np.nan, True)])
def test_another_number_is_told_beyond_rounding(run, step, is_told):
    def change(outputs):
        outputs["price"][0] *= np.float32(1 + step)

    if is_told:
        with pytest.raises(ExportError, match="must encode .* Received: `price` .* in row 1,"):
            encoded(run, change)
    else:
        assert encoded(run, change)["largest_number_difference"] < 3e-7


def test_a_list_that_is_too_short_is_told(run):
    def change(outputs):
        outputs["history__length"][:] = 0

    with pytest.raises(ExportError, match=r"`history/.* gives (an array of shape|\w+)"):
        encoded(run, change)


@pytest.mark.parametrize(
    ("times", "user"),
    [([5.0, 9.0, 7.0], 1), ([5.0, np.nan, 7.0], 2), ([np.nan] * 3, 0), ([5, 9, 7], 1)],
)
def test_candidates_are_of_the_user_of_the_latest_request(times, user):
    shapes = {"time": (1,), "who": (1,), "item": (None,)}
    serve = types.SimpleNamespace(
        structured_input_signature=(
            (),
            {name: tf.TensorSpec(shape, tf.float64) for name, shape in shapes.items()},
        )
    )
    batch = {"time": np.array(times), "who": np.arange(3), "item": np.arange(3)}
    [[request]] = module._one_user_requests(serve, [batch], "time")
    assert request["who"].tolist() == [user] and request["item"].tolist() == [0, 1, 2]
    [[request]] = module._one_user_requests(serve, [batch], None)
    assert request["who"].tolist() == [0]


def write_rows(path, rows):
    """Writes random rows with clicks."""
    clicks = np.random.default_rng(1).integers(2, size=rows)
    table = raw_rows(raw_spec(), rows, seed=5)
    pq.write_table(table.append_column("click", pa.array(clicks)), path)


@pytest.mark.slow  # quick: the same user in `test_user_encoder.py`
def test_a_history_of_elapsed_time_alone(tmp_path):
    document = raw_spec().to_dict()
    history = document["sequences"][0]
    fields = [field for field in history["fields"] if field["name"] == "gap"]
    features = [one for one in document["features"] if one["name"] == "ranked_padded"]
    document |= {"features": features, "sequences": [{**history, "fields": fields}]}
    spec = FeatureSpec.from_dict({**document, "group": None})
    write_rows(tmp_path / "test.parquet", 200)  # of four users
    model = registry.build("pooling", spec, SMALL_OPTIONS["pooling"])
    model.build()
    report = export(model, spec, tmp_path / "out", tmp_path / "test.parquet", 200)
    assert report["signatures"]["score_encoded"]["rows"] == 200


@pytest.mark.slow
@pytest.mark.parametrize("name", ["lmn", "msn"])
def test_ten_thousand_rows_of_every_kind_lookup_and_missing_value(tmp_path, name):
    rows, spec = 10_000, raw_spec()
    write_rows(tmp_path / "test.parquet", rows)
    model = registry.build(name, spec, SMALL_OPTIONS[name])
    model.build()
    report = export(model, spec, tmp_path / "out", tmp_path / "test.parquet", rows)
    figures = report["signatures"]
    assert {one["rows"] for one in figures.values()} == {rows}
    assert figures["encode_raw"]["ids_equal"] and figures["encode_raw"]["ids"] > 20 * rows
    scoring = {name: one for name, one in figures.items() if name != "encode_raw"}
    assert set(scoring) == {*SCORING}
    print({name: one["largest_difference"] for name, one in scoring.items()}, figures["encode_raw"])
    assert max(one["largest_difference"] for one in scoring.values()) <= 1e-6

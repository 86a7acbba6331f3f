import csv

import keras
import numpy as np
import pytest
import tensorflow as tf
from google.protobuf import text_format
from kitchen_sink import SMALL_OPTIONS, random_features, random_labels, slim_spec
from tensorboard.plugins.projector.projector_config_pb2 import ProjectorConfig

from lmn_tf.models import registry
from lmn_tf.training.evaluation.evaluator import Evaluator
from lmn_tf.training.monitor.projector_files import (
    ProjectorTable,
    project_memories,
    write_projector,
)


def read(path):
    with open(path, newline="") as file:
        return list(csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))


def config(folder):
    text = (folder / "projector_config.pbtxt").read_text()
    return {
        table.tensor_name: table for table in text_format.Parse(text, ProjectorConfig()).embeddings
    }


def test_slots_and_items_have_names(tmp_path):
    keras.utils.set_random_seed(1)
    spec = slim_spec()
    model = registry.build("lmn", spec, SMALL_OPTIONS["lmn"])
    model.build()
    features = random_features(spec, rows=30)
    data = tf.data.Dataset.from_tensor_slices((features, random_labels(30))).batch(8)
    [inspection] = project_memories(Evaluator(model), spec, data, tmp_path)
    found = config(tmp_path)
    assert list(found) == ["clicks_memory", "item", "tags"]
    slots = found["clicks_memory"]
    titles, *names = read(tmp_path / slots.metadata_path)
    assert titles == ["slot", "row", "column", "share (%)", "most by item", "most by user"]
    assert len(names) == np.count_nonzero(inspection.reads)
    first = inspection.slots[0]
    assert names[0][:3] == [str(first[key]) for key in ("slot", "row", "column")]
    assert float(names[0][3]) == pytest.approx(100 * first["share"], abs=1e-4)
    assert names[0][4] == first["readers"]["item"][0]["value"]
    vectors = np.array(read(tmp_path / slots.tensor_path), "float64")
    values = model.memories["clicks"].memory.memory_values.numpy()
    np.testing.assert_allclose(vectors, values[[int(row[0]) for row in names]], rtol=1e-4)
    items = read(tmp_path / found["item"].metadata_path)
    assert items[:2] == [["0"], ["1"]] and len(items) == 40  # no title over a single column
    vectors = np.array(read(tmp_path / found["item"].tensor_path), "float64")
    table = model.encoder.tables["item"].embeddings.numpy()
    np.testing.assert_allclose(vectors, table[2:], rtol=1e-4)


def test_names_stay_on_their_line(tmp_path):
    columns = {"name": ["a\tb\nc", ""], "share": [0.5, 1]}
    write_projector(tmp_path, [ProjectorTable("block/memory", np.eye(2), columns)])
    path = config(tmp_path)["block/memory"].metadata_path
    assert read(tmp_path / path) == [["name", "share"], ["a b c", "0.5"], ["-", "1"]]

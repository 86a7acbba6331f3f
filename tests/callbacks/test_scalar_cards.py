import tensorflow as tf
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from lmn_tf.callbacks.scalar_cards import ScalarCards
from lmn_tf.metrics.descriptions import DESCRIPTIONS


def points(folder):
    read = EventAccumulator(str(folder))
    read.Reload()
    return {
        tag: [
            (event.step, float(tf.make_ndarray(event.tensor_proto))) for event in read.Tensors(tag)
        ]
        for tag in read.Tags()["tensors"]
    }, read


def test_a_constant_takes_no_card(tmp_path):
    cards = ScalarCards(tf.summary.create_file_writer(str(tmp_path)))
    for step in range(1, 6):
        cards.write({"train/loss": 0.5}, step)
        cards.write_changing({"rate/all": 0.25, "rate/late": 1.0 if step < 4 else 2.0}, step)
    cards.write_changing({"once": 3.0}, 5)
    cards.close()
    found, read = points(tmp_path)
    assert found == {
        "train/loss": [(step, 0.5) for step in range(1, 6)],
        "rate/late": [(1, 1.0), (3, 1.0), (4, 2.0), (5, 2.0)],
        "once": [(5, 3.0)],
    }
    assert read.SummaryMetadata("train/loss").summary_description == DESCRIPTIONS["loss"]

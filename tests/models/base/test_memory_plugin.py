import keras
import numpy as np
import pytest
from kitchen_sink import SMALL_MEMORY, kitchen_sink_spec, random_features, random_labels, slim_spec
from passed_options import check_passed

from lmn_tf.models import LMN
from lmn_tf.specs.errors import UserError

SPEC = kitchen_sink_spec()


def make(spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = LMN(spec, **{**SMALL_MEMORY, **options})
    model.build()
    return model


OPTIONS = {
    "num_keys": 7,
    "top_k": 3,
    "num_heads": 2,
    "key_dim": 5,
    "memory_hidden_units": (4,),
    "query_norm": "layer",
    "key_norm": False,
    "key_balance_weight": 0.25,
    "memory_pooling": "sum",
    "head_merge": "mean",
    "user_merge": "add",
    "memory_loss_weight": 0.5,
    "stop_gradient": "none",
    "temperature": 2.0,
    "query_target": True,
    "memory_placement": "row_wise",
    "open_keys": 2,
}


def test_every_option_reaches_the_memory():
    layer = LMN(SPEC, **OPTIONS).memories["clicks"]
    renamed = {"memory_hidden_units": "hidden_units", "memory_pooling": "pooling"}
    check_passed("lmn", layer, OPTIONS, **renamed)


@pytest.mark.parametrize("memorize", ["cross", "hidden"])
@pytest.mark.slow
def test_other_things_than_events_read_the_memory(memorize, tmp_path):
    spec = slim_spec()
    model = make(spec, memorize=memorize, memory_dim=6, interaction="cross")
    features, labels = random_features(spec, rows=24), random_labels(24)
    assert list(model.memories) == [memorize]
    assert len(model.read_histories(model.encoder.encode(features))) == 1
    model.compile(metrics=["auc"])
    before = [np.array(one) for one in model.memories[memorize].get_weights()]
    model.fit(features, labels, batch_size=8, verbose=0)
    after = model.memories[memorize].get_weights()
    moved = [np.abs(new - old).max() > 0 for new, old in zip(after, before, strict=True)]
    assert all(moved)
    logs = model.evaluate(features, labels, verbose=0, return_dict=True)
    assert logs["slots_used"] > 0
    assert set(model.memory_usage()) == {memorize}
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(
        again.predict(features, verbose=0), model.predict(features, verbose=0), rtol=1e-5
    )


def test_the_memory_of_hidden_layers_reads_the_last_shared_one():
    model, features = make(memorize="hidden", memory_dim=6), random_features(SPEC)
    logits = model(features)
    memory = model.memories["hidden"].memory
    memory.memory_values.assign(memory.memory_values + 1.0)
    assert np.abs(model(features) - logits).max() > 0
    assert model.head.logits[0].kernel.shape[0] == SMALL_MEMORY["hidden_units"][-1] + 6


def test_mistakes_are_told():
    with pytest.raises(UserError, match="`num_experts` must be 0 .*Received: num_experts=2"):
        make(memorize="hidden", num_experts=2)
    with pytest.raises(UserError, match="must be left alone.*query_target=True"):
        make(memorize="cross", query_target=True)
    with pytest.raises(UserError, match="memory_pooling='target_attention'"):
        make(memorize="cross", memory_pooling="target_attention")


@pytest.mark.parametrize("fields", ["event", "all"])
def test_queries_are_of_the_fields_that_are_asked_for(fields):
    features = random_features(SPEC)
    later = {**features, "clicks/elapsed": features["clicks/elapsed"] % 20 + 1}
    model = make(memory_fields=fields)
    before, after = (
        model.read_histories(model.encoder.encode(one))[-1].numpy() for one in (features, later)
    )
    assert np.array_equal(before, after) == (fields == "event")


def test_models_saved_before_memory_fields_read_all_of_them():
    config = make().get_config()
    assert LMN.from_config(dict(config)).options.memory_fields == "event"
    del config["memory_fields"]
    assert LMN.from_config(config).options.memory_fields == "all"

import tensorflow as tf
from kitchen_sink import kitchen_sink_spec
from small_shop import shop_spec

from lmn_tf.serving.raw.inputs import ColumnInputs, RawInputs
from lmn_tf.specs.feature_spec import FeatureSpec


def spec_of(*features, **keys):
    spec = {"spec_version": 1, "name": "inputs", "labels": [{"name": "click"}], **keys}
    return FeatureSpec.from_dict({**spec, "features": list(features)})


def test_inputs_are_the_columns_of_the_data():
    columns = RawInputs(kitchen_sink_spec())
    found = {name: (one.dtype, one.shape) for name, one in columns.inputs.items()}
    assert found["user"] == (tf.string, (None,))
    assert found["income"] == found["time"] == found["since"] == (tf.float64, (None,))
    assert found["picture"] == (tf.float32, (None, 5))
    assert found["tags"] == (tf.string, (None, None)) and found["tag_weights"][0] == tf.float32
    assert found["tags__length"] == (tf.int64, (None,))
    assert found["c_item"] == (tf.string, (None, None)) and found["c_time"][0] == tf.float64
    assert found["c_tags"] == (tf.string, (None, None, None))
    assert found["c_tags__length"] == (tf.int64, (None, None))
    assert found["c_sound"] == (tf.float32, (None, None, 3))
    assert found["clicks__length"] == (tf.int64, (None,))
    assert columns.request == "time" and "age_x_tags" not in found


def test_columns_of_event_files_have_the_name_of_their_sequence():
    columns = RawInputs(shop_spec(by_reference=True))
    assert columns.fields["history"]["item"] == ColumnInputs("history__h_item")
    tags = ColumnInputs("history__h_tags", "history__h_tags__length")
    assert columns.fields["history"]["tags"] == tags
    assert columns.inputs["history__h_item"].sequence == "history"
    assert columns.inputs["history__h_item"].column == "h_item"
    assert "count" not in columns.inputs


def test_what_candidates_share():
    inputs = RawInputs(shop_spec()).inputs
    mine = {name for name, one in inputs.items() if one.of_user}
    assert {"user", "age", "time", "h_item", "history__length"} <= mine
    assert not {"item", "tags", "price", "hour", "agent", "since"} & mine


def test_without_histories_their_columns_are_no_inputs():
    inputs = RawInputs(shop_spec(), histories=False).inputs
    assert "h_item" not in inputs and "history__length" not in inputs and "time" in inputs


def test_a_column_is_an_input_in_each_form_that_it_is_read_in():
    number = {"name": "size", "column": "a b", "role": "item", "kind": "numeric"}
    id_ = {"column": "a b", "role": "item", "kind": "categorical", "lookup": {"hash": 9}}
    spec = spec_of(number, {"name": "kind", **id_}, {"name": "again", **id_})
    columns = RawInputs(spec)
    assert {name: one.dtype for name, one in columns.inputs.items()} == {
        "a_b": tf.float64,
        "a_b_2": tf.string,
    }
    assert columns.features["kind"] == columns.features["again"] == ColumnInputs("a_b_2")


def test_names_are_those_of_arguments():
    id_ = {"role": "item", "kind": "categorical", "lookup": {"hash": 9}}
    spec = spec_of({"name": "x", "column": "1-é", **id_}, {"name": "y", "column": "1 e", **id_})
    assert list(RawInputs(spec).inputs) == ["_1__", "_1_e"]


def test_nanoseconds_are_integers():
    since = {"name": "since", "role": "context", "kind": "elapsed_time"}
    spec = spec_of(since, time_unit="nanosecond", request_time="now")
    assert {one.dtype for one in RawInputs(spec).inputs.values()} == {tf.int64}

import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import KITCHEN_SINK, kitchen_sink_spec, request_features, slim_spec
from padded_batch import padded
from request_model import built, functions_of, slim_lmn

from lmn_tf.models import registry
from lmn_tf.serving.request_functions import CANDIDATES, EVENTS, USER
from lmn_tf.serving.user_encoder import UserEncoder

MODELS = [name for name in registry.names() if registry.model_class(name).reads_histories]


def two_histories_spec():
    """Two sequences, of which one has elapsed times, and two labels."""
    fields = KITCHEN_SINK["sequences"][0]["fields"]
    sequences = [
        {"name": "clicks", "max_length": 20, "fields": [fields[i] for i in (0, 1, 4)]},
        {"name": "clicks_of_old", "max_length": 9, "fields": [fields[0]]},
    ]
    return slim_spec(sequences=sequences, labels=[{"name": "click"}, {"name": "buy"}])


def scores(model, functions, request, appended=0):
    """Scores of a request, with the last events appended to the others."""
    encoder = UserEncoder(functions, [sequence.name for sequence in model.spec.sequences])
    sides = model.encoder.request_signature()
    columns = {key: request[key] for key in {**sides.user, **sides.events, **sides.pairs}}
    older = dict(columns)
    for key in {**sides.events, **sides.pairs}:
        older[key] = columns[key][: max(len(columns[key]) - appended, 0)]
    user = encoder.renew(encoder.encode(older), columns)
    outputs = encoder.score(user, {key: request[key] for key in sides.candidates})
    return np.stack([outputs[label.name] for label in model.spec.labels], axis=1)


QUICK = [("lmn", two_histories_spec), ("din", slim_spec), ("mimn", slim_spec)]
CASES = QUICK + [(name, kitchen_sink_spec) for name in MODELS]


@pytest.mark.parametrize(
    ("name", "spec"),
    [pytest.param(*case, marks=() if case in QUICK else pytest.mark.slow) for case in CASES],
)
def test_candidates_of_an_encoded_user_score_as_rows(name, spec):
    spec = spec()
    model = built(name, spec)
    functions = functions_of(model)
    for events, candidates, appended in ((4, 3, 0), (4, 2, 1), (3, 1, 3), (0, 2, 0)):
        request, windows = request_features(spec, events, candidates)
        got = scores(model, functions, request, appended)
        assert got.shape == (candidates, len(spec.labels))
        np.testing.assert_allclose(got, model(windows, training=False), rtol=1e-5, atol=1e-6)
    twin = model(padded(request_features(spec, 4, 3)[1], spec.sequences), training=False)
    np.testing.assert_allclose(
        scores(model, functions, request_features(spec, 4, 3)[0]), twin, rtol=1e-5, atol=1e-6
    )


def ops_of(function):
    """Types of all operations of a function and of those that it calls."""
    graph = function.graph.as_graph_def()
    library = {one.signature.name: one.node_def for one in graph.library.function}
    found, todo = set(), list(graph.node)
    while todo:
        node = todo.pop()
        found.add(node.op)
        called = [value.func.name for value in node.attr.values() if value.HasField("func")]
        todo += [inner for name in called for inner in library.pop(name, ())]
    return found


def test_each_part_computes_what_it_must_and_nothing_else():
    _, functions = slim_lmn()
    assert list(functions) == [EVENTS, USER, CANDIDATES]
    inputs = {
        name: set(function.structured_input_signature[1]) for name, function in functions.items()
    }
    kept = {"clicks__kept_0", "clicks__kept_1"}
    assert set(functions[EVENTS].structured_outputs) == kept
    assert inputs[EVENTS] == {"user", "clicks__item", "clicks__tags"}
    assert inputs[USER] == inputs[EVENTS] | {"clicks__elapsed"} | kept
    state = functions[USER].structured_outputs
    assert inputs[CANDIDATES] == set(state) | {"item", "tags", "tags__weights"}
    # The search of slots is of the events.
    assert "TopKV2" in ops_of(functions[EVENTS])
    assert "TopKV2" not in ops_of(functions[USER]) | ops_of(functions[CANDIDATES])
    # Of the user: its features, the pooled read-outs, and the events.
    shapes = [tensor.shape.as_list() for tensor in state.values() if tensor.dtype == tf.float32]
    assert sorted(shapes, key=str) == [[1, 4], [1, 9], [None, 9]]


def test_reads_that_see_the_time_are_not_kept():
    model = built("lmn", slim_spec(), {"memory_fields": "all"})
    functions = functions_of(model)
    assert set(functions[EVENTS].structured_outputs) == {"clicks__kept_0"}
    assert "TopKV2" in ops_of(functions[USER])
    request, windows = request_features(model.spec, 4, 3)
    got = scores(model, functions, request, appended=2)
    np.testing.assert_allclose(got, model(windows, training=False), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("columns", ["keys", "ids"])
def test_pairs_by_keys_cost_candidates_the_sum_of_the_events(columns):
    options = {"pair_slots": None, "pair_rows": "keys", "pair_columns": columns, "pair_keys": 7}
    model = built("lmn_pair", slim_spec(), options)
    [memory] = model.pair_memories.values()
    rng = np.random.default_rng(0)
    memory.memory_values.assign(rng.normal(size=memory.memory_values.shape))
    functions = functions_of(model)
    assert "TopKV2" in ops_of(functions[EVENTS])
    assert "TopKV2" not in ops_of(functions[USER])
    state = functions[USER].structured_outputs.values()
    assert [1, 7] in [tensor.shape.as_list() for tensor in state]
    assert all(tensor.shape[0] == 1 for tensor in state if tensor.dtype == tf.float32)
    for events, candidates, appended in ((4, 3, 0), (4, 2, 1), (0, 2, 0)):
        request, windows = request_features(model.spec, events, candidates)
        got = scores(model, functions, request, appended)
        np.testing.assert_allclose(got, model(windows, training=False), rtol=1e-5, atol=1e-5)


def test_nothing_is_kept_without_histories():
    assert functions_of(built("dnn", slim_spec())) == {}

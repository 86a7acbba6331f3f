import numpy as np
import pytest
from kitchen_sink import KITCHEN_SINK, request_features, slim_spec
from request_model import built, functions_of, slim_lmn

from lmn_tf.serving.user_encoder import UserEncoder, count_appended


@pytest.mark.parametrize(
    ("before", "now", "appended"),
    [
        ([1, 2, 3], [1, 2, 3], 0),
        ([1, 2, 3], [1, 2, 3, 4], 1),
        ([1, 2, 3], [2, 3, 4], 1),
        ([1, 2, 3], [3, 4, 5, 6], 3),
        ([1, 2, 3], [2, 3], 0),
        ([1, 1, 1], [1, 1, 1, 1], 1),
        ([1, 2, 1], [1, 2, 1, 2, 1], 2),
        ([3, 1], [1, 3, 1], 2),
        ([1, 2, 3], [4, 5], None),
        ([1, 2, 3], [1, 3], None),
        ([1, 2, 3], [1, 2], None),
        ([], [1, 2], 2),
        ([1, 2], [], 0),
    ],
)
def test_events_appended(before, now, appended):
    assert count_appended([np.array(before, int)], [np.array(now, int)]) == appended


def test_all_fields_of_an_event_must_be_equal():
    ids, prices = np.array([1, 2]), np.array([0.5, 1.5])
    assert count_appended([ids, prices], [ids, prices]) == 0
    assert count_appended([ids, prices], [ids, prices + 1]) is None


def test_lists_of_another_width_are_equal():
    narrow, wide = np.array([[1], [2]]), np.array([[1, 0], [2, 0], [3, 4]])
    assert count_appended([narrow], [wide]) == 1
    assert count_appended([wide[:2]], [narrow]) == 0


@pytest.fixture(scope="module")
def encoder():
    model, functions = slim_lmn()
    encoder = UserEncoder(functions, ["clicks"])
    encoder.sides, encoder.model = model.encoder.request_signature(), model
    return encoder


@pytest.fixture
def computed(encoder, monkeypatch):
    """How many events each call computes what is kept of."""
    call, counts = encoder._call, []

    def counting(name, columns, tensors=None):
        if name == "encode_events":
            counts.append(len(columns["clicks/item"]))
        return call(name, columns, tensors)

    monkeypatch.setattr(encoder, "_call", counting)
    return counts


def request(encoder, events=6):
    features, _ = request_features(encoder.model.spec, events=events, candidates=2)
    sides = encoder.sides
    columns = {key: features[key] for key in {**sides.user, **sides.events, **sides.pairs}}
    return columns, {key: features[key] for key in sides.candidates}


def events(encoder, columns, part):
    keys = {**encoder.sides.events, **encoder.sides.pairs}
    return {key: values[part] if key in keys else values for key, values in columns.items()}


def check_same(encoder, user, columns, candidates):
    """A renewed user scores as one encoded anew."""
    want = encoder.score(encoder.encode(columns), candidates)["click"]
    np.testing.assert_allclose(encoder.score(user, candidates)["click"], want, rtol=1e-5)


def test_nothing_is_computed_where_nothing_changed(encoder, computed):
    columns, _ = request(encoder)
    known = encoder.encode(columns)
    assert computed == [6]
    assert encoder.renew(known, {key: value.copy() for key, value in columns.items()}) is known
    assert computed == [6]


def test_only_events_that_were_appended_are_computed(encoder, computed):
    columns, candidates = request(encoder)
    known = encoder.encode(events(encoder, columns, slice(0, 5)))
    now = events(encoder, columns, slice(2, 6))
    user = encoder.renew(known, now)
    assert computed == [5, 1]
    assert all(len(kept) == 4 for kept in user.kept.values())
    check_same(encoder, user, now, candidates)


def test_another_time_leaves_what_is_kept_of_the_events(encoder, computed):
    columns, candidates = request(encoder)
    known = encoder.encode(columns)
    now = {**columns, "clicks/elapsed": columns["clicks/elapsed"] % 5 + 1}
    user = encoder.renew(known, now)
    assert computed == [6] and user is not known
    check_same(encoder, user, now, candidates)
    old, new = encoder.score(known, candidates)["click"], encoder.score(user, candidates)["click"]
    assert np.abs(old - new).max() > 1e-6


def test_a_user_or_events_that_changed_are_of_no_use(encoder):
    columns, _ = request(encoder)
    known = encoder.encode(columns)
    assert encoder.renew(known, {**columns, "user": columns["user"] + 1}) is None
    assert encoder.renew(known, {**columns, "clicks/item": columns["clicks/item"] + 1}) is None


def test_bytes_are_those_of_arrays_and_tensors(encoder):
    small, large = (encoder.encode(request(encoder, count)[0]) for count in (2, 6))
    # Of an event: 9 numbers of its vector, of its read-out and of the state, ids and tags.
    size = 4 * (3 * 9 + 2 + 3)
    assert large.num_bytes - small.num_bytes == 4 * size


def of_elapsed_time(name):
    """A sequence of which nothing but the time since its events is read."""
    clicks = KITCHEN_SINK["sequences"][0]
    fields = [field for field in clicks["fields"] if field["name"] == "elapsed"]
    return {**clicks, "name": name, "fields": fields}


@pytest.mark.parametrize("is_alone", [True, False])
def test_a_sequence_without_fields_of_events_alone(is_alone):
    others = [] if is_alone else slim_spec().to_dict()["sequences"]
    spec = slim_spec(sequences=[*others, of_elapsed_time("waits")])
    model = built("pooling", spec)
    encoder = UserEncoder(functions_of(model), [sequence.name for sequence in spec.sequences])
    encoder.sides, encoder.model = model.encoder.request_signature(), model
    columns, candidates = request(encoder)
    known = encoder.encode(columns)
    assert encoder.renew(known, {key: value.copy() for key, value in columns.items()}) is known
    for waits in (columns["waits/elapsed"] % 5 + 1, columns["waits/elapsed"][:2]):
        now = {**columns, "waits/elapsed": waits}
        check_same(encoder, encoder.renew(known, now), now, candidates)

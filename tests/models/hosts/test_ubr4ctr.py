import keras
import numpy as np
import pytest
import tensorflow as tf
from kitchen_sink import (
    KITCHEN_SINK,
    SMALL_OPTIONS,
    kitchen_sink_spec,
    random_features,
    random_labels,
    repadded,
    slim_spec,
)
from replicas import replicas

from lmn_tf.models import SIM, UBR4CTR
from lmn_tf.ops.losses import log_loss_reward
from lmn_tf.specs.errors import UserError

SPEC = slim_spec()
SMALL = SMALL_OPTIONS["ubr4ctr"]
CLICKS = SPEC.to_dict()["sequences"][0]
SELECTIONS = ("reinforce", "straight_through", "all")


def make(spec=SPEC, **options):
    keras.utils.set_random_seed(1)
    model = UBR4CTR(spec, **{**SMALL, **options})
    model.build()
    return model


def train(model, steps=1, rate=0.1, rows=6):
    model.compile(keras.optimizers.SGD(rate), run_eagerly=True)
    features, labels = random_features(SPEC, rows), random_labels(rows)
    return [model.train_on_batch(features, labels, return_dict=True) for _ in range(steps)]


def keeps(model, features, training=None):
    """Which of its fields each row searches by."""
    groups = model.encoder.encode(features)
    return model._keep("clicks", groups["histories"]["clicks"], groups, training)


def only_field(name):
    """A spec whose events have one field in common with the candidate."""
    fields = [field for field in CLICKS["fields"] if field["name"] == name]
    return slim_spec(sequences=[{**CLICKS, "fields": fields}])


@pytest.mark.parametrize("field", ["item", "tags"])
def test_of_one_field_that_is_kept_it_finds_what_hard_search_finds(field):
    spec = only_field(field)
    features = random_features(spec, rows=30, length=9)
    if field == "item":
        features["clicks/item"] %= 3
        features["item"] %= 3
    model = make(spec, field_selection="all", top_k=20)
    sim = SIM(spec, **{**SMALL_OPTIONS["sim"], "search": "hard", "search_top_k": 20})
    sim.build()
    seen = {}
    for name, one in (("ubr4ctr", model.retrievals), ("sim", sim.found_attention)):
        seen[name] = found_events(one["clicks"])
    sim.encoder.set_weights(model.encoder.get_weights())
    for one in (model, sim):
        one.read_histories(one.encoder.encode(features))
    np.testing.assert_array_equal(seen["ubr4ctr"](), seen["sim"]())
    assert (seen["sim"]() != 0).any()


@pytest.mark.parametrize("selection", SELECTIONS)
def test_of_two_fields_like_one_feature_the_first_is_searched(selection):
    fields = CLICKS["fields"]
    item = next(field for field in fields if field["name"] == "item")
    again = {**item, "name": "again"}
    spec = slim_spec(sequences=[{**CLICKS, "fields": [*fields, again]}])
    model, features = make(spec, field_selection=selection), random_features(spec)
    history = model.encoder.encode(features)["histories"]["clicks"]
    assert keeps(model, features).shape == (6, len(history.padded_ids)) == (6, 2)
    before = model._search("clicks", history, {}, False)[0]
    features["clicks/again"] = features["clicks/again"][:, ::-1]
    history = model.encoder.encode(features)["histories"]["clicks"]
    np.testing.assert_array_equal(model._search("clicks", history, {}, False)[0], before)
    assert np.isfinite(model(features)).all()


def found_events(layer):
    """Watches a layer of either kind: returns the sum of the events that it attends to."""
    seen = []
    call = layer.call

    def watched(history, *args, mask=None, **kwargs):
        if len(args) == 3:  # matches and fields
            mask = tf.logical_and(mask, tf.linalg.matvec(args[1], args[2]) > 0)
        seen.append(tf.reduce_sum(tf.where(mask[..., None], history, 0.0), axis=1).numpy())
        return call(history, *args, mask=mask, **kwargs)

    layer.call = watched
    return lambda: np.round(seen[-1], 5)


def test_retrieval_by_sorting():
    model = make(field_selection="all", top_k=2)
    train(model)  # some ids are rarer than others
    features = random_features(SPEC, rows=40, length=9, seed=3)
    groups = model.encoder.encode(features)
    one = groups["histories"]["clicks"]
    found = model.read_histories(groups)[0].numpy()
    retrieval = model.retrievals["clicks"]
    kernel, history = retrieval.kernel.numpy(), one["history"].numpy()
    lengths = []
    for row in range(40):
        scores = np.zeros(9)
        for field in ("item", "tags"):
            layer = model.matches[f"clicks/{field}"]
            counts, total = layer.counts.numpy(), float(layer.total.numpy())
            for value in np.atleast_1d(features[field][row]):
                weight = np.log(1 + (total - counts[value] + 0.5) / (counts[value] + 0.5))
                for place, event in enumerate(features[f"clicks/{field}"][row]):
                    scores[place] += weight * (value != 0 and value in np.atleast_1d(event))
        valid = np.flatnonzero((scores > 0) & features["clicks/mask"][row])
        places = sorted(valid, key=lambda place, s=scores: (-round(s[place], 4), -place))[:2]
        lengths.append(len(places))
        events = history[row, places]
        weights = np.exp(events @ (one["target"].numpy()[row] @ kernel))
        want = weights @ events / max(weights.sum(), 1e-30)
        np.testing.assert_allclose(found[row], want, rtol=1e-4, atol=1e-5)
    assert set(lengths) == {0, 1, 2}


def test_a_row_finds_only_its_own_events():
    # Histories hold earlier events of the user: what is not in the row cannot be found.
    model, features = make(field_selection="all"), random_features(SPEC, rows=8)
    together = model.read_histories(model.encoder.encode(features))[0].numpy()
    for row in range(8):
        alone = {key: value[row : row + 1] for key, value in features.items()}
        found = model.read_histories(model.encoder.encode(alone))[0].numpy()
        np.testing.assert_allclose(found[0], together[row], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("selection", SELECTIONS)
def test_nothing_found_gives_zero(selection):
    model, features = make(field_selection=selection), random_features(SPEC)
    for name in ("item", "tags"):
        features[name][:] = 0
    for training in (False, True):
        found = model.read_histories(model.encoder.encode(features), training=training)[0]
        assert (found.numpy() == 0).all()
        assert np.isfinite(model(features, training=training)).all()


def test_prediction_draws_nothing_and_keeps_the_likeliest_field():
    model = make()
    for shift, want in ((-100.0, {1.0}), (100.0, {2.0})):
        bias = model.selectors["clicks"].mlp.output_layer.bias
        bias.assign([shift])
        kept = keeps(model, random_features(SPEC)).numpy()
        assert set(kept.sum(1)) == want
    bias.assign([0.0])
    state = model.seed_generator.state.numpy()
    logits = [model(random_features(SPEC)).numpy() for _ in range(2)]
    np.testing.assert_array_equal(*logits)
    np.testing.assert_array_equal(model.seed_generator.state, state)


def test_training_keeps_fields_by_their_probability():
    model, features = make(), random_features(SPEC, rows=1)
    many = {key: np.repeat(value, 1000, axis=0) for key, value in features.items()}
    model.selectors["clicks"].mlp.output_layer.bias.assign([-1.0])
    groups = model.encoder.encode(many)
    kept = model._keep("clicks", groups["histories"]["clicks"], groups, True)
    logits, noted = groups["noted"]["clicks"]
    np.testing.assert_array_equal(kept, noted)
    assert set(kept.numpy().ravel()) == {0.0, 1.0}
    np.testing.assert_allclose(kept.numpy().mean(0), tf.sigmoid(logits)[0], atol=0.06)


def test_reinforce_trains_the_selector_and_nothing_else():
    model, features, labels = make(), random_features(SPEC), random_labels()
    model.compile(run_eagerly=True)
    model.baseline.assign(0.25)
    selector = [weight.value for weight in model.selectors["clicks"].trainable_weights]
    own = {weight.ref() for weight in selector}
    others = [w.value for w in model.trainable_weights if w.value.ref() not in own]
    with tf.GradientTape(persistent=True) as tape:
        logits = model(features, training=True)
        noted = logits._lmn_tf_noted
        plain = model.compute_loss(features, labels, tf.identity(logits))
        loss = model.compute_loss(features, labels, logits)
        reward = log_loss_reward(labels, logits)
        (choices, kept), p = noted["clicks"], tf.sigmoid(noted["clicks"][0])
        score = tf.reduce_sum(kept * tf.math.log(p) + (1 - kept) * tf.math.log(1 - p), axis=-1)
        want = -tf.reduce_mean((reward - 0.25) * score)
    assert choices.shape == kept.shape == (6, 2)
    assert all(one is None for one in tape.gradient(plain, selector))
    for got, one in zip(tape.gradient(loss, selector), tape.gradient(want, selector), strict=True):
        np.testing.assert_allclose(got, one, rtol=1e-3, atol=1e-6)
    for got, one in zip(tape.gradient(loss, others), tape.gradient(plain, others), strict=True):
        np.testing.assert_allclose(tf.convert_to_tensor(got), tf.convert_to_tensor(one))
    np.testing.assert_allclose(model.baseline, 0.9 * 0.25 + 0.1 * np.mean(reward), rtol=1e-5)


def test_the_reward_is_logged_in_training():
    logs = train(make())
    assert all(-1 <= one["reward"] <= 1 for one in logs)
    assert "reward" not in train(make(field_selection="straight_through"))[0]


def test_straight_through_trains_the_selector_from_the_cross_entropy():
    model = make(field_selection="straight_through", top_k=20)
    features, labels = random_features(SPEC), random_labels()
    features["clicks/item"][:] = features["item"][:, None]  # something is found
    features["clicks/tags"][:, ::2] = features["tags"][:, None]
    model.compile(run_eagerly=True)
    model.selectors["clicks"].mlp.output_layer.bias.assign([100.0])
    kept = keeps(model, features, training=True).numpy()
    np.testing.assert_allclose(kept, 1.0)
    model.selectors["clicks"].mlp.output_layer.bias.assign([1.0])
    with tf.GradientTape() as tape:
        logits = model(features, training=True)
        loss = model.compute_loss(features, labels, logits)
    weights = [weight.value for weight in model.selectors["clicks"].trainable_weights]
    assert max(np.abs(gradient).max() for gradient in tape.gradient(loss, weights)) > 0
    assert set(np.unique(np.round(keeps(model, features, training=True), 5))) <= {0.0, 1.0}


def test_all_fields_need_no_selector():
    model = make(field_selection="all")
    assert not any("selector" in weight.path for weight in model.weights)
    assert set(keeps(model, random_features(SPEC), training=True).numpy().ravel()) == {1.0}
    train(model)


@pytest.mark.slow
def test_the_selector_learns_which_field_pays():
    # The event with the candidate's tag tells the label; one with its item, a rarer id, misleads.
    spec, rng = SPEC, np.random.default_rng(0)
    rows, places = 400, np.arange(400)
    features = random_features(spec, rows=rows, length=4)
    features["clicks/mask"][:] = True
    features["clicks/item"] = rng.integers(2, 12, (rows, 4)).astype("int32")
    features["item"] = features["clicks/item"][:, 3].copy()
    tags = np.stack([rng.permutation(np.arange(2, 8))[:4] for _ in places])
    features["clicks/tags"] = np.stack([tags, 0 * tags, 0 * tags], axis=-1).astype("int32")
    features["tags"] = features["clicks/tags"][:, 1]
    labels = (features["clicks/item"][:, 1] % 2).astype("float32")[:, None]
    keras.utils.set_random_seed(1)
    model = UBR4CTR(spec, **{**SMALL, "top_k": 1, "hidden_units": (16, 8)})
    model.compile(keras.optimizers.Adam(0.01))
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(100).repeat(40)
    model.fit(data, verbose=0)
    groups = model.encoder.encode(features)
    model._keep("clicks", groups["histories"]["clicks"], groups, True)
    item, tag = tf.reduce_mean(tf.sigmoid(groups["noted"]["clicks"][0]), axis=0).numpy()
    assert item < 0.4 < 0.6 < tag


def test_counts_grow_in_training_only_and_come_back(tmp_path):
    model = make()
    train(model, steps=2)
    total = model.matches["clicks/item"].total
    valid = random_features(SPEC)["clicks/mask"].sum()
    assert float(total.numpy()) == 2 * valid
    model.predict(random_features(SPEC), verbose=0)
    assert float(total.numpy()) == 2 * valid
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    for name, layer in model.matches.items():
        np.testing.assert_array_equal(again.matches[name].counts, layer.counts)
    np.testing.assert_array_equal(again.baseline, model.baseline)
    drawn = [keeps(one, random_features(SPEC), training=True).numpy() for one in (model, again)]
    np.testing.assert_array_equal(*drawn)
    np.testing.assert_array_equal(again.seed_generator.state, model.seed_generator.state)


def test_draws_go_on_where_they_stood():
    # A checkpoint holds all variables; the generator's state is one.
    model = make()
    train(model)
    again = make()
    assert any(one is model.seed_generator.state for one in model.variables)
    for one, other in zip(again.variables, model.variables, strict=False):
        one.assign(other)
    kept = [keeps(one, random_features(SPEC), training=True).numpy() for one in (model, again)]
    np.testing.assert_array_equal(*kept)


@pytest.mark.parametrize("selection", ["reinforce", "straight_through"])
def test_each_sequence_has_its_own_selector(selection):
    second = {**CLICKS, "name": "buys"}
    spec = slim_spec(sequences=[CLICKS, second])
    model = make(spec, field_selection=selection)
    model.compile(run_eagerly=True)
    assert np.isfinite(model.train_on_batch(random_features(spec), random_labels())).all()
    names = {weight.path.split("/")[1] for weight in model.weights}
    assert {"clicks_selector", "buys_selector", "buys_item_match"} <= names


def attentive(spec=SPEC, **options):
    return make(spec, retrieval="self_attention", **options)


def softmax(x):
    e = np.exp(x - np.max(x))
    return e / e.sum()


def literal_reading(model, one, top_k):
    """What self-attention finds and the candidate reads of it, row by row and event by event."""
    history, target, mask = (one[key].numpy() for key in ("history", "target", "mask"))
    query, key, kernel = (
        weight.numpy()
        for weight in (
            model.selectors["clicks"].query_kernel,
            model.selectors["clicks"].key_kernel,
            model.retrievals["clicks"].kernel,
        )
    )
    read, found = np.zeros_like(history[:, 0]), []
    for row, valid in enumerate(mask):
        events = history[row, valid]
        scores = np.zeros(len(events))
        for head in np.split(np.arange(query.shape[1]), 2):
            for event in events:
                products = (events @ key[:, head]) @ (event @ query[:, head])
                scores += softmax(products / np.sqrt(len(head))) / len(events)
        best = sorted(range(len(events)), key=lambda place: -scores[place])[:top_k]
        found.append(set(np.flatnonzero(valid)[best]))
        if best:
            read[row] = softmax(events[best] @ (target[row] @ kernel)) @ events[best]
    return read, found


def test_self_attention_equals_the_literal_form(run_mode):
    features = random_features(SPEC, rows=20, length=9)
    features["clicks/mask"][3] = False
    model = attentive()
    model.set_weights([3 * weight for weight in model.get_weights()])  # far from uniform scores
    want, found = literal_reading(
        model, model.encoder.encode(features)["histories"]["clicks"], top_k=2
    )
    read = run_mode(lambda columns: model.read_histories(model.encoder.encode(columns))[0])
    np.testing.assert_allclose(read(features), want, rtol=1e-3, atol=1e-5)
    assert (read(features).numpy()[3] == 0).all()
    newest = [set(np.flatnonzero(mask)[-2:]) for mask in features["clicks/mask"]]
    assert np.mean([one != other for one, other in zip(found, newest, strict=True)]) > 0.5


def test_self_attention_needs_no_fields():
    # Neither tags of items nor even the items themselves: what is left is elapsed time.
    fields = [field for field in CLICKS["fields"] if field["name"] == "elapsed"]
    spec = slim_spec(sequences=[{**CLICKS, "fields": fields}])
    for one in (only_field("item"), spec):
        model = attentive(one)
        assert model.matches == {} and model.seed_generator is None
        paths = {weight.path.split("/", 1)[1] for weight in model.weights}
        assert {"clicks_selector/query_kernel", "clicks_selector/key_kernel"} <= paths
        model.compile(keras.optimizers.SGD(0.1), run_eagerly=True)
        logs = model.train_on_batch(random_features(one), random_labels(), return_dict=True)
        assert np.isfinite(logs["loss"]) and "reward" not in logs


def test_self_attention_learns_from_the_cross_entropy_and_leaves_the_events_alone():
    model, features, labels = attentive(), random_features(SPEC, rows=16), random_labels(16)
    model.compile(run_eagerly=True)
    kernels = [weight.value for weight in model.selectors["clicks"].trainable_weights]
    others = [w.value for w in model.encoder.trainable_weights]

    def gradients():
        with tf.GradientTape() as tape:
            loss = model.compute_loss(features, labels, model(features, training=True))
        found = tape.gradient(loss, [*kernels, *others])
        return found[:2], [tf.convert_to_tensor(one) for one in found[2:]]

    of_selector, of_events = gradients()
    assert all(np.abs(one).max() > 0 for one in of_selector)
    one = model.encoder.encode(features)["histories"]["clicks"]
    scores = model.selectors["clicks"](one["history"], mask=one["mask"])
    model.selectors["clicks"].call = lambda history, mask: tf.constant(scores.numpy())
    of_selector, alone = gradients()
    assert of_selector == [None, None]
    for got, want in zip(of_events, alone, strict=True):
        np.testing.assert_allclose(got, want, rtol=1e-5, atol=1e-7)


def test_self_attention_ignores_padding():
    model, features = attentive(), random_features(SPEC)
    for left in (False, True):
        wide = repadded(features, SPEC, left=left, extra=3)
        np.testing.assert_allclose(model(wide), model(features), rtol=1e-5, atol=1e-6)
    features["clicks/mask"][:] = False
    for training in (False, True):
        assert np.isfinite(model(features, training=training)).all()


def test_self_attention_comes_back_from_its_config_and_file(tmp_path):
    model, features = attentive(), random_features(SPEC)
    model.compile(run_eagerly=True)
    model.train_on_batch(features, random_labels())
    model.save(tmp_path / "model.keras")
    again = keras.saving.load_model(tmp_path / "model.keras")
    assert again.get_config() == model.get_config()
    assert again.get_config()["retrieval"] == "self_attention"
    np.testing.assert_array_equal(again(features), model(features))


@pytest.mark.parametrize(
    "policy", ["mixed_float16", pytest.param("mixed_bfloat16", marks=pytest.mark.slow)]
)
def test_self_attention_in_mixed_precision(policy):
    model, features = attentive(), random_features(SPEC)
    half = UBR4CTR.from_config({**model.get_config(), "dtype": policy})
    half.build()
    half.set_weights(model.get_weights())
    assert half.selectors["clicks"].compute_dtype == "float32"  # else rounding would select
    np.testing.assert_allclose(half(features), model(features), rtol=0.1, atol=0.05)
    half.compile(run_eagerly=True)
    assert np.isfinite(half.train_on_batch(features, random_labels())).all()


@pytest.mark.slow  # its layer is on two replicas in the quick tests
def test_self_attention_trains_on_two_devices_as_on_one():
    features, labels = random_features(SPEC, rows=14), random_labels(14)
    data = tf.data.Dataset.from_tensor_slices((features, labels)).batch(8)
    weights = []
    for count in (1, 2):
        with replicas(count).scope():
            model = attentive()
            model.compile(keras.optimizers.SGD(0.1))
        model.fit(data, epochs=2, verbose=0)
        weights.append(model.get_weights())
    before = attentive().get_weights()
    assert any(
        np.abs(one - other).max() > 1e-3 for one, other in zip(weights[0], before, strict=True)
    )
    for one, other in zip(*weights, strict=True):
        np.testing.assert_allclose(other, one, rtol=1e-4, atol=1e-5)


def test_bad_options():
    clicks = KITCHEN_SINK["sequences"][0]
    spec = kitchen_sink_spec(sequences=[{**clicks, "fields": clicks["fields"][3:]}])
    with pytest.raises(UserError, match="`fields` of the sequence 'clicks' must have one with ids"):
        make(spec)
    with pytest.raises(ValueError, match="`top_k` of UBR4CTR must be an integer of at least 1"):
        make(top_k=0)
    with pytest.raises(UserError, match="`field_selection` must be left alone .* Received: .*all"):
        attentive(field_selection="all")

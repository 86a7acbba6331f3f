import copy
import json
import pickle

import pytest
from spec_edits import EXAMPLES, FEATURES, check_refused

from lmn_tf.specs.errors import UserError
from lmn_tf.specs.feature_spec import FeatureSpec, Label
from lmn_tf.specs.yaml import strict_yaml

MOVIELENS = EXAMPLES / "feature_specs" / "movielens_1m.yaml"


@pytest.fixture
def spec():
    return FeatureSpec.load(FEATURES)


@pytest.mark.parametrize("path", [FEATURES, MOVIELENS], ids=lambda path: path.stem)
def test_round_trip(path, tmp_path):
    spec = FeatureSpec.load(path)
    plain = spec.to_dict()
    assert json.loads(json.dumps(plain)) == plain
    assert FeatureSpec.from_dict(plain) == spec
    written = tmp_path / "spec.yaml"
    written.write_text(strict_yaml.dump(plain), encoding="utf-8")
    assert FeatureSpec.load(written) == spec
    assert FeatureSpec.load(written).to_dict() == plain


def test_the_documented_example_reads_as_documented():
    spec = FeatureSpec.load(MOVIELENS)
    assert spec.table_of(spec.feature("item_id"))[1].placement == "row_wise"
    assert spec.input_size(spec.feature("age")) == 9
    assert spec.input_size(spec.feature("genres")) == 5
    assert spec.columns() == (
        "user_id", "time", "like", "age", "item_id", "genres", "hour", "history_item_id",
        "history_genres", "history_time",
    )  # fmt: skip


def test_what_is_written_out_says_only_what_applies(spec):
    plain = spec.to_dict()
    assert plain["features"][0] == {
        "name": "user",
        "role": "user",
        "kind": "categorical",
        "column": "user_id",
        "lookup": {"hash": 1000, "unknown": "own_id"},
    }
    assert plain["sequences"][0]["fields"][0] == {"name": "item", "like": "item"}


def test_finds_by_name_and_role(spec):
    assert spec.feature("hour").lookup.identity == 24
    assert [f.name for f in spec.features_of("cross")] == ["age_tags"]
    assert spec.sequence("searches").max_length == 10
    with pytest.raises(KeyError, match="`huor` must be a feature. Did you mean `hour`?"):
        spec.feature("huor")
    with pytest.raises(KeyError, match="`click` must be a sequence. Did you mean `clicks`?"):
        spec.sequence("click")


def test_fields_take_all_from_the_feature_they_are_like(spec):
    field = spec.resolved_field("clicks", "tags")
    tags = spec.feature("tags")
    for key in ("kind", "lookup", "table", "default", "max_values", "separator"):
        assert getattr(field, key) == getattr(tags, key)
    assert (field.key, field.weights, field.column) == ("tags", "event_tag_weights", None)
    own = spec.resolved_field(spec.sequence("clicks"), spec.sequence("clicks").field("price"))
    assert (own.key, own.kind, own.default) == ("clicks.price", "numeric", 0)


def test_columns_by_reference_are_not_columns_of_the_data(spec):
    columns = spec.columns()
    assert {"session", "time", "row_weight", "click", "bought", "user_id", "num_events"} <= {
        *columns
    }
    assert {"last_visit", "tag_weights", "search_words"} <= {*columns}
    assert not {"event_time", "event_colors", "color_weights", "age_tags", "price"} & {*columns}
    assert len(columns) == len(set(columns))


def test_columns_of_ids(spec):
    assert FeatureSpec.load(MOVIELENS).id_columns() == (
        "user_id", "item_id", "genres", "hour", "history_item_id", "history_genres",
    )  # fmt: skip
    assert "session" in spec.id_columns()  # the group
    owners = {sequence.events.user for sequence in spec.sequences if sequence.events}
    assert owners and owners <= {*spec.id_columns()}


def test_columns_of_what_is_read(spec):
    left_out = {"row_weight", "click", "bought"}
    assert spec.columns(labels=False) == tuple(c for c in spec.columns() if c not in left_out)
    histories = set(spec.columns()) - set(spec.columns(histories=False))
    assert {"num_events", "search_words"} <= histories
    assert not histories & {"session", "time", "last_visit", "tag_weights", *left_out}
    assert histories <= {*spec.history_columns()} <= {*spec.columns()}


def test_tables(spec):
    assert spec.table_of(spec.feature("item")) == ("item", spec.tables["item"])
    name, table = spec.table_of(spec.feature("country"))
    assert (name, table.dim) == ("country", 8)
    assert spec.table_of(spec.resolved_field("clicks", "elapsed"))[0] == "clicks.elapsed"
    assert spec.table_of(spec.resolved_field("clicks", "item"))[0] == "item"


def test_crosses_of_fields(spec):
    (cross,) = spec.event_crosses()
    assert (cross.key, cross.of) == ("clicks.item_action", ("item", "action"))
    assert spec.table_of(cross) == ("item_action", spec.tables["item_action"])
    plain = spec.to_dict()["sequences"]
    assert plain[0]["crosses"] == [
        {"name": "item_action", "of": ["item", "action"], "table": "item_action"}
    ]
    assert "crosses" not in plain[1]


@pytest.mark.parametrize(
    "name, size",
    [
        ("user", 1002),
        ("country", 6),
        ("age", 12),
        ("height", 5),
        ("tags", 5),
        ("hour", 26),
        ("since_visit", 10),
        ("age_tags", 52),
        ("clicks.elapsed", 18),
        ("clicks.tags", 5),
    ],
)
def test_input_sizes(spec, name, size):
    sequence, _, field = name.rpartition(".")
    column = spec.resolved_field(sequence, field) if sequence else spec.feature(name)
    assert spec.input_size(column) == size


def test_what_has_no_ids_has_no_size(spec):
    with pytest.raises(UserError, match="`income` must have ids. Received: kind numeric"):
        spec.input_size(spec.feature("income"))
    with pytest.raises(UserError, match="`picture` must have ids. Received: kind vector"):
        spec.input_size(spec.feature("picture"))


def test_learned_sizes_come_from_the_assets(spec):
    item, last, action = (
        spec.feature("item"),
        spec.feature("last_item"),
        spec.resolved_field("clicks", "action"),
    )
    with pytest.raises(UserError, match="vocabulary of `item` must be learned from training data"):
        spec.input_size(item)
    assert spec.lookup_key(item) == spec.lookup_key(last) == "item"  # the table both share
    assert spec.lookup_key(action) == "clicks.action"
    assert spec.lookup_key(spec.feature("hour")) == "hour"
    spec.assets.sizes["item"] = 9
    assert spec.input_size(item) == 9
    spec.assets.vocabularies["item"] = ["a", "b"]
    assert spec.input_size(last) == 4
    assert spec.vocabulary(item) == ["a", "b"]
    assert spec.vocabulary(spec.feature("hour")) is None
    assert spec.vocabulary(spec.feature("country")) == ["no", "se", "12", "true-blue"]


def test_a_lone_learner_of_a_listed_table_keeps_its_name():
    spec = FeatureSpec.load(MOVIELENS)
    assert spec.lookup_key(spec.feature("item_id")) == "item_id"
    assert spec.lookup_key(spec.resolved_field("history", "item_id")) == "item_id"


def test_assets_are_no_part_of_the_spec(spec):
    other = FeatureSpec.load(FEATURES)
    spec.assets.sizes["item"] = 3
    assert spec == other
    assert other.assets.sizes == {}
    for copied in (copy.deepcopy(spec), pickle.loads(pickle.dumps(spec))):
        assert copied == spec
        assert copied.assets == spec.assets
        assert copied.base_dir == spec.base_dir


def with_vocabulary(path, text):
    """A spec whose `genre` has the vocabulary file `path`, which is written first."""
    path.write_text(text)
    feature = {
        "name": "genre",
        "role": "item",
        "kind": "categorical",
        "lookup": {"vocabulary": path.name},
    }
    data = {"spec_version": 1, "name": "a", "labels": [{"name": "like"}], "features": [feature]}
    return FeatureSpec.from_dict(data, base_dir=path.parent)


@pytest.mark.parametrize("text", ["a\nb\n\n", "a\r\nb\r\n\r\n"])
def test_a_vocabulary_file_ends_in_no_empty_line(text, tmp_path):
    spec = with_vocabulary(tmp_path / "genres.txt", text)
    with pytest.raises(UserError, match="txt:3: vocabulary must not end in an empty line"):
        spec.vocabulary(spec.feature("genre"))
    (tmp_path / "genres.txt").write_text("a\n\nb\n")
    assert spec.vocabulary(spec.feature("genre")) == ["a", "", "b"]
    spec.assets.vocabularies["genre"] = ["a", ""]
    assert spec.vocabulary(spec.feature("genre")) == ["a", ""]


@pytest.mark.parametrize("name, text", [("empty.txt", ""), ("empty.json", "[]")])
def test_a_vocabulary_file_holds_something(name, text, tmp_path):
    spec = with_vocabulary(tmp_path / name, text)
    with pytest.raises(UserError, match=f"{name}: vocabulary must hold at least one value."):
        spec.input_size(spec.feature("genre"))


def test_vocabulary_files_are_relative_to_the_spec(tmp_path):
    spec = FeatureSpec.load(MOVIELENS)
    assert spec.base_dir == MOVIELENS.parent
    assert spec.vocabulary(spec.feature("genres")) == ["Action", "Comedy", "Drama"]
    moved = FeatureSpec.from_dict(spec.to_dict(), base_dir=tmp_path)
    with pytest.raises(UserError, match="genres.txt: file must exist."):
        moved.vocabulary(moved.feature("genres"))


@pytest.mark.parametrize(
    "old, new, message",
    [
        (
            "spec_version: 1",
            "spec_version: 2",
            "`spec_version` must be 1, the only version there is.",
        ),
        ("embedding_dim: 8", "embedding_dim: 0", "`embedding_dim` must be at least 1"),
        ("group: session", "groups: session", "unknown key `groups`. Did you mean `group`?"),
        ("group: session", "group: 3", "`group` must be text. Received: group=3"),
        (
            "  item: {dim",
            "  my item: {dim",
            "`tables.my item` must be letters, digits and underscores, with a letter first.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)


def test_column_is_the_name_by_default():
    assert Label(name="a").data_column == "a"
    assert Label(name="a", column="b").data_column == "b"


def test_name_is_checked(tmp_path):
    check_refused(FEATURES, "name: click}", "name: 3}", "`labels[0].name` must be text.", tmp_path)


def test_names_a_file_and_two_columns():
    events = FeatureSpec.load(FEATURES).sequence("clicks").events
    assert (events.file, events.user, events.count) == ("events.arrow", "user_id", "num_events")


def test_needs_all(tmp_path):
    check_refused(
        FEATURES,
        ", count: num_events",
        "",
        "`count` must be given in `sequences[0].events` (`clicks`).",
        tmp_path,
    )

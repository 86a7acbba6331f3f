import pytest
from spec_edits import FEATURES, check_refused


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("name: buy", "name: click", "names of labels must differ. Received: 'click' twice"),
        ("name: hour,", "name: item,", "names of features and sequences must differ."),
        ("name: searches", "name: hour", "names of features and sequences must differ."),
        ("name: hour,", "name: group,", "`name` must not be 'group'"),
        (
            "column: user_id",
            "column: bought",
            "`column` of a feature must not be a label's. Received: 'bought', the column of label",
        ),
        (
            "name: hour,",
            "name: click,",
            "`column` of a feature must not be a label's. Received: 'click', the column "
            "of label `click`",
        ),
        (
            "[age, tags]",
            "[agee, tags]",
            "`of` must name features. Received: 'agee'. Did you mean `age`?",
        ),
        ("[age, tags]", "[age, income]", "Received: 'income' of kind numeric"),
        ("[age, tags]", "[age, picture]", "Received: 'picture' of kind vector"),
        ("[age, tags]", "[age, hour_since]", "Received: 'hour_since' of kind cross"),
        (
            "role: context, kind: cross",
            "role: item, kind: cross",
            "`role` of a cross must be 'cross', or the one role of all it is made of.",
        ),
        (
            "of: [item, action]",
            "of: [item, acton]",
            "`of` must name fields of `clicks`. Received: 'acton'. Did you mean `action`?",
        ),
        ("of: [item, action]", "of: [item, price]", "Received: 'price' of kind numeric"),
        ("of: [item, action]", "of: [tags, action]", "Received: 'tags' of kind multi_value"),
        ("of: [item, action]", "of: [item, elapsed]", "Received: 'elapsed' of kind elapsed_time"),
        (
            "table: item_action}",
            "table: item_acts}",
            "`table` must be listed under `tables`. Received: table='item_acts'.",
        ),
        (
            "table: item_action}",
            "table: item}",
            "`table` of a cross of fields must not be shared. Received: table='item'",
        ),
        ("like: item}", "like: itme}", "`like` must name a feature. Received: like='itme'. Did"),
        ("like: item}", "like: age_tags}", "`like` must not name a cross."),
        (
            "{name: item, like: item}",
            "{name: item, like: item, weights: w}",
            "`weights` must be given for kind multi_value only.",
        ),
        ("table: item}", "table: itm}", "`table` must be listed under `tables`. Received: table="),
        ("table: tag,", "table: item,", "columns that share a table must have the same lookup."),
        (
            "lookup: {learn: {}}",
            "lookup: {learn: {}}, table: item",
            "columns that share a table must have the same lookup.",
        ),
    ],
)
def test_refuses(old, new, message, tmp_path):
    check_refused(FEATURES, old, new, message, tmp_path)


@pytest.mark.parametrize("kind", ["features", "fields"])
def test_elapsed_time_needs_the_moment_of_the_request(kind, tmp_path):
    edited = tmp_path / "everything.yaml"
    text = FEATURES.read_text(encoding="utf-8").replace("request_time: time\n", "")
    if kind == "fields":
        text = "".join(line for line in text.splitlines(keepends=True) if "since" not in line)
    edited.write_text(text, encoding="utf-8")
    check_refused(
        edited,
        "kind: elapsed_time",
        "kind:  elapsed_time",
        "`request_time` must be given at the top for kind elapsed_time.",
        tmp_path,
    )


def test_crosses_take_one_list_at_most(tmp_path):
    old = "of: [age, tags]"
    text = (
        FEATURES.read_text(encoding="utf-8")
        .replace(old, "of: [age, tags, more_tags]")
        .replace(
            "sequences:\n",
            "  - {name: more_tags, role: item, kind: multi_value, lookup: {hash: 3}}\nsequences:\n",
        )
    )
    edited = tmp_path / "everything.yaml"
    edited.write_text(text, encoding="utf-8")
    message = "`of` must name at most one multi_value feature."
    check_refused(edited, "of: [age,", "of: [age,", message, tmp_path)


@pytest.mark.parametrize(
    "old, new, at, message",
    [
        (
            "name: hour,",
            "name: tag,",
            "name: tag,",
            "`tag` must name its table, since one of the same name is listed: write "
            "`table: tag`. Received: no `table`",
        ),
        (
            ", table: tag, weights",
            ", weights",
            "tag: {dim: 4",
            "`tables.tag` must be used by a column.",
        ),
    ],
)
def test_tables_are_named_and_used(old, new, at, message, tmp_path):
    text = FEATURES.read_text(encoding="utf-8").replace(old, new, 1)
    text = text.replace("of: [hour, since_visit]", "of: [since_visit, country]")
    text = text.replace("role: context, kind: cross", "role: cross, kind: cross")
    edited = tmp_path / "everything.yaml"
    edited.write_text(text, encoding="utf-8")
    check_refused(edited, at, at, message, tmp_path)


def test_a_shared_vocabulary_does_not_take_a_feature_s_place(tmp_path):
    text = FEATURES.read_text(encoding="utf-8").replace("name: item, role", "name: thing, role", 1)
    text = text.replace("like: item}", "like: thing}").replace("name: hour,", "name: item,", 1)
    text = text.replace("of: [hour, since_visit]", "of: [since_visit, item]")
    text = text.replace("lookup: {identity: 24}, default: 12", "lookup: {hash: 3}, table: tag2")
    text = text.replace("tables:\n", "tables:\n  tag2: {dim: 3}\n")
    edited = tmp_path / "everything.yaml"
    edited.write_text(text, encoding="utf-8")
    message = "a table that several columns learn must not bear another feature's name."
    check_refused(edited, "item: {dim", "item: {dim", message, tmp_path)

import pytest
from spec_edits import COMPARISON, check_refused

from lmn_tf.specs.comparison_spec import ComparisonSpec
from lmn_tf.specs.errors import UserError
from lmn_tf.specs.grid import named_value


def spec(vary, **more):
    models = [{"label": "a", "model": {"name": "dnn"}}]
    data = {"comparison_version": 1, "name": "a", "pipeline": "p.yaml", "models": models}
    return ComparisonSpec.from_dict({**data, "output": "out", "vary": vary, **more})


def test_key_and_values():
    rows = spec({"data.train_rows": ["5%", "12.5%", "100%"]})
    assert rows.varied == ("data.train_rows", ("5%", "12.5%", "100%"))
    assert ComparisonSpec.from_dict(rows.to_dict()) == rows
    assert spec({"model.num_keys": [10, 20]}).varied == ("model.num_keys", (10, 20))
    assert spec(None).varied == (None, ())


def test_names_of_values():
    assert named_value("train.optimizer.dense", {"sgd": 1}) == 'dense={"sgd": 1}'


@pytest.mark.parametrize(
    ("vary", "message"),
    [
        ("{}", "`vary` must have one key. Received: none"),
        ("{model.a: [1, 2], model.b: [1, 2]}", "`vary` must have one key. Received: model.a, mod"),
        ("{train_rows: [1, 2]}", "the key of `vary` must be `data.train_rows`, `model.OPTION` or"),
        ("{data.train_row: [1, 2]}", "Did you mean `data.train_rows`?"),
        ("{data.train_rows: [5%]}", "`vary.data.train_rows` must be a list of 2 or more. Receiv"),
        (
            "{data.train_rows: [5%, 0%]}",
            "`vary.data.train_rows[1]` must be at least 1, or a share of all rows such as '10%'.",
        ),
        ("{data.train_rows: [5%, 101%]}", "`vary.data.train_rows[1]` must be at least 1, or a sh"),
        ("{data.train_rows: [5, 0]}", "`vary.data.train_rows[1]` must be at least 1, or a share"),
        ("{data.train_rows: [5, 5]}", "`vary.data.train_rows[1]` must differ from the others."),
        (
            "{data.train_rows: [5%, 1000]}",
            "`vary.data.train_rows[1]` must be a share like the first value, '5%', or both a num",
        ),
        ("{model.dropout: [0, 0]}", "values must differ. Received: model.dropout=0 twice"),
        ("{train.epoch: [1, 2]}", "unknown key `epoch` in `train`. Did you mean `epochs`?"),
        ("{train.seed: [1, 2]}", "`train.seed` must be left to the seeds of the comparison."),
    ],
)
def test_refuses(vary, message, tmp_path):
    check_refused(COMPARISON, "search:", f"vary: {vary}\nsearch:", message, tmp_path)


def test_refuses_a_search_beside_it(tmp_path):
    message = "`search` must not be given with `vary`. Received: both"
    new = "vary: {data.train_rows: [5%, 10%]}\nsearch:"
    check_refused(COMPARISON, "search:", new, message, tmp_path)


def test_training_rows_are_drawn():
    rows = spec({"data.train_rows": ["5%", "100%"]})
    base = ComparisonSpec.load(COMPARISON).load_pipeline()
    run = rows.run_pipeline("a", 3, base, {"data.train_rows": "5%"})
    assert (run.data.train_rows, run.data.draw_rows) == ("5%", True)
    assert not rows.run_pipeline("a", 3, base, {"train.epochs": 2}).data.draw_rows
    with pytest.raises(UserError, match="`data.train_rows` must be at least 1"):
        rows.run_pipeline("a", 3, base, {"data.train_rows": 0})

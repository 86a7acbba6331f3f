import pytest

from lmn_tf.data.preparers.engine import Engine
from lmn_tf.data.preparers.plan import Step
from lmn_tf.specs.errors import UserError


def test_runs_named_steps_and_streams(tmp_path):
    said = []
    with Engine(tmp_path, on_step=said.append) as engine:
        engine.run(Step("numbers", "SELECT unnest(range(100000)) AS n"))
        assert said == ["numbers"] and engine.has("numbers") and engine.columns("numbers") == ("n",)
        batches = list(engine.batches("SELECT n FROM numbers", rows=1_000))
        assert max(batch.num_rows for batch in batches) <= 2_048
        assert sum(batch.num_rows for batch in batches) == 100_000
        engine.drop("numbers")
        assert not engine.has("numbers")


def test_memory_limit_must_be_a_size(tmp_path):
    with pytest.raises(UserError, match="`memory_limit` must be a size.*Received: .*'plenty'"):
        Engine(tmp_path, memory_limit="plenty")


def test_an_optimizer_is_off_within_the_block_only(tmp_path):
    with Engine(tmp_path) as engine:
        setting = "SELECT current_setting('disabled_optimizers')"
        with pytest.raises(KeyError, match="x"), engine.without("statistics_propagation"):
            assert engine.value(setting) == "statistics_propagation"
            raise KeyError("x")
        assert engine.value(setting) == ""

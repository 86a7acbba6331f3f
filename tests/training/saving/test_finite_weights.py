import keras
import numpy as np
import pytest

from lmn_tf.distribute.tables import rows as row_access
from lmn_tf.specs.errors import UserError
from lmn_tf.training.saving.finite_weights import check_finite, check_rows


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("wrong", [np.nan, np.inf, -np.inf])
def test_refuses_one_number_that_is_not_finite(dtype, wrong):
    rows = np.ones((3, 2), dtype)
    check_rows(rows, "kernel", "The model")
    rows[2, 1] = wrong
    with pytest.raises(UserError, match=f"^The model must hold .* Received: {wrong} in `kernel`$"):
        check_rows(rows, "kernel", "The model")


def test_refuses_a_scalar_that_is_not_finite():
    with pytest.raises(UserError, match="Received: nan in `rate`"):
        check_rows(np.array(np.nan), "rate", "The model")


def test_large_but_finite_numbers_and_integers_pass():
    check_rows(np.full(9, np.finfo("float32").max), "kernel", "The model")
    check_rows(np.array([1, 2]), "count", "The model")


def test_looks_at_each_piece_of_a_variable(monkeypatch):
    monkeypatch.setattr(row_access, "CHUNK_BYTES", 8)
    table = keras.Variable(np.ones((5, 2)))
    check_finite({"count": keras.Variable(1), "table": table}, "The model")
    table.assign(np.r_[np.ones(9), np.nan].reshape(5, 2))
    for wrong in (table, table.numpy()):
        with pytest.raises(UserError, match="nan in `table`"):
            check_finite({"count": keras.Variable(1), "table": wrong}, "The model")
